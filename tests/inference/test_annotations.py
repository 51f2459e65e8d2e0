"""Annotation files of `predict`, opened by readers that are not ours."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO
from scipy.ndimage import gaussian_filter

from uniref.inference.prompts import Objects
from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context
from uniref.inference.sinks import SINKS
from uniref.media.source import MediaSource, Selection

H, W = 48, 64
NO_READER = "needs the package {} (pip install {})"
TEXTS = {number: f"thing {number}" for number in range(1, 13)} | {1: 'the "dog" & <cat>', 2: "ein Hündchen 犬 🐕"}


def frame_result(index: int, masks: dict[int, np.ndarray]) -> FrameResult:
    labels = np.zeros((H, W), np.uint8)
    for number, mask in masks.items():
        labels[mask] = number
    scores = {number: (index + 1) / 10 for number in masks}
    return FrameResult(index, labels, {n: labels == n for n in masks}, scores, {})


def masks_of_frame(index: int) -> dict[int, np.ndarray]:
    """Twelve objects; 1 has a hole and two parts, 2 is absent from the first frame, 3 is never there, 12 comes late."""
    nothing = np.zeros((H, W), np.bool_)
    masks = {number: nothing.copy() for number in TEXTS if number < 12 or index > 0}
    masks[1][4:30, 2 + index : 28 + index] = True
    masks[1][10:20, 10:20] = False
    masks[1][34:40, 4:12] = True
    if index:
        masks[2] = gaussian_filter(np.random.default_rng(index).normal(size=(H, W)), 3) > 0
        masks[2][:, :34] = masks[2][42:] = False
    for number in range(4, 13):
        if number in masks:
            masks[number][43:47, 5 * number - 15 : 5 * number - 11] = True
    return masks


def write_frames(tmp_path: Path, kinds: Iterable[str], name: str = "my frames é") -> tuple[Path, list[FrameResult]]:
    """Outputs of three frames called like people call them, and what went into them."""
    folder, out = tmp_path / name, tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    for index, file in enumerate(("img 1.png", "img 2.png", "img 10.jpg")):
        Image.fromarray(np.full((H, W, 3), 50 * index, np.uint8)).save(folder / file)
    context = Context(out, MediaSource(folder), Objects(texts=TEXTS), 1, True, print)
    return out, write(context, kinds)


def write_image(tmp_path: Path, kinds: Iterable[str], name: str = "a b é.png") -> tuple[Path, FrameResult]:
    path, out = tmp_path / name, tmp_path / "out"
    out.mkdir()
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(path)
    context = Context(out, MediaSource(path), Objects(texts=TEXTS), 1, True, print)
    return out, write(context, kinds)[-1]


def write(context: Context, kinds: Iterable[str]) -> list[FrameResult]:
    sinks = [SINKS[kind](context) for kind in kinds]
    results = []
    for frame in context.source.frames(Selection()):
        results.append(frame_result(frame.index, masks_of_frame(frame.index + (context.source.kind == "image"))))
        for sink in sinks:
            sink.write(frame, results[-1])
    for sink in sinks:
        sink.close()
    return results


def test_pycocotools_reads_coco_of_an_image(tmp_path: Path) -> None:
    out, result = write_image(tmp_path, ["coco", "polygons"])
    for name, exact in (("coco.json", True), ("polygons.json", False)):
        coco = COCO(out / name)
        [image] = coco.loadImgs(coco.getImgIds())
        assert (image["file_name"], image["width"], image["height"]) == ("a b é.png", W, H)
        visible = [number for number, mask in result.masks.items() if mask.any()]
        assert [each["object_id"] for each in coco.loadAnns(coco.getAnnIds())] == visible == [1, 2, *range(4, 13)]
        for annotation in coco.loadAnns(coco.getAnnIds()):
            mask = result.masks[annotation["object_id"]]
            assert coco.loadCats(annotation["category_id"])[0]["name"] == TEXTS[annotation["object_id"]]
            decoded = coco.annToMask(annotation).astype(bool)
            assert np.array_equal(decoded, mask) if exact else (decoded & mask).sum() > 0.95 * (decoded | mask).sum()
            ys, xs = np.nonzero(mask)
            assert annotation["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert annotation["area"] == mask.sum()
            assert annotation["score"] == 0.1


def test_youtube_vis_has_an_entry_per_frame(tmp_path: Path) -> None:
    out, results = write_frames(tmp_path, ["coco"])
    content = json.loads((out / "youtube_vis.json").read_text())
    [video] = content["videos"]
    assert video["file_names"] == [f"my frames é/img {n}" for n in ("1.png", "2.png", "10.jpg")]
    assert (video["width"], video["height"], video["length"]) == (W, H, 3)
    names = {each["id"]: each["name"] for each in content["categories"]}
    by_object = {each["object_id"]: each for each in content["annotations"]}
    assert list(by_object) == [1, 2, *range(4, 13)]
    decoder = COCO()  # its decoder, as the tools of YouTube-VIS use it
    for number, annotation in by_object.items():
        assert names[annotation["category_id"]] == TEXTS[number]
        for index, result in enumerate(results):
            segmentation = annotation["segmentations"][index]
            mask = result.masks.get(number, np.zeros((H, W), np.bool_))
            assert (segmentation is None) == (annotation["bboxes"][index] is None) == (not mask.any())
            if segmentation is not None:
                decoder.imgs[1] = {"height": H, "width": W}
                decoded = decoder.annToMask({"image_id": 1, "segmentation": segmentation})
                assert np.array_equal(decoded.astype(bool), mask)
                assert annotation["areas"][index] == mask.sum()
        assert len(annotation["segmentations"]) == len(annotation["areas"]) == 3
    assert by_object[2]["segmentations"][0] is None
    assert by_object[12]["segmentations"][0] is None
    assert by_object[1]["score"] == pytest.approx(0.2)


def test_long_clips_are_written_by_blocks(tmp_path: Path) -> None:
    """Lists that do not fit into memory's part of them come out in order."""
    from uniref.inference.coco import JsonLists

    lists = JsonLists(tmp_path)
    for index in range(5000):
        lists.add("a", {"index": index})
        lists.add("b", f"x{index}")
    for name, expected in (("a", [{"index": i} for i in range(5000)]), ("b", [f"x{i}" for i in range(5000)])):
        with (tmp_path / name).open("wb") as file:
            lists.write_to(file, name)
        assert json.loads((tmp_path / name).read_bytes()) == expected
    with (tmp_path / "none").open("wb") as file:
        lists.write_to(file, "none")
    assert (tmp_path / "none").read_bytes() == b"[]"
    lists.close()


