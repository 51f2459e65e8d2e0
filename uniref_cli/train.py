"""`uniref train RECIPE`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from uniref.core.errors import UsageError
from uniref.core.slurm import torch_variables
from uniref_cli.arguments import MACHINE, OUTPUT, Device, Quiet, takes_arguments
from uniref_cli.checkpoints import access
from uniref_cli.console import Console

_RECIPE, _RUN = "Recipe and data", "Run"

EPILOG = """
**Examples**

    uniref train recipes/debug.yaml --root data

    uniref train recipes/r50.yaml --dry-run

    uniref train recipes/r50.yaml --dry-run --device cuda --gpus 16 --memory 80

    uniref train recipes/r50.yaml --root data --download

    uniref train recipes/r50.yaml --stage video --set stages.video.optim.lr=5e-5 --out runs/video

    uniref train recipes/r50.yaml --gpus 8 --resume auto

    srun --ntasks 32 --gpus-per-task 1 uniref train recipes/r50.yaml --root data --out RUN --resume auto

    torchrun --nnodes 4 --nproc-per-node 8 --rdzv-endpoint HOST:29500 -m uniref_cli.app train recipes/r50.yaml
"""


@dataclass(frozen=True)
class TrainArguments:
    """Arguments of `uniref train`."""

    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="YAML file.", show_default=False)]
    root: Annotated[Path, typer.Option(help="Data root, as given to prepare-data.", rich_help_panel=_RECIPE)] = Path(
        "data"
    )
    stage: Annotated[
        list[str] | None, typer.Option(help="Only this stage; repeat for several.", rich_help_panel=_RECIPE)
    ] = None
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value of the recipe: stages.NAME.optim.lr=1e-4, or defaults.optim.lr=1e-4 for all stages.",
            rich_help_panel=_RECIPE,
        ),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run. [default: runs/NAME of the recipe]", rich_help_panel=_RUN),
    ] = None
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="auto|PATH",
            help="auto: resume where the run in --out stopped, or start it; PATH: resume from that checkpoint.",
            rich_help_panel=_RUN,
        ),
    ] = None
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="Fetch initial weights that the recipe names and that are not on this machine, where 'uniref convert "
            "--list' has them.",
            rich_help_panel=_RUN,
        ),
    ] = False
    device: Device = "auto"
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes on this machine, one per GPU (calls torchrun). With --device cpu: processes that share the "
            "processor.",
            rich_help_panel=MACHINE,
        ),
    ] = None
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Print the resolved recipe, sizes, learning rates, data and memory, and stop.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            metavar="GB",
            help="With --dry-run: memory of a GPU, compared with the estimate. --device cuda and --gpus may describe "
            "another machine than this one.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    preview: Annotated[
        int,
        typer.Option(
            min=0, help="Draw N training samples as the model gets them into a PNG, and stop.", rich_help_panel=OUTPUT
        ),
    ] = 0
    quiet: Quiet = False
    as_json: Annotated[
        bool, typer.Option("--json", help="Print every log record as a JSON line.", rich_help_panel=OUTPUT)
    ] = False


@takes_arguments
def train(arguments: TrainArguments) -> None:
    """Train a model as a recipe describes, on this machine or (under torchrun) on many.

    The global batch of the recipe is kept on any number of devices by accumulating gradients. Ctrl-C and SIGTERM finish
    the step, save the state and exit with 130 and 143; --resume auto resumes exactly there.
    """
    console = Console(quiet=arguments.quiet, json_lines=arguments.as_json)
    from uniref.recipe.load import load_recipe

    os.environ.update(torch_variables(os.environ))  # srun's tasks as torchrun's processes
    root, device = arguments.root, arguments.device
    recipe = load_recipe(arguments.recipe, arguments.overrides or ())  # before PyTorch, which takes seconds
    folder = arguments.out if arguments.out is not None else Path("runs") / arguments.recipe.stem
    stages = tuple(arguments.stage or ())
    if arguments.memory is not None and not arguments.dry_run:
        raise UsageError("--memory: is compared with the estimate of --dry-run; pass that too")
    # initial weights, whose sizes a recipe without `model` takes
    from uniref.weights.initial_weights import adopt_models, fetch_missing, missing_weights

    missing = missing_weights(recipe, stages)
    if arguments.download and not arguments.dry_run:
        # gigabytes are not fetched for a training that lacks its data
        from uniref.engine.requirements import check_requirements

        check_requirements(recipe, recipe.select(stages), root)
        fetch_missing(missing, access(console, True))
    recipe = adopt_models(recipe, access(console, arguments.download and not arguments.dry_run))
    # show what would be trained, and stop
    if arguments.dry_run:
        from uniref.engine.dry_run import describe

        for weights in missing:
            console.say(f"not there, --download fetches it: {weights}")
        processes = arguments.gpus or int(os.environ.get("WORLD_SIZE", "1"))
        for line in describe(recipe, stages, root, device, processes, folder, arguments.memory):
            console.say(line)
        return
    # show training samples, and stop
    if arguments.preview:
        from uniref.engine.dry_run import preview_stage

        for name in stages or tuple(recipe.stages):
            path = preview_stage(recipe, name, root, folder, arguments.preview)
            console.say(f"{name}: {arguments.preview} samples drawn in {path}")
        return
    # train in several processes, or in this one
    if arguments.gpus is not None and "RANK" not in os.environ:
        from uniref_cli.launch import launch

        raise typer.Exit(launch(arguments.gpus, device, recipe, stages))
    from uniref.engine.request import TrainRequest
    from uniref.engine.trainer import train

    result = train(TrainRequest(recipe, root, folder, stages, arguments.resume, device), console)
    if result.signal:
        raise typer.Exit(128 + result.signal)
