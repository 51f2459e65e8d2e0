"""Named objects through the real command, from stand-ins of the packages."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.data.named_sources import DENIED, write_names, write_objects, write_photos
from uniref.core.tasks import Task
from uniref.data.frames import read_frame
from uniref.data.index import Index
from uniref.data.prepare.catalog import data_sets
from uniref_cli import app
from uniref_scenes.bank import NAMED_SETS
from uniref_scenes.named.bank import read_bank

SPLITS = [*(f"train-{task.value}" for task in Task), "val-ris", "test-vos"]
SIZES = ["--images", "24", "--clips", "3", "--frames", "4", "--size", "96", "--quiet"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    write_objects(folder / "lobehub-fluent-emoji-3d-1.1.0.tgz")
    write_names(folder / "emojibase-data-17.0.0.tgz")
    write_photos(folder / "wallpapers")
    return folder


def prepare(root: Path, sources: Path, *more: str, workers: int = 1) -> int:
    files = [str(path) for path in sorted(sources.iterdir())]
    named = [part for path in files for part in ("--source", path)]
    return app.run(
        ["prepare-data", "synthetic-named", "--root", str(root), *SIZES, "--workers", str(workers), *named, *more]
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Path:
    folder = tmp_path_factory.mktemp("named")
    assert prepare(folder, sources, *(part for split in SPLITS for part in ("--split", split))) == 0
    return folder


def open_split(root: Path, split: str) -> Index:
    return Index.open(root / "index/synthetic-named" / split)


@pytest.mark.slow
def test_every_task_of_every_set(root: Path) -> None:
    for split in SPLITS:
        index, task = open_split(root, split), Task(split.split("-")[1])
        assert index.manifest.task is task
        media = index.media(0)
        assert read_frame(media, media.length - 1).shape == (media.height, media.width, 3)
        assert (media.length == 4) == task.is_video
        if split.startswith("train"):
            assert len(index) > 0


def test_what_is_denied_is_never_shown_nor_named(root: Path) -> None:
    banks = list((root / "media/synthetic-named").glob("bank-*.json"))
    assert banks
    for path in banks:
        used = {Path(place).stem for items in read(path)["pictures"]["emoji"].values() for place, *_ in items}
        assert used
        assert not used & {code.lower() for code in DENIED}
    names = set(open_split(root, "train-ris").manifest.categories.values())
    assert {"car", "cat", "taxi", "horse", "apple"} <= names
    assert not names & {label for label, _ in DENIED.values()}


def read(path: Path) -> dict[str, dict[str, list[list[str]]]]:
    data: dict[str, dict[str, list[list[str]]]] = json.loads(path.read_text())
    return data


def test_photographs_are_divided_by_the_sets(root: Path) -> None:
    banks = [read_bank(path) for path in (root / "media/synthetic-named").glob("bank-*.json")]
    shown = {name: {p.path.name for bank in banks for p in bank.photos[name]} for name in ("train", "val", "test")}
    assert "friends_by_Aitzol_Berasategi.jpg" in shown["train"]
    assert all(shown.values())
    assert sum(map(len, shown.values())) == len(set().union(*shown.values())) == 41


def test_few_shot_nouns_occur_more_than_once(root: Path) -> None:
    index = open_split(root, "train-fss")
    pictures: dict[int, set[int]] = {}
    for sample in index:
        pictures.setdefault(sample.category, set()).add(sample.media)
    assert pictures
    assert all(len(media) >= 2 for media in pictures.values())


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in (".jpg", ".png", ".arrow")]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.slow
def test_the_seed_decides_every_byte(
    root: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uniref.data.prepare.job._FEW", 1)
    same, other = tmp_path / "deeper" / "same", tmp_path / "other"
    assert prepare(same, sources, "--split", "train-ris", workers=2) == 0
    assert digests(same).items() <= digests(root).items()
    assert prepare(other, sources, "--split", "train-ris", "--seed", "1") == 0
    mine = [digest for name, digest in digests(other).items() if name.endswith(".jpg")]
    assert not set(mine) & set(digests(root).values())


def test_later_splits_need_no_sources(root: Path) -> None:
    """Archives were unpacked below the root; sets that hold something out show it."""
    arguments = ["prepare-data", "synthetic-named", "--root", str(root), *SIZES, "--workers", "1"]
    for name in ("novel", "pairs", "backgrounds"):
        assert app.run([*arguments, "--split", f"{name}-ris"]) == 0
        assert len(open_split(root, f"{name}-ris")) > 0


@pytest.mark.parametrize(
    ("given", "split", "wanted"),
    [
        ("emojibase-data-17.0.0.tgz", "train-ris", "npm pack @lobehub/fluent-emoji-3d@1.1.0"),
        ("lobehub-fluent-emoji-3d-1.1.0.tgz", "train-ris", "npm pack emojibase-data@17.0.0"),
        ("", "style-ris", "apt-get download fonts-noto-color-emoji"),
        ("", "photo-ris", "apt-get download tuxpaint-stamps-default"),
    ],
)
def test_what_is_missing_is_named(
    sources: Path, tmp_path: Path, given: str, split: str, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [sources / given] if given else sorted(sources.glob("*.tgz"))
    named = [part for path in files for part in ("--source", str(path))]
    code = app.run(["prepare-data", "synthetic-named", "--root", str(tmp_path), *SIZES, *named, "--split", split])
    error = capsys.readouterr().err
    assert code == 1
    assert wanted in error
    assert len(error.strip().splitlines()) == 1


def test_nothing_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["prepare-data", "synthetic-named", "--root", str(tmp_path)]) == 1
    assert "npm pack @lobehub/fluent-emoji-3d@1.1.0 emojibase-data@17.0.0" in capsys.readouterr().err


def test_the_catalogue_lists_every_set() -> None:
    assert {split.split("-")[0] for split in data_sets()["synthetic-named"].splits} == set(NAMED_SETS)
