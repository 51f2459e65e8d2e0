"""What a model scores that always answers with the same box: the baseline of `recipes/debug.yaml`.

    python -m benchmarks.constant_box --root DATA [--limit 60]

The box has the centre and proportions of the average training object, and the size at which it scores best.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from uniref.data.frames import union_mask
from uniref.data.index import Index


def main() -> None:
    """Print one line per task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="only the first samples (images) or videos")
    arguments = parser.parse_args()
    for task in ("ris", "fss", "vos"):
        box = _average(Index.open(arguments.root / f"index/synthetic/train-{task}"))
        index = Index.open(arguments.root / f"index/synthetic/val-{task}")
        value, count, scale = max(
            (*_score(index, _scaled(box, scale), arguments.limit), scale) for scale in (1.0, 1.5, 2.0, 2.5, 3.0)
        )
        print(f"{task}: mean IoU {value:.3f} over {count} masks ({scale} x the average box)")


def _average(index: Index) -> np.ndarray:
    boxes = []
    for row in range(len(index)):
        sample = index.sample(row)
        media = index.media(sample.media)
        for each in sample.objects:
            found = index.annotations(each).boxes
            boxes.append((found / [media.width, media.height, media.width, media.height]).mean(0))
    return np.mean(boxes, axis=0)


def _scaled(box: np.ndarray, scale: float) -> np.ndarray:
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * scale
    return np.concatenate([centre - half, centre + half]).clip(0, 1)


def _score(index: Index, box: np.ndarray, limit: int | None) -> tuple[float, int]:
    values = []
    for row in range(len(index))[:limit]:
        sample = index.sample(row)
        media = index.media(sample.media)
        x0, y0, x1, y1 = np.round(box * [media.width, media.height, media.width, media.height]).astype(int)
        answer = np.zeros((media.height, media.width), bool)
        answer[y0:y1, x0:x1] = True
        is_clip = media.length > 1
        groups = [[each] for each in sample.objects] if is_clip else [list(sample.objects)]
        for group in groups:
            for frame in range(1 if is_clip else 0, media.length):
                truth = union_mask([index.annotations(each) for each in group], frame)
                if truth is not None:
                    values.append((truth & answer).sum() / (truth | answer).sum())
    return float(np.mean(values)), len(values)


if __name__ == "__main__":
    main()
