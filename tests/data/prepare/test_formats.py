"""Own data as the tools that people label with write it: miniatures by each format's published rules."""

from __future__ import annotations

import base64
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.prepare import build
from tests.data.prepare.build import H, W
from tests.data.prepare.conftest import Prepare, Refused
from tests.data.prepare.test_custom import texts, video
from tests.data.prepare.test_run import zipped
from uniref.core.tasks import Task
from uniref.data.index import Index
from uniref.media.mask import PALETTE
from uniref_cli import app

CAT, DOG = (3, 4, 12, 15), (10, 18, 20, 30)  # y0, x0, y1, x1
Box = tuple[int, int, int, int]


def polygon(box: Box) -> list[float]:
    """COCO's [x, y, ...] of a box."""
    y0, x0, y1, x1 = box
    return [float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]


def mask(box: Box) -> np.ndarray:
    return build.box_mask(*box)


def shown(index: Index) -> dict[str, list[tuple[int, str, np.ndarray]]]:
    """Every image's objects: number, class, mask."""
    found: dict[str, list[tuple[int, str, np.ndarray]]] = {}
    for row in range(index.manifest.counts["media"]):
        media = index.media(row)
        assert media.frame_path(0).is_file()
        found[media.name] = [
            (each.source_id, index.manifest.categories.get(each.category, ""), index.annotations(each.row).mask(0))
            for each in map(index.object, media.objects)
        ]
    return found


def check(index: Index, wanted: Mapping[str, list[tuple[str, np.ndarray]]]) -> None:
    """Classes and exact masks of every image."""
    found = shown(index)
    assert set(found) == set(wanted)
    for name, things in wanted.items():
        assert [each[1] for each in found[name]] == [each[0] for each in things]
        for (_, _, one), (_, other) in zip(found[name], things, strict=True):
            np.testing.assert_array_equal(one, other)


BOTH = {"a": [("cat", mask(CAT)), ("dog", mask(DOG))], "b": [("dog", mask(DOG))]}


def pictures(folder: Path, *names: str) -> None:
    for name in names or ("a.jpg", "b.jpg"):
        build.picture(folder / name)


def coco(path: Path, crowd: int = 0, runs: bool = False, **changes: Any) -> Path:
    """COCO JSON of `BOTH` as CVAT writes it."""
    names = {"a.jpg": [(1, CAT), (2, DOG)], "b.jpg": [(2, DOG)]}
    images = [{"id": n, "file_name": f, "height": H, "width": W, "license": 0} for n, f in enumerate(names, start=1)]
    annotations = []
    for image, things in enumerate(names.values(), start=1):
        for category, box in things:
            y0, x0, y1, x1 = box
            segmentation: Any = [polygon(box)]
            if runs:
                column = mask(box).T.ravel()
                edges = np.flatnonzero(np.diff(np.r_[0, column, 0]))
                counts = np.diff(np.r_[0, edges, H * W]).tolist()
                segmentation = {"size": [H, W], "counts": counts}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "segmentation": segmentation,
                    "area": float((y1 - y0) * (x1 - x0)),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "iscrowd": crowd,
                }
            )
    categories = [{"id": 1, "name": "cat", "supercategory": ""}, {"id": 2, "name": "dog", "supercategory": ""}]
    data = {"licenses": [], "info": {}, "categories": categories, "images": images, "annotations": annotations}
    return build.write_json(path, data | changes)


def test_cvat_coco_with_brush_masks(tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "my/images")
    coco(tmp_path / "my/annotations/instances_default.json", crowd=1, runs=True)
    index = prepare("custom", tmp_path / "my", "train")
    out, err = capsys.readouterr()
    assert "all annotations (3) are flagged as crowds (iscrowd 1), as CVAT flags brush masks" in err
    check(index, BOTH)
    assert texts(index) == [["the cat"], ["the dog"], ["the dog"]]
    assert index.manifest.task is Task.RIS
    assert "read as COCO JSON; class names serve as phrases: 2 images, 3 objects, 3 phrases, 2 classes (cat" in out
    assert "train on it: uniref train recipes/finetune-custom.yaml --root" in out
    assert "the bundled model: uniref train recipes/finetune-small.yaml --root" in out


def test_some_crowds_stay_crowds(tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "my/images")
    data = json.loads(coco(tmp_path / "my/x.json").read_text())
    data["annotations"][0]["iscrowd"] = 1
    build.write_json(tmp_path / "my/x.json", data)
    index = prepare("custom", tmp_path / "my", "train")
    assert "1 of 3 annotations are crowds" in capsys.readouterr().err
    assert texts(index) == [["the dog"], ["the dog"]]


def test_roboflow(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        pictures(tmp_path / "my" / split)
        coco(tmp_path / "my" / split / "_annotations.coco.json")
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(tmp_path / "my")]) == 0
    for split in ("train", "val", "test"):
        index = Index.open(tmp_path / "d/index/custom" / split)
        check(index, BOTH)
        assert index.media(0).path.parent.name == ("valid" if split == "val" else split)


def test_cocos_own_layout(tmp_path: Path) -> None:
    for split in ("train", "val"):
        pictures(tmp_path / f"my/{split}2017")
        for kind in ("instances", "person_keypoints", "captions"):
            coco(tmp_path / f"my/annotations/{kind}_{split}2017.json")
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(tmp_path / "my")]) == 0
    check(Index.open(tmp_path / "d/index/custom/train"), BOTH)
    val = Index.open(tmp_path / "d/index/custom/val")
    assert val.media(0).path.parent.name == "val2017"


