"""Streams, read from a local server and as ffmpeg opens them."""

import base64
import itertools
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from tests.media.rtsp_server import serve_rtsp
from tests.media.video_server import Answer, VideoServer, serve_videos
from uniref import open_source
from uniref.core.errors import MediaError, UniRefError, UsageError
from uniref.media import stream, stream_receiver
from uniref.media.ffmpeg import run_ffmpeg, start_ffmpeg
from uniref.media.source import MediaSource, Selection
from uniref.media.stream import StreamSource
from uniref.media.stream_input import StreamInput, network_input, stream_name
from uniref.media.video_read import VideoFile

MakeVideo = Callable[..., Path]
FRAMES = 12


@pytest.fixture
def server() -> Iterator[VideoServer]:
    with serve_videos() as served:
        yield served


@pytest.fixture
def clip(make_video: MakeVideo) -> Path:
    return make_video(frames=FRAMES)


def remuxed(clip: Path, name: str, *options: str) -> bytes:
    target = clip.with_name(name)
    code, said = run_ffmpeg(["-y", "-i", str(clip), *options, str(target)])
    assert code == 0, said
    return target.read_bytes()


def local(path: Path, live: bool) -> StreamInput:
    """A file, read as a stream."""
    return StreamInput("a stream", "stream", ["-i", str(path)], live)


@pytest.mark.parametrize("name", ["begin.mp4", "end.mp4", "clip.mkv"])
def test_an_address_gives_the_frames_of_the_file(name: str, server: VideoServer, clip: Path) -> None:
    # an mp4 whose index is at its end cannot be read through: the server cannot seek
    server.answers["/clips/" + name] = Answer(
        clip.read_bytes() if name == "begin.mp4" else remuxed(clip, name, "-c", "copy")
    )
    source = open_source(f"{server.address}/clips/{name}?x=1")
    frames = list(source.frames())
    expected = list(VideoFile(clip).frames())
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(frames, expected, strict=True))
    assert [f.seconds for f in frames] == pytest.approx([f.seconds for f in expected], abs=2e-3)
    assert (source.live, source.seekable, source.open_ended) == (False, False, False)
    assert source.stream_report() == {"live": False, "ended": "end of the source", "dropped": 0}
    assert source.problem is None
    assert source.fps == pytest.approx(25)
    assert source.label == f"{server.address}/clips/{name}?x=1"
    assert stream_name(source.label) == name


@pytest.mark.parametrize("name", ["clip.mkv", "end.mp4"])
def test_a_password_goes_to_the_server_alone(name: str, server: VideoServer, clip: Path) -> None:
    basic = "Basic " + base64.b64encode(b"me:ge heim").decode()
    server.answers["/" + name] = Answer(remuxed(clip, name, "-c", "copy"), authorisation=basic)
    source = open_source(f"{server.address}/{name}".replace("//", "//me:ge%20heim@"))
    assert len(list(source.frames())) == FRAMES
    assert source.label == f"{server.address}/{name}".replace("//", "//***@")
    with pytest.raises(MediaError, match="401 Unauthorized"):
        list(open_source(f"{server.address}/{name}").frames())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_servers_are_verified(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(certificate), "-out", str(tmp_path / "c.pem")]
    subprocess.run(command, check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + (tmp_path / "c.pem").read_text())
    with serve_videos(certificate) as server:
        server.answers["/clip.mp4"] = Answer(clip.read_bytes())
        with pytest.raises(MediaError, match=r"its certificate cannot be verified; .* in SSL_CERT_FILE"):
            list(open_source(f"{server.address}/clip.mp4").frames())
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "c.pem"))
        assert len(list(open_source(f"{server.address}/clip.mp4").frames())) == FRAMES


def test_a_stream_without_a_length_is_live(server: VideoServer, clip: Path) -> None:
    ts = remuxed(clip, "clip.ts", "-c:v", "mpeg2video", "-q:v", "2")
    server.answers["/live"] = Answer(ts, length=False)
    source = open_source(f"{server.address}/live")
    indices = [frame.index for frame in source.frames()]
    report = source.stream_report()
    assert source.live
    assert source.open_ended
    assert report is not None
    assert indices[0] == 0
    assert indices[-1] == FRAMES - 1
    assert len(indices) + report["dropped"] == FRAMES
    # every frame where that is asked for
    everything = open_source(f"{server.address}/live", live=False)
    assert [frame.index for frame in everything.frames()] == list(range(FRAMES))


@pytest.mark.parametrize("user", ["", "me:geheim"])
def test_an_rtsp_camera(user: str, make_video: MakeVideo) -> None:
    with serve_rtsp(make_video(frames=30), user) as address:
        source = open_source(address)
        indices = [frame.index for frame in source.frames()]
    assert indices[0] == 0
    assert len(indices) + source.dropped == indices[-1] + 1 > 3  # some packets may be lost on the way to the test
    assert source.live
    assert source.open_ended
    assert "geheim" not in source.label


