"""BURST: HOTA against its definition, written out plainly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.conftest import Score
from uniref.core import rle
from uniref.evaluation import evaluate
from uniref.evaluation.dataset import open_dataset
from uniref.evaluation.metrics.hota import THRESHOLDS, hota_counts
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef

Masks = dict[int, np.ndarray]
"""By track id; only what is visible."""


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return int((first & second).sum()) / int((first | second).sum())


def filled(mask: np.ndarray) -> np.ndarray:
    """The box around a mask."""
    return np.outer(
        np.isin(np.arange(mask.shape[0]), range_of(mask.any(1))),
        np.isin(np.arange(mask.shape[1]), range_of(mask.any(0))),
    )


def range_of(line: np.ndarray) -> range:
    places = np.flatnonzero(line)
    return range(places[0], places[-1] + 1)


def plain(videos: list[tuple[list[Masks], list[Masks]]], boxes: bool = False) -> dict[str, float]:
    """HOTA, DetA and AssA of one class: videos of (truth, prediction) per frame."""
    if boxes:
        videos = [
            tuple([{n: filled(mask) for n, mask in frame.items()} for frame in part] for part in video)  # type: ignore[misc]
            for video in videos
        ]
    detections, associations, hotas = [], [], []
    for alpha in THRESHOLDS:
        tp, fn, fp, association = 0, 0, 0, 0.0
        for truth, shown in videos:
            agreement: dict[tuple[int, int], float] = {}
            for wanted, drawn in zip(truth, shown, strict=True):
                table = {(i, j): overlap(a, b) for i, a in wanted.items() for j, b in drawn.items()}
                for (i, j), value in table.items():
                    others = sum(v for (a, b), v in table.items() if a == i or b == j)
                    agreement[i, j] = agreement.get((i, j), 0.0) + (value / others if others else 0.0)
            length = {i: sum(i in frame for frame in truth) for i in {i for frame in truth for i in frame}}
            duration = {j: sum(j in frame for frame in shown) for j in {j for frame in shown for j in frame}}
            pairs: dict[tuple[int, int], int] = {}
            for wanted, drawn in zip(truth, shown, strict=True):
                objects, tracks = sorted(wanted), sorted(drawn)
                cost = np.zeros((len(objects), len(tracks)))
                for a, i in enumerate(objects):
                    for b, j in enumerate(tracks):
                        alike = agreement[i, j] / (length[i] + duration[j] - agreement[i, j])
                        cost[a, b] = -alike * overlap(wanted[i], drawn[j])
                hits = [
                    (objects[a], tracks[b])
                    for a, b in zip(*linear_sum_assignment(cost), strict=True)
                    if overlap(wanted[objects[a]], drawn[tracks[b]]) >= alpha - 1e-15
                ]
                for pair in hits:
                    pairs[pair] = pairs.get(pair, 0) + 1
                tp, fn, fp = tp + len(hits), fn + len(objects) - len(hits), fp + len(tracks) - len(hits)
            association += sum(n * n / (length[i] + duration[j] - n) for (i, j), n in pairs.items())
        detections.append(tp / max(1, tp + fn + fp))
        associations.append(association / max(1, tp))
        hotas.append(np.sqrt(detections[-1] * associations[-1]))
    return {k: float(np.mean(v)) for k, v in (("HOTA", hotas), ("DetA", detections), ("AssA", associations))}


def test_counts() -> None:
    """Any overlaps, with objects and tracks that come and go."""
    rng = np.random.default_rng(0)
    for objects, tracks in ((1, 1), (3, 3), (2, 4)):
        truth, shown = (
            [{n: rng.random((6, 6)) < 0.6 for n in range(count) if rng.random() < 0.7} for _ in range(8)]
            for count in (objects, tracks)
        )
        for wanted, drawn in zip(truth, shown, strict=True):
            for n in set(wanted) & set(drawn):
                drawn[n] = wanted[n] ^ (rng.random((6, 6)) < 0.2)
        table = np.zeros((8, objects, tracks))
        for t, (wanted, drawn) in enumerate(zip(truth, shown, strict=True)):
            for i, a in wanted.items():
                for j, b in drawn.items():
                    table[t, i, j] = overlap(a, b)
        present, predicted = (
            np.array([[n in frame for n in range(count)] for frame in frames])
            for count, frames in ((objects, truth), (tracks, shown))
        )
        found = hota_counts(table, present, predicted).values()
        assert found == pytest.approx(plain([(truth, shown)]), abs=1e-12)


def truth_of(sequence: dict[str, Any]) -> list[Masks]:
    return [
        {int(n): rle.decode(mask["rle"].encode(), build.H, build.W) for n, mask in frame.items()}
        for frame in sequence["segmentations"]
    ]


def write_predictions(data: dict[str, Any], root: Path) -> list[list[Masks]]:
    """Label maps for every frame, in which objects 1 and 2 change places; returns those of the annotated frames."""
    out = []
    for sequence in data["sequences"]:
        annotated = []
        for t, frame in enumerate(sequence["all_image_paths"]):
            first, second = (1, 2) if t < 6 else (2, 1)
            boxes = {first: (2, 3 + t // 3, 9, 11 + t // 3), second: (4, 12, 12, 18), 3: (15, 2, 20, 8)}
            boxes |= {4: (0, 24, 4, 31)}  # a distractor, which the evaluator leaves out
            path = root / f"{sequence['dataset']}/{sequence['seq_name']}/{frame}"
            labels = np.zeros((build.H, build.W), int)
            for number, (y, x, b, r) in boxes.items():
                labels[y:b, x:r] = number
            build.label_map(path.with_suffix(".png"), boxes)
            if t % 3 == 0:
                annotated.append({n: labels == n for n in boxes})
        out.append(annotated)
    return out


def test_burst(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    data = build.burst(tmp_path / "b")
    prepare("burst", tmp_path / "b", "val")
    shown = write_predictions(data, tmp_path / "p")
    found = score("burst/val", tmp_path / "p")["numbers"]
    classes: dict[int, list[tuple[list[Masks], list[Masks]]]] = {805: [], 3: [], 943: []}
    for place, sequence in enumerate(data["sequences"]):
        frames = list(zip(truth_of(sequence), shown[place], strict=True))
        frames = [pair for pair in frames if set(pair[0]) != {4}]  # a frame that shows nothing but a distractor
        for category, ids in ((805, (1, 2)), ((3, 943)[place], (3,))):  # TAO counts category 153 as 943
            pairs = [[{n: part[n] for n in ids if n in part} for part in pair] for pair in frames]
            classes[category].append(([pair[0] for pair in pairs], [pair[1] for pair in pairs]))
    for boxes, end in ((True, ""), (False, " masks")):  # the published evaluator compares boxes
        values = {category: plain(videos, boxes) for category, videos in classes.items()}
        for metric in ("HOTA", "DetA", "AssA"):
            assert found[f"{metric}{end}"] == pytest.approx(np.mean([v[metric] for v in values.values()]), abs=1e-12)
            assert found[f"{metric} common{end}"] == pytest.approx(values[805][metric], abs=1e-12)
            uncommon = np.mean([values[3][metric], values[943][metric]])
            assert found[f"{metric} uncommon{end}"] == pytest.approx(uncommon, abs=1e-12)
    assert found["HOTA"] != found["HOTA masks"]
    assert next(iter(found)) == "HOTA"
    assert 0 < found["AssA common"] < 1


def test_perfect_and_missing(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """A missing label map is an empty one."""
    data = build.burst(tmp_path / "b")
    prepare("burst", tmp_path / "b", "val")
    for sequence in data["sequences"]:
        for frame, masks in zip(sequence["annotated_image_paths"], sequence["segmentations"], strict=True):
            labels = np.zeros((build.H, build.W), np.uint8)
            for n, mask in masks.items():
                if n in "13":
                    labels[rle.decode(mask["rle"].encode(), build.H, build.W)] = int(n)
            build.grey(tmp_path / f"p/{sequence['dataset']}/{sequence['seq_name']}/{Path(frame).stem}.png", labels)
    found = score("burst/val", tmp_path / "p")["numbers"]
    assert found["HOTA uncommon"] == found["AssA uncommon"] == 1
    assert found["HOTA common"] < 1
    (tmp_path / "p/ArgoVerse/clip_a/frame0004.png").unlink()
    found = score("burst/val", tmp_path / "p", "--allow-missing")["numbers"]
    assert found["DetA uncommon"] == pytest.approx((3 / 4 + 1) / 2)


def test_a_model_and_few_frames(tmp_path: Path, prepare: Prepare, model: UniRef, tokenizer: TextTokenizer) -> None:
    """Where only annotated frames are there, these are the video."""
    build.burst(tmp_path / "b")
    prepare("burst", tmp_path / "b", "val")
    dataset = open_dataset(tmp_path / "data", "burst/val")
    assert [dataset.index.media(row).length for row in (0, 1)] == [13, 13]
    for path in (tmp_path / "b/frames").rglob("frame0002.jpg"):
        path.unlink()
    index = prepare("burst", tmp_path / "b", "val", "--overwrite")
    assert [index.media(row).length for row in (0, 1)] == [5, 5]
    found = evaluate(model, tokenizer, tmp_path / "data", ["burst/val"], sides=(48, 96))
    assert next(iter(found["burst/val"])) == "HOTA"