def test_pictures_of_another_source(tmp_path: Path, prepare: Prepare) -> None:
    pictures(tmp_path / "photos/deep")
    path = coco(tmp_path / "labels/my_labels.json")
    check(prepare("custom", path, "train", "--source", str(tmp_path / "photos")), BOTH)
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(path)]) == 1


@pytest.mark.parametrize(
    "segmentation",
    [
        polygon(CAT),
        [[x, y] for x, y in zip(polygon(CAT)[::2], polygon(CAT)[1::2], strict=True)],
        [[[x, y] for x, y in zip(polygon(CAT)[::2], polygon(CAT)[1::2], strict=True)]],
    ],
)
def test_flat_polygons(tmp_path: Path, prepare: Prepare, segmentation: Any) -> None:
    pictures(tmp_path / "my/images", "a.jpg")
    image = {"id": "x7", "file_name": "C:\\data\\images\\a.jpg"}  # no size, an id that is no number, another machine
    thing = {"image_id": "x7", "category_id": 1, "segmentation": segmentation, "bbox": [4, 3, 11, 9]}
    data = {"images": [image], "annotations": [thing], "categories": [{"id": 1, "name": "cat"}]}
    build.write_json(tmp_path / "my/train.json", data)
    check(prepare("custom", tmp_path / "my", "train"), {"a": [("cat", mask(CAT))]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 1, "file_name": "gone.jpg"}]}, "x.json: image 1: its image gone.jpg is not there"),
        ({"images": [{"id": 1, "file_name": "a.jpg", "height": 9, "width": 9}]}, "a.jpg is 32 x 24, its record says 9"),
        ({"images": []}, "x.json: has no images"),
        ({"images": [{"id": 1, "file_name": None}]}, "its file name is None"),
        ({"annotations": [{"id": 1, "image_id": 9}]}, "annotation 1: image 9 is not listed"),
        ({"annotations": [{"id": 1, "image_id": 1}]}, "annotation 1: has no 'bbox'"),
    ],
)
def test_broken_coco(tmp_path: Path, refused: Refused, changes: dict[str, Any], message: str) -> None:
    pictures(tmp_path / "my/images")
    coco(tmp_path / "my/x.json", **changes)
    assert message in refused("custom", tmp_path / "my", "train")


def yolo_line(number: int, box: Box) -> str:
    values = [v / (H if place % 2 else W) for place, v in enumerate(polygon(box))]
    return f"{number} {' '.join(f'{v:.6f}' for v in values)}"


def yolo(root: Path, layout: str) -> Path:
    """Ultralytics' layout (folders, or lists of files) or Roboflow's."""
    for split in ("train", "val"):
        other = "valid" if split == "val" else split
        folders = ("images/{}", "labels/{}") if layout != "roboflow" else ("{}/images", "{}/labels")
        name = other if layout == "roboflow" else split
        pictures(root / folders[0].format(name))
        labels = root / folders[1].format(name)
        build.write_text(labels / "a.txt", f"{yolo_line(0, CAT)}\n{yolo_line(1, DOG)}\n")
        build.write_text(labels / "b.txt", yolo_line(1, DOG))
        if layout == "lists":
            build.write_text(root / f"{split}.txt", f"./images/{split}/a.jpg\n./images/{split}/b.jpg\n")
    places = {
        "ultralytics": "path: ../datasets/my\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n",
        "roboflow": "train: ../train/images\nval: ../valid/images\ntest: ''\nnc: 2\nnames: ['cat', 'dog']\n",
        "lists": "train: train.txt\nval: val.txt\nnames: [cat, dog]\n",
    }
    if layout in places:
        build.write_text(root / "data.yaml", places[layout])
    else:
        build.write_text(root / "classes.txt", "cat\ndog\n")
    return root


@pytest.mark.parametrize("layout", ["ultralytics", "roboflow", "lists", "bare"])
def test_yolo(tmp_path: Path, layout: str) -> None:
    root = yolo(tmp_path / "my", layout)
    source = root / "data.yaml" if layout == "ultralytics" else root
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(source)]) == 0
    for split in ("train", "val"):
        index = Index.open(tmp_path / "d/index/custom" / split)
        check(index, BOTH)
        assert texts(index) == [["the cat"], ["the dog"], ["the dog"]]
        assert split[:3] in index.media(0).path.parent.parent.name + index.media(0).path.parent.name


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.1 0.1 0.5 0.1 0.5", "boxes"),
        ("0 0.1 0.1 0.5 0.1 0.5 0.5 0.2", "a.txt: line 1: has 7 coordinates"),
        ("7 0.1 0.1 0.5 0.1 0.5 0.5", "a.txt: line 1: class 7 is not among the names of data.yaml"),
        ("0 10 10 50 10 50 50", "a.txt: line 1: has coordinates that are not fractions"),
        ("cat 0.1 0.1 0.5 0.1 0.5 0.5", "a.txt: line 1: could not convert string to float: 'cat'"),
    ],
)
def test_broken_yolo(tmp_path: Path, refused: Refused, line: str, message: str) -> None:
    root = yolo(tmp_path / "my", "ultralytics")
    build.write_text(root / "labels/train/a.txt", line)
    if message == "boxes":
        build.write_text(root / "labels/train/b.txt", "")
        message = "1 x object without a mask"
        assert message in refused("custom", root, "train", "--task", "ris")
        return
    assert message in refused("custom", root, "train")


