"""Commands whose options are the fields of a dataclass, each stated once: name, type, default and help.

@dataclass(frozen=True)
class EvalArguments:
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N samples.")] = None

@takes_arguments
def evaluate(arguments: EvalArguments) -> None: ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand

A = TypeVar("A")

OUTPUT, MACHINE = "Output", "Machine"
"""Panels of `--help` that several commands have."""

CHECKPOINT_HELP = (
    "Checkpoint folder, made by 'uniref convert' or 'uniref train'; a name of 'uniref convert --list'; or owner/name "
    "of the Hugging Face hub."
)
DOWNLOAD_HELP = "Fetch the checkpoint where it is named and not on this machine yet: once, into the cache."

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.", rich_help_panel=OUTPUT)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MACHINE)]
Precision = Literal["auto", "float32", "bfloat16", "float16"]


class Command(TyperCommand):
    """A command that lists `--help` among the options of its output, not in a panel of its own."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option `--help`, or None where the command has none."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.rich_help_panel = OUTPUT
        return option


def takes_arguments(command: Callable[[A], None]) -> Callable[..., None]:
    """Make a typer command of a function that takes one dataclass, whose fields become the command's parameters.

    Args:
        command: Its only parameter is annotated with a dataclass whose fields are `Annotated` with `typer.Option` or
            `typer.Argument`.
    """
    [kind] = (hint for name, hint in get_type_hints(command).items() if name != "return")
    hints: dict[str, Any] = get_type_hints(kind, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        command(kind(**values))

    # what typer reads
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return call
