"""The `uniref` command: its sub-commands, exit codes, and how errors are reported.

Exit codes: 0 done, 1 failure, 2 usage, 130 interrupted, 143 terminated. Nothing heavy is imported before a
sub-command needs it, so that `uniref --help` is instant.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from uniref.core.errors import UniRefError
from uniref.core.signals import SignalReceived, raise_on_signals
from uniref.version import __version__
from uniref_cli import console, convert, eval, label, predict, prepare, train
from uniref_cli.arguments import Command

# Typer carries its own copy of click; its public exception leads to the classes in use
_ClickUsageError: Any = typer.BadParameter.__bases__[0]
_ClickError: type[Exception] = _ClickUsageError.__bases__[0]

_OPEN_FILES = 4096
_COLLECT_AFTER = 20_000
"""Allocations of containers between two runs of Python's garbage collector; with the usual 700, importing PyTorch and
its companions, of which nothing can be freed, takes a sixth longer."""
_READERS = ("predict", "label", "eval", "prepare-data")

app = typer.Typer(
    name="uniref",
    help="Segment the object you refer to by text, by a mask, or by support images, in images and videos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(f"uniref {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Segment the object you refer to by text, by a mask, or by support images, in images and videos."""


app.command("predict", cls=Command, epilog=predict.EPILOG)(predict.predict)
app.command("label", cls=Command, epilog=label.EPILOG)(label.label)
app.command("convert", cls=Command, epilog=convert.EPILOG)(convert.convert)
app.command("prepare-data", cls=prepare.PrepareDataCommand, epilog=prepare.EPILOG)(prepare.prepare_data)
app.command("train", cls=Command, epilog=train.EPILOG)(train.train)
app.command("eval", cls=Command, epilog=eval.EPILOG)(eval.evaluate)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors are reported on stderr, one line each."""
    command = typer.main.get_command(app)
    console.tolerate_names()
    threading.excepthook = _report_thread_error
    raise_on_signals()
    try:
        words = list(sys.argv[1:] if arguments is None else arguments)
        # these read files of any origin, about which libraries print warnings of their own
        quiet = console.quiet_libraries() if words[:1] and words[0] in _READERS else contextlib.nullcontext()
        with quiet:
            code = command.main(args=words, prog_name="uniref", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except UniRefError as error:
        if os.environ.get("UNIREF_DEBUG") and error.__cause__ is not None:
            traceback.print_exc()  # a reader took it for damage of its file; it may also be a bug of ours
        console.error(str(error))
        return error.exit_code
    except _ClickError as error:
        return _report_click_error(error)
    except SignalReceived as caught:
        console.error("interrupted" if caught.number == signal.SIGINT else "terminated")
        return 128 + caught.number
    except BrokenPipeError:
        # the reader of our output has gone; keep Python from complaining again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - a user gets a line, not a traceback
        if os.environ.get("UNIREF_DEBUG"):
            traceback.print_exc()
        console.error(_unexpected(error))
        return 1


def _report_thread_error(arguments: threading.ExceptHookArgs) -> None:
    """A thread of a library ended (TensorBoard's, where its folder is gone): a line, not a traceback."""
    if os.environ.get("UNIREF_DEBUG"):
        threading.__excepthook__(arguments)
    elif isinstance(arguments.exc_value, Exception):
        console.warning(_unexpected(arguments.exc_value))


def _unexpected(error: Exception) -> str:
    """One line about an unexpected error."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    message = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {message} (set UNIREF_DEBUG=1 for the traceback)"


def _report_click_error(error: Any) -> int:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if message:
        context = getattr(error, "ctx", None)
        hint = f" (see '{context.command_path} --help')" if context is not None else ""
        console.error(" ".join(message.split()) + hint)
    return int(error.exit_code)


def _allow_open_files() -> None:
    """Raise the limit of open files to what the system allows, up to `_OPEN_FILES`; macOS starts with 256."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main() -> None:
    """Entry point of the `uniref` script."""
    _allow_open_files()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
    code = run()
    if "RANK" in os.environ:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End one of torchrun's processes at once: in Python's own clean-up, threads of PyTorch that still run can abort it
    after all is done and saved, and torchrun would call that a failure."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