def test_yolo_names_a_folder_that_is_not_there(tmp_path: Path, refused: Refused) -> None:
    root = yolo(tmp_path / "my", "ultralytics")
    build.write_text(root / "data.yaml", "train: images/first\nval: images/val\nnames: [cat, dog]\n")
    assert "data.yaml: its folder 'images/first' is not there" in refused("custom", root, "train")
    build.write_text(root / "data.yaml", "train: images/train\nnames: 7\n")
    assert "data.yaml: its names are neither a list nor" in refused("custom", root, "train")
    build.write_text(root / "data.yaml", "train: images/train\nnames: [cat, dog\n")
    assert "data.yaml:3: not readable as YAML" in refused("custom", root, "train")


def labelme(root: Path, **changes: Any) -> Path:
    y0, x0, y1, x1 = CAT
    part = Image.fromarray(np.ones((DOG[2] - DOG[0], DOG[3] - DOG[1]), np.uint8) * 255)
    data = io.BytesIO()
    part.save(data, format="PNG")
    dog = {
        "label": "dog",
        "points": [[DOG[1], DOG[0]], [DOG[3] - 1, DOG[2] - 1]],
        "shape_type": "mask",
        "mask": base64.b64encode(data.getvalue()).decode(),
        "description": "the dog on the right",
    }
    cat = {"label": "cat", "points": [[x0, y0], [x1, y1]], "shape_type": "rectangle", "group_id": None}
    line = {"label": "cat", "points": [[1, 1], [5, 5]], "shape_type": "line"}
    for name, shapes in (("a", [cat, dog, line]), ("b", [dog])):
        pictures(root, f"{name}.jpg")
        content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": f"..\\{name}.jpg"}
        build.write_json(
            root / f"{name}.json", content | {"imageData": None, "imageHeight": H, "imageWidth": W} | changes
        )
    return root


def test_labelme(tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]) -> None:
    index = prepare("custom", labelme(tmp_path / "my"), "train")
    check(index, BOTH)
    assert texts(index) == [["the dog on the right"], ["the dog on the right"]]
    assert "left out: 1 x shape without an area (line)" in capsys.readouterr().out


def test_labelme_groups_are_one_object(tmp_path: Path, prepare: Prepare) -> None:
    parts = [
        {"label": "cat", "points": np.reshape(polygon(box), (-1, 2)).tolist(), "shape_type": "polygon", "group_id": 3}
        for box in (CAT, DOG)
    ]
    root = labelme(tmp_path / "my", shapes=parts)
    whole = mask(CAT) | mask(DOG)
    check(prepare("custom", root, "train"), {"a": [("cat", whole)], "b": [("cat", whole)]})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imagePath": "gone.jpg"}, "a.json: its image gone.jpg is not there"),
        ({"imageHeight": 99}, "a.jpg is 32 x 24, it says 32 x 99"),
        ({"shapes": [{"label": "cat"}]}, "a.json: shape 0: has no 'points'"),
        (
            {"shapes": [{"label": "c", "points": [[0, 0], [9, 9]], "shape_type": "mask", "mask": "!"}]},
            "not a valid PNG in base64",
        ),
        ({"shapes": [{"label": "c", "points": [[0, 0]], "shape_type": "cube"}]}, "of a kind that is not read (cube)"),
    ],
)
def test_broken_labelme(tmp_path: Path, refused: Refused, changes: dict[str, Any], message: str) -> None:
    assert message in refused("custom", labelme(tmp_path / "my", **changes), "train")


def cvat_points(box: Box) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in np.reshape(polygon(box), (-1, 2)))


def cvat_mask(box: Box, label: str, **more: Any) -> str:
    """CVAT's run lengths go row by row inside the box; here the box is a pixel wider on each side."""
    y0, x0, y1, x1 = box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1
    flat = mask(box)[y0:y1, x0:x1].ravel()
    edges = np.flatnonzero(np.diff(np.r_[0, flat, 0]))
    runs = np.diff(np.r_[0, edges, flat.size]).tolist()
    extra = " ".join(f'{key}="{value}"' for key, value in more.items())
    return (
        f'<mask label="{label}" source="manual" occluded="0" rle="{", ".join(map(str, runs))}" left="{x0}" top="{y0}" '
        f'width="{x1 - x0}" height="{y1 - y0}" z_order="0" {extra}></mask>'
    )


def cvat_images(root: Path, inside: str = "", head: str = "") -> Path:
    pictures(root / "images")
    cat = f'<polygon label="cat" source="manual" occluded="0" points="{cvat_points(CAT)}" z_order="0"></polygon>'
    first = inside or f'{cat}{cvat_mask(DOG, "dog")}<points label="dog" points="3,4"/>'
    text = (
        f'<?xml version="1.0" encoding="utf-8"?>\n{head}<annotations><version>1.1</version><meta></meta>'
        f'<image id="0" name="a.jpg" width="{W}" height="{H}">{first}</image>'
        f'<image id="1" name="b.jpg" width="{W}" height="{H}">{cvat_mask(DOG, "dog")}</image></annotations>'
    )
    build.write_text(root / "annotations.xml", text)
    return root


def test_cvat_for_images(tmp_path: Path, prepare: Prepare) -> None:
    index = prepare("custom", cvat_images(tmp_path / "my"), "train")
    check(index, BOTH)
    assert index.manifest.dropped == {"shape without an area (points, lines)": 1}
    attribute = '<attribute name="description">the small one</attribute>'
    cat = f'<polygon label="cat" points="{cvat_points(CAT)}">{attribute}</polygon>'
    said = prepare("custom", cvat_images(tmp_path / "my", cat), "train", "--overwrite")
    assert texts(said) == [["the small one"]]


