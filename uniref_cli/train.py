"""`uniref train RECIPE`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from uniref.core.errors import CheckpointError
from uniref_cli.console import Console

_WHAT, _STATE, _MACHINE, _OUTPUT = "What to train", "State", "Machine", "Output"

EPILOG = """
**Examples**

    uniref train recipes/debug.yaml --root data

    uniref train recipes/r50.yaml --dry-run

    uniref train recipes/r50.yaml --root data --download

    uniref train recipes/r50.yaml --stage video --set stages.video.optim.lr=5e-5 --out runs/video

    uniref train recipes/r50.yaml --gpus 8 --resume auto

    torchrun --nnodes 4 --nproc-per-node 8 --rdzv-endpoint HOST:29500 -m uniref_cli.app train recipes/r50.yaml
"""


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML file.", show_default=False)],
    root: Annotated[Path, typer.Option(help="Data root, as given to prepare-data.", rich_help_panel=_WHAT)] = Path(
        "data"
    ),
    stage: Annotated[
        list[str] | None, typer.Option(help="Only this stage; repeat for several.", rich_help_panel=_WHAT)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value of the recipe: stages.NAME.optim.lr=1e-4, or defaults.optim.lr=1e-4 for all stages.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run (runs/NAME of the recipe).", rich_help_panel=_STATE)
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="auto|PATH",
            help="auto: continue where the run in --out stopped, or begin it; PATH: continue from that checkpoint.",
            rich_help_panel=_STATE,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MACHINE)] = "auto",
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes on this machine, one a GPU (calls torchrun). With --device cpu: processes that share the "
            "processor.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="Fetch initial weights that the recipe names and that are not there, as far as 'uniref convert "
            "--list' has them.",
            rich_help_panel=_STATE,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the resolved recipe, sizes, learning rates, data and memory, and stop.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    preview: Annotated[
        int,
        typer.Option(
            min=0, help="Draw N training samples as the model gets them into a PNG, and stop.", rich_help_panel=_OUTPUT
        ),
    ] = 0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but warnings and errors.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every log record as a JSON line.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Train by a recipe, on this machine or (under torchrun) on many.

    The global batch of the recipe is kept on any number of devices by accumulating gradients. Ctrl-C and SIGTERM finish
    the step, save the state and exit with 130 and 143; --resume auto continues exactly there.
    """
    console = Console(quiet=quiet, json_lines=as_json)
    from uniref.recipe.load import load_recipe
    from uniref.weights.initial_weights import fetch_missing, missing_weights

    loaded = load_recipe(recipe, overrides or ())
    folder = out if out is not None else Path("runs") / recipe.stem
    stages = tuple(stage or ())
    if dry_run:
        from uniref.engine.dry_run import describe

        processes = gpus or int(os.environ.get("WORLD_SIZE", "1"))
        for line in describe(loaded, stages, root, device, processes):
            console.say(line)
        for each in missing_weights(loaded, stages):
            console.say(f"not there, --download fetches it: {each}")
        return
    if download:
        from uniref_cli.checkpoints import access

        fetch_missing(missing_weights(loaded, stages), access(console, download))
    if preview:
        from uniref.engine.dry_run import preview_stage

        for name in stages or tuple(loaded.stages):
            path = preview_stage(loaded, name, root, folder, preview)
            console.say(f"{name}: {preview} samples drawn in {path}")
        return
    if gpus is not None and "RANK" not in os.environ:
        from uniref_cli.launch import launch

        raise typer.Exit(launch(gpus, device, loaded, stages))
    from uniref.engine.trainer import TrainRequest, train

    try:
        done = train(TrainRequest(loaded, root, folder, stages, resume, device), console)
    except CheckpointError as problem:
        named = [each.entry.name for each in missing_weights(loaded, stages) if str(each.path) in str(problem)]
        if not named:
            raise
        raise CheckpointError(f"{problem}; or add --download, which fetches {named[0]}") from None
    if done.signal:
        raise typer.Exit(128 + done.signal)
