"""How well all objects of a noun are found, and single objects by a box or a point, on drawn scenes made for it.

    python -m benchmarks.objects --checkpoint small

Every noun of a scene ("the cup") has to find all objects that anyone would call so. Prints precision, recall and F by
the lowest score of an instance, an object being found at an IoU of 0.5, and the same F for the nouns of several
objects. Below, the mean IoU of every object by its box and by the pixel of it that is nearest to its centre.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from uniref.inference.image_objects import INSTANCE_SHARE
from uniref.inference.predictor import Predictor
from uniref.inference.results import ImageResult
from uniref_scenes import Scene, SceneOptions, make_scene

FOUND = 0.5
"""IoU of a mask and the object it stands for."""
SHARES = (INSTANCE_SHARE, 0.6)
"""Lowest scores as shares of the best one."""
SCORES = (0.3, 0.5)
"""Lowest scores by themselves."""

BoolMask = npt.NDArray[np.bool_]


class Counts(NamedTuple):
    """Answers of one phrase."""

    right: int
    wrong: int
    missed: int


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="small")
    parser.add_argument("--set", default="seen", help="of scenes: seen, test or novel")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=12)
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint)
    short_side, long_side = predictor.config.sides or (800, 1333)
    rules = {f"{share} of the best": (share, 0.0) for share in SHARES} | {str(score): (0.0, score) for score in SCORES}
    counts: dict[str, list[Counts]] = {name: [] for name in rules}
    several: list[bool] = []
    by_box, by_point = [], []
    for number in tqdm(range(options.scenes), disable=None):
        scene = make_scene(options.set, number, SceneOptions(seed=options.seed))
        image = np.asarray(scene.frames[0])
        # every noun, all of its objects; a threshold of 0 returns all candidates
        for noun, masks in objects_by_noun(scene).items():
            found = predictor.segment_image(
                image, f"the {noun}", None, short_side, long_side, score_threshold=0.0, all_instances=True
            )
            several.append(len(masks) > 1)
            for name, (share, score) in rules.items():
                lowest = max(score, share * max((each.score for each in found), default=0.0))
                counts[name].append(compare([each for each in found if each.score > lowest], masks))
        # every object by itself
        for position in visible(scene):
            mask = scene.labels[0] == 1 + position
            shown = predictor.segment_objects(
                image, None, None, short_side, long_side, boxes={1: tight_box(mask)}, points={2: [middle(mask)]}
            )
            by_box.append(iou(shown.masks[1], mask))
            by_point.append(iou(shown.masks[2], mask))
    total = sum(each.right + each.missed for each in counts[next(iter(rules))])
    print(f"{len(several)} phrases of {total} objects, {sum(several)} of them of several objects")
    print("| lowest score | precision | recall | F | of several objects |\n| --- | --- | --- | --- | --- |")
    for name, each in counts.items():
        those = [count for count, many in zip(each, several, strict=True) if many]
        rows = [f"{value:.2f}" for value in scores(each)]
        print(f"| {name} | " + " | ".join(rows) + " | " + ", ".join(f"{value:.2f}" for value in scores(those)) + " |")
    for name, values in (("box", by_box), ("point", by_point)):
        print(f"{name}: mIoU {np.mean(values):.2f}, over {FOUND} for {np.mean(np.array(values) > FOUND):.2f}")


def visible(scene: Scene) -> list[int]:
    """Positions of the objects of which enough is seen in the image."""
    return [position for position, obj in enumerate(scene.measured.objects) if obj.visible[0]]


def objects_by_noun(scene: Scene) -> dict[str, list[BoolMask]]:
    """The masks of each noun's objects."""
    masks: dict[str, list[BoolMask]] = {}
    for position in visible(scene):
        masks.setdefault(scene.measured.objects[position].noun.name, []).append(scene.labels[0] == 1 + position)
    return masks


def compare(found: Sequence[ImageResult], masks: Sequence[BoolMask]) -> Counts:
    """Each answer, best first, takes the object that it fits best, if no other has it."""
    free = dict(enumerate(masks))
    wrong = 0
    for each in found:
        fits = {number: iou(each.mask, mask) for number, mask in free.items()}
        best = max(fits, key=fits.__getitem__, default=None)
        if best is not None and fits[best] > FOUND:
            del free[best]
        else:
            wrong += 1
    return Counts(len(masks) - len(free), wrong, len(free))


def scores(counts: Sequence[Counts]) -> tuple[float, float, float]:
    """Precision, recall and F over all phrases."""
    right, wrong, missed = (sum(values) for values in zip(*counts, strict=True))
    precision, recall = right / max(right + wrong, 1), right / max(right + missed, 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def iou(one: BoolMask, other: BoolMask) -> float:
    """Intersection over union; 0 for two empty masks."""
    return float((one & other).sum() / max((one | other).sum(), 1))


def tight_box(mask: BoolMask) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 around the mask, pixels."""
    ys, xs = np.nonzero(mask)
    return float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)


def middle(mask: BoolMask) -> tuple[float, float]:
    """x, y of the mask's pixel nearest to its centroid."""
    ys, xs = np.nonzero(mask)
    nearest = ((xs - xs.mean()) ** 2 + (ys - ys.mean()) ** 2).argmin()
    return float(xs[nearest]), float(ys[nearest])


if __name__ == "__main__":
    main()
