"""What `--precision` and `--fast` cost in agreement and gain in time, against float32.

    python -m benchmarks.agreement [--checkpoint DIR] [--frames 4] [--objects 3]
    python -m benchmarks.agreement --checkpoint small --video FILE (--text TEXT | --mask PNG) [--short-side 480]

Without a video: moving disks, followed by masks. Prints for each option the seconds a frame, the share of equal pixels,
and the mean IoU of its masks with those of float32 (1 where both are empty), over objects and frames after the first.
Attention is rounded only where projections fold: from 65,536 pixels on, with heads as wide as the model. The bundled
model's are narrower; --fold folds them all the same, so that trained weights tell what rounding costs (times then say
nothing).
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
from torch import Tensor

from benchmarks.clips import moving_disks
from benchmarks.weights import make_checkpoint
from uniref import Predictor
from uniref.inference.results import FrameResult
from uniref.media.mask import read_mask
from uniref.media.source import MediaSource, Selection
from uniref.model.unifusion import UniFusion

_TOKENS = 512  # with --fold: the finest level of the bundled model's inputs, not the coarser ones
OPTIONS: dict[str, dict[str, Any]] = {
    "--precision float32": {},
    "--precision auto": {"dtype": "auto"},
    "--fast": {"fast": True},
    "--precision bfloat16": {"dtype": "bfloat16"},
}


def _folds_always(self: UniFusion, keys: Tensor) -> bool:
    return keys.shape[1] >= _TOKENS and not torch.is_grad_enabled()


def main() -> None:
    """Print a line an option."""
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
    parser.add_argument("--fold", action="store_true", help="as models of the released sizes do")
    options = parser.parse_args()
    if options.video and not (options.text or options.mask):
        parser.error("--video needs --text or --mask: what to follow")
    if options.fold:
        UniFusion._folds = _folds_always  # type: ignore[method-assign]
    loaded = make_checkpoint(options.checkpoint)
    clock = time.process_time if options.cpu_time else time.perf_counter
    given: dict[str, Any]
    if options.video is None:
        frames, masks = moving_disks(options.frames, options.height, options.width, options.objects)
        given = {"masks": {0: masks}, "score_threshold": 0.0, "short_side": None}
    else:
        read = itertools.islice(MediaSource(options.video).frames(Selection()), options.frames)
        frames, given = [frame.image for frame in read], {"text": options.text} if options.text else {}
        if options.mask:
            labels = read_mask(options.mask)
            given["masks"] = {0: {int(n): labels == n for n in np.unique(labels) if n}}
        if options.short_side:
            given |= {"short_side": options.short_side, "long_side": None}
    print(f"{frames[0].shape[0]} x {frames[0].shape[1]}, {len(frames)} frames, {torch.get_num_threads()} threads")
    print(f"{'':<22} {'s a frame':>10} {'equal pixels':>13} {'IoU':>7}")
    exact: list[FrameResult] = []
    for name, settings in OPTIONS.items():
        predictor = Predictor(loaded, device="cpu", own=True, **settings)
        seconds, found = _run(predictor.segment_video(frames, **given), clock)
        exact = exact or found
        pairs = list(zip(exact[1:], found[1:], strict=True))
        equal = np.mean([(a.labels == b.labels).mean() for a, b in pairs])
        overlap = np.mean([_iou(a.masks[n], b.masks[n]) for a, b in pairs for n in a.masks])
        print(f"{name:<22} {seconds:>10.2f} {equal:>13.4f} {overlap:>7.4f}", flush=True)


def _run(stream: Iterable[FrameResult], clock: Callable[[], float]) -> tuple[float, list[FrameResult]]:
    """Median seconds a frame after the first, and the results."""
    seconds, found, begun = [], [], clock()
    for result in stream:
        seconds.append(clock() - begun)
        found.append(result)
        begun = clock()
    return float(np.median(seconds[1:])), found


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


if __name__ == "__main__":
    main()