def test_the_newest_frame_wins(clip: Path) -> None:
    source = StreamSource(local(clip, live=True))
    frames = source.frames()
    first = next(frames)
    while any(thread.name == "uniref-stream" for thread in threading.enumerate()):
        time.sleep(0.01)  # the model is busy until the source has ended
    assert [frame.index for frame in (first, *frames)] == [0, FRAMES - 1]
    assert source.dropped == FRAMES - 2


def test_selection_duration_and_stop(clip: Path) -> None:
    def read(duration: float | None = None, selection: Selection | None = None) -> tuple[list[int], str]:
        source = StreamSource(local(clip, live=False), duration=duration)
        indices = [frame.index for frame in source.frames(selection)]
        return indices, source.stream_report()["ended"]

    assert read(selection=Selection("2", "9", 3)) == ([2, 5, 8], "end of the source")
    assert read(duration=0.2) == ([0, 1, 2, 3, 4], "duration")  # 25 frames per second
    source = StreamSource(local(clip, live=False))
    asked = itertools.count()
    assert len(list(source.frames(stop=lambda: next(asked) > 6))) < FRAMES
    assert source.stream_report()["ended"] == "stopped"
    for selection in (Selection("1s"), Selection(end="0:02")):
        with pytest.raises(UsageError, match="a stream: is read once, as it comes"):
            list(StreamSource(local(clip, live=False)).frames(selection))
    with pytest.raises(UsageError, match=r"--duration: .* not for .*clip\.mp4 \(use --end\)"):
        open_source(clip, duration=1)
    assert type(open_source(clip)) is MediaSource


