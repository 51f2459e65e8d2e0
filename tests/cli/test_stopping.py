"""Signals end `uniref predict` within seconds, whatever its ffmpeg is doing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import pytest

from uniref.media.ffmpeg import run_ffmpeg

MakeVideo = Callable[..., Path]

STUCK = """#!{python}
import os, sys, time
if {when!r} in sys.argv:
    open({mark!r}, "w").close()
    time.sleep(600)
os.execv({real!r}, [{real!r}, *sys.argv[1:]])
"""


def start(arguments: list[str | Path], **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from uniref_cli.app import main; main()", "predict", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=os.environ | environment, text=True, **pipes)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.05)


@pytest.mark.parametrize("when", ["image2pipe", "matroska"], ids=["a decoder that hangs", "an encoder that hangs"])
@pytest.mark.slow
def test_two_signals_end_it(when: str, make_video: MakeVideo, checkpoint: Path, tmp_path: Path) -> None:
    clip, mark, program = tmp_path / "clip.ts", tmp_path / "stuck", tmp_path / "ffmpeg"
    assert run_ffmpeg(["-i", str(make_video(frames=60, size=(480, 640))), str(clip)])[0] == 0
    real = imageio_ffmpeg.get_ffmpeg_exe()
    program.write_text(STUCK.format(python=sys.executable, when=when, mark=str(mark), real=real))
    program.chmod(0o755)
    arguments: list[str | Path] = [clip, "--text", "dog", "--checkpoint", checkpoint, "--out", tmp_path / "out"]
    process = start(arguments, IMAGEIO_FFMPEG_EXE=str(program))
    wait_for(mark)
    for _ in range(2):
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 143
    assert said.splitlines() == ["uniref: error: terminated"]
    assert not any((tmp_path / "out").glob("*/summary.json"))


@pytest.mark.slow
def test_libraries_do_not_speak(make_video: MakeVideo, checkpoint: Path, tmp_path: Path) -> None:
    """A damaged video, of which libav has much to say, gives one line."""
    path = make_video(frames=24, size=(120, 160))
    data = bytearray(path.read_bytes())
    middle = data.find(b"mdat") + (len(data) - data.find(b"mdat")) // 2
    data[middle : middle + 60] = b"\xff" * 60
    path.write_bytes(data)
    process = start([path, "--text", "dog", "--checkpoint", checkpoint, "--out", tmp_path / "out", "--quiet"])
    output, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert output == ""
    assert all(line.startswith("uniref: warning: ") for line in said.splitlines())
    assert len(said.splitlines()) <= 1
