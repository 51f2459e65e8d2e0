"""`uniref predict INPUT...`"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from uniref.core.errors import UsageError
from uniref_cli.console import Console
from uniref_cli.weights import CHECKPOINT_HELP, DOWNLOAD_HELP
from uniref_cli.weights import checkpoint as named_checkpoint

_INPUT, _WHAT, _HOW, _OUTPUT, _MACHINE = "What to look at", "What to look for", "How", "Output", "Machine and batch"

EPILOG = """
**Examples**

    uniref predict clip.mp4 --text "the red car" --checkpoint checkpoints/r50

    uniref predict clip.mp4 --mask first.png --save overlay,rle --checkpoint checkpoints/r50

    uniref predict photos/*.jpg --support cat.jpg=cat.png --checkpoint checkpoints/r50

    uniref predict --prompts jobs.jsonl --shard 1/4 --json --checkpoint checkpoints/r50
"""


def predict(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Videos, pictures, folders of frames, globs, @FILE with a path a line, or - for such a list on stdin.",
            show_default=False,
            rich_help_panel=_INPUT,
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="YAML, JSON or JSONL with a record an input: input, text, mask, support, name, start, end, stride, "
            "propagate, score_threshold. Paths are relative to the file. Options of the command line hold for records "
            "that say nothing themselves; --text, --mask and --support for those without any of the three.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="First frame: an index (120) or a time (3.5s, 1:02.5).", rich_help_panel=_INPUT)
    ] = None,
    end: Annotated[str | None, typer.Option(help="Frame or time to stop before.", rich_help_panel=_INPUT)] = None,
    stride: Annotated[int, typer.Option(help="Take every n-th frame.", rich_help_panel=_INPUT)] = 1,
    text: Annotated[
        list[str] | None,
        typer.Option(help="An object in words; repeat for several, ID=TEXT to choose its id.", rich_help_panel=_WHAT),
    ] = None,
    mask: Annotated[
        list[str] | None,
        typer.Option(
            help="Objects to follow through a video: a PNG of object ids (or black and white) for the first frame, "
            "FRAME:PNG for a later one, or a folder of PNGs named like the frames.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    support: Annotated[
        list[str] | None,
        typer.Option(help="An example, IMAGE=MASK; repeat for more shots of the same object.", rich_help_panel=_WHAT),
    ] = None,
    propagate: Annotated[
        bool,
        typer.Option(
            "--propagate/--no-propagate",
            help="Texts in a video: use the object's earlier masks too, or search every frame by the text alone.",
            rich_help_panel=_HOW,
        ),
    ] = True,
    score_threshold: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, help="An object scoring no more is not in the frame (videos).", rich_help_panel=_HOW
        ),
    ] = 0.3,
    short_side: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Network resolution; 0 keeps the size. [default: 800 text in pictures, 480 otherwise; 1024 with SAM]",
            rich_help_panel=_HOW,
        ),
    ] = None,
    long_side: Annotated[
        int | None,
        typer.Option(min=0, help="Its limit; 0 for none. [default: 1333, 768 with --support]", rich_help_panel=_HOW),
    ] = None,
    fast: Annotated[
        bool,
        typer.Option(
            "--fast", help="Accept small differences in videos for speed (see the README).", rich_help_panel=_HOW
        ),
    ] = False,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help=f"{CHECKPOINT_HELP} [default: small, the bundled model]",
            show_default=False,
            rich_help_panel=_HOW,
        ),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help=DOWNLOAD_HELP, rich_help_panel=_HOW)] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for the results; one folder an input.", rich_help_panel=_OUTPUT)
    ] = Path("out"),
    save: Annotated[
        str,
        typer.Option(
            help="What to write, separated by commas: overlay, gif (the overlay as an animation), masks (palette "
            "PNGs), rle (COCO JSON lines), npz, cutout (RGBA PNGs), webm, prores (transparent videos).",
            rich_help_panel=_OUTPUT,
        ),
    ] = "overlay,masks",
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Names and scores in the overlay.", rich_help_panel=_OUTPUT)
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo inputs that are done already.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors and warnings.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON line an input.", rich_help_panel=_OUTPUT)
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_MACHINE)] = "auto",
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        typer.Option(
            help="auto: mixed precision on CUDA; float32 elsewhere, on CPUs with bfloat16 products in the attention to "
            "masks, where they change nothing to speak of. float16 is slow on CPUs.",
            rich_help_panel=_MACHINE,
        ),
    ] = "auto",
    shard: Annotated[
        str | None,
        typer.Option(
            help="i/n: do only the i-th of n parts of the inputs. Under torchrun and SLURM arrays this is automatic.",
            rich_help_panel=_MACHINE,
        ),
    ] = None,
) -> None:
    """Segment objects in videos and pictures, referred to by text, by masks, or by example pictures.

    Results go to OUT/<input's name>/: overlay.mp4, masks/FRAME.png, ... and summary.json. A folder appears under its
    name when it is complete; inputs that are done already are skipped. With several inputs, one that fails does not
    stop the others, and the exit code is 1.
    """
    console = Console(quiet=quiet, json_lines=as_json)
    from uniref.weights.catalog import SMALL
    from uniref_cli.inputs import expand, read_prompts

    jobs = expand(inputs or []) + (read_prompts(prompts) if prompts else [])
    if not jobs:
        raise UsageError("nothing to look at; name a video, a picture or a folder of frames")
    if checkpoint is None:
        checkpoint = SMALL
        console.say(
            "no --checkpoint: using the bundled model 'small', trained on synthetic scenes; "
            "results on real footage are not reliable"
        )
    # what is not here is told at once; what is to be fetched waits until all other options are checked
    folder = None if download else named_checkpoint(console, checkpoint, False)
    from uniref.inference.predict_source import PredictOptions
    from uniref.inference.prompts import Prompt
    from uniref.media.source import Selection
    from uniref_cli.batch import Batch, Settings
    from uniref_cli.shards import parse_shard, shard_of_environment

    settings = Settings(
        prompt=Prompt(text=tuple(text or ()), mask=tuple(mask or ()), support=tuple(support or ())),
        options=PredictOptions(
            save=_kinds(save),
            selection=Selection(start, end, stride),
            propagate=propagate,
            score_threshold=score_threshold,
            short_side=_side(short_side),
            long_side=_side(long_side),
            labels=labels,
        ),
        checkpoint=folder or named_checkpoint(console, checkpoint, download),
        out=out,
        overwrite=overwrite,
        device=device,
        precision=precision,
        fast=fast,
    )
    part = parse_shard(shard) if shard else shard_of_environment(os.environ, len(jobs))
    code = Batch(settings, console).work(jobs, part)
    if code:
        raise typer.Exit(code)


def _side(value: int | None) -> int | Literal["default"] | None:
    return "default" if value is None else value or None


def _kinds(save: str) -> tuple[str, ...]:
    """The kinds of output of `--save`, checked."""
    from uniref.inference.sinks import SINKS

    kinds = tuple(dict.fromkeys(kind.strip() for kind in save.split(",") if kind.strip()))
    for kind in kinds:
        if kind not in SINKS:
            raise UsageError(f"--save {kind!r}: unknown; choose from {', '.join(SINKS)}")
    if not kinds:
        raise UsageError(f"--save: is empty; choose from {', '.join(SINKS)}")
    return kinds
