"""The published protocols for videos, on miniatures that the real commands prepare and score, against numbers worked
out here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.optimize import linear_sum_assignment

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation import oracle
from tests.evaluation.conftest import Score
from tests.evaluation.masks import Masks, write_masks
from uniref.evaluation.dataset import EvalItem, open_dataset
from uniref.evaluation.prediction_files import write_png
from uniref_cli import app


def empty(masks: Masks) -> Masks:
    return {number: np.zeros_like(mask) for number, mask in masks.items()}


def decay(values: list[float]) -> float:
    edges = [int(np.floor(x + 0.5)) - 1 for x in np.linspace(1, len(values), 5)]
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return sum(first) / len(first) - sum(last) / len(last)


def test_davis17(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """Means over all objects, not over sequences; the first and the last frame do not count."""
    build.davis(tmp_path / "d")
    index = prepare("davis17", tmp_path / "d", "val")
    dataset = open_dataset(tmp_path / "data", "davis17/val")

    def shifted(item: EvalItem, frame: int, masks: Masks) -> Masks:
        length = index.media(item.sample.media).length
        return masks if 0 < frame < length - 1 else empty(masks)

    assert score("davis17/val", write_masks(dataset, tmp_path / "inner", shifted))["numbers"]["J&F"] == 1

    def moved(item: EvalItem, frame: int, masks: Masks) -> Masks:
        return {number: np.roll(mask, frame * number, 0) for number, mask in masks.items()}

    found = score("davis17/val", write_masks(dataset, tmp_path / "moved", moved))["numbers"]
    tracks: list[list[tuple[float, float]]] = []
    for sample in index:
        for row in sample.objects:
            number, track = index.object(row).source_id, index.annotations(row)
            frames = range(1, index.media(sample.media).length - 1)
            tracks.append([oracle.scores(np.roll(track.mask(t), t * number, 0), track.mask(t)) for t in frames])
    assert len(tracks) == 3
    for place, name in enumerate("JF"):
        values = [[frame[place] for frame in track] for track in tracks]
        assert found[name] == pytest.approx(np.mean([np.mean(v) for v in values]), abs=1e-12)
        assert found[f"{name} recall"] == pytest.approx(np.mean([np.mean(np.array(v) > 0.5) for v in values]))
        assert found[f"{name} decay"] == pytest.approx(np.mean([decay(v) for v in values]))
    assert found["J&F"] == (found["J"] + found["F"]) / 2


def with_void(item: EvalItem, frame: int, masks: Masks) -> Masks:
    """The mask of object 1 also covers what build.davis marks as void in `bear`."""
    masks[1] = masks[1] | build.box_mask(20, 0, 24, 32)
    return masks


def test_void_counts_in_the_semi_supervised_protocol(
    tmp_path: Path,
    prepare: Prepare,
    score: Score,
) -> None:
    base = build.davis(tmp_path / "d")
    prepare("davis17", tmp_path / "d", "val")
    masks = write_masks(open_dataset(tmp_path / "data", "davis17/val"), tmp_path / "p", with_void)
    inside = score("davis17/val", masks)
    outside = score("davis17/val", masks, "--truth", str(base / "Annotations/480p"))
    assert inside["numbers"]["J"] < 0.9
    assert outside["numbers"] == inside["numbers"]


def test_ref_davis17(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """Predictions go to the objects that they fit best, void pixels do not count, four annotators are averaged."""
    build.davis(tmp_path / "d", "Annotations_unsupervised")
    build.davis_texts(tmp_path / "d")
    index = prepare("ref-davis17", tmp_path / "d", "val")

    def swapped(item: EvalItem, frame: int, masks: Masks) -> Masks:
        if item.name == "valid_3/goat":
            return empty(masks)
        if item.name.endswith("bear"):
            masks = with_void(item, frame, {1: masks[2], 2: masks[1]})
        return masks

    dataset = open_dataset(tmp_path / "data", "ref-davis17/val")
    found = score("ref-davis17/val", write_masks(dataset, tmp_path / "p", swapped))["numbers"]
    assert [found[f"J&F annotator {n}"] for n in range(4)] == pytest.approx([1, 1, 1, 2 / 3])
    assert found["J&F"] == pytest.approx((3 + 2 / 3) / 4)
    pairs = []  # direct matching: bear's objects against each other, and goat
    first, second = (index.annotations(row) for row in index.sample(0).objects)
    for a, b in ((first, second), (second, first)):
        scores = [oracle.scores(a.mask(t), b.mask(t)) for t in range(4)]
        pairs.append(np.mean(scores))
    assert found["J&F direct"] == pytest.approx((3 * np.mean([*pairs, 1]) + np.mean([*pairs, 0])) / 4)
    # the released system's folder names are found too
    (tmp_path / "other").mkdir()
    for n in range(4):
        (tmp_path / "p" / f"valid_{n}").rename(tmp_path / "other" / f"refdavis-val-{n}")
    assert score("ref-davis17/val", tmp_path / "other")["numbers"] == found


def unsupervised(truth: list[np.ndarray], predicted: list[np.ndarray], ids: Sequence[int]) -> list[float]:
    """J&F of each object in DAVIS's unsupervised protocol: label maps in, all ids of a prediction up to its largest one
    are proposals, padded with empty ones."""
    proposals = max(len(ids), *(int(labels.max()) for labels in predicted))
    scores = np.zeros((len(ids), proposals))
    for n, p in np.ndindex(*scores.shape):
        frames = [oracle.scores(b == p + 1, a == ids[n]) for a, b in zip(truth, predicted, strict=True)]
        scores[n, p] = np.mean(frames)
    rows, columns = linear_sum_assignment(-scores)
    return [float(scores[pair]) for pair in zip(rows, columns, strict=True)]


def test_ref_davis17_takes_ids_as_the_official_evaluator(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """Any ids up to 20, with gaps. Objects whose ids have gaps, or that come later, give the official number too."""
    base = build.davis(tmp_path / "d", "Annotations_unsupervised") / "Annotations_unsupervised/480p"
    build.davis_texts(tmp_path / "d")
    truth: dict[str, list[np.ndarray]] = {"bear": [], "goat": []}
    for name, length, boxes in (("bear", 4, {1: 0, 2: 8, 4: 16}), ("goat", 3, {1: 0})):
        for t in range(length):
            late = {2: (12, 12, 20, 20)} if name == "goat" and t else {}
            path = base / f"{name}/{t:05d}.png"
            build.label_map(path, {n: (2 + t, x, 9 + t, x + 7) for n, x in boxes.items()} | late)
            truth[name].append(np.asarray(Image.open(path)))
    prepare("ref-davis17", tmp_path / "d", "val")
    predicted: dict[str, list[np.ndarray]] = {"bear": [], "goat": []}
    for name, shown in (("bear", {7: 1, 3: 9, 20: 15}), ("goat", {5: 1, 2: 13})):
        for t in range(len(truth[name])):
            for group in range(4):
                path = tmp_path / f"p/valid_{group}/{name}/{t:05d}.png"
                build.label_map(path, {n: (2, x, 9, x + 7) for n, x in shown.items()})
            predicted[name].append(np.asarray(Image.open(path)))
    found = score("ref-davis17/val", tmp_path / "p")["numbers"]
    # every object; and what the official evaluator takes for objects, all ids up to the first frame's largest
    every, official = {"bear": [1, 2, 4], "goat": [1, 2]}, {"bear": [1, 2, 3, 4], "goat": [1]}
    for metric, ids in (("J&F", every), ("J&F official", official)):
        expected = [value for name in ids for value in unsupervised(truth[name], predicted[name], ids[name])]
        assert found[metric] == pytest.approx(np.mean(expected), abs=1e-12)
    assert found["J&F"] != pytest.approx(found["J&F official"], abs=1e-3)


def test_ref_davis17_takes_no_more_than_20_proposals(
    tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    build.davis(tmp_path / "d", "Annotations_unsupervised")
    build.davis_texts(tmp_path / "d")
    prepare("ref-davis17", tmp_path / "d", "val")
    masks = write_masks(open_dataset(tmp_path / "data", "ref-davis17/val"), tmp_path / "p")
    build.label_map(masks / "valid_0/goat/00001.png", {21: (1, 1, 5, 5)})
    command = ["eval", "--predictions", str(masks), "--data", "ref-davis17/val", "--root", str(tmp_path / "data")]
    assert app.run([*command, "--out", str(tmp_path / "out")]) == 1
    assert "shows object 21; the evaluator of DAVIS takes at most 20 per video" in capsys.readouterr().err


def youtube_truth(root: Path) -> Path:
    """Label maps of all frames; object 7 comes in the second one."""
    for t in (0, 5, 10):
        boxes = {3: (1, 1 + t, 6, 6 + t)} | ({7: (8, 8, 15, 15)} if t else {})
        build.label_map(root / f"Annotations/00f88c4f0a/{t:05d}.png", boxes)
    return root


def test_youtube_vos(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """An object counts from the frame after it first appears; G is the mean of J and F of seen and unseen ones."""
    build.youtube_vos(tmp_path / "y")
    prepare("youtube-vos-2019", tmp_path / "y", "val")
    truth = youtube_truth(tmp_path / "truth")
    predicted = shutil.copytree(truth, tmp_path / "p") / "Annotations/00f88c4f0a"
    build.label_map(predicted / "00000.png", {})  # where 3 appears
    build.label_map(predicted / "00005.png", {3: (1, 6, 6, 11)})  # where 7 appears
    build.label_map(predicted / "00010.png", {3: (2, 11, 7, 16), 7: (8, 8, 15, 12)})
    data = "youtube-vos-2019/val"
    unknown = score(data, tmp_path / "p", "--truth", str(truth))
    assert "G" not in unknown["numbers"]
    assert any("prepare the train split too" in note for note in unknown["notes"])

    prepare("youtube-vos-2019", tmp_path / "y", "train")  # dogs and a cat; 3 is a dog, 7 an owl
    found = score(data, tmp_path / "p", "--truth", str(truth))["numbers"]
    dog = oracle.scores(build.box_mask(2, 11, 7, 16), build.box_mask(1, 11, 6, 16))
    owl = oracle.scores(build.box_mask(8, 8, 15, 12), build.box_mask(8, 8, 15, 15))
    expected = [(1 + dog[0]) / 2, (1 + dog[1]) / 2, *owl]
    assert [found[name] for name in ("J seen", "F seen", "J unseen", "F unseen")] == pytest.approx(expected)
    assert found["G"] == pytest.approx(np.mean(expected))
    assert next(iter(found)) == "G"
    # the same without the upper folder
    assert score(data, tmp_path / "p/Annotations", "--truth", str(truth))["numbers"] == found


def test_lvos(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """J, F and V of seen and of unseen videos, and their means; nothing counts beyond an object's range."""
    build.lvos(tmp_path / "l")
    base = tmp_path / "l/valid"
    for kind in ("JPEGImages", "Annotations"):
        shutil.copytree(base / kind / "R3UJGYwy", base / kind / "aB3dE5fG")
    meta = json.loads((base / "valid_meta.json").read_text())
    meta["videos"]["aB3dE5fG"] = meta["videos"]["R3UJGYwy"]
    (base / "valid_meta.json").write_text(json.dumps(meta))
    prepare("lvos", tmp_path / "l", "val")

    def lost(item: EvalItem, frame: int, masks: Masks) -> Masks:
        gone = 2 if item.name.endswith("R3UJGYwy") else 3  # 3 is beyond the range
        return empty(masks) if frame == gone else masks

    dataset = open_dataset(tmp_path / "data", "lvos/val")
    found = score("lvos/val", write_masks(dataset, tmp_path / "p", lost))["numbers"]
    assert (found["J&F unseen"], found["V unseen"]) == (0.5, 0.5)
    assert (found["J&F seen"], found["V seen"]) == (1, 0)
    assert (found["J&F"], found["J"], found["F"], found["V"]) == (0.75, 0.75, 0.75, 0.25)

    shutil.rmtree(tmp_path / "p/Annotations/aB3dE5fG")
    part = score("lvos/val", tmp_path / "p", "--allow-missing")
    assert part["numbers"]["J&F"] == part["numbers"]["J&F unseen"] == 0.5
    assert any("only unseen videos" in note for note in part["notes"])


