"""Users' own data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare, Refused
from tests.data.prepare.test_run import zipped
from uniref.core.tasks import Task
from uniref.data.frames import read_frame
from uniref.data.index import Index, Media
from uniref.media.video_write import VideoWriter
from uniref_cli import app


def folder(root: Path) -> Path:
    """Two images with masks, one black and white, and phrases."""
    build.picture(root / "images/cat.jpg")
    build.picture(root / "images/dog.PNG")
    build.label_map(root / "masks/cat.png", {1: (2, 2, 9, 9), 4: (10, 10, 20, 20)})
    build.grey(root / "masks/dog.png", build.box_mask(3, 3, 8, 8).astype(np.uint8) * 255)
    phrases = 'file,object,phrase\ncat,4,"the cat, sleeping"\ncat.jpg,4,a grey cat\ndog,1,the dog\n'
    build.write_text(root / "phrases.csv", phrases)
    return root


def texts(index: Index) -> list[list[str]]:
    return [[index.expression(row).text for row in sample.expressions] for sample in index]


def test_pictures_and_phrases(tmp_path: Path, prepare: Prepare) -> None:
    index = prepare("custom", folder(tmp_path / "mine"), "train")
    assert (index.manifest.task, texts(index)) == (Task.RIS, [["the cat, sleeping", "a grey cat"], ["the dog"]])
    assert index.object(index.sample(0).objects[0]).source_id == 4
    np.testing.assert_array_equal(index.annotations(index.sample(1).objects[0]).mask(0), build.box_mask(3, 3, 8, 8))


def test_under_its_own_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path / "mine")
    base = ["prepare-data", "custom", "--root", str(tmp_path / "data"), "--source", str(tmp_path / "mine")]
    assert app.run([*base, "--name", "pets"]) == 0
    assert Index.open(tmp_path / "data/index/pets/train").manifest.name == "pets/train"
    assert app.run(["prepare-data", "pets", "--root", str(tmp_path / "data"), "--verify"]) == 0
    assert app.run([*base, "--name", "mose"]) == 2
    assert app.run([*base, "--name", "../x"]) == 2


def test_split_folders(tmp_path: Path) -> None:
    folder(tmp_path / "mine/train")
    folder(tmp_path / "mine/val")
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), "--source", str(tmp_path / "mine")]) == 0
    assert [len(Index.open(tmp_path / f"d/index/custom/{split}")) for split in ("train", "val")] == [2, 2]


def test_classes_make_few_shot_samples(tmp_path: Path, prepare: Prepare) -> None:
    root = folder(tmp_path / "mine")
    (root / "phrases.csv").unlink()
    build.write_text(root / "classes.csv", "file,object,class\ncat,1,rug\ncat,4,cat\ndog,1,dog\n")
    index = prepare("custom", root, "train")
    assert index.manifest.task is Task.FSS
    assert [index.manifest.categories[s.category] for s in index] == ["rug", "cat", "dog"]
    detection = prepare("custom", root, "train", "--task", "detection")
    assert [len(s.objects) for s in detection] == [2, 1]


def test_clips(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "mine"
    for t in range(3):
        build.picture(root / f"videos/run/{t:03d}.jpg")
    build.label_map(root / "masks/run/001.png", {2: (1, 1, 9, 9)})
    vos = prepare("custom", root, "train")
    assert (vos.manifest.task, vos.object(0).given_frame, vos.media(0).complete) == (Task.VOS, 1, False)
    build.write_text(root / "phrases.csv", "file,object,phrase\nrun,2,the runner\n")
    rvos = prepare("custom", root, "train", "--overwrite")
    assert (rvos.manifest.task, texts(rvos)) == (Task.RVOS, [["the runner"]])


def test_coco_json_with_expressions(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "mine"
    build.picture(root / "images/a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "height": build.H, "width": build.W, "expressions": ["the box"]}
    data = {"images": [image], "annotations": [build.instance(3, 1, 1, [build.SQUARE])], "categories": []}
    build.write_json(root / "annotations.json", data)
    assert texts(prepare("custom", root, "train")) == [["the box"]]
    del image["expressions"]
    build.write_json(root / "annotations.json", data)
    assert prepare("custom", root, "train", "--overwrite").manifest.task is Task.DETECTION


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda r: build.write_text(r / "phrases.csv", "cat,4,x\n"), "its first line must be file,object,phrase"),
        (lambda r: build.write_text(r / "phrases.csv", "file,object,phrase\ncat,x,y\n"), "phrases.csv: line 2"),
        (
            lambda r: build.write_text(r / "phrases.csv", "file,object,phrase\ncow,1,y\n"),
            "cow: there is no such image",
        ),
        (
            lambda r: build.write_text(r / "phrases.csv", "file,object,phrase\ncat,9,y\n"),
            "object 9, which its masks do",
        ),
        (lambda r: (r / "masks/dog.png").unlink(), "its mask dog.png: no such file"),
        (lambda r: build.label_map(r / "masks/cat.png", {}, 9, 9), "is 32 x 24, its mask 9 x 9"),
        (lambda r: [path.unlink() for path in (r / "images").iterdir()], "holds no images"),
    ],
)
def test_broken(tmp_path: Path, refused: Refused, breakage: Callable[[Path], object], message: str) -> None:
    breakage(folder(tmp_path / "mine"))
    assert message in refused("custom", tmp_path / "mine", "train")


def video(path: Path, length: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = VideoWriter(path, (build.H, build.W), 5.0)
    for t in range(length):
        writer.write(np.full((build.H, build.W, 3), 60 * t, np.uint8))
    writer.close()


def test_a_clip_may_be_a_video_file(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "mine"
    video(root / "videos/run.mp4")
    build.label_map(root / "masks/run/00001.png", {2: (2, 2, 8, 8)})
    build.label_map(root / "masks/run/2.png", {2: (3, 3, 9, 9)})
    build.write_text(root / "phrases.csv", "file,object,phrase\nrun.mp4,2,the runner\n")
    index = prepare("custom", root, "train", "--export", str(tmp_path / "again/train.json"))
    media = index.media(0)
    assert (media.kind, media.path.name, media.length, media.frames) == ("video", "run.mp4", 3, ())
    assert texts(index) == [["the runner"]]
    assert index.annotations(0).frames.tolist() == [1, 2]
    assert abs(int(read_frame(media, 2)[0, 0, 0]) - 120) < 20
    (root / "videos").rename(tmp_path / "again/videos")
    again = prepare("custom", tmp_path / "again", "train", "--overwrite")  # YouTube-VIS JSON that names a video file
    assert (again.media(0).kind, again.media(0).length, texts(again)) == ("video", 3, [["the runner"]])
    assert again.annotations(0).counts == index.annotations(0).counts
    assert read_frame(again.media(0), 1).shape == (build.H, build.W, 3)


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda r: (r / "videos/run.mp4").write_bytes(b"no"), "run.mp4: is not a video that can be read"),
        (lambda r: build.label_map(r / "masks/run/00003.png", {1: (0, 0, 2, 2)}), "00003.png: there is no frame"),
        (lambda r: build.label_map(r / "masks/run/1.png", {1: (0, 0, 2, 2)}), "1.png: there is no other frame"),
        (lambda r: build.label_map(r / "masks/run/00001.png", {}, 9, 9), "00001.png: is 9 x 9, the frame 32 x 24"),
        (lambda r: build.picture(r / "videos/run/0.jpg"), "holds two videos of one name"),
        (lambda r: build.picture(r / "images/0.jpg"), "holds images and videos"),
        (lambda r: [x.unlink() for x in (r / "videos").iterdir()], "holds no folders of frames and no video files"),
    ],
)
def test_broken_video_files(tmp_path: Path, refused: Refused, breakage: Callable[[Path], object], message: str) -> None:
    root = tmp_path / "mine"
    video(root / "videos/run.mp4")
    build.label_map(root / "masks/run/00001.png", {2: (2, 2, 8, 8)})
    breakage(root)
    assert message in refused("custom", root, "train")


def test_black_and_white_masks_of_a_clip(tmp_path: Path, prepare: Prepare) -> None:
    """PNG frames; white is object 1 where all masks are black and white, and void otherwise."""
    root = tmp_path / "mine"
    for t in range(2):
        build.picture(root / f"videos/run/{t}.png")
        build.grey(root / f"masks/run/{t}.png", build.box_mask(t, 3, 8 + t, 8).astype(np.uint8) * 255)
    index = prepare("custom", root, "train")
    assert [index.object(row).source_id for row in index.sample(0).objects] == [1]
    np.testing.assert_array_equal(index.annotations(0).mask(1), build.box_mask(1, 3, 9, 8))
    build.label_map(root / "masks/run/1.png", {3: (1, 1, 4, 4), 255: (10, 10, 14, 14)})
    index = prepare("custom", root, "train", "--overwrite")
    assert [index.object(row).source_id for row in index.sample(0).objects] == [3]


@pytest.mark.parametrize("form", ["folder", "archive", "json", "annotations"])
def test_every_split_is_found(tmp_path: Path, form: str) -> None:
    root = tmp_path / "mine"
    source = root
    for split in ("train", "val"):
        if form in ("folder", "archive"):
            folder(root / split)
        else:
            build.picture(root / "images/a.jpg")
            image = {"id": 1, "file_name": "a.jpg", "height": build.H, "width": build.W}
            data = {"images": [image], "annotations": [build.instance(3, 1, 1, [build.SQUARE])]}
            place = "annotations/" if form == "annotations" else ""
            build.write_json(root / f"{place}{split}.json", data)
    if form == "archive":
        source = tmp_path / "mine.zip"
        zipped(root, source)
    base = ["prepare-data", "custom", "--root", str(tmp_path / "d")]
    assert app.run([*base, "--source", str(source)]) == 0
    assert sorted(path.name for path in (tmp_path / "d/index/custom").iterdir()) == ["train", "val"]
    assert app.run([*base, "--export", str(tmp_path / "x.json")]) == 2  # both are found again without --source
    assert app.run([*base, "--split", "val", "--export", str(tmp_path / "x.json")]) == 0


def test_archives_of_two_data_sets_are_not_mixed(tmp_path: Path) -> None:
    folder(tmp_path / "one")
    zipped(tmp_path / "one", tmp_path / "one.zip")
    nothing(tmp_path / "two", "mask")
    zipped(tmp_path / "two", tmp_path / "two.zip")
    base = ["prepare-data", "custom", "--root", str(tmp_path / "d")]
    for name in ("one", "two"):
        assert app.run([*base, "--name", name, "--source", str(tmp_path / f"{name}.zip")]) == 0
    assert app.run([*base, "--source", str(tmp_path / "two")]) == 0
    names = {name: {m.name for m in media(tmp_path / f"d/index/{name}/train")} for name in ("one", "two", "custom")}
    assert names == {"one": {"cat", "dog"}, "two": {"a"}, "custom": {"a"}}
    (tmp_path / "one/images/cat.jpg").unlink()
    build.write_text(tmp_path / "one/phrases.csv", "file,object,phrase\ndog,1,the dog\n")
    zipped(tmp_path / "one", tmp_path / "one.zip")
    assert app.run([*base, "--name", "one", "--source", str(tmp_path / "one.zip"), "--overwrite"]) == 0
    assert {m.name for m in media(tmp_path / "d/index/one/train")} == {"dog"}


def media(index_folder: Path) -> list[Media]:
    index = Index.open(index_folder)
    return [index.media(row) for row in range(index.manifest.counts["media"])]


def test_json_named_by_itself(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    build.picture(root / "a.jpg")
    image = {"id": 1, "file_name": "a.jpg", "height": build.H, "width": build.W}
    data = {"images": [image], "annotations": [build.instance(3, 1, 1, [build.SQUARE])]}
    build.write_json(root / "labels_2024.json", data)
    source = ["--source", str(root / "labels_2024.json")]
    assert app.run(["prepare-data", "custom", "--root", str(tmp_path / "d"), *source]) == 0
    assert len(Index.open(tmp_path / "d/index/custom/train")) == 1


def nothing(root: Path, *files: str) -> Path:
    build.picture(root / "images/a.jpg")
    build.label_map(root / "masks/a.png", {1: (2, 2, 8, 8)} if "mask" in files else {})
    if "phrases" in files:
        build.write_text(root / "phrases.csv", "file,object,phrase\n")
    return root


@pytest.mark.parametrize(
    ("files", "task", "wanted"),
    [
        ((), "detection", "no images that show an object were found"),
        (("mask",), "ris", "no phrases for images (phrases.csv, or `expressions` in the JSON) were found"),
        (("mask",), "fss", "no classes for images (classes.csv, or COCO JSON) were found"),
    ],
)
def test_no_samples_is_an_error_that_says_what_was_looked_for(
    tmp_path: Path, refused: Refused, files: tuple[str, ...], task: str, wanted: str
) -> None:
    line = refused("custom", nothing(tmp_path / "mine", *files), "train", "--task", task)
    assert wanted in line
    assert f"in {tmp_path / 'mine'}: 1 images or videos, {len(files)} objects" in line


def test_a_task_that_the_files_do_not_allow(tmp_path: Path, refused: Refused) -> None:
    line = refused("custom", nothing(tmp_path / "mine", "mask"), "train", "--task", "vos", code=2)
    assert "--task vos: custom/train holds images" in line


def test_files_with_dots_in_their_names(tmp_path: Path, prepare: Prepare) -> None:
    root = tmp_path / "mine"
    build.picture(root / "images/img.v2.jpg")
    build.label_map(root / "masks/img.v2.png", {1: (2, 2, 8, 8)})
    build.write_text(root / "phrases.csv", "file,object,phrase\nimg.v2,1,a box\nimg.v2.jpg,1,the box\n")
    assert texts(prepare("custom", root, "train")) == [["a box", "the box"]]
