"""The released system's own preprocessed files, in the folders that its documentation gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.data.prepare.test_counts import released_refcoco
from uniref.core.tasks import Task
from uniref.data.index import GIVEN, TRUTH

OBJECT = [{"supercategory": "object", "id": 1, "name": "object"}]


def video(number: int, names: list[str], **more: Any) -> dict[str, Any]:
    size = {"height": build.H, "width": build.W, "length": len(names)}
    return {"id": number, "file_names": names, **size, **more}


def track(number: int, clip: int, masks: list[Any], **more: Any) -> dict[str, Any]:
    boxes = [None if mask is None else [3, 2, 8, 7] for mask in masks]  # a pixel short, as published
    areas = [None if mask is None else 56 for mask in masks]
    row = {"id": number, "video_id": clip, "category_id": 1, "iscrowd": 0, "segmentations": masks}
    return row | {"bboxes": boxes, "areas": areas} | more


MASK = build.run_lengths(build.box_mask(2, 3, 10, 12))


def test_davis17(tmp_path: Path, prepare: Prepare) -> None:
    """`davis17/annotations/davis2017_val.json` beside frames whose label maps are gone."""
    root = tmp_path / "datasets/davis17"
    build.davis(root)
    names = [f"goat/{t:05d}.jpg" for t in range(3)]
    things = [track(1, 1, [MASK, None, None], ori_id="1")]
    path = build.write_json(
        root / "annotations/davis2017_val.json",
        {"videos": [video(1, names)], "annotations": things, "categories": OBJECT},
    )
    assert len(prepare("davis17", root, "val")) == 2  # the label maps, which say more
    named = prepare("davis17", root, "val", "--source", str(path), "--overwrite")
    assert (len(named), named.annotations(0).roles.tolist()) == (1, [TRUTH | GIVEN])
    (root / "DAVIS/ImageSets/2017/val.txt").unlink()
    for source in (root, tmp_path / "datasets"):
        index = prepare("davis17", source, "val", "--overwrite")
        assert [index.media(s.media).name for s in index] == ["goat"]
        assert index.annotations(0).boxes[0].tolist() == [3, 2, 12, 10]
        assert index.annotations(0).areas[0] == 72


def test_ref_davis17(tmp_path: Path, prepare: Prepare) -> None:
    """`ref-davis/annotations/valid_{0..3}.json` give the texts, the j-th that of object j."""
    root = tmp_path / "datasets/ref-davis"
    build.davis(root, "Annotations_unsupervised")
    build.davis_texts(root)
    published = prepare("ref-davis17", root, "val")
    for annotator in range(4):
        records = []
        for n, name in enumerate(("bear", "goat"), start=1):
            samples = [s for s in published if s.group == annotator and published.media(s.media).name == name]
            texts = [published.expression(row).text for row in samples[0].expressions]
            records.append(video(n, [f"{name}/00000.jpg"], video=name, expressions=[texts]))
        build.write_json(root / f"annotations/valid_{annotator}.json", {"videos": records, "categories": OBJECT})
    for path in (root / "davis_text_annotations").iterdir():
        path.unlink()
    again = prepare("ref-davis17", tmp_path / "datasets", "val", "--overwrite")
    assert [[again.expression(row) for row in s.expressions] for s in again] == [
        [published.expression(row) for row in s.expressions] for s in published
    ]
    assert [(s.group, s.objects) for s in again] == [(s.group, s.objects) for s in published]


def test_coco_as_videos_of_one_frame(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "coco"
    build.coco(root)
    (root / "annotations/instances_train2017.json").unlink()
    crowd = track(2, 9, [{"size": [build.H, build.W], "counts": [10, 5, build.H * build.W - 15]}], iscrowd=1)
    records = [video(9, ["000000000009.jpg"]), video(25, ["000000000025.jpg"])]
    data = {"videos": records, "annotations": [track(1, 9, [[build.SQUARE]]), crowd], "categories": OBJECT}
    build.write_json(root / "annotations/instances_train2017_video.json", data)
    index = prepare("coco", root, "train")
    assert (index.manifest.task, index.media_column("source_id").tolist(), len(index)) == (Task.DETECTION, [9, 25], 1)
    assert [index.object(row).crowd for row in index.media(0).objects] == [False, True]


def test_refcoco_in_the_released_folders(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "datasets"
    build.refcoco(tmp_path / "x")
    (tmp_path / "x/coco").rename(root.parent / "coco2014")
    root.mkdir()
    (tmp_path / "coco2014").rename(root / "coco2014")
    notes = root / "coco2014/annotations"
    build.write_json(notes / "refcocoplus-unc/instances_val.json", released_refcoco(["a", "b"]))
    build.write_json(notes / "refcoco-unc/instances_val.json", released_refcoco(["c"]))
    build.write_json(notes / "refcoco-mixed/instances_train.json", released_refcoco(["d", "e", "f"]))
    for dataset, split, count in (("refcoco+", "val", 2), ("refcoco", "val", 1), ("refcoco-mixed", "train", 3)):
        for source in (root, root / "coco2014"):
            index = prepare(dataset, source, split, "--overwrite")
            assert len(index) == count
            assert index.media(0).source_id == 77


def test_ref_youtube_vos(tmp_path: Path, prepare: Prepare) -> None:
    """Training has a record an object, validation one per expression: the video is one media of the index."""
    root = tmp_path / "datasets/ref-youtube-vos"
    build.youtube_vos(root)
    names = [f"0a49f5265b/{t:05d}.jpg" for t in (0, 5, 10)]
    records = [video(n, names, expressions=[f"dog {n}", f"the dog {n}"]) for n in (1, 2)]
    things = [track(1, 1, [MASK, None, None]), track(2, 2, [None, MASK, MASK])]
    build.write_json(root / "annotations/train.json", {"videos": records, "annotations": things, "categories": OBJECT})
    train = prepare("ref-youtube-vos", tmp_path / "datasets", "train")
    assert (train.manifest.counts["media"], [s.objects for s in train]) == (1, [(0,), (1,)])
    assert train.media(0).objects == range(2)
    assert [train.expression(row).text for row in train.sample(1).expressions] == ["dog 2", "the dog 2"]
    assert train.annotations(1).frames.tolist() == [1, 2]
    names = [f"00f88c4f0a/{t:05d}.jpg" for t in (0, 5, 10)]
    records = [video(n, names, video="00f88c4f0a", exp_id=str(n), expressions=[f"owl {n}"]) for n in (0, 1)]
    build.write_json(root / "annotations/val.json", {"videos": records, "annotations": [], "categories": OBJECT})
    val = prepare("ref-youtube-vos", tmp_path / "datasets", "val")
    assert (val.manifest.counts["media"], [s.media for s in val]) == (1, [0, 0])
    assert [val.expression(s.expressions[0]).source_id for s in val] == ["0", "1"]


def test_fss1000_boxes_and_areas_are_those_of_the_masks(tmp_path: Path, prepare: Prepare) -> None:
    build.fss1000(tmp_path / "fss-1000", ["owl"])
    image = {"id": 0, "file_name": "owl/1.jpg", "height": build.H, "width": build.W, "split": "val"}
    thing = build.instance(1, 0, 1, MASK) | {"bbox": [3, 2, 8, 7], "area": 56}
    data = {"images": [image], "annotations": [thing], "categories": OBJECT}
    build.write_json(tmp_path / "fss-1000/annotations/val.json", data)
    index = prepare("fss-1000", tmp_path / "fss-1000", "val")
    assert index.annotations(0).boxes[0].tolist() == [3, 2, 12, 10]
    assert index.annotations(0).areas[0] == 72


def test_lvos_and_mose(tmp_path: Path, prepare: Prepare) -> None:
    """`lvos/annotations_vos`, `mose/annotations`; a folder of many data sets gives each its own."""
    root = tmp_path / "datasets"
    build.lvos(root / "lvos")
    build.mose(root / "mose")
    build.ovis(root / "ovis")
    (root / "ovis/annotations_train.json").rename(root / "ovis/train.json")
    mose = prepare("mose", root, "train")
    assert "0a1b2c3d" in {mose.media(s.media).name for s in mose}
    for folder in (root / "lvos/valid/valid_meta.json", root / "mose/valid/Annotations"):
        folder.rename(folder.with_name("away"))
    for name, clip, step, places in (
        ("lvos", "R3UJGYwy", 5, "annotations_vos"),
        ("mose", "00ff00ff", 1, "annotations"),
    ):
        names = [f"{clip}/{t * step + 1:08d}.jpg" if step == 5 else f"{clip}/{t:05d}.jpg" for t in range(3)]
        things = [track(1, 1, [None, MASK, None], ori_id="3")]
        data = {"videos": [video(1, names)], "annotations": things, "categories": OBJECT}
        build.write_json(root / name / places / "valid.json", data)
        index = prepare(name, root, "val")
        assert [index.media(s.media).name for s in index] == [clip]
        assert (index.object(0).source_id, index.object(0).given_frame) == (3, 1)
    np.testing.assert_array_equal(index.annotations(0).mask(0), build.box_mask(2, 3, 10, 12))
    ovis = prepare("ovis", root, "train")
    assert [ovis.media(s.media).name for s in ovis] == ["aaaa1111", "bbbb2222"]
