"""`uniref eval`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from uniref.core.errors import UsageError
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
from uniref_cli.console import Console

_DATA, _INFERENCE, _FOREIGN = "Data and checkpoint", "Inference", "Predictions of other tools, and submissions"
_TABLE = "Earlier results side by side"

EPILOG = """
**Examples**

    uniref eval --checkpoint checkpoints/r50 --data refcoco/val,refcoco/testA --data davis17/val

    uniref eval --checkpoint checkpoints/r50 --data youtube-vos-2018/val --submission --gpus 8

    uniref eval --predictions masks/ --data davis17/val

    uniref eval --data mose/val --check-submission mose.zip

    uniref eval --table ours=eval/a baseline=eval/b --format latex

    uniref eval --calibrate --checkpoint checkpoints/r50 --data refcoco/val
"""


@dataclass(frozen=True)
class EvalArguments:
    """Arguments of `uniref eval`."""

    results: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RESULTS",
            help="With --table: results.json files of earlier evaluations or their folders, each PATH or NAME=PATH.",
            show_default=False,
        ),
    ] = None
    checkpoint: Annotated[
        str | None,
        typer.Option(help=f"{CHECKPOINT_HELP} Or small, the bundled model.", show_default=False, rich_help_panel=_DATA),
    ] = None
    download: Annotated[bool, typer.Option("--download", help=DOWNLOAD_HELP, rich_help_panel=_DATA)] = False
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Prepared splits, dataset/split, separated by commas or repeated.",
            show_default=False,
            rich_help_panel=_DATA,
        ),
    ] = None
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="Take the data from the last stage of a training recipe that evaluates and, without --checkpoint, the "
            "checkpoint that it wrote, runs/NAME/STAGE/final.",
            show_default=False,
            rich_help_panel=_DATA,
        ),
    ] = None
    root: Annotated[Path, typer.Option(help="Folder of all indexes.", rich_help_panel=_DATA)] = Path("data")
    shots: Annotated[
        str,
        typer.Option(help="Few-shot data: numbers of support images, for example 1,5.", rich_help_panel=_DATA),
    ] = "1"
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "--subset",
            min=1,
            help="Only the first N samples (images) or videos of each split.",
            rich_help_panel=_DATA,
        ),
    ] = None
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Measure, on the images with expressions of --data, from which score on an object is there, and store "
            "that threshold in the checkpoint's config.json, for 'uniref predict'. Nothing else is evaluated.",
            rich_help_panel=_DATA,
        ),
    ] = False
    false_alarms: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="With --calibrate: answer at most this share of the phrases whose object is absent, instead of "
            "balancing both kinds of mistakes.",
            show_default=False,
            rich_help_panel=_DATA,
        ),
    ] = None
    short_side: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Short side of the network input in pixels, instead of the protocol's.",
            rich_help_panel=_INFERENCE,
        ),
    ] = None
    long_side: Annotated[
        int | None,
        typer.Option(
            min=1, help="Limit of the long side in pixels, instead of the protocol's.", rich_help_panel=_INFERENCE
        ),
    ] = None
    two_pass: Annotated[
        bool,
        typer.Option(
            "--two-pass",
            help="Texts in videos: find each in its best frame first, then follow it both ways, as predict --two-pass "
            "does. No published protocol: the numbers are not comparable.",
            rich_help_panel=_INFERENCE,
        ),
    ] = False
    score_threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="A target whose score is not above it is not there: in videos, and images whose expressions may refer "
            "to nothing. [default: the protocol's; for images, the checkpoint's if calibrated]",
            show_default=False,
            rich_help_panel=_INFERENCE,
        ),
    ] = None
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Score these instead of running a model: a folder of masks, or a COCO results file for boxes.",
            show_default=False,
            rich_help_panel=_FOREIGN,
        ),
    ] = None
    truth: Annotated[
        Path | None,
        typer.Option(
            help="Folder of ground-truth masks, named as predictions are, for a split whose index has none.",
            show_default=False,
            rich_help_panel=_FOREIGN,
        ),
    ] = None
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing",
            help="Score incomplete predictions; every output says that they are incomplete.",
            rich_help_panel=_FOREIGN,
        ),
    ] = False
    submission: Annotated[
        bool,
        typer.Option(
            "--submission", help="Also write the zip for the data set's evaluation server.", rich_help_panel=_FOREIGN
        ),
    ] = False
    check_submission: Annotated[
        Path | None,
        typer.Option(
            help="Only check a submission (folder or zip) against the server's requirements.",
            show_default=False,
            rich_help_panel=_FOREIGN,
        ),
    ] = None
    table: Annotated[
        bool,
        typer.Option(
            "--table",
            help="Only print the RESULTS side by side, a row per checkpoint, with the published numbers.",
            rich_help_panel=_TABLE,
        ),
    ] = False
    table_format: Annotated[
        Literal["markdown", "latex", "html"], typer.Option("--format", help="Of the table.", rich_help_panel=_TABLE)
    ] = "markdown"
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="In the table: these instead of each data set's headline; repeat for several.",
            show_default=False,
            rich_help_panel=_TABLE,
        ),
    ] = None
    out: Annotated[
        Path,
        typer.Option(help="Folder for results; processes that share the work share it.", rich_help_panel=OUTPUT),
    ] = Path("eval")
    save_predictions: Annotated[
        bool, typer.Option("--save-predictions", help="Keep the predicted masks.", rich_help_panel=OUTPUT)
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start over instead of resuming.", rich_help_panel=OUTPUT)
    ] = False
    quiet: Quiet = False
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per split.", rich_help_panel=OUTPUT)] = (
        False
    )
    device: Device = "auto"
    gpus: Annotated[
        int | None, typer.Option(min=1, help="Number of GPUs to use, one process each.", rich_help_panel=MACHINE)
    ] = None
    precision: Annotated[
        Precision,
        typer.Option(help="auto: mixed precision on CUDA, float32 elsewhere.", rich_help_panel=MACHINE),
    ] = "auto"
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that score masks. [default: all cores; 1 beside a model on a CPU]",
            rich_help_panel=MACHINE,
        ),
    ] = None
    shard: Annotated[
        str | None,
        typer.Option(
            help="i/n: do only the i-th of n parts. Under torchrun and SLURM arrays this is automatic.",
            rich_help_panel=MACHINE,
        ),
    ] = None


@takes_arguments
def evaluate(arguments: EvalArguments) -> None:
    """Evaluate a checkpoint, or the predictions of any tool, by the published protocol of each data set.

    Results go to OUT: results.json, per_sequence.csv and report.html. An interrupted run resumes where it stopped.
    Parts (--shard, torchrun, SLURM) write into the same OUT; the last one to finish merges, to the same bits as one
    process alone. If machines do not share a disk, copy their folders together and run once more without --shard.
    """
    console = Console(quiet=arguments.quiet, json_lines=arguments.as_json)
    # earlier results side by side, and nothing else
    if arguments.table:
        _print_table(arguments, console)
        return
    if arguments.results:
        raise UsageError(f"{arguments.results[0]}: belongs to --table; name data with --data")
    if arguments.metric:
        raise UsageError("--metric: belongs to --table; an evaluation gives every metric")
    name = arguments.checkpoint
    # a checkpoint that is not here is reported at once; a download waits until all other options are checked
    folder = find_named_checkpoint(console, name, False) if name is not None and not arguments.download else None
    from uniref_cli.eval_runner import EvalRunner
    from uniref_cli.process_rank import parse_shard, rank_of_environment

    data = named_data(arguments.data or [], arguments.recipe)
    if arguments.false_alarms is not None and not arguments.calibrate:
        raise UsageError("--false-alarms: belongs to --calibrate")
    # measure the threshold of presence, or check a submission, and nothing else
    if arguments.calibrate:
        from uniref_cli.eval_presence import calibrate, check_calibration

        check_calibration(arguments)
        folder = folder or find_named_checkpoint(console, str(name), arguments.download)
        calibrate(arguments, data, folder, console)
        return
    if arguments.check_submission is not None:
        if name or arguments.predictions:
            raise UsageError("--check-submission: leave out --checkpoint and --predictions; nothing else is done")
        code = EvalRunner(arguments, data, None, console).check_submission(arguments.check_submission)
    else:
        if arguments.recipe is not None and name is None and arguments.predictions is None:
            name = str(trained_checkpoint(arguments.recipe))
        if folder is None and name is not None:
            folder = find_named_checkpoint(console, name, arguments.download)
        # even one split has many shards, so that an array shares it
        rank = parse_shard(arguments.shard) if arguments.shard else rank_of_environment(os.environ, inputs=2)
        code = EvalRunner(arguments, data, folder, console).run(rank)
    if code:
        raise typer.Exit(code)


def _print_table(arguments: EvalArguments, console: Console) -> None:
    """Print RESULTS as a table, or with --json a line per row. Raises UniRefError."""
    from uniref.evaluation.leaderboard import read_leaderboard, render

    if arguments.checkpoint or arguments.data or arguments.predictions or arguments.recipe:
        raise UsageError("--table: shows earlier results; leave out --checkpoint, --data, --predictions and --recipe")
    board = read_leaderboard(arguments.results or (), arguments.metric or ())
    for line in render(board, arguments.table_format).splitlines():
        console.say(line)
    for row in board.rows:
        numbers = [
            {"data": column.name, "metric": column.metric, "percent": cell.percent, "remarks": list(cell.remarks)}
            for column, cell in row.cells.items()
        ]
        console.result({"name": row.name, "source": row.source, "numbers": numbers})


def named_data(values: Sequence[str], recipe: Path | None) -> list[str]:
    """Names of `--data`, or of a recipe's evaluation.

    Raises:
        UsageError: Neither or both, or the recipe evaluates nothing.
    """
    names = [name.strip() for text in values for name in text.split(",") if name.strip()]
    if names and recipe is not None:
        raise UsageError("give either --data or --recipe")
    if recipe is not None:
        names = list(_evaluated_stage(recipe)[1])
    if not names:
        raise UsageError("no data given; name prepared splits with --data dataset/split")
    return list(dict.fromkeys(names))


def trained_checkpoint(recipe: Path) -> Path:
    """The checkpoint that `uniref train RECIPE` writes at the end of the stage whose data `named_data` returns.

    Raises:
        UsageError: It is not there.
    """
    folder = Path("runs") / recipe.stem / _evaluated_stage(recipe)[0] / "final"
    if not folder.is_dir():
        raise UsageError(f"{folder}: the recipe's model is not there (train it first); name one with --checkpoint")
    return folder


def _evaluated_stage(recipe: Path) -> tuple[str, Sequence[str]]:
    """Name and data of a recipe's last stage that evaluates. Raises UsageError."""
    from uniref.recipe.load import load_recipe

    stages = [(name, stage.evaluation.data) for name, stage in load_recipe(recipe).stages.items() if stage.evaluation]
    if not stages or not stages[-1][1]:
        raise UsageError(f"{recipe}: no stage has evaluation.data; name the data with --data")
    return stages[-1]
