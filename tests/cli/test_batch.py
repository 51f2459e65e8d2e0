"""Files of `uniref predict` about a whole run: the page, and annotation files merged from those of the inputs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from uniref_cli.app import run

MakeVideo = Callable[..., Path]
Predict = Callable[..., int]


@pytest.fixture
def predict(checkpoint: Path, tmp_path: Path) -> Predict:
    """Run the command with the tiny checkpoint at 32 px into tmp_path/out; every text is found."""

    def call(*arguments: object) -> int:
        fixed = ["--checkpoint", checkpoint, "--out", tmp_path / "out", "--short-side", 32, "--score-threshold", 0]
        return run(["predict", *map(str, [*arguments, *fixed])])

    return call


@pytest.fixture
def pictures(tmp_path: Path, picture: np.ndarray) -> list[Path]:
    """Images of the same name in two folders, and beside one of another format."""
    paths = [tmp_path / "in" / name for name in ("a/000.jpg", "a/000.png", "b/000.png", "b/é 犬.png")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return paths


def test_one_file_for_all_images(predict: Predict, pictures: list[Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    command = (*pictures, "--text", "dog", "--text", "the cat", "--save", "coco,polygons")
    assert predict(*command) == 0
    coco = COCO(out / "coco.json")
    names = [image["file_name"] for image in coco.loadImgs(coco.getImgIds())]
    assert sorted(names) == ["a/000.jpg", "a/000.png", "b/000.png", "b/é 犬.png"]
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == ["dog", "the cat"]
    for path in pictures:  # each image has its own input's masks
        name = path.relative_to(tmp_path / "in").as_posix()
        [image] = [each for each in coco.imgs.values() if each["file_name"] == name]
        [folder] = [
            each.parent
            for each in out.glob("*/summary.json")
            if json.loads(each.read_text())["request"]["input"] == str(path)
        ]
        own = json.loads((folder / "coco.json").read_text())
        merged = coco.imgToAnns[image["id"]]
        assert [each["segmentation"] for each in merged] == [each["segmentation"] for each in own["annotations"]]
    assert len({each["id"] for each in coco.anns.values()}) == len(coco.anns) > 0
    assert len(COCO(out / "polygons.json").imgs) == 4
    # a rerun skips all, and writes the same; another request adds to the same images
    before = (out / "coco.json").read_bytes()
    assert predict(*command) == 0
    assert (out / "coco.json").read_bytes() == before
    assert predict(*pictures[:2], "--text", "a bird", "--save", "coco") == 0
    more = COCO(out / "coco.json")
    assert len(more.imgs) == 4
    assert {each["name"] for each in more.cats.values()} == {"dog", "the cat", "a bird"}
    # results that are replaced by some without such a file are no longer in it
    assert predict(*pictures, "--text", "dog", "--save", "masks", "--overwrite") == 0
    assert {each["name"] for each in COCO(out / "coco.json").cats.values()} == {"a bird"}


def test_parts_of_a_run_end_with_one_file_and_one_page(
    predict: Predict, pictures: list[Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    inputs = (*pictures, make_video("one.mp4", frames=2), make_video("two.mp4", frames=3), tmp_path / "none.mp4")
    command = (*inputs, "--text", "dog", "--save", "coco", "--quiet")
    codes = [predict(*command, "--shard", f"{part}/3") for part in (1, 2, 3)]
    assert sorted(codes) == [0, 0, 1]
    assert len(COCO(out / "coco.json").imgs) == 4
    videos = json.loads((out / "youtube_vis.json").read_text())
    assert [video["file_names"][0] for video in videos["videos"]] == ["one/00000.jpg", "two/00000.jpg"]
    assert [video["length"] for video in videos["videos"]] == [2, 3]
    for annotation in videos["annotations"]:
        [video] = [each for each in videos["videos"] if each["id"] == annotation["video_id"]]
        assert len(annotation["segmentations"]) == video["length"]
    page = (out / "index.html").read_text("utf-8")
    assert page.count("<tr data-input=") == 7
    assert "none.mp4: no such file or folder" in page
    # nothing else is left in the folder
    assert {path.name for path in out.iterdir() if path.is_file()} == {"coco.json", "youtube_vis.json", "index.html"}
    # whole, once more: what was done is skipped, what failed fails again
    assert predict(*command) == 1
    assert (out / "index.html").read_text("utf-8").count("<tr data-input=") == 7


def test_files_of_the_user_stay(predict: Predict, pictures: list[Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("coco.json", "index.html"):
        (out / name).write_text("mine")
    assert predict(pictures[0], "--text", "dog", "--save", "coco") == 0
    assert {(out / name).read_text() for name in ("coco.json", "index.html")} == {"mine"}
    errors = capsys.readouterr().err
    assert errors.count("uniref did not write") == 2
    assert (out / "000" / "coco.json").exists()


def test_a_page_that_cannot_be_written_is_an_error(
    predict: Predict, pictures: list[Path], tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    for name, kind in (("index.html", "masks"), ("coco.json", "coco")):
        obstacle = out / f".{Path(name).stem}.partial-{os.getpid()}{Path(name).suffix}"
        obstacle.mkdir(parents=True)
        assert predict(pictures[0], "--text", "dog", "--save", kind) == 1
        assert f"{name}: cannot be written" in capsys.readouterr().err
        obstacle.rmdir()
    assert len(list(out.glob("*/summary.json"))) == 2


def test_the_page_can_be_left_out(predict: Predict, pictures: list[Path], tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert predict(pictures[0], "--text", "dog", "--save", "masks", "--no-index") == 0
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == [
        "000",
        "000/mask.png",
        "000/summary.json",
    ]
    # it is no part of the request: the same command with the page skips what is done
    capsys.readouterr()
    assert predict(pictures[0], "--text", "dog", "--save", "masks", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "skipped"
    assert (out / "index.html").exists()
    assert not (out / "000" / "preview.jpg").exists()


def test_all_inputs_fail(predict: Predict, tmp_path: Path) -> None:
    assert predict(tmp_path / "a.mp4", tmp_path / "b.mp4", "--text", "dog") == 1
    assert (tmp_path / "out" / "index.html").read_text("utf-8").count('data-status="failed"') == 2


def test_a_preview_and_a_time_line(predict: Predict, make_video: MakeVideo, tmp_path: Path) -> None:
    assert predict(make_video(frames=4, size=(64, 32)), "--text", "dog", "--save", "masks") == 0
    folder = tmp_path / "out" / "clip"
    with Image.open(folder / "preview.jpg") as image:
        assert image.height == 132
        assert image.width in (66 * 2 + 4, 66 * 3 + 8)  # the best frame may be the first or the last
    text = (folder / "summary.json").read_text()
    assert len(json.loads(text)["timeline"]["objects"]["1"]["present"]) == 4
    assert [line for line in text.splitlines() if line.startswith('  "timeline": {')]  # on one line


@pytest.mark.slow
def test_all_outputs_at_once_with_a_variable_frame_rate(predict: Predict, tmp_path: Path, mask_png: Path) -> None:
    """Every kind of output, of an object that is given in the second frame alone."""
    from uniref.media.video_read import VideoFile
    from uniref.media.video_write import VideoWriter

    clip, seconds = tmp_path / " my clip é.mp4", [0.0, 0.04, 0.5, 0.54]
    writer = VideoWriter(clip, (48, 64), 25)
    for index, time in enumerate(seconds):
        writer.write(np.full((48, 64, 3), 60 * index, np.uint8), time, 0.04)
    writer.close()
    kinds = "overlay,gif,masks,rle,npz,cutout,webm,prores,mattes,matte-video,coco,polygons,yolo,mots,cvat"
    assert predict(clip, "--mask", f"1:{mask_png}", "--save", kinds) == 0
    folder = tmp_path / "out" / " my clip é"
    for name in ("overlay.mp4", "cutout.webm", "cutout.mov", "matte-1.mp4"):
        video = VideoFile(folder / name)
        assert [frame.seconds for frame in video.frames()] == pytest.approx(seconds, abs=2e-3), name
    matte = [frame.image for frame in VideoFile(folder / "matte-1.mp4").frames()]
    assert matte[0].max() == 0
    assert matte[1].max() > 250
    with Image.open(folder / "overlay.gif") as gif:
        durations = []
        for index in range(4):
            gif.seek(index)
            durations.append(gif.info["duration"])
        assert durations == pytest.approx([40, 460, 40, 40], abs=11)  # hundredths of a second
    files = json.loads((folder / "summary.json").read_text())["files"]
    assert files["mattes"] == [f"1/{index:05d}.png" for index in range(1, 4)]
    assert files["yolo"] == ["classes.txt", "data.yaml", *(f"labels/{index:05d}.txt" for index in range(4))]
    # a rerun with --overwrite knows every file as its own
    assert predict(clip, "--mask", f"1:{mask_png}", "--save", "masks", "--overwrite") == 0
    assert sorted(path.name for path in folder.iterdir()) == ["masks", "preview.jpg", "summary.json"]