def test_supervision_reads_coco_and_yolo(tmp_path: Path) -> None:
    supervision = pytest.importorskip("supervision", reason=NO_READER.format("supervision", "supervision"))
    out, results = write_frames(tmp_path, ["polygons", "yolo"])
    frames = tmp_path / "my frames é"
    data = yaml.safe_load((out / "yolo" / "data.yaml").read_text("utf-8"))
    assert data["names"] == dict(enumerate(TEXTS.values()))
    for dataset in (
        supervision.DetectionDataset.from_coco(str(tmp_path), str(out / "polygons.json"), force_masks=True),
        supervision.DetectionDataset.from_yolo(
            str(frames), str(out / "yolo" / "labels"), str(out / "yolo" / "data.yaml"), force_masks=True
        ),
    ):
        assert list(dataset.classes) == list(TEXTS.values())
        found = {Path(path).name: detections for path, _, detections in dataset}
        for name, result in zip(("img 1.png", "img 2.png", "img 10.jpg"), results, strict=True):
            expected = [(number - 1, mask) for number, mask in result.masks.items() if mask.any()]
            detections = found[name]
            assert detections.class_id.tolist() == [index for index, _ in expected]
            for read, (index, mask) in zip(detections.mask, expected, strict=True):
                # OpenCV fills the outline's pixels too: right for large objects, a pixel more for small ones
                assert (
                    (read & mask).sum() == mask.sum() if index > 2 else (read & mask).sum() / (read | mask).sum() > 0.8
                )