@pytest.mark.parametrize(
    ("inside", "head", "message"),
    [
        ("", '<!DOCTYPE a [<!ENTITY b "ha">]>', "annotations.xml: declares a document type or an entity"),
        ('<polygon label="c" points="1,2;3"/>', "", "outside"),
        ('<polygon label="c" points="1,2;x,3;4,4"/>', "", "image 0: polygon 0: could not convert string to float"),
        ('<mask label="c" rle="3,4" left="0" top="0" width="5" height="5"/>', "", "run lengths cover 7 pixels of 25"),
        ('<mask label="c" rle="25" left="30" top="0" width="5" height="5"/>', "", "leaves the image"),
        ('<mask label="c" rle="25" left="0" top="0" width="500" height="5"/>', "", "its mask is 500 x 5, the image"),
        ('<ellipse label="c" cx="3" cy="4" rx="2"/>', "", "ellipse 0: has no ry"),
        ("<polygon", "", "annotations.xml: is not valid XML"),
    ],
)
def test_broken_cvat(tmp_path: Path, prepare: Prepare, refused: Refused, inside: str, head: str, message: str) -> None:
    root = cvat_images(tmp_path / "my", inside, head)
    if message == "outside":  # half a polygon has no area, and is passed over as COCO's are
        assert len(shown(prepare("custom", root, "train"))["a"]) == 0
        return
    assert message in refused("custom", root, "train")


def cvat_video(root: Path, source: str = "run.mp4", frames: int = 3) -> Path:
    shapes = [
        f'<polygon frame="{t}" keyframe="{int(t == 0)}" outside="{int(t == 2)}" occluded="0" '
        f'points="{cvat_points(CAT)}" z_order="0"></polygon>'
        for t in range(frames)
    ]
    masks = [cvat_mask(DOG, "dog", frame=1, keyframe=1, outside=0)]
    build.write_text(
        root / "annotations.xml",
        f"<annotations><version>1.1</version><meta><task><size>3</size></task><source>{source}</source></meta>"
        f'<track id="0" label="cat" source="manual">{"".join(shapes)}</track>'
        f'<track id="1" label="dog" source="manual">{"".join(masks)}</track></annotations>',
    )
    return root


@pytest.mark.parametrize("form", ["frames", "file"])
def test_cvat_for_video(tmp_path: Path, prepare: Prepare, form: str) -> None:
    root = cvat_video(tmp_path / "my")
    if form == "frames":
        for t in range(3):
            build.picture(root / f"images/frame_{t:06d}.PNG")
    else:
        video(root / "run.mp4")
    index = prepare("custom", root, "train")
    assert index.manifest.task is Task.VOS
    assert index.media(0).kind == ("frames" if form == "frames" else "video")
    assert [index.annotations(row).frames.tolist() for row in index.media(0).objects] == [[0, 1], [1]]
    np.testing.assert_array_equal(index.annotations(0).mask(1), mask(CAT))
    np.testing.assert_array_equal(index.annotations(1).mask(0), mask(DOG))
    said = prepare("custom", root, "train", "--task", "rvos", "--overwrite")
    assert texts(said) == [["the cat"], ["the dog"]]


def test_cvat_numbers_frames_of_the_whole_video(tmp_path: Path, prepare: Prepare) -> None:
    root = cvat_video(tmp_path / "my")
    text = (root / "annotations.xml").read_text()
    for t in range(3):
        build.picture(root / f"images/frame_{100 + t:06d}.PNG")
        text = text.replace(f' frame="{t}"', f' frame="{100 + t}"')
    build.write_text(root / "annotations.xml", text)
    index = prepare("custom", root, "train")
    assert [index.annotations(row).frames.tolist() for row in index.media(0).objects] == [[0, 1], [1]]
    assert index.media(0).complete


def test_broken_cvat_video(tmp_path: Path, refused: Refused) -> None:
    root = cvat_video(tmp_path / "my")
    assert "its video run.mp4 is not there, and no folder of frames" in refused("custom", root, "train")
    build.picture(root / "images/frame_000000.PNG")
    assert "track 0, frame 1: the video has 1 frames" in refused("custom", root, "train")


def voc(root: Path, colours: bool = False) -> Path:
    """VOC's own palette PNGs, or CVAT's images in the colours of labelmap.txt."""
    pictures(root / "JPEGImages")
    numbers = {"a": {1: CAT, 2: DOG}, "b": {1: DOG}}
    classes = {"a": {8: CAT, 12: DOG, 255: (0, 0, 2, 2)}, "b": {12: DOG}}
    for name in ("a", "b"):
        build.label_map(root / f"SegmentationObject/{name}.png", numbers[name])
        build.label_map(root / f"SegmentationClass/{name}.png", classes[name])
    if colours:
        own = {"cat": (250, 50, 83), "dog": (51, 221, 255)}
        lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
        lines += [f"{name}:{','.join(map(str, colour))}::" for name, colour in own.items()]
        build.write_text(root / "labelmap.txt", "\n".join(lines))
        for name, things in (("a", {"cat": CAT, "dog": DOG}), ("b", {"dog": DOG})):
            picture = np.zeros((H, W, 3), np.uint8)
            ids = np.zeros((H, W), np.uint8)
            for number, (kind, (y0, x0, y1, x1)) in enumerate(things.items(), start=1):
                picture[y0:y1, x0:x1], ids[y0:y1, x0:x1] = own[kind], number
            build.grey(root / f"SegmentationClass/{name}.png", picture)
            build.grey(root / f"SegmentationObject/{name}.png", PALETTE[ids])
    build.write_text(root / "ImageSets/Segmentation/train.txt", "a\n")
    build.write_text(root / "ImageSets/Segmentation/val.txt", "b\n")
    return root


