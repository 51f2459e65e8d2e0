"""`uniref convert SRC DST`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from uniref_cli.console import Console


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="Checkpoint file (.pth, .pkl or .safetensors), or a folder of a SAM or of ours."
        ),
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder to make.")],
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"], typer.Option(help="Floating-point type on disk.")
    ] = "float32",
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="tokenizer.json (or its folder) of a text encoder that is not bert-base-uncased."),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="Folder with a Hugging Face BERT or RoBERTa: the text encoder for a SAM, which has none."),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="SAM checkpoint folder: SRC, a trained SAM model, becomes an adapter over it (the trained weights "
            "alone); SRC, an adapter, a whole checkpoint."
        ),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(
            help="Text file: SRC, a checkpoint folder, is written with only the word pieces that these words need."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """Convert a released UniRef++ checkpoint, a SAM, or an ImageNet backbone, to a checkpoint folder.

    SRC may be any released variant (video-joint, image-joint, pretraining; ResNet-50 or Swin; UniFusion in SAM), or
    initial weights for training: a ResNet-50 of torchvision or detectron2, an official Swin, a SAM (sam_vit_*.pth, or
    a folder of transformers). What it is is recognised from its tensors. Nothing inside the file is ever executed.

    Examples: uniref convert video-joint_r50.pth checkpoints/r50;
    uniref convert sam_vit_h_4b8939.pth weights/sam-h --text bert-base-uncased/
    """
    console = Console(quiet=quiet, json_lines=as_json)
    from uniref.weights.convert import convert as convert_weights

    done = convert_weights(source, target, dtype, tokenizer, overwrite, text, base, words)
    redundant = f" ({done.redundant} redundant ones left out)" if done.redundant else ""
    console.say(f"{source.name}: {done.kind}")
    console.say(f"{target}: {done.tensors} tensors, {done.parameters / 1e6:.1f} M values as {dtype}{redundant}")
    for note in done.notes:
        console.say(f"note: {note}")
    console.result(
        {
            "source": str(source),
            "target": str(target),
            "kind": done.kind,
            "tensors": done.tensors,
            "parameters": done.parameters,
            "redundant": done.redundant,
            "dtype": dtype,
            "notes": list(done.notes),
        }
    )