def test_lvos_as_its_evaluator_of_2024_reads_it(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """Without the first and the last frame of a range, and with another list of unseen videos."""
    names = [f"{5 * t + 1:08d}" for t in range(7)]
    videos = {}
    for video in ("R3UJGYwy", "UtEnRpiP", "aB3dE5fG"):  # unseen; unseen in 2023 alone; seen
        for t, name in enumerate(names):
            build.picture(tmp_path / f"l/valid/JPEGImages/{video}/{name}.jpg")
            build.label_map(tmp_path / f"l/valid/Annotations/{video}/{name}.png", {1: (2, 2 + t, 12, 12 + t)})
        limits = {"start": names[1], "end": names[6], "frame_nums": "5"}
        videos[video] = {"objects": {"1": {"frame_range": limits}}}
    build.write_json(tmp_path / "l/valid/valid_meta.json", {"videos": videos})
    prepare("lvos", tmp_path / "l", "val")

    def moved(item: EvalItem, frame: int, masks: Masks) -> Masks:
        steps = {"R3UJGYwy": 3, "UtEnRpiP": 5, "aB3dE5fG": 1}[item.name[-8:]]
        return {n: np.roll(mask, steps if frame % 2 else steps + 2, 0) for n, mask in masks.items()}

    dataset = open_dataset(tmp_path / "data", "lvos/val")
    found = score("lvos/val", write_masks(dataset, tmp_path / "p", moved))
    # the plain way, frame by frame
    inner: dict[str, list[tuple[float, float]]] = {}
    for item in dataset.all_items():
        track = dataset.index.annotations(item.sample.objects[0])
        pairs = [(moved(item, t, {1: track.mask(t)})[1], track.mask(t)) for t in range(2, 5)]
        inner[item.name[-8:]] = [oracle.scores(*pair) for pair in pairs]
    parts = {"unseen": [inner["R3UJGYwy"]], "seen": [inner["UtEnRpiP"], inner["aB3dE5fG"]]}
    for place, metric in enumerate("JF"):
        means = {name: np.mean([np.mean(track, 0)[place] for track in part]) for name, part in parts.items()}
        for name, value in means.items():
            assert found["numbers"][f"{metric} {name} 2024"] == pytest.approx(value, abs=1e-12)
        assert found["numbers"][f"{metric} 2024"] == pytest.approx(np.mean(list(means.values())), abs=1e-12)
    both = [np.mean(track, 1) for part in parts.values() for track in part]
    v = [np.sqrt(round(np.mean((values - values.mean()) ** 2), 4)) for values in both]
    assert found["numbers"]["V 2024"] == pytest.approx((v[0] + np.mean(v[1:])) / 2, abs=1e-12)
    assert next(iter(found["numbers"])) == "J&F"
    assert found["numbers"]["J&F"] != found["numbers"]["J&F 2024"]
    assert any("the authors' evaluator of 2024" in note for note in found["notes"])


def test_lvos_v2(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """By the evaluator of 2024 alone: without the ends of a range, with its list of unseen videos."""
    build.lvos(tmp_path / "l")
    base = (tmp_path / "l/valid").rename(tmp_path / "l/val")
    names = [f"{5 * t + 1:08d}" for t in range(6)]
    videos = {}
    for video in ("p9RjdKoh", "UtEnRpiP"):  # unseen; unseen for the evaluator of v1 alone
        for t, name in enumerate(names):
            build.picture(base / f"JPEGImages/{video}/{name}.jpg")
            build.label_map(base / f"Annotations/{video}/{name}.png", {1: (2, 2 + t, 12, 12 + t)})
        limits = {"start": names[1], "end": names[5], "frame_nums": "4"}
        videos[video] = {"objects": {"1": {"frame_range": limits}}}
    (base / "valid_meta.json").unlink()
    build.write_json(base / "val_meta.json", {"videos": videos})
    prepare("lvos-v2", tmp_path / "l", "val")

    def lost(item: EvalItem, frame: int, masks: Masks) -> Masks:
        ends = frame in (0, 1, 4, 5)  # none of these counts
        return empty(masks) if ends or (frame == 2 and item.name.endswith("p9RjdKoh")) else masks

    dataset = open_dataset(tmp_path / "data", "lvos-v2/val")
    found = score("lvos-v2/val", write_masks(dataset, tmp_path / "p", lost))["numbers"]
    assert (found["J&F"], found["J&F seen"], found["J&F unseen"]) == (0.75, 1, 0.5)
    assert (found["V"], found["V unseen"]) == (0.25, 0.5)
    assert not any("2024" in name for name in found)


def test_objects_without_a_frame_that_counts_are_named(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    base = build.davis(tmp_path / "d")
    for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png")):
        (base / kind / f"480p/goat/00002.{suffix}").unlink()
    prepare("davis17", tmp_path / "d", "val")
    found = score("davis17/val", write_masks(open_dataset(tmp_path / "data", "davis17/val"), tmp_path / "p"))
    assert found["scored"] == 2
    assert found["uncounted"] == {"count": 1, "names": ["goat, 1"]}
    assert "1 objects are in no number, because no frame of them counts: goat, 1" in found["notes"]


def test_given_masks_are_no_ground_truth(
    tmp_path: Path, prepare: Prepare, score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    """LVOS test has a label map wherever an object first appears, which shows the earlier objects too."""
    build.lvos(tmp_path / "l")
    base = (tmp_path / "l/valid").rename(tmp_path / "l/test")
    (base / "valid_meta.json").rename(base / "test_meta.json")
    (base / "Annotations/R3UJGYwy/00000016.png").unlink()
    prepare("lvos", tmp_path / "l", "test")
    dataset = open_dataset(tmp_path / "data", "lvos/test")
    assert not dataset.has_ground_truth
    masks = write_masks(dataset, tmp_path / "p")
    command = ["eval", "--predictions", str(masks), "--data", "lvos/test", "--root", str(tmp_path / "data")]
    assert app.run([*command, "--out", str(tmp_path / "out")]) == 2
    assert "lvos/test: its ground truth is not public; give yours with --truth" in capsys.readouterr().err
    # masks of all frames are the truth only where they are named as such
    build.label_map(masks / "Annotations/R3UJGYwy/00000001.png", {})
    found = score("lvos/test", masks, "--truth", str(masks))
    assert found["numbers"]["J&F"] == 1


def test_mose_leaves_out_the_ends(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    build.mose(tmp_path / "m")
    prepare("mose", tmp_path / "m", "val")
    for t in range(3):
        build.label_map(tmp_path / f"truth/00ff00ff/{t:05d}.png", {1: (t, 0, 6, 6), 2: (9, 9, 15, 15 + t)})
        build.label_map(tmp_path / f"p/00ff00ff/{t:05d}.png", {2: (9, 9, 15, 15 + t)} if t == 1 else {})
    found = score("mose/val", tmp_path / "p", "--truth", str(tmp_path / "truth"))["numbers"]
    assert (found["J&F"], found["J"], found["F"]) == (0.5, 0.5, 0.5)


def test_ref_youtube_vos_with_the_users_masks(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """Means over expressions, over all frames."""
    build.youtube_vos(tmp_path / "y")
    build.youtube_texts(tmp_path / "y")
    prepare("ref-youtube-vos", tmp_path / "y", "val")
    mask, half = build.box_mask(2, 2, 12, 12), build.box_mask(2, 2, 12, 7)
    for t in (0, 5, 10):
        for expression, predicted in (("0", mask), ("1", half if t else ~half & mask)):
            for root, shown in (("truth", mask), ("p", predicted)):
                path = tmp_path / root / f"Annotations/00f88c4f0a/{expression}/{t:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_png(path, shown)
    found = score("ref-youtube-vos/val", tmp_path / "p", "--truth", str(tmp_path / "truth"))["numbers"]
    other = [oracle.scores(half, mask)] * 2 + [oracle.scores(~half & mask, mask)]
    j, f = np.mean(other, axis=0)
    assert (found["J"], found["F"]) == (pytest.approx((1 + j) / 2), pytest.approx((1 + f) / 2))


def test_ref_youtube_vos_with_label_maps_by_object_id(
    tmp_path: Path, prepare: Prepare, score: Score, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in YouTube-VOS; which object an expression means is in the expressions with `obj_id`."""
    build.youtube_vos(tmp_path / "y")
    build.youtube_texts(tmp_path / "y")
    prepare("ref-youtube-vos", tmp_path / "y", "val")
    truth = youtube_truth(tmp_path / "truth/valid")
    mask = build.box_mask(8, 8, 15, 15)
    for t in (0, 5, 10):
        for expression, predicted in (("0", mask if t else ~mask & False), ("1", mask)):
            path = tmp_path / f"p/Annotations/00f88c4f0a/{expression}/{t:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, predicted)
    command = ["eval", "--predictions", str(tmp_path / "p"), "--data", "ref-youtube-vos/val", "--truth", str(truth)]
    assert app.run([*command, "--root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]) == 1
    assert "nothing says which object expression 0 means" in capsys.readouterr().err
    expressions = {"0": {"exp": "an owl", "obj_id": "7"}, "1": {"exp": "a dog", "obj_id": "3"}}
    meta = {"videos": {"00f88c4f0a": {"expressions": expressions, "frames": ["00000", "00005", "00010"]}}}
    build.write_json(tmp_path / "truth/meta_expressions/valid/meta_expressions.json", meta)
    found = score("ref-youtube-vos/val", tmp_path / "p", "--truth", str(truth))["numbers"]
    dogs = [oracle.scores(mask, build.box_mask(1, 1 + t, 6, 6 + t)) for t in (0, 5, 10)]
    assert (found["J"], found["F"]) == pytest.approx([(1 + mean) / 2 for mean in np.mean(dogs, axis=0)], abs=1e-12)


def test_mevis(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """The union of an expression's objects is meant; frames without any want an empty mask."""
    build.mevis(tmp_path / "m")
    prepare("mevis", tmp_path / "m", "valid_u")
    dataset = open_dataset(tmp_path / "data", "mevis/valid_u")
    assert score("mevis/valid_u", write_masks(dataset, tmp_path / "p"))["numbers"]["J&F"] == 1

    def always(item: EvalItem, frame: int, masks: Masks) -> Masks:  # the left bird is gone in the second frame
        return {1: build.box_mask(1, 1, 9, 9)} if item.name.endswith("/1") else masks

    found = score("mevis/valid_u", write_masks(dataset, tmp_path / "q", always))["numbers"]
    assert (found["J&F"], found["no-object accuracy"], found["presence accuracy"]) == (0.75, 0, 0.75)


def test_mevis_counts_what_is_missing_as_zero(tmp_path: Path, prepare: Prepare, score: Score) -> None:
    """Its evaluator gives J and F 0 to the expressions of a video that is not there."""
    build.mevis(tmp_path / "m")
    prepare("mevis", tmp_path / "m", "valid_u")
    masks = write_masks(open_dataset(tmp_path / "data", "mevis/valid_u"), tmp_path / "p")
    shutil.rmtree(masks / "0a1b2c3d4e5f/1")
    found = score("mevis/valid_u", masks, "--allow-missing")
    numbers = found["numbers"]
    assert list(numbers)[:3] == ["J&F", "J", "F"]
    assert (numbers["J&F"], numbers["J&F without missing"]) == (0.5, 1)
    assert found["missing"]["count"] == 2
    assert any("2 missing masks count as 0, as in the published evaluator" in note for note in found["notes"])
    (masks / "0a1b2c3d4e5f/0/00001.png").unlink()
    numbers = score("mevis/valid_u", masks, "--allow-missing")["numbers"]
    assert (numbers["J&F"], numbers["J&F without missing"]) == (0.25, 1)
