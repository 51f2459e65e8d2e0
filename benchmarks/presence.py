"""Whether a model's scores tell phrases of objects in the image from phrases of absent ones, on scenes made for it.

    python -m benchmarks.presence --checkpoint small --set seen [--bank DATA/media/synthetic-named/bank-*.json]

For fresh scenes (a seed that no training used), one Markdown row per threshold: the share of phrases answered of which
the object is there, of those about another noun (`other noun`), and of those that say something shown in another colour
or pattern (`hard`). Above it, for each of the two, the probability that a present phrase has the higher score (AUC),
with its 95 % range (bootstrap over scenes). --bank reads the objects of `synthetic-named`; else scenes are drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from uniref.inference.predictor import Predictor
from uniref_scenes import DRAWN_BANK, ObjectBank, Scene, SceneOptions, make_scene
from uniref_scenes.named.bank import read_bank

KINDS = ("present", "other noun", "hard")
Scores = dict[str, list[float]]
"""Scores of the phrases of one scene, by kind."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="small")
    parser.add_argument("--set", default="seen", help="of scenes: seen, test, backgrounds, ...")
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--scenes", type=int, default=15)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint)
    bank = DRAWN_BANK if options.bank is None else read_bank(options.bank)
    found = list(scene_scores(predictor, bank, options.set, options.scenes, options.seed))
    for kind in KINDS[1:]:
        low, high = auc_range(found, kind)
        print(f"AUC, {kind}: {auc(found, kind):.3f} ({low:.3f}..{high:.3f})")
    print("| threshold | " + " | ".join(KINDS) + " |\n| --- | --- | --- | --- |")
    for threshold in np.arange(30, 75, 5) / 100:
        shares = [np.mean(np.array(gather(found, kind)) > threshold) for kind in KINDS]
        print(f"| {threshold:.2f} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")


def scene_scores(predictor: Predictor, bank: ObjectBank, set_name: str, count: int, seed: int) -> Sequence[Scores]:
    """Ask every phrase of `count` scenes, up to six of absent objects among them."""
    sides = predictor.config.sides or (800, 1333)
    found = []
    for number in tqdm(range(count), desc=set_name, disable=None):
        scene = make_scene(set_name, number, SceneOptions(seed=seed, nothing=6), bank)
        results = predictor.segment_image(
            scene.frames[0], [each.text for each in scene.expressions], short_side=sides[0], long_side=sides[1]
        )
        scores: Scores = {kind: [] for kind in KINDS}
        for place, result in enumerate(results):
            scores[kind_of(scene, place)].append(result.score)
        found.append(scores)
    return found


def kind_of(scene: Scene, place: int) -> str:
    """The kind of a scene's expression number `place`."""
    expression = scene.expressions[place]
    if expression.target is not None:
        return "present"
    noun = expression.query.name.noun
    return "hard" if any(obj.noun.fits(noun) == 1 for obj in scene.measured.objects) else "other noun"


def gather(found: Sequence[Scores], kind: str) -> list[float]:
    """Scores of all scenes."""
    return [score for scores in found for score in scores[kind]]


def auc(found: Sequence[Scores], kind: str) -> float:
    """Probability that a present phrase has a higher score than one of this kind, half of it where they are equal."""
    present, absent = np.array(gather(found, "present")), np.array(gather(found, kind))
    higher: npt.NDArray[np.bool_] = present[:, None] > absent
    return float(np.mean(higher + 0.5 * (present[:, None] == absent)))


def auc_range(found: Sequence[Scores], kind: str, draws: int = 1000) -> tuple[float, float]:
    """Its 95 % range, scenes drawn with replacement."""
    rng = np.random.default_rng(0)
    values = [auc([found[i] for i in rng.integers(len(found), size=len(found))], kind) for _ in range(draws)]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