@pytest.mark.parametrize("colours", [False, True])
def test_pascal_voc(tmp_path: Path, prepare: Prepare, colours: bool) -> None:
    root = voc(tmp_path / "my/VOCdevkit/VOC2012", colours)
    check(prepare("custom", tmp_path / "my", "train"), {"a": BOTH["a"]})
    check(prepare("custom", tmp_path / "my", "val"), {"b": BOTH["b"]})
    for path in (root / "SegmentationObject").iterdir():  # without them, a class is an object
        path.unlink()
    check(prepare("custom", tmp_path / "my", "train", "--overwrite"), {"a": BOTH["a"]})


def test_broken_pascal_voc(tmp_path: Path, refused: Refused) -> None:
    root = voc(tmp_path / "my", colours=True)
    build.write_text(root / "labelmap.txt", "cat:red::\n")
    assert "labelmap.txt: line 1: must be name:red,green,blue::" in refused("custom", root, "train")
    build.write_text(root / "labelmap.txt", "cat:250,50,83::\n")
    build.write_text(root / "ImageSets/Segmentation/train.txt", "a\nzebra\n")
    assert "train.txt: zebra: has no mask in SegmentationClass" in refused("custom", root, "train")
    build.write_text(root / "ImageSets/Segmentation/train.txt", "a\n")
    build.label_map(root / "SegmentationClass/a.png", {1: (0, 0, 2, 2)}, 9, 9)
    assert "a.png is 9 x 9, the image 32 x 24" in refused("custom", root, "train")
    (root / "JPEGImages/a.jpg").unlink()
    assert "the image of mask a is not there" in refused("custom", root, "train")


def vos(root: Path, form: str) -> Path:
    """DAVIS's folders, YouTube-VOS's with meta.json, or SA-V's with a folder for every object."""
    inside = "480p/" if form == "davis" else ""
    for t in range(2):
        build.picture(root / f"JPEGImages/{inside}run/{t:05d}.jpg")
        if form == "sa-v":
            for number, box in (("000", CAT), ("001", DOG)):
                build.grey(root / f"Annotations/run/{number}/{t:05d}.png", mask(box).astype(np.uint8) * 255)
        else:
            build.label_map(root / f"Annotations/{inside}run/{t:05d}.png", {1: CAT, 2: DOG})
    if form == "davis":
        build.write_text(root / "ImageSets/2017/val.txt", "run\n")
    if form == "youtube":
        objects = {"1": {"category": "cat", "frames": ["00000"]}, "2": {"category": "dog", "frames": ["00000"]}}
        build.write_json(root / "meta.json", {"videos": {"run": {"objects": objects}}})
    return root


@pytest.mark.parametrize("form", ["davis", "youtube", "sa-v"])
def test_folders_of_frames(tmp_path: Path, prepare: Prepare, form: str) -> None:
    root = vos(tmp_path / "my", form)
    index = prepare("custom", root, "val" if form == "davis" else "train")
    assert (index.manifest.task, len(index), index.media(0).length) == (Task.VOS, 1, 2)
    assert [index.object(row).source_id for row in index.media(0).objects] == [1, 2]
    np.testing.assert_array_equal(index.annotations(1).mask(1), mask(DOG))
    if form == "youtube":
        said = prepare("custom", root, "train", "--task", "rvos", "--overwrite")
        assert texts(said) == [["the cat"], ["the dog"]]


def test_colours_are_the_same_object_in_all_frames(tmp_path: Path, prepare: Prepare) -> None:
    root = vos(tmp_path / "my", "davis")
    red, blue = (200, 10, 10), (10, 10, 200)
    for t, order in enumerate(((red, blue), (blue, red))):
        picture = np.zeros((H, W, 3), np.uint8)
        for colour, (y0, x0, y1, x1) in zip(order, (CAT, DOG), strict=True):
            picture[y0:y1, x0:x1] = colour
        build.grey(root / f"Annotations/480p/run/{t:05d}.png", picture)
    index = prepare("custom", root, "val")
    np.testing.assert_array_equal(index.annotations(0).mask(0), mask(CAT))
    np.testing.assert_array_equal(index.annotations(0).mask(1), mask(DOG))


def test_broken_folders_of_frames(tmp_path: Path, refused: Refused) -> None:
    root = vos(tmp_path / "my", "youtube")
    build.label_map(root / "Annotations/run/00009.png", {1: CAT})
    assert "00009.png: there is no frame of this name" in refused("custom", root, "train")
    (root / "Annotations/run/00009.png").unlink()
    build.label_map(root / "Annotations/run/00001.png", {1: CAT}, 2 * H, 2 * W)
    assert "00001.png: is 64 x 48, the frame 32 x 24" in refused("custom", root, "train")


def brush(array: np.ndarray) -> list[int]:
    """Label Studio's run lengths of a mask, by its rules: 8-bit values, sizes 3, 4, 8 and 16, alpha is the mask."""
    values = np.repeat(array.astype(np.uint8).ravel() * 255, 4)
    bits = f"{values.size:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    place = 0
    while place < len(values):
        same = 1
        while place + same < len(values) and values[place + same] == values[place] and same < 1 << 16:
            same += 1
        if place == 0:  # one literal run first, so that both kinds occur
            bits += f"0{0:02b}{2:03b}" + "".join(f"{v:08b}" for v in values[:3])
            place = 3
            continue
        size = next(n for n, b in enumerate((3, 4, 8, 16)) if same <= 1 << b)
        bits += f"1{size:02b}{same - 1:0{(3, 4, 8, 16)[size]}b}{values[place]:08b}"
        place += same
    bits += "0" * (-len(bits) % 8)
    return [int(bits[n : n + 8], 2) for n in range(0, len(bits), 8)]


