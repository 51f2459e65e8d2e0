"""`uniref predict INPUT...`"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

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

_INPUTS, _PROMPTS, _INFERENCE = "Inputs", "Prompts", "Inference"
_LABEL_OPTIONS = {"inputs", "interactive", "checkpoint", "download", "device", "precision", "quiet", "as_json"}
_OPTION_NAMES = {"all_instances": "all", "compiled": "compile", "index": "no-index", "labels": "no-labels"}

EPILOG = """
**Examples**

    uniref predict clip.mp4 --text "the red car" --checkpoint checkpoints/r50

    uniref predict clip.mp4 --mask first.png --save overlay,rle --checkpoint checkpoints/r50

    uniref predict photos/*.jpg --support cat.jpg=cat.png --checkpoint checkpoints/r50

    uniref predict 0 --text "the cup" --show --duration 60s

    uniref predict --prompts jobs.jsonl --shard 1/4 --json --checkpoint checkpoints/r50
"""


@dataclass(frozen=True)
class PredictArguments:
    """Arguments of `uniref predict`."""

    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="Videos, images, folders of frames, globs, @FILE with one path per line; streams: the number of a "
            "camera (0), an address (rtsp://, http://, https://); or - for an encoded video or a list on stdin.",
            show_default=False,
        ),
    ] = None
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="YAML, JSON or JSONL file with one record per input: input, text, mask, support, name, start, end, "
            "stride, box, point, all, propagate, two_pass, both_ways, score_threshold. Paths are relative to the file. "
            "Options of the command line are the defaults of all records; --text, --mask, --support, --box and "
            "--point of those with none of them.",
            rich_help_panel=_INPUTS,
        ),
    ] = None
    start: Annotated[
        str | None, typer.Option(help="First frame: an index (120) or a time (3.5s, 1:02.5).", rich_help_panel=_INPUTS)
    ] = None
    end: Annotated[str | None, typer.Option(help="Frame or time to stop before.", rich_help_panel=_INPUTS)] = None
    stride: Annotated[int, typer.Option(help="Process every n-th frame.", rich_help_panel=_INPUTS)] = 1
    duration: Annotated[
        str | None, typer.Option(help="Streams: stop after this time (10, 10s, 1:30).", rich_help_panel=_INPUTS)
    ] = None
    live: Annotated[
        bool | None,
        typer.Option(
            "--live/--every-frame",
            help="Streams: take the newest frame and drop those that came meanwhile, or take every frame. [default: "
            "live for cameras and network streams; every frame of videos and pipes]",
            show_default=False,
            rich_help_panel=_INPUTS,
        ),
    ] = None
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Referring expression; repeat for several objects. ID=TEXT chooses an object's id, FRAME:TEXT looks "
            "for it from that frame on (ID=FRAME:TEXT for both).",
            rich_help_panel=_PROMPTS,
        ),
    ] = None
    mask: Annotated[
        list[str] | None,
        typer.Option(
            help="Objects to track through a video: a PNG of object ids (or black and white) for the first frame, "
            "FRAME:PNG for a later one, or a folder of PNGs named like the frames. An object that is given again "
            "starts again there.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None
    support: Annotated[
        list[str] | None,
        typer.Option(
            help="Support image with its mask, IMAGE=MASK; repeat for more shots of the same object.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=][FRAME:]X0,Y0,X1,Y1",
            help="A box around an object, in pixels; repeat for more objects.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None
    point: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=][FRAME:]X,Y",
            help="A point on an object, in pixels; repeat for more objects, with ID= for more points or a box of the "
            "same one. ID=-X,Y is beside it.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None
    all_instances: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every object that a text or the support images mean, each with an id of its own, instead of the best "
            "one alone. Videos: those of the first frame where any is found, each followed by its mask.",
            rich_help_panel=_PROMPTS,
        ),
    ] = False
    propagate: Annotated[
        bool,
        typer.Option(
            "--propagate/--no-propagate",
            help="Text prompts in videos: also use the object's earlier masks, or segment every frame by the text "
            "alone.",
            rich_help_panel=_INFERENCE,
        ),
    ] = True
    two_pass: Annotated[
        bool,
        typer.Option(
            "--two-pass",
            help="Videos: look for every text in all frames first, then follow it from its best frame to both ends. "
            "One pass keeps the first frame where it scores over the threshold. Takes twice as long.",
            rich_help_panel=_INFERENCE,
        ),
    ] = False
    both_ways: Annotated[
        bool,
        typer.Option(
            "--both-ways",
            help="Videos: follow objects also backwards, from where they are given (--mask 40:PNG) or first found.",
            rich_help_panel=_INFERENCE,
        ),
    ] = False
    score_threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="An object whose score is not above this is not found in the image or frame; 0 always answers. "
            "[default: 0.3, or what 'uniref eval --calibrate' stored in the checkpoint to find a text]",
            rich_help_panel=_INFERENCE,
        ),
    ] = None
    short_side: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Short side of the network input in pixels; 0 keeps the image's. [default: 800 for text in images, "
            "480 otherwise; 1024 with SAM]",
            rich_help_panel=_INFERENCE,
        ),
    ] = None
    long_side: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Limit of the long side in pixels; 0 for none. [default: 1333, 768 with --support]",
            rich_help_panel=_INFERENCE,
        ),
    ] = None
    fast: Annotated[
        bool,
        typer.Option(
            "--fast",
            help="Videos: faster, with small differences in the masks (docs/performance.md).",
            rich_help_panel=_INFERENCE,
        ),
    ] = False
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help=f"{CHECKPOINT_HELP} [default: small, the bundled model]",
            show_default=False,
            rich_help_panel=_INFERENCE,
        ),
    ] = None
    download: Annotated[bool, typer.Option("--download", help=DOWNLOAD_HELP, rich_help_panel=_INFERENCE)] = False
    out: Annotated[Path, typer.Option(help="Folder for the results; one folder per input.", rich_help_panel=OUTPUT)] = (
        Path("out")
    )
    save: Annotated[
        str,
        typer.Option(
            help="What to write, separated by commas. To look at: overlay, gif. Masks: masks (palette PNGs), npz. To "
            "edit: cutout (RGBA PNGs), webm, prores (transparent videos), mattes, matte-video (grey with soft edges, "
            "one per object). Annotations: rle (JSON lines), coco (COCO or YouTube-VIS JSON, one file for the whole "
            "run too), polygons (COCO), yolo, mots, cvat. See docs/outputs.md.",
            rich_help_panel=OUTPUT,
        ),
    ] = "overlay,masks"
    labels: Annotated[
        bool,
        typer.Option("--labels/--no-labels", help="Draw names and scores into the overlay.", rich_help_panel=OUTPUT),
    ] = True
    fail_if_absent: Annotated[
        bool,
        typer.Option(
            "--fail-if-absent",
            help="Exit with code 1 if an object is not found in an input; the results are written all the same.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    index: Annotated[
        bool,
        typer.Option(
            "--index/--no-index",
            help="Write OUT/index.html, a page with pictures, objects, presence over time and scores of every input.",
            rich_help_panel=OUTPUT,
        ),
    ] = True
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Repeat inputs that are already done.", rich_help_panel=OUTPUT)
    ] = False
    show: Annotated[
        bool,
        typer.Option(
            "--show", help="Videos and streams: show the overlay in a window meanwhile.", rich_help_panel=OUTPUT
        ),
    ] = False
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive",
            help="Show objects of one input, look at them and correct them on a page in the browser, as 'uniref label' "
            "does.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    quiet: Quiet = False
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per input.", rich_help_panel=OUTPUT)] = (
        False
    )
    device: Device = "auto"
    precision: Annotated[
        Precision,
        typer.Option(
            help="auto: mixed precision on CUDA; float32 elsewhere, on CPUs with bfloat16 products in the attention to "
            "masks, where the effect is negligible. float16 is slow on CPUs.",
            rich_help_panel=MACHINE,
        ),
    ] = "auto"
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the image encoder first (a minute or more): for long videos and many images of one size.",
            rich_help_panel=MACHINE,
        ),
    ] = False
    shard: Annotated[
        str | None,
        typer.Option(
            help="i/n: process only the i-th of n parts of the inputs. Under torchrun and SLURM arrays this is "
            "automatic.",
            rich_help_panel=MACHINE,
        ),
    ] = None


@takes_arguments
def predict(arguments: PredictArguments) -> None:
    """Segment objects in videos and images, referred to by text, masks, support images, boxes, or points.

    Results go to OUT/<input's name>/: overlay.mp4, masks/FRAME.png, ... and summary.json. A folder appears under its
    name when it is complete; inputs that are already done are skipped, and another request for the same input goes to
    NAME-2, NAME-3, ... With several inputs, one that fails does not stop the others, and the exit code is 1. An object
    that is not found has empty masks and is reported.
    """
    if arguments.interactive:
        _label(arguments)
        return
    console = Console(quiet=arguments.quiet, json_lines=arguments.as_json)
    from uniref.weights.catalog import SMALL
    from uniref_cli.predict_inputs import check_only_input, expand, read_prompts

    # inputs
    inputs = expand(arguments.inputs or []) + (read_prompts(arguments.prompts) if arguments.prompts else [])
    if not inputs:
        raise UsageError("no input given; name a video, an image or a folder of frames")
    check_only_input(inputs, console.result)
    # checkpoint: one that is not here is reported at once; a download waits until all other options are checked
    name = arguments.checkpoint
    if name is None:
        name = SMALL
        console.say(
            "no --checkpoint: using the bundled model 'small', trained on synthetic scenes; "
            "results on real footage are not reliable"
        )
    folder = find_named_checkpoint(console, name, False) if not arguments.download else None
    from uniref_cli.predict_runner import PredictRunner
    from uniref_cli.process_rank import parse_shard, rank_of_environment

    runner = PredictRunner(arguments, console)
    rank = parse_shard(arguments.shard) if arguments.shard else rank_of_environment(os.environ, len(inputs))
    code = runner.run(inputs, folder or find_named_checkpoint(console, name, arguments.download), rank)
    if code:
        raise typer.Exit(code)


def _label(arguments: PredictArguments) -> None:
    """`uniref label` with the options that it shares. Raises UsageError for the others."""
    from uniref_cli.label import LabelArguments, serve

    for field in fields(arguments):
        if field.name not in _LABEL_OPTIONS and getattr(arguments, field.name) != field.default:
            option = _OPTION_NAMES.get(field.name, field.name.replace("_", "-"))
            raise UsageError(f"--{option}: is not for --interactive; objects and outputs are chosen on the page")
    inputs = arguments.inputs or []
    if len(inputs) != 1:
        raise UsageError(
            f"--interactive: is for one input, not {len(inputs)}; name a video, an image or a folder of frames"
        )
    shared = {name: getattr(arguments, name) for name in _LABEL_OPTIONS - {"inputs", "interactive"}}
    serve(LabelArguments(inputs[0], **shared))
