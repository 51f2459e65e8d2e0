"""Every video data set: a miniature in the published layout, prepared by the command and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from uniref.core.tasks import Task
from uniref.data.frames import read_frame
from uniref.data.index import GIVEN, TRUTH, Index
from uniref_cli import app

Refused = Callable[..., str]


def texts(index: Index) -> list[list[str]]:
    return [[index.expression(row).text for row in sample.expressions] for sample in index]


def same_after_moving_pictures_are_read(index: Index) -> None:
    for sample in index:
        media = index.media(sample.media)
        assert read_frame(media, media.length - 1).shape == (media.height, media.width, 3)


def test_davis17(tmp_path: Path, prepare: Prepare) -> None:
    build.davis(tmp_path / "d")
    index = prepare("davis17", tmp_path / "d", "val")
    assert (index.manifest.task, len(index)) == (Task.VOS, 2)
    same_after_moving_pictures_are_read(index)
    bear = index.sample(0)
    assert index.media(bear.media).name == "bear"
    assert [index.object(row).source_id for row in bear.objects] == [1, 2]  # 255 is void, not an object
    track = index.annotations(bear.objects[1])
    assert track.frames.tolist() == [0, 1, 2, 3]
    assert track.roles.tolist() == [TRUTH | GIVEN, TRUTH, TRUTH, TRUTH]
    np.testing.assert_array_equal(track.mask(2), build.box_mask(4, 12, 10, 20))
    assert track.boxes[2].tolist() == [12, 4, 20, 10]
    assert track.areas[2] == 48
    train = prepare("davis17", tmp_path / "d", "train")
    assert (len(train), train.media(0).length) == (1, 3)


def test_davis17_test_dev_has_first_masks_only(tmp_path: Path, prepare: Prepare) -> None:
    base = build.davis(tmp_path / "d")
    build.write_text(base / "ImageSets/2017/test-dev.txt", "goat\n")
    for t in (1, 2):
        (base / f"Annotations/480p/goat/{t:05d}.png").unlink()
    index = prepare("davis17", tmp_path / "d", "test-dev")
    assert index.annotations(0).frames.tolist() == [0]
    assert not index.media(0).complete


def test_ref_davis17(tmp_path: Path, prepare: Prepare) -> None:
    build.davis(tmp_path / "d", "Annotations_unsupervised")
    build.davis_texts(tmp_path / "d")
    index = prepare("ref-davis17", tmp_path / "d", "val")
    assert (index.manifest.task, len(index)) == (Task.RVOS, 8)
    assert [s.group for s in index] == [0, 1, 2, 3] * 2
    assert texts(index)[:2] == [["the bear annot1", "the caf\u00e9"], ["the bear_full_video annot1", "the caf\u00e9"]]
    assert texts(index)[2][1] == "the caf\u00e9"  # from Latin-1
    assert [index.expression(e).source_id for e in index.sample(2).expressions] == ["2", "6"]
    assert [index.object(o).source_id for o in index.sample(2).objects] == [1, 2]
    void = [row for row in index.media(0).objects if index.object(row).crowd]
    assert [index.object(row).source_id for row in void] == [255]
    np.testing.assert_array_equal(index.annotations(void[0]).mask(3), build.box_mask(20, 0, 24, 32))
    assert not any(index.object(row).crowd for row in index.media(1).objects)  # goat has none


def test_youtube_vos(tmp_path: Path, prepare: Prepare) -> None:
    build.youtube_vos(tmp_path / "y")
    train = prepare("youtube-vos-2019", tmp_path / "y", "train")
    assert train.manifest.counts["objects"] == 2
    assert train.annotations(1).frames.tolist() == [0, 2]
    assert train.manifest.categories == {1: "cat", 2: "dog"}
    assert [train.object(row).category for row in (0, 1)] == [2, 1]
    assert not train.media(0).complete  # not every label map shows every object
    val = prepare("youtube-vos-2018", tmp_path / "y", "val")
    same_after_moving_pictures_are_read(val)
    first, late = (val.object(row) for row in val.sample(0).objects)
    assert (first.source_id, first.given_frame, first.score_range) == (3, 0, (0, 2))
    assert (late.source_id, late.given_frame, late.score_range) == (7, 1, (1, 2))
    assert val.annotations(late.row).roles.tolist() == [TRUTH | GIVEN]


def test_youtube_vos_train_without_meta(tmp_path: Path, prepare: Prepare) -> None:
    build.youtube_vos(tmp_path / "y")
    (tmp_path / "y/train/meta.json").unlink()
    index = prepare("youtube-vos-2019", tmp_path / "y", "train")
    assert [index.object(row).source_id for row in index.sample(0).objects] == [1, 2]
    assert any("meta.json" in note for note in index.manifest.notes)


def test_ref_youtube_vos(tmp_path: Path, prepare: Prepare) -> None:
    build.youtube_vos(tmp_path / "y")
    build.youtube_texts(tmp_path / "y")
    train = prepare("ref-youtube-vos", tmp_path / "y", "train")
    assert texts(train) == [["a brown dog", "the dog on the left"]]
    assert train.manifest.dropped == {"object without an expression": 1}
    val = prepare("ref-youtube-vos", tmp_path / "y", "val")
    assert texts(val) == [["an owl"], ["a dog"]]  # the test video is left out
    assert [val.expression(s.expressions[0]).source_id for s in val] == ["0", "1"]
    assert (val.sample(0).media, val.sample(1).media, val.sample(0).objects) == (0, 0, ())


def test_ref_youtube_vos_val_without_the_withdrawn_test_list(tmp_path: Path, prepare: Prepare) -> None:
    build.youtube_vos(tmp_path / "y")
    build.youtube_texts(tmp_path / "y")
    (tmp_path / "y/meta_expressions/test/meta_expressions.json").unlink()
    assert len(prepare("ref-youtube-vos", tmp_path / "y", "val")) == 2


def test_lvos(tmp_path: Path, prepare: Prepare) -> None:
    build.lvos(tmp_path / "l")
    index = prepare("lvos", tmp_path / "l", "val")
    thing = index.object(0)
    assert (thing.given_frame, thing.score_range, thing.seen) == (1, (1, 2), False)
    assert index.annotations(0).roles.tolist() == [TRUTH | GIVEN, TRUTH, TRUTH]  # the last one is not scored
    train = prepare("lvos", tmp_path / "l", "train")
    assert train.object(0).given_frame == -1


@pytest.mark.parametrize("place", ["meta_jsons/valid_meta.json", "valid_meta.json"])
def test_lvos_meta_may_lie_elsewhere(tmp_path: Path, prepare: Prepare, place: str) -> None:
    build.lvos(tmp_path / "l")
    (tmp_path / "l" / place).parent.mkdir(exist_ok=True)
    (tmp_path / "l/valid/valid_meta.json").rename(tmp_path / "l" / place)
    assert len(prepare("lvos", tmp_path / "l", "val")) == 1


def test_mose(tmp_path: Path, prepare: Prepare) -> None:
    build.mose(tmp_path / "m")
    train = prepare("mose", tmp_path / "m", "train")
    assert [train.media(s.media).length for s in train] == [3, 1]
    assert any("1 videos of one frame" in note for note in train.manifest.notes)
    val = prepare("mose", tmp_path / "m", "val")
    assert [val.object(row).given_frame for row in val.sample(0).objects] == [0, 0]


def test_ovis(tmp_path: Path, prepare: Prepare) -> None:
    build.ovis(tmp_path / "o")
    index = prepare("ovis", tmp_path / "o", "train")
    assert [len(s.objects) for s in index] == [2, 1]
    assert index.annotations(1).frames.tolist() == [1]
    np.testing.assert_array_equal(index.annotations(1).mask(0), build.box_mask(2, 3, 10, 12))
    assert index.manifest.categories == {4: "Cat", 9: "Dog"}
    same_after_moving_pictures_are_read(index)


def test_mevis(tmp_path: Path, prepare: Prepare) -> None:
    build.mevis(tmp_path / "m")
    index = prepare("mevis", tmp_path / "m", "valid_u")
    assert texts(index) == [["both birds flying away"], ["the left bird"]]
    both, left = index.sample(0), index.sample(1)
    assert [index.object(row).source_id for row in both.objects] == [301, 302]
    assert left.objects == both.objects[:1]
    assert index.annotations(both.objects[0]).frames.tolist() == [0]
    val = prepare("mevis", tmp_path / "m", "val")
    assert val.sample(0).objects == ()


def test_expressions_of_mevis_v2_are_not_taken_for_v1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build.mevis_v2(tmp_path / "m")
    command = ["prepare-data", "mevis", "--source", str(tmp_path / "m"), "--root", str(tmp_path / "data")]
    assert app.run([*command, "--split", "valid_u"]) == 1
    told = capsys.readouterr().err
    assert "valid_u/meta_expressions_v2.json: has the expressions of MeViS v2; prepare mevis-v2 from it" in told


def test_the_released_systems_own_files(tmp_path: Path, prepare: Prepare) -> None:
    """Its preprocessed JSON is accepted beside the frames, named `valid.json` or `val.json`."""
    build.youtube_vos(tmp_path / "y")
    mask = build.run_lengths(build.box_mask(1, 1, 5, 5))
    names = [f"00f88c4f0a/{t:05d}.jpg" for t in (0, 5, 10)]
    video = {"id": 1, "height": build.H, "width": build.W, "length": 3, "file_names": names}
    thing = {"id": 1, "video_id": 1, "ori_id": "7", "iscrowd": 0, "category_id": 1}
    thing |= {"segmentations": [None, mask, None], "bboxes": [None, [1, 1, 3, 3], None], "areas": [None, 9, None]}
    categories = [{"id": 1, "name": "object"}]
    data = {"videos": [video], "annotations": [thing], "categories": categories}
    path = build.write_json(tmp_path / "y/annotations/valid.json", data)
    index = prepare("youtube-vos-2019", tmp_path / "y", "val")
    assert index.object(0).source_id == 3  # the publishers' label maps, which say more
    index = prepare("youtube-vos-2019", tmp_path / "y", "val", "--source", str(path), "--overwrite")
    assert (index.object(0).source_id, index.object(0).given_frame) == (7, 1)
    assert index.annotations(0).boxes[0].tolist() == [1, 1, 5, 5]  # from the mask, not one pixel short
    texts_of = {"videos": [video | {"video": "00f88c4f0a", "exp_id": "4", "expressions": ["a dog"]}]}
    build.write_json(tmp_path / "y/annotations/val.json", texts_of | {"annotations": [], "categories": categories})
    (tmp_path / "y/annotations/valid.json").unlink()
    refer = prepare("ref-youtube-vos", tmp_path / "y", "val")
    assert texts(refer) == [["a dog"]]
    assert refer.expression(0).source_id == "4"


def rgb(path: Path) -> None:
    Image.new("RGB", (build.W, build.H)).save(path)


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        (lambda b: rgb(b / "Annotations/480p/bear/00001.png"), r"00001\.png: is a RGB image"),
        (lambda b: build.label_map(b / "Annotations/480p/bear/00001.png", {}, 9, 9), "is 9 x 9, the frame 32 x 24"),
        (lambda b: (b / "Annotations/480p/bear/00001.png").unlink(), r"bear: 00001\.jpg has no label map"),
        (lambda b: (b / "JPEGImages/480p/bear/00001.jpg").unlink(), r"00001\.png: there is no frame of this name"),
        (lambda b: build.picture(b / "JPEGImages/480p/bear/00002.jpg", 10, 10), r"00002\.jpg: is 10 x 10"),
        (lambda b: (b / "JPEGImages/480p/bear/00000.jpg").write_bytes(b"no"), r"00000\.jpg: is not a"),
        (lambda b: build.label_map(b / "Annotations/480p/bear/00000.png", {}), "first label map shows no object"),
        (lambda b: build.write_text(b / "ImageSets/2017/val.txt", "elk\n"), "elk: .*no such folder"),
        (lambda b: (b / "ImageSets/2017/val.txt").unlink(), r"found no ImageSets/2017/val\.txt"),
    ],
)
def test_broken_davis(tmp_path: Path, refused: Refused, breakage: Callable[[Path], object], message: str) -> None:
    breakage(build.davis(tmp_path / "d"))
    assert re.search(message, refused("davis17", tmp_path / "d", "val", "--accept-counts"))


def change(path: Path, edit: Callable[[dict], object]) -> None:
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("dataset", "builder", "split", "breakage", "message"),
    [
        ("youtube-vos-2019", build.youtube_vos, "val", lambda r: (r / "valid/meta.json").unlink(), "meta.json"),
        (
            "youtube-vos-2018",
            build.youtube_vos,
            "val",
            lambda r: (r / "valid/Annotations/00f88c4f0a/00005.png").unlink(),
            "00f88c4f0a: object 7 of meta.json is in none of its label maps",
        ),
        (
            "lvos",
            build.lvos,
            "train",
            lambda r: (r / "train/Annotations/aB3dE5fG/00000006.png").unlink(),
            r"aB3dE5fG: 00000006\.jpg has no label map",
        ),
        ("lvos", build.lvos, "val", lambda r: (r / "valid/valid_meta.json").unlink(), "found no .*valid_meta.json"),
        (
            "mose",
            build.mose,
            "train",
            lambda r: rgb(r / "train/Annotations/0a1b2c3d/00001.png"),
            r"00001\.png: is a RGB image; a label map is a palette or 8-bit grey PNG",
        ),
        ("ovis", build.ovis, "train", lambda r: (r / "train/bbbb2222/img_0000002.jpg").unlink(), "no such file"),
        (
            "ovis",
            build.ovis,
            "train",
            lambda r: change(r / "annotations_train.json", lambda d: d["annotations"][0].update(video_id=7)),
            "annotation 1: video 7 is not listed",
        ),
        (
            "mevis",
            build.mevis,
            "valid_u",
            lambda r: change(r / "valid_u/mask_dict.json", lambda d: d["301"].pop()),
            "annotation 301 has 1 masks for 2 frames",
        ),
        (
            "mevis",
            build.mevis,
            "val",
            lambda r: change(
                r / "valid/meta_expressions.json",
                lambda d: d["videos"]["0a1b2c3d4e5f"]["expressions"]["1"].update(exp=3),
            ),
            "video 0a1b2c3d4e5f: 3 is not a valid expression",
        ),
        (
            "mevis",
            build.mevis,
            "val",
            lambda r: change(
                r / "valid/meta_expressions.json",
                lambda d: d["videos"]["0a1b2c3d4e5f"].update(frames=["../../x"]),
            ),
            "its frames are not a list of frame names",
        ),
        (
            "youtube-vos-2019",
            build.youtube_vos,
            "train",
            lambda r: change(r / "train/meta.json", lambda d: d["videos"]["0a49f5265b"]["objects"].pop("2")),
            "object 2, which meta.json does not have",
        ),
        (
            "youtube-vos-2018",
            build.youtube_vos,
            "train",
            lambda r: (r / "train/meta.json").write_text("{"),
            "not valid JSON",
        ),
        (
            "lvos",
            build.lvos,
            "val",
            lambda r: build.label_map(r / "valid/Annotations/R3UJGYwy/00000006.png", {}),
            "no mask in its first frame 00000006",
        ),
        (
            "lvos",
            build.lvos,
            "val",
            lambda r: change(r / "valid/valid_meta.json", lambda d: d["videos"]["R3UJGYwy"]["objects"]["1"].clear()),
            "has no 'frame_range'",
        ),
        (
            "mose",
            build.mose,
            "val",
            lambda r: build.label_map(r / "valid/Annotations/00ff00ff/00001.png", {1: (0, 0, 2, 2)}),
            "one label map",
        ),
        (
            "ovis",
            build.ovis,
            "train",
            lambda r: change(r / "annotations_train.json", lambda d: d["annotations"][0]["segmentations"].pop()),
            "1 segmentations for 2 frames",
        ),
        (
            "ovis",
            build.ovis,
            "train",
            lambda r: change(r / "annotations_train.json", lambda d: d["annotations"][1].update(id=1)),
            r"annotation 1 \(at 1\): its id occurs twice",
        ),
        (
            "ovis",
            build.ovis,
            "train",
            lambda r: change(r / "annotations_train.json", lambda d: d["videos"][0].update(width=99)),
            "the record says 99 x 24",
        ),
        (
            "ovis",
            build.ovis,
            "train",
            lambda r: change(
                r / "annotations_train.json",
                lambda d: d["annotations"][0]["segmentations"].__setitem__(0, {"size": [24, 32], "counts": "12"}),
            ),
            "annotation 1: run lengths cover",
        ),
        (
            "mevis",
            build.mevis,
            "train",
            lambda r: change(r / "train/mask_dict.json", lambda d: d.pop("302")),
            "annotation 302 is not in mask_dict.json",
        ),
        (
            "mevis",
            build.mevis,
            "train",
            lambda r: (r / "train/JPEGImages/0a1b2c3d4e5f/00001.jpg").unlink(),
            r"00001\.jpg: no such file",
        ),
    ],
)
def test_broken_twins(
    tmp_path: Path,
    refused: Refused,
    dataset: str,
    builder: Callable[[Path], object],
    split: str,
    breakage: Callable[[Path], object],
    message: str,
) -> None:
    builder(tmp_path / "x")
    breakage(tmp_path / "x")
    assert re.search(message, refused(dataset, tmp_path / "x", split, "--accept-counts"))


def test_broken_texts(tmp_path: Path, refused: Refused) -> None:
    build.davis(tmp_path / "d", "Annotations_unsupervised")
    build.davis_texts(tmp_path / "d")
    path = tmp_path / "d/davis_text_annotations/Davis17_annot2.txt"
    build.write_text(path, 'bear 1 "x"\ngoat one "y"\n', "latin-1")
    assert "Davis17_annot2.txt: line 2" in refused("ref-davis17", tmp_path / "d", "val", "--accept-counts")
    build.write_text(path, 'bear 1 "x"\ngoat 1 "y"\n', "latin-1")
    assert "bear: the four annotators" in refused("ref-davis17", tmp_path / "d", "val", "--accept-counts")


def test_broken_ref_youtube_vos(tmp_path: Path, refused: Refused) -> None:
    build.youtube_vos(tmp_path / "y")
    build.youtube_texts(tmp_path / "y")
    path = tmp_path / "y/meta_expressions/train/meta_expressions.json"
    change(path, lambda d: d["videos"]["0a49f5265b"]["expressions"]["0"].update(obj_id="9"))
    assert "names object 9" in refused("ref-youtube-vos", tmp_path / "y", "train", "--accept-counts")