def label_studio(root: Path, minimal: bool = False, **changes: Any) -> Path:
    tasks = []
    percent = [[100 * x / W, 100 * y / H] for x, y in np.reshape(polygon(CAT), (-1, 2)).tolist()]
    cat = {"type": "polygonlabels", "value": {"points": percent, "closed": True, "polygonlabels": ["cat"]}, "id": "p"}
    dog = {
        "type": "brushlabels",
        "value": {"format": "rle", "rle": brush(mask(DOG)), "brushlabels": ["dog"]},
        "id": "q",
    }
    said = {"type": "textarea", "value": {"text": ["the dog below"]}, "id": "q"}
    for number, (name, results) in enumerate((("a", [cat, dog]), ("b", [dog, said])), start=1):
        pictures(root / "pictures", f"{name}.jpg")
        sizes = {"original_width": W, "original_height": H, "from_name": "tag", "to_name": "image"}
        regions = [each | sizes | changes for each in results]
        address = f"/data/upload/3/1f2e3d4c-{name}.jpg"
        if minimal:
            values = [
                each["value"] | {"original_width": W, "original_height": H} for each in regions[:2] if each != said
            ]
            values = [value for value in values if "text" not in value]
            tasks.append({"id": number, "image": address, "tag": values, "annotator": 1, "annotation_id": number})
        else:
            annotation = {"id": number, "was_cancelled": False, "result": regions}
            skipped = {"id": 90 + number, "was_cancelled": True, "result": []}
            tasks.append({"id": number, "data": {"image": address}, "annotations": [skipped, annotation]})
    build.write_json(root / "project-3-at-2024.json", tasks)
    return root


def test_label_studio(tmp_path: Path, prepare: Prepare) -> None:
    index = prepare("custom", label_studio(tmp_path / "my"), "train")
    check(index, BOTH)
    assert texts(index) == [["the dog below"]]
    check(prepare("custom", label_studio(tmp_path / "min", minimal=True), "train", "--overwrite"), BOTH)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"original_width": 99}, "task 1: region p: the image is 32 x 24, its record says 99 x 24"),
        ({"value": {"rle": [0, 0, 1]}}, "its run lengths end too early"),
        ({"value": {"rle": [0, 0, 12, 1] * 9}}, "its run lengths hold 3073 values"),
        ({"value": {"rle": [0, 0, 12, 0, 255, 255, 255, 255]}}, "its run lengths end too early"),
        ({"value": 3}, "region p: has no value"),
    ],
)
def test_broken_label_studio(tmp_path: Path, refused: Refused, changes: dict[str, Any], message: str) -> None:
    assert message in refused("custom", label_studio(tmp_path / "my", **changes), "train")


def references(root: Path, **changes: Any) -> Path:
    """RRSIS-D's layout: rrsisd/refs(unc).p, rrsisd/instances.json, images/rrsisd/JPEGImages."""
    pictures(root / "images/rrsisd/JPEGImages")
    coco(root / "rrsisd/instances.json")
    refs = [
        {
            "ref_id": n,
            "ann_id": annotation,
            "image_id": image,
            "split": split,
            "category_id": 1,
            "file_name": "a.jpg",
            "sent_ids": [n],
            "sentences": [{"sent": text, "raw": text, "sent_id": n, "tokens": text.split()} for text in said],
        }
        | changes
        for n, (annotation, image, split, said) in enumerate(
            [(1, 1, "train", ["the left one"]), (2, 1, "train", ["it", "the dog"]), (3, 2, "test", ["a dog"])]
        )
    ]
    (root / "rrsisd/refs(unc).p").write_bytes(pickle.dumps(refs))
    return root


def test_sets_in_the_form_of_refcoco(tmp_path: Path) -> None:
    source = str(references(tmp_path / "my"))
    assert (
        app.run(["prepare-data", "custom", "--name", "rrsisd", "--root", str(tmp_path / "d"), "--source", source]) == 0
    )
    train, test = (Index.open(tmp_path / f"d/index/rrsisd/{split}") for split in ("train", "test"))
    check(train, {"a": BOTH["a"]})
    assert (texts(train), texts(test)) == ([["the left one"], ["it", "the dog"]], [["a dog"]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ann_id": 77}, "annotation 77: is not in instances.json"),
        ({"image_id": 2}, "is not in instances.json"),
        ({"sentences": []}, "ref 0: has no sentences"),
        ({"split": "other"}, "none of its references is of a split train, val or test"),
    ],
)
def test_broken_references(tmp_path: Path, refused: Refused, changes: dict[str, Any], message: str) -> None:
    assert message in refused("custom", references(tmp_path / "my", **changes), "train")


