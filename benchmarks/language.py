"""Whether a model's masks depend on the text: on synthetic images, beside baselines that ignore it.

    python -m benchmarks.language --root DATA --data synthetic/seen-ris,synthetic/novel-ris [--checkpoint small]

One Markdown row per split: mean IoU of the model with its 95 % range (bootstrap over images), share of IoU above 0.5,
and the mean IoU of: the model with the phrases of other images (`shuffled`), the ground-truth mask of a random object,
of the largest one, and of an object drawn from those with the right noun. `swap`: of two phrases for different objects
of one image, how often both masks cover their own object more than the other's. With --kinds, also one row per kind
of expression. With --sheet FILE, twelve answers of each split, chosen by chance, as one PNG.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from uniref.data.frames import read_frame
from uniref.data.index import Index
from uniref.inference.predictor import Predictor
from uniref.media.draw import draw_overlay, write_contact_sheet

Masks = npt.NDArray[np.bool_]
Picture = npt.NDArray[np.uint8]

_TILES = 12  # of a split


@dataclass(frozen=True)
class Phrase:
    """An expression, what it means, and how every answer to it did (IoU)."""

    image: int
    kind: str
    model: float
    shuffled: float
    random: float
    largest: float
    noun: float
    ious: npt.NDArray[np.float64]
    """Of the model's mask with every object of the image."""
    target: int
    tile: tuple[Picture, str]
    """What was found, and the phrase with its IoU."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--data", required=True, help="dataset/split of referring images, separated by commas")
    parser.add_argument("--checkpoint", default="small")
    parser.add_argument("--limit", type=int, help="only the first images of each")
    parser.add_argument("--kinds", action="store_true", help="also one row per kind of expression")
    parser.add_argument("--sheet", type=Path, help="PNG to draw some answers into")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint)
    names = ("mIoU", "95 %", "P@0.5", "swap", "shuffled", "random", "largest", "right noun", "phrases")
    print("| split | " + " | ".join(names) + " |")
    print("| --- " * (len(names) + 1) + "|")
    tiles: list[tuple[Picture, str]] = []
    for split in options.data.split(","):
        found = list(answers(predictor, Index.open(options.root / "index" / split), options.limit))
        chosen = np.random.default_rng(1).permutation(len(found))[: _TILES if options.sheet else 0]
        tiles += [found[place].tile for place in sorted(chosen)]
        print(_row(split, found), flush=True)
        if options.kinds:
            for kind in sorted({phrase.kind for phrase in found}):
                print(_row(f"{split}: {kind}", [phrase for phrase in found if phrase.kind == kind]))
    if options.sheet:
        write_contact_sheet(options.sheet, tiles, columns=6, side=160)


def answers(predictor: Predictor, index: Index, limit: int | None) -> Iterable[Phrase]:
    """Every expression of the first `limit` images."""
    sides = predictor.config.sides or (800, 1333)
    rng = np.random.default_rng(0)
    referring = (sample for sample in index if not sample.no_target)
    images = [list(group) for _, group in groupby(referring, key=lambda sample: sample.media)][:limit]
    texts = [[index.expression(row) for sample in group for row in sample.expressions] for group in images]
    others = [text.text for text in texts[-1]]  # every image is also asked by the phrases of the one before
    for group, own in zip(tqdm(images, desc=index.manifest.name, disable=None), texts, strict=True):
        media = index.media(group[0].media)
        image = read_frame(media, 0)
        rows = list(media.objects)
        truth = np.stack([_mask(index, row, image.shape[:2]) for row in rows])
        nouns = [index.object(row).category for row in rows]
        targets = [rows.index(sample.objects[0]) for sample in group for _ in sample.expressions]
        wrong = [others[i % len(others)] for i in range(len(own))]
        results = predictor.segment_image(
            image, [text.text for text in own] + wrong, short_side=sides[0], long_side=sides[1]
        )
        for place, (text, target) in enumerate(zip(own, targets, strict=True)):
            same = [i for i, noun in enumerate(nouns) if noun == nouns[target]]
            iou = _ious(truth, results[place].mask)
            yield Phrase(
                image=media.row,
                kind=text.source_id.partition(":")[2],
                model=float(iou[target]),
                shuffled=float(_ious(truth, results[len(own) + place].mask)[target]),
                random=float(_ious(truth, truth[rng.integers(len(rows))])[target]),
                largest=float(_ious(truth, truth[truth.sum((1, 2)).argmax()])[target]),
                noun=float(_ious(truth, truth[same[rng.integers(len(same))]])[target]),
                ious=iou,
                target=target,
                tile=(draw_overlay(image, {1: results[place].mask}), f"{text.text} ({iou[target]:.2f})"),
            )
        others = [text.text for text in own]


def _mask(index: Index, row: int, size: tuple[int, int]) -> Masks:
    mask = index.annotations(row).mask(0)
    return np.zeros(size, bool) if mask is None else mask.astype(bool)


def _ious(truth: Masks, mask: Masks) -> npt.NDArray[np.float64]:
    """Of a mask [H, W] with every object's [N, H, W]."""
    union = (truth | mask).sum((1, 2))
    return (truth & mask).sum((1, 2)) / np.maximum(union, 1)


def _row(name: str, phrases: Sequence[Phrase]) -> str:
    def mean(field: str) -> str:
        return f"{np.mean([getattr(phrase, field) for phrase in phrases]):.3f}"

    low, high = _range(phrases)
    above = np.mean([phrase.model > 0.5 for phrase in phrases])
    swaps = _swaps(phrases)
    cells = [mean("model"), f"{low:.3f} to {high:.3f}", f"{above:.3f}"]
    cells += [f"{np.mean(swaps):.3f}" if swaps else "", mean("shuffled"), mean("random"), mean("largest")]
    return f"| {name} | " + " | ".join([*cells, mean("noun"), str(len(phrases))]) + " |"


def _swaps(phrases: Sequence[Phrase]) -> list[bool]:
    """For all pairs of phrases of one image that mean different objects: whether the mask moved to the other one."""
    groups = defaultdict(list)
    for phrase in phrases:
        groups[phrase.image].append(phrase)
    return [
        bool(a.ious[a.target] > a.ious[b.target] and b.ious[b.target] > b.ious[a.target])
        for group in groups.values()
        for place, a in enumerate(group)
        for b in group[place + 1 :]
        if a.target != b.target
    ]


def _range(phrases: Sequence[Phrase]) -> tuple[float, float]:
    """Of the mean IoU, images drawn with replacement."""
    sums: dict[int, list[float]] = defaultdict(list)
    for phrase in phrases:
        sums[phrase.image].append(phrase.model)
    return bootstrap([(sum(values), len(values)) for values in sums.values()])


def bootstrap(groups: Sequence[tuple[float, int]], draws: int = 2000) -> tuple[float, float]:
    """95 % range of a mean over all values, whole groups (their sum and number of values) drawn with replacement."""
    totals = np.array(groups)
    rng = np.random.default_rng(0)
    chosen = totals[rng.integers(len(totals), size=(draws, len(totals)))].sum(1)
    low, high = np.quantile(chosen[:, 0] / chosen[:, 1], [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
