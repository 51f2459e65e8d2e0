"""`uniref convert SRC DST`, and its upload to the Hugging Face hub with `--push`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from uniref.core.errors import CheckpointError, UsageError
from uniref_cli.arguments import OUTPUT, Quiet, takes_arguments
from uniref_cli.checkpoints import access, show_catalogue
from uniref_cli.console import Console

_CONVERSION, _NETWORK = "Conversion", "Download and upload"

EPILOG = """
**Examples**

    uniref convert --list

    uniref convert video-joint-r50 checkpoints/r50 --download

    uniref convert video-joint_r50.pth checkpoints/r50

    uniref convert sam-vit-h weights/sam-vit-h --text bert-base-uncased --download

    uniref convert runs/mine/video/final --push owner/name --results eval/results.json
"""


@dataclass(frozen=True)
class ConvertArguments:
    """Arguments of `uniref convert`."""

    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SRC",
            help="Checkpoint file (.pth, .pkl or .safetensors), folder of a SAM or of uniref, a name of --list, an "
            "address, or owner/name of the Hugging Face hub.",
            show_default=False,
        ),
    ] = None
    target: Annotated[Path | None, typer.Argument(metavar="DST", help="Folder to write.", show_default=False)] = None
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"],
        typer.Option(help="Floating-point type on disk.", rich_help_panel=_CONVERSION),
    ] = "float32"
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="tokenizer.json (or its folder) of a text encoder other than bert-base-uncased.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None
    text: Annotated[
        str | None,
        typer.Option(
            help="Folder of a Hugging Face BERT or RoBERTa, or its name in --list: the text encoder for a SAM, which "
            "has none.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None
    base: Annotated[
        Path | None,
        typer.Option(
            help="SAM checkpoint folder: SRC, a trained SAM model, becomes an adapter over it (the trained weights "
            "alone); SRC, an adapter, becomes a whole checkpoint.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None
    words: Annotated[
        Path | None,
        typer.Option(
            help="Text file: SRC, a checkpoint folder, is written with only the word pieces that this text needs.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="Fetch SRC (and --text) where it is named and not on this machine yet, into the cache.",
            rich_help_panel=_NETWORK,
        ),
    ] = False
    list_all: Annotated[
        bool,
        typer.Option(
            "--list",
            help="Show all names: size, licence, published scores, and which are on this machine.",
            rich_help_panel=_NETWORK,
        ),
    ] = False
    push: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="Upload the result (or SRC, a checkpoint folder, without DST) to the Hugging Face hub, with a model "
            "card.",
            rich_help_panel=_NETWORK,
        ),
    ] = None
    results: Annotated[
        Path | None,
        typer.Option(help="results.json of 'uniref eval', for the model card.", rich_help_panel=_NETWORK),
    ] = None
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            "--license",
            help="Licence of the upload, as the hub calls it: apache-2.0, mit, other, ... [default: that of the name "
            "in the catalogue, else unknown]",
            rich_help_panel=_NETWORK,
        ),
    ] = None
    private: Annotated[
        bool,
        typer.Option("--private", help="Make the hub's repository private.", rich_help_panel=_NETWORK),
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing folder.", rich_help_panel=OUTPUT)
    ] = False
    quiet: Quiet = False
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.", rich_help_panel=OUTPUT)] = False


@takes_arguments
def convert(arguments: ConvertArguments) -> None:
    """Convert a released UniRef++ checkpoint, a SAM, or an ImageNet backbone, to a checkpoint folder.

    SRC may be any released variant (video-joint, image-joint, pretraining; ResNet-50 or Swin; UniFusion in SAM), or
    initial weights for training: a ResNet-50 of torchvision or detectron2, an official Swin, a SAM (sam_vit_*.pth, or
    a folder of transformers). Its kind is recognised from its tensors. Nothing inside the file is ever executed, and
    nothing is fetched without --download or an address.
    """
    console = Console(quiet=arguments.quiet, json_lines=arguments.as_json)
    if arguments.list_all:
        show_catalogue(console)
        return
    source, target = arguments.source, arguments.target
    if source is None:
        raise UsageError("name what to convert: a checkpoint file, or a name of 'uniref convert --list'")
    _check_push(arguments, source)
    if target is not None:
        _convert(console, arguments, source, target)
    if arguments.push is not None:
        _push(console, arguments, source, target or Path(source), arguments.push)


def _check_push(arguments: ConvertArguments, source: str) -> None:
    """Raise UsageError where the options of an upload do not fit together; before anything is done."""
    if arguments.push is None:
        for option in ("results", "licence", "private"):
            if getattr(arguments, option):
                raise UsageError(f"--{option}: goes with --push")
        if arguments.target is None:
            raise UsageError(
                f"{source}: name the folder to write, for example: uniref convert {source} checkpoints/new"
            )
        return
    from uniref.weights.hub import check_name

    check_name(arguments.push)
    if arguments.target is None and not Path(source).is_dir():
        raise UsageError(
            f"--push {arguments.push}: {source} is not a checkpoint folder; name one, or the folder to write first"
        )


def _convert(console: Console, arguments: ConvertArguments, source: str, target: Path) -> None:
    """Convert a file or folder, or install weights that are used as they are."""
    from uniref.weights.catalog import CATALOG
    from uniref.weights.locate import find_source

    if not arguments.overwrite and target.is_dir() and any(target.iterdir()):  # before gigabytes are fetched
        raise UsageError(f"{target}: already exists and is not empty; choose another folder or pass --overwrite")
    allowed = access(console, arguments.download)
    # text encoders and other files of the catalogue are used as they are
    entry = CATALOG.get(source) if not Path(source).exists() else None
    if entry is not None and entry.kind in ("text", "file"):
        from uniref.weights.initial_weights import install

        console.say(install(entry, target, allowed, overwrite=arguments.overwrite))
        console.result({"source": source, "target": str(target), "kind": entry.kind})
        return
    # the others are converted
    text = find_source(arguments.text, allowed) if arguments.text is not None else None
    file = find_source(source, allowed)
    from uniref.weights.convert import convert as convert_weights

    done = convert_weights(
        file,
        target,
        dtype=arguments.dtype,
        tokenizer=arguments.tokenizer,
        text=text,
        base=arguments.base,
        words=arguments.words,
        overwrite=arguments.overwrite,
    )
    # report
    redundant = f" ({done.redundant} redundant ones left out)" if done.redundant else ""
    size = f"{done.parameters / 1e6:.1f} M parameters as {arguments.dtype}"
    console.say(f"{file.name}: {done.kind}")
    console.say(f"{target}: {done.tensors} tensors, {size}{redundant}")
    for note in done.notes:
        console.say(f"note: {note}")
    console.result(
        {
            "source": str(file),
            "target": str(target),
            "kind": done.kind,
            "tensors": done.tensors,
            "parameters": done.parameters,
            "redundant": done.redundant,
            "dtype": arguments.dtype,
            "notes": list(done.notes),
        }
    )


def _push(console: Console, arguments: ConvertArguments, source: str, folder: Path, repository: str) -> None:
    """Upload a checkpoint folder to the Hugging Face hub, with a model card.

    Raises:
        CheckpointError: The folder is not a checkpoint, or the hub refuses or cannot be reached.
        UniRefError: The results cannot be read.
    """
    from uniref.recipe.model import SamModelConfig
    from uniref.weights.catalog import CATALOG
    from uniref.weights.checkpoint_config import read_config
    from uniref.weights.hub import push
    from uniref.weights.model_card import model_card, read_results

    # whole models alone
    config = read_config(folder)
    model = config.model
    if model is None:
        raise CheckpointError(f"{folder}: holds an initial backbone, which is not pushed; push a trained model")
    if config.adapter is not None:
        raise CheckpointError(
            f"{folder}: is an adapter, which cannot be used without its SAM; make a whole checkpoint first: "
            f"uniref convert {folder} FOLDER --base SAM"
        )
    # the card
    tasks = ["text"] if model.text is not None else []
    if model.mask_encoder is not None and model.fusion is not None:
        tasks += ["mask", "support"]
    name = "UniFusion in SAM" if isinstance(model, SamModelConfig) else f"UniRef++ with {model.backbone.name}"
    records = read_results(arguments.results) if arguments.results is not None else []
    entry = CATALOG.get(source) if not Path(source).exists() else None
    licence = arguments.licence or (entry.licence.lower() if entry is not None else None)
    if licence is None:
        console.warn(f"{repository}: its card says that the licence is unknown; --licence states it")
    card = model_card(repository, name, tasks or ["detection"], licence or "unknown", config.source, records)
    # upload
    page = push(folder, repository, card, arguments.private)
    console.say(f"{folder}: is at {page}; use it with --checkpoint {repository}")
    console.result({"pushed": repository, "page": page})