def packed(source: Path, target: Path, folder: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix == ".zip":
        zipped(source / folder, target)
        return
    with tarfile.open(target, "w:gz") as archive:
        archive.add(source / folder, folder)


@pytest.mark.parametrize("dataset", ["coco", "custom"])
def test_a_folder_of_downloaded_archives(tmp_path: Path, prepare: Prepare, dataset: str) -> None:
    pictures(tmp_path / "x/train2017")
    coco(tmp_path / "x/annotations/instances_train2017.json")
    for folder in ("train2017", "annotations"):
        name = "annotations_trainval2017" if folder == "annotations" else folder
        packed(tmp_path / "x", tmp_path / f"downloads/{name}.tar.gz", folder)
    if dataset == "coco":
        (tmp_path / "downloads/unrelated.tar.gz").write_bytes(b"this is of something else")
        for path in list((tmp_path / "downloads").glob("*2017.tar.gz")):
            path.unlink()
        for folder, name in (("train2017", "train2017"), ("annotations", "annotations_trainval2017")):
            with zipfile.ZipFile(tmp_path / f"downloads/{name}.zip", "w") as archive:
                for path in (tmp_path / "x" / folder).iterdir():
                    archive.write(path, f"{folder}/{path.name}")
    index = prepare(dataset, tmp_path / "downloads", "train")
    assert {name: len(things) for name, things in shown(index).items()} == {"a": 2, "b": 1}


def test_what_is_missing_of_a_folder_of_archives_is_told(tmp_path: Path, refused: Refused) -> None:
    vos(tmp_path / "x/train", "youtube")
    packed(tmp_path / "x", tmp_path / "downloads/train.tar.gz", "train")
    line = refused("mose", tmp_path / "downloads", "val")
    assert "found no valid/JPEGImages" in line
    assert "there are train.tar.gz" in line


def test_pictures_that_are_still_packed(tmp_path: Path, prepare: Prepare) -> None:
    pictures(tmp_path / "x/photos")
    coco(tmp_path / "my/labels.json")
    packed(tmp_path / "x", tmp_path / "my/photos.tar.gz", "photos")
    check(prepare("custom", tmp_path / "my", "train"), BOTH)


def test_classes_become_phrases(tmp_path: Path, prepare: Prepare) -> None:
    pictures(tmp_path / "my/images")
    names = [{"id": 1, "name": "traffic_light"}, {"id": 2, "name": "traffic_light"}]
    coco(tmp_path / "my/x.json", categories=names)
    index = prepare("custom", tmp_path / "my", "train")
    assert texts(index) == [["every traffic light"], ["the traffic light"]]
    assert [len(sample.objects) for sample in index] == [2, 1]
    coco(tmp_path / "my/x.json", categories=[{"id": 1, "name": "0"}, {"id": 2, "name": "1"}])
    assert prepare("custom", tmp_path / "my", "train", "--overwrite").manifest.task is Task.DETECTION


def test_a_template_of_phrases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = yolo(tmp_path / "my", "ultralytics")
    base = ["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(root)]
    assert app.run([*base, "--write-template"]) == 0
    table = root / "phrases.csv"
    assert table.read_text() == (
        "file,object,phrase,class\na.jpg,1,the cat,cat\na.jpg,2,the dog,dog\nb.jpg,1,the dog,dog\n"
    )
    assert app.run([*base, "--write-template"]) == 1
    assert "phrases.csv: is there already" in capsys.readouterr().err
    table.write_text("file,object,phrase,class\na.jpg,1,,cat\na.jpg,2,a brown dog,dog\n")
    assert app.run([*base, "--overwrite", "--split", "train"]) == 0
    assert texts(Index.open(tmp_path / "d/index/custom/train")) == [["a brown dog"]]


def test_verify_under_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "my/images")
    coco(tmp_path / "my/x.json")
    base = ["prepare-data", "custom", "--root", str(tmp_path / "d"), "--name", "pets"]
    assert app.run([*base, "--source", str(tmp_path / "my")]) == 0
    assert app.run([*base, "--verify"]) == 0
    assert "pets/train: as it was written" in capsys.readouterr().out
    (tmp_path / "my/images/a.jpg").unlink()
    assert app.run([*base, "--verify"]) == 1


def damaged_archive(root: Path) -> Path:
    root.mkdir()
    path = root / "x.zip"
    path.write_bytes(b"PK no")
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda root: coco(root / "x.json", images=[{"id": 1, "file_name": "gone.jpg"}]).parent,
        damaged_archive,
        lambda root: damaged_archive(root).parent,
        lambda root: build.picture(root / "images/a.jpg").parents[1],
    ],
)
def test_a_failure_leaves_nothing(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    source = make(tmp_path / "my")
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(source)]) == 1
    assert not (tmp_path / "d").exists()


def test_cvat_projects_mark_subsets(tmp_path: Path) -> None:
    root = cvat_images(tmp_path / "my")
    text = (root / "annotations.xml").read_text()
    text = text.replace('name="a.jpg"', 'name="a.jpg" subset="Train"').replace(
        'name="b.jpg"', 'name="b.jpg" subset="Validation"'
    )
    build.write_text(root / "annotations.xml", text)
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(root)]) == 0
    check(Index.open(tmp_path / "d/index/custom/train"), {"a": BOTH["a"]})
    check(Index.open(tmp_path / "d/index/custom/val"), {"b": BOTH["b"]})


def test_yolo_beside_the_pictures(tmp_path: Path, prepare: Prepare) -> None:
    pictures(tmp_path / "my/batch 1")
    build.write_text(tmp_path / "my/batch 1/a.txt", f"{yolo_line(0, CAT)}\n{yolo_line(1, DOG)}\n")
    build.write_text(tmp_path / "my/batch 1/b.txt", yolo_line(1, DOG))
    build.write_text(tmp_path / "my/batch 1/classes.txt", "cat\ndog\n")
    check(prepare("custom", tmp_path / "my", "train"), BOTH)


