"""`uniref convert SRC DST`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from uniref.core.errors import UsageError
from uniref_cli.console import Console

if TYPE_CHECKING:
    from uniref.weights.fetch import Access

_CONVERSION, _NETWORK, _OUTPUT = "Conversion", "Download and upload", "Output"

EPILOG = """
**Examples**

    uniref convert --list

    uniref convert video-joint-r50 checkpoints/r50 --download

    uniref convert video-joint_r50.pth checkpoints/r50

    uniref convert sam-vit-h weights/sam-vit-h --text bert-base-uncased --download

    uniref convert runs/mine/video/final --push owner/name --results eval/results.json
"""


def convert(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SRC",
            help="Checkpoint file (.pth, .pkl or .safetensors), a folder of a SAM or of ours, a name of --list, an "
            "address, or owner/name of the Hugging Face hub.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[Path | None, typer.Argument(metavar="DST", help="Folder to make.", show_default=False)] = None,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"],
        typer.Option(help="Floating-point type on disk.", rich_help_panel=_CONVERSION),
    ] = "float32",
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="tokenizer.json (or its folder) of a text encoder that is not bert-base-uncased.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="Folder with a Hugging Face BERT or RoBERTa, or its name in --list: the text encoder for a SAM, which "
            "has none.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="SAM checkpoint folder: SRC, a trained SAM model, becomes an adapter over it (the trained weights "
            "alone); SRC, an adapter, a whole checkpoint.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(
            help="Text file: SRC, a checkpoint folder, is written with only the word pieces that these words need.",
            rich_help_panel=_CONVERSION,
        ),
    ] = None,
    download: Annotated[
        bool,
        typer.Option(
            "--download",
            help="Fetch SRC (and --text) where it is named and not here yet, into the cache.",
            rich_help_panel=_NETWORK,
        ),
    ] = False,
    list_all: Annotated[
        bool,
        typer.Option(
            "--list",
            help="Show all names: size, licence, published scores, and what is here.",
            rich_help_panel=_NETWORK,
        ),
    ] = False,
    push: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="Put the result (or SRC, a checkpoint folder, without DST) onto the Hugging Face hub, with a model "
            "card.",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="results.json of 'uniref eval', for the model card.", rich_help_panel=_NETWORK),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            "--license",
            help="Licence of what is pushed, as the hub calls it: apache-2.0, mit, other, ... [default: of the name in "
            "the catalogue, else unknown]",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    private: Annotated[
        bool,
        typer.Option("--private", help="Make the hub's repository a private one.", rich_help_panel=_NETWORK),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing folder.", rich_help_panel=_OUTPUT)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=_OUTPUT)
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.", rich_help_panel=_OUTPUT)] = False,
) -> None:
    """Convert a released UniRef++ checkpoint, a SAM, or an ImageNet backbone, to a checkpoint folder.

    SRC may be any released variant (video-joint, image-joint, pretraining; ResNet-50 or Swin; UniFusion in SAM), or
    initial weights for training: a ResNet-50 of torchvision or detectron2, an official Swin, a SAM (sam_vit_*.pth, or
    a folder of transformers). What it is is recognised from its tensors. Nothing inside the file is ever executed, and
    nothing is fetched without --download or an address.
    """
    console = Console(quiet=quiet, json_lines=as_json)
    if list_all:
        from uniref_cli.zoo import show_catalogue

        show_catalogue(console)
        return
    if source is None:
        raise UsageError("name what to convert: a checkpoint file, or a name of 'uniref convert --list'")
    _check_push(source, target, push, {"--results": results, "--licence": licence, "--private": private or None})
    from uniref_cli.weights import access

    allowed = access(console, download)
    if target is not None:
        options: dict[str, Any] = {"dtype": dtype, "tokenizer": tokenizer, "base": base, "words": words}
        _make(console, source, target, text, overwrite, allowed, options)
    if push is not None:
        from uniref_cli.push import push_checkpoint

        push_checkpoint(console, target or Path(source), push, results, licence or _licence_of(source), private)


def _licence_of(source: str) -> str | None:
    """The licence of weights of the catalogue; None where nobody said."""
    from uniref.weights.catalog import CATALOG

    entry = CATALOG.get(source) if not Path(source).exists() else None
    return entry.licence.lower() if entry is not None else None


def _check_push(source: str, target: Path | None, push: str | None, options: dict[str, Any]) -> None:
    """Raise UsageError where the options of an upload do not fit together; before anything is done."""
    if push is None:
        for option, value in options.items():
            if value is not None:
                raise UsageError(f"{option}: goes with --push")
        if target is None:
            raise UsageError(f"{source}: name the folder to make, for example: uniref convert {source} checkpoints/new")
        return
    from uniref.weights.hub import check_name

    check_name(push)
    if target is None and not Path(source).is_dir():
        raise UsageError(f"--push {push}: {source} is no checkpoint folder; name one, or the folder to make first")


def _make(
    console: Console,
    source: str,
    target: Path,
    text: str | None,
    overwrite: bool,
    allowed: Access,
    options: dict[str, Any],
) -> None:
    """Convert, or put into place what is used as it is."""
    from uniref.weights.catalog import CATALOG
    from uniref.weights.locate import find_source

    if not overwrite and target.is_dir() and any(target.iterdir()):  # told before gigabytes are fetched
        raise UsageError(f"{target}: already exists and is not empty; choose another folder or pass --overwrite")
    entry = CATALOG.get(source) if not Path(source).exists() else None
    if entry is not None and entry.kind in ("text", "file"):
        from uniref.weights.initial_weights import install

        console.say(install(entry, target, allowed, overwrite=overwrite))
        console.result({"source": source, "target": str(target), "kind": entry.kind})
        return
    words = find_source(text, allowed) if text is not None else None
    file = find_source(source, allowed)
    from uniref.weights.convert import convert as convert_weights

    done = convert_weights(file, target, text=words, overwrite=overwrite, **options)
    redundant = f" ({done.redundant} redundant ones left out)" if done.redundant else ""
    console.say(f"{file.name}: {done.kind}")
    console.say(
        f"{target}: {done.tensors} tensors, {done.parameters / 1e6:.1f} M values as {options['dtype']}{redundant}"
    )
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
            "dtype": options["dtype"],
            "notes": list(done.notes),
        }
    )
