"""Submissions: the layout of every server, and what is wrong with one, file by file."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.prepare import build
from tests.data.prepare.conftest import Prepare
from tests.evaluation.masks import write_masks
from tests.marks import slow_except
from tests.packaging.test_lazy_imports import modules_after_command
from uniref.data.prepare.catalog import data_sets
from uniref.evaluation.dataset import open_dataset
from uniref.evaluation.submission import pack
from uniref_cli import app

Check = Callable[..., list[str]]


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """`check("mose/val", path)` runs the command; returns what is wrong."""

    def run(data: str, path: Path) -> list[str]:
        capsys.readouterr()
        command = ["eval", "--data", data, "--check-submission", str(path), "--root", str(tmp_path / "data")]
        code = app.run([*command, "--workers", "1", "--json"])
        record = json.loads(capsys.readouterr().out)
        assert (code, record["good"]) == ((0, True) if not record["problems"] else (1, False))
        return list(record["problems"])

    return run


def davis_test_dev(root: Path) -> None:
    base = build.davis(root)
    build.write_text(base / "ImageSets/2017/test-dev.txt", "goat\n")
    for t in (1, 2):
        (base / f"Annotations/480p/goat/{t:05d}.png").unlink()


def lvos_test(root: Path) -> None:
    build.lvos(root)
    (root / "valid").rename(root / "test")
    (root / "test/valid_meta.json").rename(root / "test/test_meta.json")
    for name in ("00000011", "00000016"):
        (root / f"test/Annotations/R3UJGYwy/{name}.png").unlink()


def youtube_both(root: Path) -> None:
    build.youtube_vos(root)
    build.youtube_texts(root)


LAYOUTS = {
    "ref-youtube-vos/val": (
        youtube_both,
        "L",
        [f"Annotations/00f88c4f0a/{e}/{t:05d}.png" for e in (0, 1) for t in (0, 5, 10)],
    ),
    "youtube-vos-2018/val": (build.youtube_vos, "P", [f"Annotations/00f88c4f0a/{t:05d}.png" for t in (0, 5, 10)]),
    "youtube-vos-2019/val": (build.youtube_vos, "P", [f"Annotations/00f88c4f0a/{t:05d}.png" for t in (0, 5, 10)]),
    "mose/val": (build.mose, "P", [f"00ff00ff/{t:05d}.png" for t in range(3)]),
    "mose-v2/val": (build.mose, "P", [f"00ff00ff/{t:05d}.png" for t in range(3)]),
    "davis17/test-dev": (davis_test_dev, "P", [f"goat/{t:05d}.png" for t in range(3)]),
    "lvos/test": (
        lvos_test,
        "P",
        [f"Annotations/R3UJGYwy/{t:08d}.png" for t in (6, 11, 16)],
    ),  # from the annotated one on
    "mevis-v2/val": (build.mevis_v2, "L", [f"0a1b2c3d4e5f/{e}/{t:05d}.png" for e in (0, 1, 2) for t in (0, 1)]),
    "mevis/val": (build.mevis, "L", [f"0a1b2c3d4e5f/{e}/{t:05d}.png" for e in (0, 1) for t in (0, 1)]),
}
"""Data -> how to build it, the mode of its PNGs, and every file of its zip."""


@pytest.mark.parametrize("data", slow_except(["ref-youtube-vos/val", "mose/val"], LAYOUTS))
def test_layouts(data: str, checkpoint: Path, tmp_path: Path, prepare: Prepare, check: Check) -> None:
    """What `--submission` writes is what each server takes."""
    make, mode, names = LAYOUTS[data]
    make(tmp_path / "source")
    prepare(data.split("/", maxsplit=1)[0], tmp_path / "source", data.split("/")[1])
    command = ["eval", "--checkpoint", str(checkpoint), "--data", data, "--root", str(tmp_path / "data"), "--quiet"]
    size = ["--short-side", "32", "--long-side", "64", "--device", "cpu"]
    assert app.run([*command, *size, "--submission", "--out", str(tmp_path / "out")]) == 0
    found = tmp_path / "out" / data / "submission.zip"
    with zipfile.ZipFile(found) as archive:
        assert sorted(archive.namelist()) == names
        archive.extractall(tmp_path / "unpacked")
    for name in names:
        with Image.open(tmp_path / "unpacked" / name) as image:
            assert (image.format, image.mode, image.size) == ("PNG", mode, (build.W, build.H))
            assert mode == "P" or set(np.unique(np.asarray(image))) <= {0, 255}
    assert check(data, found) == check(data, tmp_path / "out" / data / "predictions") == []
    results = json.loads((tmp_path / "out/results.json").read_text())["benchmarks"][0]
    assert (results["numbers"], results["complete"]) == ({}, True)
    assert "only a server has the ground truth" in results["notes"][0]


@pytest.fixture
def youtube(tmp_path: Path, prepare: Prepare) -> Path:
    """A good submission to YouTube-VOS, as a folder."""
    build.youtube_vos(tmp_path / "source")
    prepare("youtube-vos-2019", tmp_path / "source", "val")
    return write_masks(open_dataset(tmp_path / "data", "youtube-vos-2019/val"), tmp_path / "good")


DATA, CLIP = "youtube-vos-2019/val", "Annotations/00f88c4f0a"


def test_every_bad_file_is_named(youtube: Path, check: Check) -> None:
    clip = youtube / CLIP
    (clip / "00000.png").unlink()
    Image.new("L", (build.W, build.H)).save(clip / "00005.png")
    (clip / "thumbs.db").write_text("x")
    (youtube / "Annotations/more").mkdir()
    for t in range(3):
        build.label_map(youtube / f"Annotations/more/{t:05d}.png", {})
    build.label_map(clip / "00010.png", {3: (0, 0, 4, 4), 9: (5, 5, 9, 9)})
    assert check(DATA, youtube) == [
        f"{CLIP}/00000.png: missing",
        f"{CLIP}/thumbs.db: unexpected file",
        "Annotations/more: unexpected folder with 3 files",
        f"{CLIP}/00005.png: is a L image, not a palette PNG",
        f"{CLIP}/00010.png: holds the value 9; allowed are 0, 3, 7",
    ]


def test_sizes_kinds_and_damage(youtube: Path, check: Check) -> None:
    clip = youtube / CLIP
    build.label_map(clip / "00000.png", {}, 24, 31)
    Image.new("RGB", (build.W, build.H)).save(clip / "00005.png", format="JPEG")
    (clip / "00010.png").write_bytes((clip / "00010.png").read_bytes()[:60])
    lines = check(DATA, youtube)
    assert lines[0] == f"{CLIP}/00000.png: is 31 x 24, the frame 32 x 24"
    assert lines[1] == f"{CLIP}/00005.png: is a JPEG file, not a PNG"
    assert lines[2].startswith(f"{CLIP}/00010.png: damaged image")


def test_grey_masks_are_black_and_white(tmp_path: Path, prepare: Prepare, check: Check) -> None:
    build.mevis(tmp_path / "m")
    prepare("mevis", tmp_path / "m", "val")
    folder = write_masks(open_dataset(tmp_path / "data", "mevis/val"), tmp_path / "good")
    assert check("mevis/val", folder) == []
    build.grey(folder / "0a1b2c3d4e5f/0/00001.png", np.full((build.H, build.W), 1, np.uint8))
    shutil.rmtree(folder / "0a1b2c3d4e5f/1")
    assert check("mevis/val", folder) == [
        "0a1b2c3d4e5f/1: missing with all its 2 files",
        "0a1b2c3d4e5f/0/00001.png: holds 0 and 1 where 0 and 255 are wanted; write mask * 255",
    ]


@pytest.mark.parametrize(
    ("rename", "hint"),
    [
        (lambda name: f"mine/{name}", "the zip or folder has to begin with Annotations, it begins with mine"),
        (lambda name: name.removeprefix("Annotations/"), "put it into a folder Annotations"),
    ],
)
def test_a_zip_that_is_a_folder_off(
    rename: Callable[[str], str], hint: str, youtube: Path, tmp_path: Path, check: Check
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in youtube.rglob("*.png"):
            archive.write(path, rename(path.relative_to(youtube).as_posix()))
    lines = check(DATA, tmp_path / "a.zip")
    assert lines[0] == f"every file is one folder off: {hint}"
    assert any("missing with all its 3 files" in line for line in lines)


@pytest.mark.parametrize(
    ("rename", "cause"),
    [
        (lambda name: name.replace("/", "\\"), "3 names are written with backslashes, first Annotations\\00f88c4f0a\\"),
        (lambda name: name.removesuffix(".png") + ".PNG", f"3 names end in .PNG, first {CLIP}/00000.PNG"),
    ],
    ids=["backslashes", "upper case"],
)
def test_a_cause_of_many_wrong_names_is_told_once(
    rename: Callable[[str], str], cause: str, youtube: Path, tmp_path: Path, check: Check
) -> None:
    """And nothing is called missing that is only named wrongly; its masks are checked all the same."""
    Image.new("L", (build.W, build.H)).save(youtube / CLIP / "00005.png")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path in youtube.rglob("*.png"):
            archive.write(path, rename(path.relative_to(youtube).as_posix()))
    first, second = check(DATA, tmp_path / "a.zip")
    assert first.startswith(cause)
    assert second == f"{CLIP}/00005.png: is a L image, not a palette PNG"


def test_a_zip_in_a_zip(youtube: Path, tmp_path: Path, check: Check) -> None:
    pack(youtube, tmp_path / "Annotations.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "Annotations.zip", "Annotations.zip")
        archive.writestr("__MACOSX/._Annotations.zip", b"x")
    lines = check(DATA, tmp_path / "a.zip")
    assert lines[0] == "Annotations.zip: is a zip in the submission; pack the folders that are in it instead"
    assert any(line.startswith("__MACOSX/ holds 1 files that macOS added") for line in lines)


def test_a_closed_server_is_named_with_what_took_over(
    youtube: Path, tmp_path: Path, prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    build.mevis(tmp_path / "m")
    prepare("mevis", tmp_path / "m", "val")
    masks = write_masks(open_dataset(tmp_path / "data", "mevis/val"), tmp_path / "masks")
    told = {}
    for data, folder in (("mevis/val", masks), (DATA, youtube)):
        capsys.readouterr()
        assert (
            app.run(["eval", "--data", data, "--check-submission", str(folder), "--root", str(tmp_path / "data")]) == 0
        )
        told[data] = capsys.readouterr().out
    assert "competitions/15094 is closed: CodaLab has taken no submissions since 31 December 2025" in told["mevis/val"]
    assert "https://www.codabench.org/competitions/11420" in told["mevis/val"]
    assert "competitions/6066 is closed" in told[DATA]
    assert "no successor is known" in told[DATA]


def test_every_layout_has_a_source() -> None:
    servers = {name: entry.protocol.server for name, entry in data_sets().items() if entry.protocol}
    assert {name for name, server in servers.items() if server} >= {data.partition("/")[0] for data in LAYOUTS}
    assert all(server.page and server.layout_source for server in servers.values() if server)


def test_damaged_zips(youtube: Path, tmp_path: Path, check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    pack(youtube, tmp_path / "good.zip")
    assert check(DATA, tmp_path / "good.zip") == []
    pack(youtube, tmp_path / "again.zip")
    content = (tmp_path / "good.zip").read_bytes()
    assert (tmp_path / "again.zip").read_bytes() == content
    flipped = bytearray(content)
    flipped[100] ^= 255
    (tmp_path / "bad.zip").write_bytes(flipped)
    (line,) = check(DATA, tmp_path / "bad.zip")
    assert line.startswith(f"{CLIP}/00000.png: cannot be read (Bad CRC-32")
    directory = content.index(b"PK\x01\x02")
    for place, local, value, word in (
        (8, 6, 1, "encrypted"),
        (10, 8, 99, "compression"),
    ):  # in both headers
        changed = bytearray(content)
        changed[directory + place] = changed[local] = value
        (tmp_path / "bad.zip").write_bytes(changed)
        (line,) = check(DATA, tmp_path / "bad.zip")
        assert line.startswith(f"{CLIP}/00000.png: cannot be read (")
        assert word in line
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for path in [*sorted(youtube.rglob("*.png")), youtube / CLIP / "00005.png"]:
            archive.write(path, path.relative_to(youtube).as_posix())
    assert check(DATA, tmp_path / "twice.zip") == [f"{CLIP}/00005.png: twice in the zip"]
    (tmp_path / "cut.zip").write_bytes(content[:-30])
    command = ["eval", "--root", str(tmp_path / "data"), "--check-submission", str(tmp_path / "cut.zip")]
    assert app.run([*command, "--data", DATA]) == 1
    assert capsys.readouterr().err == f"uniref: error: {tmp_path}/cut.zip: is neither a folder nor a zip\n"


def test_only_what_a_server_takes(
    tmp_path: Path, prepare: Prepare, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build.refcoco(tmp_path / "r", splits=("train", "val"))
    prepare("refcoco", tmp_path / "r", "val")
    capsys.readouterr()
    common = ["eval", "--data", "refcoco/val", "--root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert app.run([*common, "--check-submission", str(tmp_path)]) == 2
    assert "no server accepts masks for it" in capsys.readouterr().err
    assert app.run([*common, "--checkpoint", str(checkpoint), "--submission"]) == 2
    assert "no server accepts masks for refcoco/val" in capsys.readouterr().err


@pytest.mark.slow
def test_what_killed_writers_left_is_not_submitted(
    tmp_path: Path, prepare: Prepare, checkpoint: Path, check: Check
) -> None:
    """A folder of a writer on another machine, which cannot be known to be dead before everything is done."""
    build.mose(tmp_path / "m")
    prepare("mose", tmp_path / "m", "val")
    left = tmp_path / "out/mose/val/predictions/.00ff00ff.partial-elsewhere-7"
    left.mkdir(parents=True)
    build.label_map(left / "00000.png", {})
    command = ["eval", "--checkpoint", str(checkpoint), "--data", "mose/val", "--root", str(tmp_path / "data")]
    size = ["--short-side", "32", "--long-side", "64", "--device", "cpu", "--quiet"]
    assert app.run([*command, *size, "--submission", "--out", str(tmp_path / "out")]) == 0
    assert check("mose/val", tmp_path / "out/mose/val/submission.zip") == []
    assert not left.exists()


@pytest.mark.slow
def test_masks_of_other_tools_need_no_network(youtube: Path, tmp_path: Path) -> None:
    """Checking and scoring them starts without PyTorch and what it brings."""
    common = ["eval", "--root", tmp_path / "data", "--data", DATA, "--workers", "1"]
    heavy = {"torch", "torchvision", "timm", "transformers", "scipy.ndimage"}
    assert modules_after_command(*common, "--check-submission", youtube) & heavy == set()
    # a split whose later frames have masks of their own
    truth = ["--truth", youtube, "--predictions", youtube, "--out", tmp_path / "out"]
    assert modules_after_command(*common, *truth) & heavy == set()
    assert json.loads((tmp_path / "out/results.json").read_text())["benchmarks"][0]["numbers"]["J&F"] == 1