@pytest.mark.parametrize(("images", "masks"), [("images", "labels"), ("imgs", "masks"), ("JPEGImages", "Annotations")])
@pytest.mark.parametrize("inside", [False, True])
def test_folders_of_masks_under_other_names(
    tmp_path: Path, prepare: Prepare, images: str, masks: str, inside: bool
) -> None:
    if images == "JPEGImages" and inside:
        return  # these are videos
    for split in ("train", "val") if inside else ("",):
        build.picture(tmp_path / f"my/{images}/{split}/a.JPG")
        build.grey(tmp_path / f"my/{masks}/{split}/A_mask.PNG", np.dstack([mask(CAT).astype(np.uint8) * 255] * 3))
    index = prepare("custom", tmp_path / "my", "train")
    check(index, {"a": [("", mask(CAT))]})
    if inside:
        val = prepare("custom", tmp_path / "my", "val")
        assert val.media(0).path.parent.name == "val"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Object;Phrase;File\r\n1;das rote Kästchen;a.jpg\r\n", "utf-8-sig"),
        ("FILE\tObject\tPHRASE\na\t1.0\tdas rote Kästchen\n", "cp1252"),
        ("file,object,phrase\na,1,das rote Kästchen\nb,1,\n", "utf-16"),
        ("image,caption\na.jpg,das rote Kästchen\n", "utf-8"),
    ],
)
def test_tables_as_spreadsheets_write_them(
    tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str], text: str, encoding: str
) -> None:
    for name in ("a", "b"):
        build.picture(tmp_path / f"my/images/{name}.jpg")
        build.label_map(tmp_path / f"my/masks/{name}.png", {1: CAT})
    build.write_text(tmp_path / "my/phrases.csv", text, encoding)
    assert texts(prepare("custom", tmp_path / "my", "train")) == [["das rote Kästchen"]]
    err = capsys.readouterr().err
    assert ("it was read as Latin-1" in err) == (encoding == "cp1252")
    assert ("1 lines have no phrase" in err) == (encoding == "utf-16")


def test_a_table_without_objects_needs_one_object(tmp_path: Path, refused: Refused) -> None:
    build.picture(tmp_path / "my/images/a.jpg")
    build.label_map(tmp_path / "my/masks/a.png", {1: CAT, 2: DOG})
    build.write_text(tmp_path / "my/phrases.csv", "file,phrase\na,the box\n")
    assert "phrases.csv: a: has no column of objects, and the image shows 2" in refused(
        "custom", tmp_path / "my", "train"
    )


def test_colours_of_masks_have_one_number_in_all_pictures(
    tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    red, blue = (200, 10, 10), (10, 10, 200)
    for name, colours in (("a", (red, blue)), ("b", (blue, red))):
        build.picture(tmp_path / f"my/images/{name}.jpg")
        picture = np.zeros((H, W, 3), np.uint8)
        for colour, (y0, x0, y1, x1) in zip(colours, (CAT, DOG), strict=True):
            picture[y0:y1, x0:x1] = colour
        build.grey(tmp_path / f"my/masks/{name}.png", picture)
    index = prepare("custom", tmp_path / "my", "train")
    assert "object numbers of colours: #c80a0a = 1, #0a0ac8 = 2" in capsys.readouterr().err
    found = shown(index)
    np.testing.assert_array_equal(found["a"][0][2], mask(CAT))
    np.testing.assert_array_equal(found["b"][0][2], mask(DOG))


def test_a_picture_that_is_cut(tmp_path: Path, refused: Refused) -> None:
    pictures(tmp_path / "my/images")
    coco(tmp_path / "my/x.json")
    path = tmp_path / "my/images/b.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    assert "b.jpg: is cut: the end of the image is missing" in refused("custom", tmp_path / "my", "train")


def test_a_film_behind_a_picture_does_not_cut_it(tmp_path: Path, prepare: Prepare) -> None:
    pictures(tmp_path / "my/images")
    coco(tmp_path / "my/x.json")
    path = tmp_path / "my/images/b.jpg"
    path.write_bytes(path.read_bytes() + b"\0\0\0\x18ftypmp42" + b"\0" * (1 << 17))
    prepared = prepare("custom", tmp_path / "my", "train")
    assert {prepared.media(x.media).name for x in prepared} == {"a", "b"}


@pytest.mark.parametrize("form", ["a_1", "a_mask_1", "a/1"])
def test_a_mask_for_every_object(tmp_path: Path, prepare: Prepare, form: str) -> None:
    pictures(tmp_path / "my/images", "a.jpg")
    for number, box in (("2", CAT), ("10", DOG)):
        build.grey(tmp_path / f"my/masks/{form[:-1]}{number}.png", mask(box).astype(np.uint8) * 255)
    check(prepare("custom", tmp_path / "my", "train"), {"a": [("", mask(CAT)), ("", mask(DOG))]})


@pytest.mark.parametrize("end", ["", "_mask"])
def test_masks_beside_their_pictures(tmp_path: Path, prepare: Prepare, end: str) -> None:
    for place in ("my/first", "my/second"):
        build.picture(tmp_path / place / f"{place[-3:]}.JPG")
        build.grey(tmp_path / place / f"{place[-3:]}{end}.PNG", mask(CAT).astype(np.uint8) * 255)
    build.write_text(tmp_path / "my/phrases.csv", "file,object,phrase\nfirst/rst.JPG,1,the box\n")
    index = prepare("custom", tmp_path / "my", "train")
    check(index, {"rst": [("", mask(CAT))], "ond": [("", mask(CAT))]})
    assert texts(index) == [["the box"]]
