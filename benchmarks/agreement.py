"""What `--precision` and `--fast` cost in agreement and gain in time, against float32.

    python -m benchmarks.agreement [--checkpoint DIR] [--frames 4] [--objects 3]
    python -m benchmarks.agreement --checkpoint small --video FILE (--text TEXT | --mask PNG) [--short-side 480]

Without a video: moving disks, followed by masks. Prints for each option the seconds per frame, the share of equal
pixels, and the mean IoU of its masks with those of float32 (1 where both are empty), over objects and frames after the
first. Attention is rounded only by the kernel for heads at least as wide as the model (`FoldedUniFusion`). The bundled
model's heads are narrower; --fold gives it that kernel all the same, so that trained weights show what rounding costs
(times are then meaningless). It folds from 1024 feature pixels on at stride 8, about 240 x 320: pass --short-side 240
or more with --video.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.videos import moving_disks
from benchmarks.weights import make_checkpoint
from uniref import Predictor
from uniref.inference.results import FrameResult
from uniref.kernels.matmul import cpu_has_bfloat16
from uniref.kernels.prepare import share_weights
from uniref.kernels.unifusion import FoldedUniFusion
from uniref.media.mask import read_mask
from uniref.media.source import MediaSource, Selection
from uniref.weights.checkpoint import Checkpoint

_FOLDS_FROM = 240  # pixels on the short side, for the proportions of usual videos
OPTIONS: dict[str, dict[str, Any]] = {
    "--precision float32": {},
    "--precision auto": {"dtype": "auto"},
    "--fast": {"fast": True},
    "--precision bfloat16": {"dtype": "bfloat16"},
}


def fold(loaded: Checkpoint, settings: dict[str, Any]) -> Checkpoint:
    """A checkpoint with the same weights and `FoldedUniFusion`, whatever the width of its heads."""
    model = share_weights(loaded.model)
    assert model.fusion is not None
    model.fusion = FoldedUniFusion(model.fusion, bool(settings) and cpu_has_bfloat16())
    return Checkpoint(model, loaded.tokenizer, loaded.config)


def main() -> None:
    """Print one line per option."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="a folder, or small; default: the released ResNet-50 sizes, not trained")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--text")
    parser.add_argument("--mask", type=Path, help="label PNG of the first frame")
    parser.add_argument("--short-side", type=int, help="of the network input; default: as the checkpoint is made for")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--cpu-time", action="store_true", help="count processor seconds: for a machine that is shared")
    parser.add_argument("--fold", action="store_true", help="use the kernel of models of the released sizes")
    options = parser.parse_args()
    if options.video and not (options.text or options.mask):
        parser.error("--video needs --text or --mask")
    loaded = make_checkpoint(options.checkpoint)
    clock = time.process_time if options.cpu_time else time.perf_counter
    prompts: dict[str, Any]
    if options.video is None:
        frames, masks = moving_disks(options.frames, options.height, options.width, options.objects)
        prompts = {"masks": {0: masks}, "score_threshold": 0.0, "short_side": None}
    else:
        read = itertools.islice(MediaSource(options.video).frames(Selection()), options.frames)
        frames, prompts = [frame.image for frame in read], {"text": options.text} if options.text else {}
        if options.mask:
            labels = read_mask(options.mask)
            prompts["masks"] = {0: {int(n): labels == n for n in np.unique(labels) if n}}
        if options.short_side:
            prompts |= {"short_side": options.short_side, "long_side": None}
    short = options.short_side or (min(frames[0].shape[:2]) if options.video is None else 0)
    if options.fold and short < _FOLDS_FROM:
        parser.error(
            f"--fold needs inputs of at least {_FOLDS_FROM} pixels on the short side: use --short-side or --height"
        )
    print(f"{frames[0].shape[0]} x {frames[0].shape[1]}, {len(frames)} frames, {torch.get_num_threads()} threads")
    print(f"{'':<22} {'s / frame':>10} {'equal pixels':>13} {'IoU':>7}")
    exact: list[FrameResult] = []
    for name, settings in OPTIONS.items():
        checkpoint = fold(loaded, settings) if options.fold else loaded
        predictor = Predictor(checkpoint, device="cpu", **settings)
        seconds, results = _run(predictor.segment_video(frames, **prompts), clock)
        exact = exact or results
        pairs = list(zip(exact[1:], results[1:], strict=True))
        equal = np.mean([(a.labels == b.labels).mean() for a, b in pairs])
        overlap = np.mean([_iou(a.masks[n], b.masks[n]) for a, b in pairs for n in a.masks])
        print(f"{name:<22} {seconds:>10.2f} {equal:>13.4f} {overlap:>7.4f}", flush=True)


def _run(stream: Iterable[FrameResult], clock: Callable[[], float]) -> tuple[float, list[FrameResult]]:
    """Median seconds per frame after the first, and the results."""
    seconds, results, begun = [], [], clock()
    for result in stream:
        seconds.append(clock() - begun)
        results.append(result)
        begun = clock()
    return float(np.median(seconds[1:])), results


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


if __name__ == "__main__":
    main()
