"""`uniref label INPUT`, and `uniref predict INPUT --interactive`."""

from __future__ import annotations

import contextlib
import html
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from uniref.core.addresses import is_address, shown
from uniref.core.errors import MediaError, UsageError
from uniref.core.files import exists
from uniref.core.signals import StopRequest, stop_on_signals
from uniref_cli.arguments import (
    CHECKPOINT_HELP,
    DOWNLOAD_HELP,
    MACHINE,
    OUTPUT,
    Device,
    Precision,
    Quiet,
    takes_arguments,
)
from uniref_cli.checkpoints import find_named_checkpoint
from uniref_cli.console import Console, error

if TYPE_CHECKING:
    from uniref.inference.predictor import Predictor
    from uniref.labeling.server import LabelServer

_PAGE = "Page"
_EXTRA = ("starlette", "uvicorn", "python_multipart")
_LOOPBACK = "127.0.0.1"

EPILOG = """
**Examples**

    uniref label clip.mp4 --checkpoint checkpoints/r50

    uniref label frames/ --project labels/street

    uniref label clip.mp4 --no-browser --port 8765
"""


@dataclass(frozen=True)
class LabelArguments:
    """Arguments of `uniref label`."""

    input: Annotated[
        str, typer.Argument(metavar="INPUT", help="A video, a folder of frames, or an image.", show_default=False)
    ]
    project: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps objects, masks and exports; an existing one is continued. [default: labels/NAME of "
            "the input]",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the page; 0 for any that is free. [default: 8765, or a free one where that is in use]",
            show_default=False,
            rich_help_panel=_PAGE,
        ),
    ] = None
    host: Annotated[
        str,
        typer.Option(
            help="Address of this machine on which the page is served. Others than 127.0.0.1 let other machines in, "
            "without encryption; 'ssh -L 8765:127.0.0.1:8765 MACHINE' is safer.",
            rich_help_panel=_PAGE,
        ),
    ] = _LOOPBACK
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--no-browser",
            help="Open the page in the browser, where there is a display.",
            rich_help_panel=_PAGE,
        ),
    ] = True
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help=f"{CHECKPOINT_HELP} [default: small, the bundled model]", show_default=False, rich_help_panel=MACHINE
        ),
    ] = None
    download: Annotated[bool, typer.Option("--download", help=DOWNLOAD_HELP, rich_help_panel=MACHINE)] = False
    device: Device = "auto"
    precision: Annotated[Precision, typer.Option(help="As for 'uniref predict'.", rich_help_panel=MACHINE)] = "auto"
    quiet: Quiet = False
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print the page's address as a JSON line, and open no browser.", rich_help_panel=OUTPUT
        ),
    ] = False


@takes_arguments
def label(arguments: LabelArguments) -> None:
    """Label objects of a video on a page in the browser: point, look, correct, export.

    The page is served on this machine alone and needs no network. An object is shown by a text, a box, a point, a
    painted mask or an example; the model follows it through the video, and goes on from every mask that is corrected.
    Everything is kept in the project folder as it is made. Ctrl-C ends it, with exit code 130.
    """
    serve(arguments)


def serve(arguments: LabelArguments) -> None:
    """Serve the page until a signal comes. Raises UniRefError where it cannot begin, typer.Exit at the end."""
    console = Console(quiet=arguments.quiet, json_lines=arguments.as_json)
    # what can be told before PyTorch is loaded, which takes seconds
    _check_input(arguments.input, console)
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        packages = [name.replace("_", "-") for name in missing]
        raise UsageError(f"uniref label needs {', '.join(packages)}: pip install {' '.join(packages)}")
    from uniref.weights.catalog import SMALL
    from uniref.weights.checkpoint_config import read_config

    name = arguments.checkpoint or SMALL
    if arguments.checkpoint is None:
        console.say(
            "no --checkpoint: using the bundled model 'small', trained on synthetic scenes; "
            "results on real footage are not reliable"
        )
    checkpoint = find_named_checkpoint(console, name, arguments.download)
    read_config(checkpoint)  # what is no checkpoint is told here, damaged weights on the page
    from uniref.labeling.server import LabelServer, listen

    video = Path(arguments.input)
    folder = arguments.project or Path("labels") / (video.resolve().stem or "video")
    with contextlib.closing(listen(arguments.host, arguments.port)) as listener:
        from uniref.labeling.session import LabelSession

        def load() -> Predictor:
            """The model; the page is shown while PyTorch is loaded and this is called."""
            from uniref.inference.predictor import Predictor
            from uniref_cli.process_rank import local_device

            device = local_device(arguments.device, os.environ)
            return Predictor.from_pretrained(checkpoint, device, arguments.precision)

        session = LabelSession(video, folder, load, name)
        with contextlib.closing(session):
            server = LabelServer(session, listener, console.warn)
            if not server.loopback:
                console.warn(
                    f"--host {arguments.host}: whoever reaches port {server.port} of this machine and knows the "
                    "address with its token sees the video and can change the labels; the connection is not encrypted"
                )
            opened = _open_browser(server.url, folder) if arguments.browser and not arguments.as_json else nullcontext()
            with stop_on_signals(on_request=server.stop, acts_at_once=_leave) as stop, opened:
                _announce(console, server, folder)
                server.serve_until_stopped()
    console.say(f"saved in {folder}; the same command continues")
    if stop.requested:
        raise typer.Exit(stop.exit_code)


def _check_input(name: str, console: Console) -> None:
    """Raise UsageError for what is read once, as it comes, and MediaError for what is not there."""
    is_camera = name.isdecimal() and not exists(Path(name))
    if name == "-" or is_camera or is_address(name):
        raise UsageError(
            f"{'standard input' if name == '-' else shown(name)}: is read once, as it comes, and a label page goes "
            "back and forth; save it to a file first (for example with ffmpeg) and label that"
        )
    if not name.strip():
        raise UsageError(f"INPUT {name!r}: is empty; name a file or folder")
    if not exists(Path(name)):
        raise MediaError(f"{name}: no such file or folder")


def _announce(console: Console, server: LabelServer, folder: Path) -> None:
    """Print where the page is: also with --quiet, because nobody can guess it."""
    if console.json_lines:
        console.result({"url": server.url, "port": server.port, "project": str(folder)})
    elif console.quiet:
        print(server.url, flush=True)
    else:
        console.say(f"label page: {server.url} (Ctrl-C ends it; everything is saved in {folder} as it is made)")


@contextlib.contextmanager
def _open_browser(address: str, folder: Path) -> Iterator[None]:
    """Open the page in the browser, where there is a display.

    A file that leads there is opened instead of the address itself, which would stand in the list of processes with its
    token, where other users of the machine see it.
    """
    import webbrowser

    desktop = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    file = folder.resolve() / "open.html"
    target = html.escape(address)
    page = f'<!doctype html><meta http-equiv="refresh" content="0;url={target}"><a href="{target}">uniref label</a>\n'
    try:
        if desktop:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
                with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as written:
                    written.write(page)
                threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _leave(request: StopRequest, number: int) -> NoReturn:
    """A second signal ends the process at once, whatever its threads do; what was made is saved."""
    from uniref.media.ffmpeg import kill_children

    kill_children()
    error("interrupted" if number == signal.SIGINT else "terminated")
    os._exit(128 + number)
