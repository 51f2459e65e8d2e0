"""`uniref predict` on addresses and standard input, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.media.video_server import Answer, VideoServer, serve_videos
from uniref.media.ffmpeg import run_ffmpeg
from uniref.media.mask import read_mask
from uniref.media.video_read import VideoFile
from uniref_cli.app import run

MakeVideo = Callable[..., Path]


@pytest.fixture
def server() -> Iterator[VideoServer]:
    with serve_videos() as served:
        yield served


@pytest.fixture
def predict(checkpoint: Path, tmp_path: Path) -> Callable[..., int]:
    def call(*arguments: object) -> int:
        fixed = ["--checkpoint", checkpoint, "--out", tmp_path / "out", "--short-side", 64]
        return run(["predict", *map(str, [*arguments, *fixed])])

    return call


def test_a_video_at_an_address(
    predict, server: VideoServer, make_video: MakeVideo, mask_png: Path, tmp_path: Path, capsys
) -> None:
    clip = make_video(frames=4)
    server.answers["/a/street.mp4"] = Answer(clip.read_bytes())
    address = server.address.replace("//", "//me:geheim@") + "/a/street.mp4?token=abc"
    assert (
        predict(clip, "--mask", mask_png, "--text", "dog") == predict(address, "--mask", mask_png, "--text", "dog") == 0
    )
    out = tmp_path / "out"
    for index in range(4):
        name = f"masks/{index:05d}.png"
        assert np.array_equal(read_mask(out / "street" / name), read_mask(out / "clip" / name))
    assert VideoFile(out / "street" / "overlay.mp4").frame_count == 4
    summary = json.loads((out / "street" / "summary.json").read_text())
    assert summary["input"] == server.address.replace("//", "//***@") + "/a/street.mp4?token=***"
    assert summary["stream"] == {"live": False, "ended": "end of the source", "dropped": 0}
    # it is done, and nobody learns the password
    assert predict(address, "--mask", mask_png, "--text", "dog", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[-1])["status"] == "skipped"
    written = "".join(path.read_text() for path in out.rglob("*.json"))
    assert not any(secret in text for secret in ("geheim", "abc") for text in (captured.out, captured.err, written))


def test_a_live_stream_is_new_every_time(predict, server: VideoServer, make_video: MakeVideo, tmp_path: Path) -> None:
    clip, ts = make_video(frames=12), tmp_path / "clip.ts"
    assert run_ffmpeg(["-i", str(clip), "-c:v", "mpeg2video", str(ts)])[0] == 0
    server.answers["/live"] = Answer(ts.read_bytes(), length=False)
    for _ in range(2):
        assert predict(f"{server.address}/live", "--text", "dog", "--duration", "0.2s") == 0
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["127_0_0_1-live", "127_0_0_1-live-2", "index.html"]
    summary = json.loads((out / "127_0_0_1-live" / "summary.json").read_text())
    assert (summary["stream"]["live"], summary["complete"]) == (True, True)
    assert summary["frames"]["last"] <= 5


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_stopping_is_the_end_of_a_live_stream(
    predict, server: VideoServer, make_video: MakeVideo, tmp_path: Path, signum: int, monkeypatch, capsys
) -> None:
    from uniref.inference.video import VideoTracker

    real, steps = VideoTracker.step, []

    def step(self, *rest):
        steps.append(1)
        if len(steps) == 3:
            signal.raise_signal(signum)
        return real(self, *rest)

    monkeypatch.setattr(VideoTracker, "step", step)
    server.answers["/cam.mp4"] = Answer(make_video(frames=9).read_bytes())
    assert predict(f"{server.address}/cam.mp4", "--live", "--text", "dog") in (0, 1)
    folder = tmp_path / "out" / "cam"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["complete"]
    assert VideoFile(folder / "overlay.mp4").frame_count == summary["frames"]["written"] <= 3
    # a video that has an end is not complete
    steps.clear()
    capsys.readouterr()
    assert predict(f"{server.address}/cam.mp4", "--text", "dog", "--json") == 128 + signum
    record = json.loads(capsys.readouterr().out)
    assert (record["status"], record["output"]) == ("stopped", str(tmp_path / "out" / "cam-2.partial"))
    assert (tmp_path / "out" / "cam-2.partial").is_dir()


def test_stopping_before_the_first_frame(predict, server: VideoServer, tmp_path: Path, capsys) -> None:
    server.answers["/silent"] = Answer(b"", length=False, silent=True)
    timer = threading.Timer(1.0, signal.raise_signal, [signal.SIGINT])
    timer.start()
    assert predict(f"{server.address}/silent", "--text", "dog") == 130
    timer.join()
    assert "stopped" in capsys.readouterr().err
    assert not (tmp_path / "out").is_dir() or not list((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_standard_input_is_a_video_or_a_list(
    checkpoint: Path, make_video: MakeVideo, png: Path, tmp_path: Path
) -> None:
    clip, mkv = make_video(frames=3), tmp_path / "clip.mkv"
    assert run_ffmpeg(["-i", str(clip), "-c", "copy", str(mkv)])[0] == 0
    command = [sys.executable, "-m", "uniref_cli.app", "predict", "-", "--text", "dog", "--checkpoint", str(checkpoint)]
    command += ["--short-side", "64", "--out", str(tmp_path / "out")]
    for content in (mkv.read_bytes(), f"{png}\n".encode("utf-16")):
        done = subprocess.run(command, input=content, capture_output=True, env=dict(os.environ), check=False)
        assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["picture", "stdin"]
    assert len(list((out / "stdin" / "masks").iterdir())) == 3


def test_what_streams_cannot_do_is_one_line(predict, server: VideoServer, make_video, mask_png: Path, capsys) -> None:
    address = f"{server.address}/a.mp4"
    clip = make_video(frames=2)
    cases = [
        ((address, "--text", "dog", "--start", "3s"), 2, "is read once, as it comes"),
        ((address, "--mask", f"40:{mask_png}"), 2, "masks for its first frame only"),
        ((address, "--text", "dog", "--duration", "soon"), 2, "--duration 'soon'"),
        ((clip, "--text", "dog", "--duration", "3"), 2, "--duration: is for cameras"),
        ((clip, "--text", "dog", "--live"), 2, "--live: is for cameras"),
        ((address, "--text", "dog"), 1, "404 Not Found"),
        (("rtsp://127.0.0.1:9/x", "--text", "dog"), 1, "rtsp://127.0.0.1:9/x: cannot be opened (Connection refused)"),
        (("977", "--text", "dog"), 1, "no camera of that number"),
    ]
    for arguments, code, message in cases:
        assert predict(*arguments) == code, arguments
        errors = capsys.readouterr().err
        assert message in errors
        assert errors.count("\n") == 1


def test_a_window_needs_a_display(predict, make_video: MakeVideo, monkeypatch, capsys) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    if sys.platform != "linux":
        pytest.skip("other systems always have a display")
    assert predict(make_video(frames=2), "--text", "dog", "--show") == 2
    assert "--show: " in capsys.readouterr().err
