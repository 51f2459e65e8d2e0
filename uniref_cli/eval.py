"""`uniref eval`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from uniref.core.errors import UsageError
from uniref_cli.console import Console
from uniref_cli.weights import CHECKPOINT_HELP, DOWNLOAD_HELP
from uniref_cli.weights import checkpoint as named_checkpoint

_WHAT, _HOW, _OTHER, _OUTPUT, _MACHINE = (
    "What to evaluate",
    "How",
    "Masks of another tool, and submissions",
    "Output",
    "Machine",
)

EPILOG = """
**Examples**

    uniref eval --checkpoint checkpoints/r50 --data refcoco/val,refcoco/testA --data davis17/val

    uniref eval --checkpoint checkpoints/r50 --data youtube-vos-2018/val --submission --gpus 8

    uniref eval --predictions masks/ --data davis17/val

    uniref eval --data mose/val --check-submission mose.zip
"""


def evaluate(
    checkpoint: Annotated[
        str | None,
        typer.Option(help=f"{CHECKPOINT_HELP} Or small, the bundled model.", show_default=False, rich_help_panel=_WHAT),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help=DOWNLOAD_HELP, rich_help_panel=_WHAT)] = False,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Prepared splits, dataset/split, separated by commas or repeated.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="Take the data from a training recipe's last stage that evaluates and, without --checkpoint, its "
            "result, runs/NAME/STAGE/final.",
            show_default=False,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    root: Annotated[Path, typer.Option(help="Folder of all indices.", rich_help_panel=_WHAT)] = Path("data"),
    shots: Annotated[
        str, typer.Option(help="Few-shot data: numbers of support images, for example 1,5.", rich_help_panel=_WHAT)
    ] = "1",
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "--subset",
            min=1,
            help="Only the first N samples (images) or videos of each split.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    short_side: Annotated[
        int | None,
        typer.Option(min=1, help="Network resolution instead of the protocol's.", rich_help_panel=_HOW),
    ] = None,
    long_side: Annotated[
        int | None, typer.Option(min=1, help="Its limit, instead of the protocol's.", rich_help_panel=_HOW)
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Score these instead of running a model: a folder of masks, or a COCO results file for boxes.",
            show_default=False,
            rich_help_panel=_OTHER,
        ),
    ] = None,
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Folder of true masks, named as predictions are, for a split whose truth is not in its index.",
            show_default=False,
            rich_help_panel=_OTHER,
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Score what is there, and say so everywhere.", rich_help_panel=_OTHER),
    ] = False,
    submission: Annotated[
        bool,
        typer.Option(
            "--submission", help="Also write the zip that the data set's server wants.", rich_help_panel=_OTHER
        ),
    ] = False,
    check_submission: Annotated[
        Path | None,
        typer.Option(
            help="Only check a submission (folder or zip) against what the server requires.",
            show_default=False,
            rich_help_panel=_OTHER,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for results; processes that share the work share it.", rich_help_panel=_OUTPUT)
    ] = Path("eval"),
    save_predictions: Annotated[
        bool, typer.Option("--save-predictions", help="Keep the predicted masks.", rich_help_panel=_OUTPUT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew instead of going on.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line a split.", rich_help_panel=_OUTPUT)
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MACHINE)] = "auto",
    gpus: Annotated[
        int | None, typer.Option(min=1, help="Use so many GPUs, a process each.", rich_help_panel=_MACHINE)
    ] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(help="auto: mixed precision on CUDA, float32 elsewhere.", rich_help_panel=_MACHINE),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that score masks. [default: all cores; 1 beside a model on a CPU]",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            help="i/n: do only the i-th of n parts. Under torchrun and SLURM arrays this is automatic.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
) -> None:
    """Evaluate a checkpoint, or masks that any tool wrote, by the published protocol of each data set.

    Results go to OUT: results.json, per_sequence.csv and report.html. A run that was stopped goes on where it was.
    Parts (--shard, torchrun, SLURM) write into the same OUT; whoever ends last merges, to the same bits as one process
    alone. If machines do not share a disk, copy their folders together and run once more without --shard.
    """
    console = Console(quiet=quiet, json_lines=as_json)
    # what is not here is told at once; what is to be fetched waits until all other options are checked
    folder = named_checkpoint(console, checkpoint, False) if checkpoint is not None and not download else None
    from uniref_cli.eval_data import named_data, trained_checkpoint
    from uniref_cli.evaluating import Evaluation, Settings
    from uniref_cli.shards import parse_shard, shard_of_environment

    names = named_data(data or [], recipe)
    if check_submission is not None and (checkpoint or predictions):
        raise UsageError("--check-submission: checks and nothing else; leave out --checkpoint and --predictions")
    if recipe is not None and checkpoint is None and predictions is None and check_submission is None:
        checkpoint = str(trained_checkpoint(recipe))
    settings = Settings(
        root=root,
        data=names,
        shots=_numbers(shots),
        limit=limit,
        sides=(short_side, long_side),
        checkpoint=folder or (named_checkpoint(console, checkpoint, download) if checkpoint is not None else None),
        predictions=predictions,
        truth=truth,
        allow_missing=allow_missing,
        submission=submission,
        out=out,
        save_predictions=save_predictions,
        overwrite=overwrite,
        device=device,
        gpus=gpus,
        precision=precision,
        workers=workers,
    )
    evaluation = Evaluation(settings, console)
    if check_submission is not None:
        code = evaluation.check(check_submission)
    else:
        # even one split is many units of work, so that an array shares it
        part = parse_shard(shard) if shard else shard_of_environment(os.environ, inputs=2)
        code = evaluation.run(part)
    if code:
        raise typer.Exit(code)


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise UsageError(f"--shots {text!r}: use whole numbers from 1, for example 1,5")
    return tuple(dict.fromkeys(int(part) for part in parts))
