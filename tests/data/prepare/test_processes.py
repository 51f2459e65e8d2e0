"""Several processes at once, and processes that are killed: nothing half made is ever found under a final name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.prepare import build
from tests.data.prepare.test_run import content, zipped
from uniref.data.index import Index

SLOW = """
import sys, time
from uniref.data.prepare import videos
from uniref_cli import app
read = videos.read_labelled_video
def slow(files):
    print("reading", flush=True)
    time.sleep(float(sys.argv[1]))
    return read(files)
videos.read_labelled_video = slow
sys.exit(app.run(sys.argv[2:]))
"""


def start(seconds: float, *arguments: str) -> subprocess.Popen[str]:
    """The real command in a process of its own, in which every video takes a while."""
    command = [sys.executable, "-c", SLOW, str(seconds), "prepare-data", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def arguments(tmp_path: Path, *more: str) -> list[str]:
    source = ["--root", str(tmp_path / "data"), "--source", str(tmp_path / "d")]
    return ["davis17", *source, "--split", "val", "--accept-counts", "--workers", "1", *more]


@pytest.mark.slow
def test_the_second_process_is_told_of_the_first(tmp_path: Path) -> None:
    build.davis(tmp_path / "d")
    first = start(2.0, *arguments(tmp_path))
    assert first.stdout is not None
    first.stdout.readline()  # it is at work
    second = start(0.0, *arguments(tmp_path))
    _, err = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"davis17: is being prepared by process {first.pid} on" in err
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0, err
    assert len(Index.open(tmp_path / "data/index/davis17/val")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_run_again(tmp_path: Path, number: signal.Signals) -> None:
    build.davis(tmp_path / "d")
    running = start(30.0, *arguments(tmp_path))
    assert running.stdout is not None
    running.stdout.readline()
    folder = tmp_path / "data/index/davis17"
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode == (-9 if number == signal.SIGKILL else 143)
    assert not (folder / "val").exists()
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    assert names == ([] if number == signal.SIGTERM else [left(running.pid)])
    again = start(0.0, *arguments(tmp_path))
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert [path.name for path in folder.iterdir()] == ["val"]
    other = start(0.0, *arguments(tmp_path / "other", "--source", str(tmp_path / "d")))
    assert other.wait(timeout=60) == 1  # its --source is not there
    kept = content(folder / "val")
    remade = start(0.0, *arguments(tmp_path, "--overwrite"))
    remade.communicate(timeout=60)
    assert content(folder / "val") == kept


def left(process: int) -> str:
    return f"..val.new.partial-{os.uname().nodename}-{process}"


@pytest.mark.slow
def test_killed_while_it_replaces_an_old_index(tmp_path: Path) -> None:
    """What a process leaves that dies between the two renames does not stop the next one."""
    build.davis(tmp_path / "d")
    assert start(0.0, *arguments(tmp_path)).wait(timeout=60) == 0
    folder = tmp_path / "data/index/davis17"
    (folder / "val").rename(folder / ".val.new.replaced")
    for _ in range(2):
        again = start(0.0, *arguments(tmp_path, "--overwrite"))
        _, err = again.communicate(timeout=60)
        assert again.returncode == 0, err
    assert [path.name for path in folder.iterdir()] == ["val"]


@pytest.mark.slow
def test_two_data_sets_unpack_the_same_archive_at_once(tmp_path: Path) -> None:
    """DAVIS and Ref-DAVIS share their media folder."""
    base = build.davis(tmp_path / "d")
    build.davis_texts(tmp_path / "d")
    (base / "Annotations_unsupervised").mkdir()
    for name in ("bear", "goat"):
        for t in range(4 if name == "bear" else 3):
            build.label_map(
                base / f"Annotations_unsupervised/480p/{name}/{t:05d}.png", {1: (2, 2, 8, 8), 2: (9, 9, 12, 12)}
            )
    for n in range(300):
        build.write_text(base / f"more/{n}.txt", "x" * 1000)
    zipped(tmp_path / "d", tmp_path / "all.zip")
    options = ["--root", str(tmp_path / "data"), "--source", str(tmp_path / "all.zip"), "--split", "val"]
    both = [start(0.0, name, *options, "--accept-counts") for name in ("davis17", "ref-davis17")]
    for process in both:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert len(list((tmp_path / "data/media/davis/DAVIS/more").iterdir())) == 300
    for name, count in (("davis17", 2), ("ref-davis17", 8)):
        assert len(Index.open(tmp_path / f"data/index/{name}/val")) == count