def test_a_video_that_breaks_off_is_told(server: VideoServer, clip: Path) -> None:
    mkv = remuxed(clip, "clip.mkv", "-c:v", "mjpeg", "-r", "5")
    server.answers["/cut.mkv"] = Answer(mkv, cut=len(mkv) // 2)
    source = open_source(f"{server.address}/cut.mkv")
    assert 0 < len(list(source.frames())) < FRAMES
    assert source.problem is not None
    assert source.problem.startswith("broke off")
    assert source.stream_report() == {"live": False, "ended": "broken off", "dropped": 0}


def test_a_whole_answer_of_a_video_without_its_end_is_told(server: VideoServer, clip: Path) -> None:
    mkv = remuxed(clip, "clip.mkv", "-c:v", "mjpeg", "-r", "5")
    server.answers["/short.mkv"] = Answer(mkv[: len(mkv) * 9 // 10])
    piped = clip.with_name("short.mkv")
    piped.write_bytes(mkv[: len(mkv) * 9 // 10])
    for source in (open_source(f"{server.address}/short.mkv"), StreamSource(local(piped, live=False))):
        assert len(list(source.frames())) > 0
        assert source.problem is not None
        assert source.problem.startswith("broke off")
        assert source.ended == "broken off"


def test_a_sender_that_stops_before_the_announced_end_is_told(clip: Path) -> None:
    """It may have been stopped, or been meant to send a part; a header on a pipe does not tell."""
    remuxed(clip, "slow.mkv", "-c:v", "mjpeg", "-vf", "setpts=4*PTS", "-fps_mode", "passthrough")
    whole = VideoFile(clip.with_name("slow.mkv"))
    part = clip.with_name("part.mkv")
    sent = ["-i", str(whole.path), "-c", "copy", "-frames:v", "3", "-f", "matroska", "pipe:1"]
    done = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *sent], capture_output=True, check=True)
    part.write_bytes(done.stdout)
    source = StreamSource(StreamInput("a pipe", "pipe", ["-i", str(part)], live=False))
    assert len(list(source.frames())) == 3
    assert source.ended == "end of the source"
    assert source.problem is not None
    assert f"its header announces {whole.info.seconds:.1f} s" in source.problem


def test_sound_that_goes_on_is_no_missing_end(clip: Path) -> None:
    tone = ["-f", "lavfi", "-i", "sine=d=5", "-c:v", "mjpeg", "-c:a", "pcm_s16le"]
    remuxed(clip, "sound.mkv", *tone)
    remuxed(clip, "sound.avi", *tone)
    for name in ("sound.mkv", "sound.avi"):
        source = StreamSource(local(clip.with_name(name), live=False))
        assert len(list(source.frames())) == FRAMES
        assert source.problem is None


def test_a_live_transport_stream_begins_soon(server: VideoServer, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the second in which streams are looked for; ffmpeg's own five would never come."""
    monkeypatch.setattr(stream, "_FIRST_PATIENCE", 8.0)
    ts = remuxed(clip, "clip.ts", "-c:v", "mpeg2video", "-q:v", "2", "-vf", "loop=-1:12,trim=duration=3")
    server.answers["/live"] = Answer(ts, length=False, silent=True)
    source = open_source(f"{server.address}/live", live=True)
    frames = source.frames()
    assert next(frames).index == 0
    frames.close()


@pytest.mark.slow
def test_a_silent_server_is_given_up(server: VideoServer, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PATIENCE", 2.0)
    monkeypatch.setattr(stream, "_FIRST_PATIENCE", 6.0)
    mkv = remuxed(clip, "clip.mkv", "-c:v", "mjpeg")
    server.answers["/stalls"] = Answer(mkv, cut=len(mkv) * 3 // 4, silent=True)
    server.answers["/hangs"] = Answer(mkv, cut=0, silent=True)
    source = open_source(f"{server.address}/stalls")
    assert len(list(source.frames())) > 0
    assert source.problem == "sent nothing for 2 s; its frames until then are used"
    with pytest.raises(MediaError, match="/hangs: sent nothing for 6 s; is the source running"):
        list(open_source(f"{server.address}/hangs").frames())


def test_an_image_that_comes_before_it_is_refused(
    server: VideoServer, png: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine its one frame is there before ffmpeg, which gave it, has been killed."""

    def start_unkillable(*arguments: Any, **pipes: Any) -> subprocess.Popen[bytes]:
        child = start_ffmpeg(*arguments, **pipes)
        monkeypatch.setattr(child, "kill", lambda: None)  # it ends by itself
        return child

    monkeypatch.setattr(stream_receiver, "start_ffmpeg", start_unkillable)
    server.answers["/photo.png"] = Answer(png.read_bytes())
    with pytest.raises(MediaError, match="is an image or a list of files, not a video"):
        list(open_source(f"{server.address}/photo.png").frames())


def test_what_is_no_stream_is_one_line(server: VideoServer, clip: Path, png: Path) -> None:
    server.answers |= {
        "/photo.png": Answer(png.read_bytes()),
        "/page": Answer(b"<html>" + b"words " * 500, kind="text/html"),
        "/sound": Answer(remuxed_sound(clip)),
        "/half.mp4": Answer(remuxed(clip, "end.mp4", "-c", "copy")[:900]),
    }
    messages = {
        "/none": r"/none: cannot be opened \(404 Not Found\)",
        "/photo.png": "is an image or a list of files, not a video",
        "/page": "is not a video that can be read",
        "/sound": "holds no video",
        "/half.mp4": "refers to its end, which is not there",
    }
    for path, message in messages.items():
        with pytest.raises(MediaError, match=message) as caught:
            list(open_source(server.address.replace("//", "//me:geheim@") + path).frames())
        assert "geheim" not in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="Connection refused"):
        list(open_source("http://127.0.0.1:9/x.mp4").frames())


def remuxed_sound(clip: Path) -> bytes:
    target = clip.with_name("sound.mka")
    assert run_ffmpeg(["-f", "lavfi", "-i", "sine=duration=1", str(target)])[0] == 0
    return target.read_bytes()


def test_a_playlist_of_a_server_opens_no_local_file(server: VideoServer, clip: Path) -> None:
    secret = clip.with_name("secret.ts")
    ts = remuxed(clip, "secret.ts", "-c:v", "mpeg2video")
    kind = "application/vnd.apple.mpegurl"

    def playlist(*segments: str) -> Answer:
        lines = "".join(f"#EXTINF:0.48,\n{segment}\n" for segment in segments)
        return Answer(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n{lines}#EXT-X-ENDLIST\n".encode(), kind=kind)

    server.answers |= {
        "/a.ts": Answer(ts),
        "/good.m3u8": playlist("a.ts"),
        "/evil.m3u8": playlist(secret.as_uri()),
        "/path.m3u8": playlist(str(secret)),
    }
    assert len(list(open_source(f"{server.address}/good.m3u8").frames())) == FRAMES
    for name in ("evil", "path"):
        with pytest.raises(MediaError):
            list(open_source(f"{server.address}/{name}.m3u8").frames())


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://host/a.mp4", "ftp:// are not read; expected http, https, rtsp"),
        ("file:///etc/passwd", "file:// are not read"),
        ("rtsp://me:geheim@host/a b", r"rtsp://\*\*\*@host/a b: holds a space"),
        ("http://host:99999/a", "port is not valid"),
        ("concat:a|b", "no such file"),
        ("983", "983: no such file or folder, and no camera of that number"),
    ],
)
def test_other_names_are_refused(address: str, message: str) -> None:
    with pytest.raises(UniRefError, match=message):
        open_source(address)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://me:pw@example.com/clips/street.mp4?token=1", "street.mp4"),
        ("rtsp://me:pw@10.0.0.7:554/stream1", "10_0_0_7-stream1"),
        ("rtsp://camera.local", "camera_local"),
        ("http://example.com/../..", "example_com"),
        ("http://example.com/%2e%2e%2fx.mp4", "2e-2e-2fx.mp4"),
        ("-", "stdin"),
        ("983", "camera-983"),
        ("street.mp4", None),
    ],
)
def test_names_of_streams(address: str, name: str | None) -> None:
    assert stream_name(address) == name


def test_protocols_are_those_of_the_address() -> None:
    allowed = {
        scheme: network_input(f"{scheme}://host/x").arguments[3] for scheme in ("http", "https", "rtsp", "rtsps", "udp")
    }
    assert all("file" not in protocols.split(",") for protocols in allowed.values())
    assert allowed["rtsp"] == "rtsp,rtp,udp,tcp"
