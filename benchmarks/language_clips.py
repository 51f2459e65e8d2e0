"""How a model follows objects through synthetic clips, beside baselines that ignore the image or the text.

    python -m benchmarks.language_clips --root DATA --data synthetic/seen-rvos,synthetic/novel-rvos --checkpoint DIR

One Markdown row per split: mean J&F over frames and phrases (one sample per phrase, each scored by itself, as the
protocols of texts in videos do), with the 95 % range of `both` (bootstrap over clips), of

- `text`: every frame by the text alone; `both`: the text, and the object's own masks once it was found
- `two-pass`: the same, but from the frame of the best score to both ends; its gain over `both`, with its range, follows
- `mask`: no text, but the ground-truth masks of the first frame that shows each object, all objects together
- `shuffled`: as `both`, with the phrases of another clip
- `random`, `largest`: the ground-truth masks of a random object, and of the largest one of the first frame
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
WAYS = ("text", "mask", "both", "two-pass", "shuffled", "random", "largest")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--data", required=True, help="dataset/split of referring clips, separated by commas")
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--limit", type=int, help="only the first clips of each")
    parser.add_argument("--phrases", type=int, help="only the first phrases of each clip")
    parser.add_argument("--stride", type=int, default=1, help="only every n-th frame")
    parser.add_argument("--ways", default=",".join(WAYS), help="some of the ways, separated by commas")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint)
    ways = options.ways.split(",")
    names = [*ways, *(["95 % of both"] if "both" in ways else []), "phrases"]
    if compared := {"both", "two-pass"} <= set(ways):
        names += ["two-pass over both", "95 %"]
    print("| split | " + " | ".join(names) + " |")
    print("| --- " * (len(names) + 1) + "|")
    for split in options.data.split(","):
        index = Index.open(options.root / "index" / split)
        clips = list(scores(predictor, index, ways, options.limit, options.phrases, options.stride))
        together = np.concatenate(clips)
        cells = [f"{value:.3f}" for value in together.mean(0)]
        if "both" in ways:
            cells.append(_range([clip[:, ways.index("both")] for clip in clips]))
        cells.append(str(len(together)))
        if compared:
            gains = [clip[:, ways.index("two-pass")] - clip[:, ways.index("both")] for clip in clips]
            cells += [f"{np.concatenate(gains).mean():+.3f}", _range(gains)]
        print(f"| {split} | " + " | ".join(cells) + " |", flush=True)


def _range(clips: Sequence[npt.NDArray[np.float64]]) -> str:
    """95 % range of the mean over all phrases, whole clips drawn with replacement."""
    low, high = bootstrap([(clip.sum(), len(clip)) for clip in clips])
    return f"{low:.3f} to {high:.3f}"


def scores(
    predictor: Predictor, index: Index, ways: Sequence[str], limit: int | None, phrases: int | None, stride: int
) -> Iterator[npt.NDArray[np.float64]]:
    """J&F [phrases, ways] of each of the first `limit` clips."""
    rng = np.random.default_rng(0)
    groups = [list(group)[:phrases] for _, group in groupby(index, key=lambda sample: sample.media)]
    others = [index.expression(sample.expressions[0]).text for sample in groups[-1]]
    for group in tqdm(groups[:limit], desc=index.manifest.name, disable=None):
        media = index.media(group[0].media)
        frames = read_frames(media, range(0, media.length, stride))
        tracks = {row: _track(index, row, media.length, frames[0].shape[:2])[::stride] for row in media.objects}
        rows = [sample.objects[0] for sample in group]
        texts = [index.expression(sample.expressions[0]).text for sample in group]
        clip = _Clip(predictor, frames, texts, [others[i % len(others)] for i in range(len(texts))], rows, tracks, rng)
        others = texts
        found = [clip.answers(way) for way in ways]
        yield np.array(
            [
                [
                    np.mean([score_masks(a, b).mean for a, b in zip(answers[place], tracks[row], strict=True)])
                    for answers in found
                ]
                for place, row in enumerate(rows)
            ]
        )


@dataclass(frozen=True)
class _Clip:
    """A clip, its phrases, and the objects that they mean."""

    predictor: Predictor
    frames: Sequence[npt.NDArray[np.uint8]]
    texts: Sequence[str]
    wrong: Sequence[str]
    """As many phrases of another clip."""
    rows: Sequence[int]
    tracks: Mapping[int, Masks]
    rng: np.random.Generator

    def answers(self, way: str) -> list[Masks]:
        """Masks [frames, H, W] for every phrase."""
        if way == "text":
            return self._alone()
        if way == "mask":
            return self._by_masks()
        if way == "random":
            objects = list(self.tracks)
            return [self.tracks[objects[int(self.rng.integers(len(objects)))]] for _ in self.rows]
        if way == "largest":
            return [self.tracks[max(self.tracks, key=lambda row: int(self.tracks[row][0].sum()))]] * len(self.rows)
        texts = self.wrong if way == "shuffled" else self.texts
        return _follow(self.predictor, self.frames, texts, two_pass=way == "two-pass")

    def _alone(self) -> list[Masks]:
        """Every frame by the text alone, phrases independent of each other."""
        short, long = self.predictor.config.sides or (480, 1333)
        trackers = [
            self.predictor.track({1: text}, propagate=False, short_side=short, long_side=long) for text in self.texts
        ]
        encoded = (trackers[0].encode(frame) for frame in self.frames)
        found = [
            [tracker.step(frame, frame=features).masks[1] for tracker in trackers]
            for frame, features in zip(self.frames, encoded, strict=True)
        ]
        return [np.stack(masks) for masks in zip(*found, strict=True)]

    def _by_masks(self) -> list[Masks]:
        """All objects by their ground-truth masks of the frames that show them first."""
        given: dict[int, dict[int, Masks]] = {}
        meant = sorted(set(self.rows))  # several phrases may mean one object
        for number, row in enumerate(meant, 1):
            first = int(self.tracks[row].any((1, 2)).argmax())
            given.setdefault(first, {})[number] = self.tracks[row][first]
        followed = _follow(self.predictor, self.frames, masks=given)
        return [followed[meant.index(row)] for row in self.rows]


def _follow(
    predictor: Predictor,
    frames: Sequence[npt.NDArray[np.uint8]],
    texts: Sequence[str] | None = None,
    masks: Mapping[int, Mapping[int, Masks]] | None = None,
    two_pass: bool = False,
) -> list[Masks]:
    """Every object's masks, bool [frames, H, W], in the order of texts or of the ids 1, 2, ...

    Texts are followed independently of each other.
    """
    short, long = predictor.config.sides or (480, 1333)
    found = list(
        predictor.segment_video(frames, texts, masks=masks, short_side=short, long_side=long, two_pass=two_pass)
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
