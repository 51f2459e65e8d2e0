"""Speed of prediction against the released procedure, in one process.

    python -m benchmarks.speed [--checkpoint DIR] [--height 480 --width 854] [--frames 4] [--tasks rvos,vos3]

For each task: seconds per frame of both (the median without the first), their ratio, and the share of equal pixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import numpy as np
import torch

from benchmarks.released_way import ReleasedWay
from benchmarks.videos import moving_disks
from benchmarks.weights import make_checkpoint
from uniref import Predictor
from uniref.inference.video import VideoTracker
from uniref.kernels.matmul import cpu_has_bfloat16, onednn_is_exact
from uniref.model.uniref import UniRef

TEXT = "the red disk on the left"


def timed(results: Iterable[np.ndarray], skip: int, clock: Callable[[], float]) -> tuple[float, list[np.ndarray]]:
    """Median seconds per result after the first `skip`, and all results."""
    seconds, kept = [], []
    begun = clock()
    for result in results:
        seconds.append(clock() - begun)
        kept.append(result)
        begun = clock()
    return float(np.median(seconds[skip:])), kept


def segmented_before(predictor: Predictor, frame: np.ndarray, mask: np.ndarray) -> VideoTracker:
    """A tracker of a text whose object has been segmented in a frame before, so that every step uses masks too."""
    tracker = predictor.track({1: TEXT}, score_threshold=0.0, short_side=None)
    tracked = tracker._objects[1]  # users cannot give a text and a mask of one object
    (tracked.first,) = tracker.model.mask_references(tracker.encode(frame), torch.from_numpy(mask)[None])
    tracked.previous = tracked.first
    return tracker


def processor() -> str:
    """What decides the speed and the rounding of matrix products on this machine's CPU."""
    features = {
        torch.backends.cpu.get_cpu_capability(): True,
        "bfloat16": cpu_has_bfloat16(),
        "AMX": bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()),
    }
    rounding = "exact" if onednn_is_exact() else "rounded, so not used"
    names = ", ".join(name for name, present in features.items() if present)
    return f"CPU with {names}; oneDNN's float32 products {rounding}; {torch.get_num_threads()} threads"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint")
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=854)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--precision", default="auto", help="of uniref; the released procedure computes in float32")
    parser.add_argument("--fast", action="store_true", help="as for uniref predict")
    parser.add_argument("--tasks", default="ris,rvos,vos1,vos3", help="some of these")
    parser.add_argument("--seed", type=int, default=0, help="of the pseudo-random weights")
    parser.add_argument("--cpu-time", action="store_true", help="count processor seconds: for a machine that is shared")
    options = parser.parse_args()
    loaded = make_checkpoint(options.checkpoint, options.seed)
    assert loaded.tokenizer is not None
    assert isinstance(loaded.model, UniRef)
    old = ReleasedWay(loaded.model, loaded.tokenizer)
    own = make_checkpoint(options.checkpoint, options.seed)
    new = Predictor(own, device="cpu", dtype=options.precision, fast=options.fast, own=True)
    frames, masks = moving_disks(options.frames, options.height, options.width, objects=3)
    one = {1: masks[1]}

    def images() -> Iterable[np.ndarray]:
        return (new.segment_image(frame, TEXT, short_side=None).mask for frame in frames)

    def texts() -> Iterable[np.ndarray]:
        tracker = segmented_before(new, frames[0], masks[1])
        return (tracker.step(frame).masks[1] for frame in frames)

    def objects(masks: dict[int, np.ndarray]) -> Iterable[np.ndarray]:
        stream = new.segment_video(frames, masks={0: masks}, score_threshold=0.0, short_side=None)
        return (result.labels for result in stream)

    tasks = {
        "ris": ("RIS", (old.image(frame, TEXT) for frame in frames), images()),
        "rvos": ("RVOS, text and masks", old.video_by_text(frames, TEXT, masks[1]), texts()),
        "vos1": ("VOS, 1 object", old.video_by_masks(frames, one), objects(one)),
        "vos3": ("VOS, 3 objects", old.video_by_masks(frames, masks), objects(masks)),
    }
    clock, unit = (time.process_time, "processor s") if options.cpu_time else (time.perf_counter, "s")
    print(f"{options.height} x {options.width}, {torch.get_num_threads()} threads, {unit} per frame")
    print(processor())
    print(f"uniref in {new.precision}, its attention to masks in {new.attention_precision}")
    print(f"{'task':<22} {'released way':>12} {'uniref':>8} {'ratio':>7}  equal pixels, frame by frame")
    for task in options.tasks.split(","):
        name, slow, fast = tasks[task]
        before, expected = timed(slow, 1, clock)
        after, results = timed(fast, 1, clock)
        equal = " ".join(f"{float((a == b).mean()):.4f}" for a, b in zip(expected, results, strict=True))
        print(f"{name:<22} {before:>12.2f} {after:>8.2f} {before / after:>6.1f}x  {equal}", flush=True)


if __name__ == "__main__":
    main()
