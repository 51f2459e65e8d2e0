"""`uniref label` as a user starts and ends it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import platform
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.labeling.served import make_frames
from uniref_cli.app import run

COMMAND = [sys.executable, "-c", "from uniref_cli.app import main; main()"]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - the test that such a host is warned of


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return make_frames(tmp_path / "street")


@contextlib.contextmanager
def started(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The command, until the block ends."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)], env=os.environ | environment, text=True, start_new_session=True, **pipes
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(url: str, path: str, method: str = "GET", body: object = None) -> Any:
    """The JSON that a request is answered with."""
    parts = urlsplit(url)
    headers = {"authorization": f"Bearer {parts.query.partition('=')[2]}", "content-type": "application/json"}
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        reply = connection.getresponse()
        assert reply.status == 200
        return json.loads(reply.read())


def wait_for(process: subprocess.Popen[str], holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_what_was_done_is_there_after_a_signal(number: int, frames: Path, checkpoint: Path, tmp_path: Path) -> None:
    command = ["label", frames, "--checkpoint", checkpoint, "--project", tmp_path / "p", "--port", 0]
    with started(*command, "--json") as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert set(line) == {"url", "port", "project"}
        assert line["url"].startswith(f"http://127.0.0.1:{line['port']}/?token=")
        assert len(line["url"].partition("token=")[2]) == 32
        assert ask(line["url"], "/api/objects", "POST", {"name": "kept"}) == {"id": 1}
        process.send_signal(number)
        output, said = process.communicate(timeout=60)
    assert (process.returncode, output, said) == (128 + number, "", "")
    # the next one continues, with another token
    with started(*command, "--no-browser") as process:
        assert process.stdout is not None
        text = process.stdout.readline()
        url = text.split()[2]
        assert text == f"label page: {url} (Ctrl-C ends it; everything is saved in {tmp_path / 'p'} as it is made)\n"
        assert url != line["url"]
        assert [each["name"] for each in ask(url, "/api/state")["objects"]] == ["kept"]
        process.send_signal(number)
        output, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (128 + number, "")
    assert output == f"saved in {tmp_path / 'p'}; the same command continues\n"


def test_a_second_signal_ends_it_at_once(frames: Path, tmp_path: Path) -> None:
    """While the model is being loaded, which the first one waits for."""
    with started("label", frames, "--project", tmp_path / "p", "--port", 0, "--json") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        wait_for(process, lambda: ask(url, "/api/state")["job"]["kind"] == "load")
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        output, said = process.communicate(timeout=60)
    assert (process.returncode, output, said) == (130, "", "uniref: error: interrupted\n")


def test_a_killed_one_leaves_what_was_done(frames: Path, checkpoint: Path, tmp_path: Path) -> None:
    command = ["label", frames, "--checkpoint", checkpoint, "--project", tmp_path / "p", "--port", 0, "--json"]
    for expected in ([], ["one"], ["one", "one"]):
        with started(*command) as process:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            assert [each["name"] for each in ask(url, "/api/state")["objects"]] == expected
            ask(url, "/api/objects", "POST", {"name": "one"})


def test_a_project_is_open_once(frames: Path, checkpoint: Path, tmp_path: Path, capsys) -> None:
    command = ["label", frames, "--checkpoint", checkpoint, "--project", tmp_path / "p", "--port", 0, "--json"]
    with started(*command) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert run([*map(str, command)]) == 1
        output, said = capsys.readouterr()
        assert output == ""
        holder = f"process {process.pid} on {platform.node()}"
        assert said == f"uniref: error: p: is being labelled by {holder}; wait until it is done\n"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="a display by its variable")
def test_the_browser_gets_a_file_that_leads_to_the_page(frames: Path, checkpoint: Path, tmp_path: Path) -> None:
    """Not the address itself: every user of the machine can read the command lines of its processes."""
    mark, browser = tmp_path / "mark", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {mark}.tmp; mv {mark}.tmp {mark}\n')
    browser.chmod(0o755)
    command = ["label", frames, "--checkpoint", checkpoint, "--project", tmp_path / "p", "--port", 0]
    with started(*command, DISPLAY=":0", BROWSER=str(browser)) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        wait_for(process, mark.exists)
        file = tmp_path / "p" / "open.html"
        assert mark.read_text() == f"{file.as_uri()}\n"
        assert url in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert not file.exists()
    # without a display
    mark.unlink()
    with started(*command, DISPLAY="", WAYLAND_DISPLAY="", BROWSER=str(browser)) as process:
        assert process.stdout is not None and process.stdout.readline()
        assert not file.exists()
    assert not mark.exists()


def test_other_machines_are_let_in_with_a_warning_alone(frames: Path, checkpoint: Path, tmp_path: Path) -> None:
    command = ["label", frames, "--checkpoint", checkpoint, "--project", tmp_path / "p", "--port", 0, "--json"]
    with started(*command, "--host", EVERYWHERE) as process:
        assert process.stdout is not None and process.stderr is not None
        line = json.loads(process.stdout.readline())
        assert process.stderr.readline() == (
            f"uniref: warning: --host 0.0.0.0: whoever reaches port {line['port']} of this machine and knows the "
            "address with its token sees the video and can change the labels; the connection is not encrypted\n"
        )
        assert line["url"].startswith(f"http://{socket.gethostname().lower()}:")
        token = line["url"].partition("token=")[2]
        assert ask(f"http://127.0.0.1:{line['port']}/?token={token}", "/api/state")


@pytest.mark.slow
def test_the_page_is_there_before_the_model(frames: Path, checkpoint: Path, tmp_path: Path) -> None:
    """Weights that cannot be loaded are told on the page."""
    broken = tmp_path / "broken"
    shutil.copytree(checkpoint, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    command = ["label", frames, "--checkpoint", broken, "--project", tmp_path / "p", "--port", 0, "--json"]
    with started(*command) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        wait_for(process, lambda: ask(url, "/api/state")["error"] is not None)
        error = ask(url, "/api/state")["error"]
        assert str(broken) in error and "\n" not in error
        assert ask(url, "/api/objects", "POST", {}) == {"id": 1}


@pytest.mark.parametrize("command", [["label"], ["predict", "--interactive"]], ids=" ".join)
@pytest.mark.parametrize(
    ("name", "code", "line"),
    [
        ("missing.mp4", 1, "missing.mp4: no such file or folder"),
        ("0", 2, "0: is read once, as it comes, and a label page goes back and forth; save it to a file first"),
        ("-", 2, "standard input: is read once"),
        ("rtsp://me:secret@10.0.0.7/cam", 2, "rtsp://***@10.0.0.7/cam: is read once"),
        ("https://example.com/clip.mp4", 2, "https://example.com/clip.mp4: is read once"),
        ("", 2, "INPUT '': is empty"),
    ],
)
def test_inputs_that_cannot_be_labelled(
    command: list[str], name: str, code: int, line: str, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*command, name]) == code
    output, said = capsys.readouterr()
    assert output == ""
    assert said.startswith(f"uniref: error: {line}")
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_requests_that_make_no_sense(frames: Path, checkpoint: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        label = ["label", str(frames), "--checkpoint", str(checkpoint)]
        for command, code, line in [
            ([*label, "--port", str(port)], 1, f"--port {port}: is in use by another program; choose another one"),
            ([*label, "--port", "70000"], 2, "Invalid value for '--port'"),
            ([*label, "--host", "203.0.113.7"], 1, "--host 203.0.113.7: is not an address of this machine"),
            ([*label, "--checkpoint", "nothing"], 1, "nothing: no such checkpoint"),
            (["label", "text.mp4", "--checkpoint", str(checkpoint), "--port", "0"], 1, "text.mp4: "),
            (["predict", "--interactive"], 2, "--interactive: is for one input, not 0"),
            (["predict", "a.mp4", "b.mp4", "--interactive"], 2, "--interactive: is for one input, not 2"),
            (["predict", str(frames), "--interactive", "--text", "a"], 2, "--text: is not for --interactive"),
            (["predict", str(frames), "--interactive", "--all"], 2, "--all: is not for --interactive"),
            (["predict", str(frames), "--interactive", "--no-index"], 2, "--no-index: is not for --interactive"),
        ]:
            assert run(command) == code, command
            said = capsys.readouterr().err
            assert said.startswith(f"uniref: error: {line}"), said
            assert len(said.splitlines()) == 1


def test_without_the_extra(frames: Path, tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name in ('starlette', 'python_multipart') else find(name, *more)\n"
        "from uniref_cli.app import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "label", str(frames)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr == (
        "uniref: error: uniref label needs starlette, python-multipart: pip install starlette python-multipart\n"
    )
    assert not (tmp_path / "labels").exists()
