"""How a model follows objects through synthetic clips, beside answers that do not look or listen.

    python -m benchmarks.language_clips --root DATA --data synthetic/seen-rvos,synthetic/novel-rvos --checkpoint DIR

A line a split, in Markdown: mean J&F over frames and phrases (a phrase a sample, each scored by itself as the
protocols of referring clips do), with the 95 % range of `both` (bootstrap over clips), of

- `text`: every frame by the words alone; `both`: the words, and the object's own masks once it was found
- `mask`: no words, but the true masks of the first frame that shows each object, all objects together
- `shuffled`: as `both`, with the phrases of another clip
- `random`, `largest`: the true masks of a random object, and of the largest one of the first frame
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from benchmarks.language import bootstrap
from uniref.data.frames import read_frames
from uniref.data.index import Index
from uniref.evaluation.metrics.masks import score_masks
from uniref.inference.predictor import Predictor

Masks = npt.NDArray[np.bool_]
WAYS = ("text", "mask", "both", "shuffled", "random", "largest")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--data", required=True, help="dataset/split of referring clips, separated by commas")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--limit", type=int, help="only the first clips of each")
    parser.add_argument("--phrases", type=int, help="only the first phrases of each clip")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint)
    print("| split | " + " | ".join((*WAYS, "95 % of both", "phrases")) + " |")
    print("| --- " * (len(WAYS) + 3) + "|")
    for split in options.data.split(","):
        clips = list(scores(predictor, Index.open(options.root / "index" / split), options.limit, options.phrases))
        together = np.concatenate(clips)
        low, high = bootstrap([(clip[:, WAYS.index("both")].sum(), len(clip)) for clip in clips])
        cells = [f"{value:.3f}" for value in together.mean(0)]
        print(f"| {split} | " + " | ".join([*cells, f"{low:.3f} to {high:.3f}", str(len(together))]) + " |", flush=True)


def scores(
    predictor: Predictor, index: Index, limit: int | None, phrases: int | None
) -> Iterator[npt.NDArray[np.float64]]:
    """J&F [phrases, ways] of each of the first `limit` clips."""
    rng = np.random.default_rng(0)
    groups = [list(group)[:phrases] for _, group in groupby(index, key=lambda sample: sample.media)]
    others = [index.expression(sample.expressions[0]).text for sample in groups[-1]]
    for group in tqdm(groups[:limit], desc=index.manifest.name, disable=None):
        media = index.media(group[0].media)
        frames = read_frames(media, range(media.length))
        tracks = {row: _track(index, row, media.length, frames[0].shape[:2]) for row in media.objects}
        rows = [sample.objects[0] for sample in group]
        texts = [index.expression(sample.expressions[0]).text for sample in group]
        wrong = [others[i % len(others)] for i in range(len(texts))]
        given: dict[int, dict[int, Masks]] = {}
        meant = sorted(set(rows))  # several phrases may mean one object
        for number, row in enumerate(meant, 1):
            first = int(tracks[row].any((1, 2)).argmax())
            given.setdefault(first, {})[number] = tracks[row][first]

        followed = _follow(predictor, frames, masks=given)
        largest = max(media.objects, key=lambda row: int(tracks[row][0].sum()))
        answers = {
            "text": [_follow(predictor, frames, [text], propagate=False)[0] for text in texts],
            "mask": [followed[meant.index(row)] for row in rows],
            "both": _follow(predictor, frames, texts),
            "shuffled": _follow(predictor, frames, wrong),
            "random": [tracks[media.objects[int(rng.integers(len(media.objects)))]] for _ in rows],
            "largest": [tracks[largest]] * len(rows),
        }
        others = texts
        yield np.array(
            [
                [
                    np.mean([score_masks(a, b).mean for a, b in zip(answers[way][place], tracks[row], strict=True)])
                    for way in WAYS
                ]
                for place, row in enumerate(rows)
            ]
        )


def _follow(
    predictor: Predictor,
    frames: Sequence[npt.NDArray[np.uint8]],
    texts: Sequence[str] | None = None,
    masks: Mapping[int, Mapping[int, Masks]] | None = None,
    propagate: bool = True,
) -> list[Masks]:
    """Every object's masks, bool [frames, H, W], in the order of texts or of the ids 1, 2, ...

    Texts are followed independently of each other, except without propagation.
    """
    short, long = predictor.config.sides or (480, 1333)
    found = list(
        predictor.segment_video(frames, texts, masks=masks, propagate=propagate, short_side=short, long_side=long)
    )
    count = len(texts) if texts else len({number for shown in (masks or {}).values() for number in shown})
    unseen = np.zeros(frames[0].shape[:2], bool)  # before the first mask of an object
    return [np.stack([frame.masks.get(number, unseen) for frame in found]) for number in range(1, count + 1)]


def _track(index: Index, row: int, length: int, size: tuple[int, ...]) -> Masks:
    """An object's masks, bool [frames, H, W]."""
    annotations = index.annotations(row)
    masks = np.zeros((length, *size), bool)
    for frame in range(length):
        at = annotations.at(frame)
        mask = None if at is None else annotations.mask(at)
        if mask is not None:
            masks[frame] = mask
    return masks


if __name__ == "__main__":
    main()