def datumaro_masks(path: Path, form: str) -> dict[str, dict[tuple[str, int], np.ndarray]]:
    """Item -> (label, track id or 0) -> mask, as datumaro reads them."""
    datumaro = pytest.importorskip("datumaro", reason=NO_READER.format("datumaro", "datumaro"))
    dataset = datumaro.Dataset.import_from(str(path), form)
    names = dataset.categories()[datumaro.AnnotationType.label]
    items: dict[str, dict[tuple[str, int], np.ndarray]] = {}
    for item in dataset:
        masks = items.setdefault(item.id, {})
        for each in item.annotations:
            if isinstance(each, datumaro.Mask):
                masks[names[each.label].name, each.attributes.get("track_id", 0)] = np.asarray(each.image) > 0
    return items


def test_datumaro_reads_mots(tmp_path: Path) -> None:
    out, results = write_frames(tmp_path, ["mots", "cvat"])
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(out / "cvat.zip") as archive:
        archive.extractall(unpacked)
    with Image.open(out / "mots" / "instances" / "img 1.png") as image:
        assert np.asarray(image).max() == 11 * 1000 + 11
    for path in (out / "mots", unpacked):
        items = datumaro_masks(path, "mots")
        for name, result in zip(("img 1", "img 2", "img 10"), results, strict=True):
            expected = {(TEXTS[n], n): mask for n, mask in result.masks.items() if mask.any()}
            assert items[name].keys() == expected.keys()
            for key, mask in expected.items():
                assert np.array_equal(items[name][key], mask)


def test_frames_of_a_video_are_called_as_cvat_calls_them(tmp_path: Path, make_video) -> None:
    context = Context(tmp_path, MediaSource(make_video(frames=3, size=(H, W))), Objects(texts=TEXTS), 1, True, print)
    write(context, ["cvat", "yolo", "coco"])
    with zipfile.ZipFile(tmp_path / "cvat.zip") as archive:
        names = [f"default/instances/frame_{index:06d}.png" for index in range(3)]
        assert archive.namelist() == [*names, "default/instances/labels.txt"]
        assert archive.read("default/instances/labels.txt").decode() == "".join(f"{text}\n" for text in TEXTS.values())
    assert sorted(path.name for path in (tmp_path / "yolo" / "labels").iterdir()) == [f"{i:05d}.txt" for i in range(3)]
    video = json.loads((tmp_path / "youtube_vis.json").read_text())["videos"][0]
    assert video["file_names"] == [f"clip/{i:05d}.jpg" for i in range(3)]


def test_datumaro_reads_cvat_and_coco_of_an_image(tmp_path: Path) -> None:
    out, result = write_image(tmp_path, ["cvat", "coco"], "a b.png")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(out / "cvat.zip") as archive:
        archive.extractall(unpacked)
    (unpacked / "images").mkdir()
    (tmp_path / "a b.png").rename(unpacked / "images" / "a b.png")
    expected = {(TEXTS[n], 0): mask for n, mask in result.masks.items() if mask.any()}
    coco = tmp_path / "coco" / "annotations"
    coco.mkdir(parents=True)
    shutil.copytree(unpacked / "images", coco.parent / "images" / "default")  # datumaro wants the images beside it
    (out / "coco.json").rename(coco / "instances_default.json")
    for path, form in ((unpacked, "cvat"), (coco.parent, "coco")):
        [(name, masks)] = datumaro_masks(path, form).items()
        assert name == "a b"
        assert masks.keys() == expected.keys()
        for key, mask in expected.items():
            assert np.array_equal(masks[key], mask)


def test_classes_that_do_not_fit_into_mots_become_one(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(path)
    texts = {number: f"thing {number}" for number in range(1, 256)}
    context = Context(tmp_path, MediaSource(path), Objects(texts=texts), 1, True, print)
    sink = SINKS["mots"](context)
    labels = np.zeros((H, W), np.uint8)
    labels[0, :3] = (1, 64, 255)
    [frame] = context.source.frames(Selection())
    sink.write(frame, FrameResult(0, labels, {n: labels == n for n in texts}, {}, {}))
    sink.close()
    with Image.open(tmp_path / "mots" / "instances" / "a.png") as image:
        assert np.asarray(image)[0, :4].tolist() == [1001, 64064, 65255, 0]
    names = (tmp_path / "mots" / "instances" / "labels.txt").read_text().splitlines()
    assert (len(names), names[0], names[63], names[64]) == (65, "thing 1", "thing 64", "object")
