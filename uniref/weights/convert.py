"""`uniref convert`: released UniRef++ checkpoints, SAMs and ImageNet backbones to checkpoint folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from uniref.core.atomic import atomic_folder
from uniref.core.errors import CheckpointError, UsageError
from uniref.core.files import sha256
from uniref.model.backbone import Backbone
from uniref.model.uniref import UniRef
from uniref.recipe.model import ModelConfig
from uniref.weights import rename_rules
from uniref.weights.adapter import convert_adapter, is_checkpoint
from uniref.weights.checkpoint_config import ADAPTER, CONFIG, TOKENIZER, WEIGHTS, CheckpointMetadata
from uniref.weights.config_from_shapes import infer_backbone_config, infer_model_config
from uniref.weights.conversion import (
    ConversionReport,
    DType,
    conversion_report,
    fit_to_model,
    infer_checked,
    read_settings,
    read_text_source,
    save,
    tokenizer_for,
    weights_file,
)
from uniref.weights.rename import Rule, check_fit, listing, rename
from uniref.weights.rename_rules import IMAGENET_LITE0, LITE0, adapt_input, is_sam
from uniref.weights.rewrite import rewrite
from uniref.weights.safe_load import read_weights


def convert(
    source: Path,
    target: Path,
    dtype: DType = "float32",
    tokenizer: Path | None = None,
    overwrite: bool = False,
    text: Path | None = None,
    base: Path | None = None,
    words: Path | None = None,
) -> ConversionReport:
    """Convert a released UniRef++ checkpoint, a SAM, or an ImageNet backbone, to a checkpoint folder.

    The variant is recognised from the tensors. The folder appears complete or not at all.

    Args:
        source: A `.pth`, `.pkl` or `.safetensors` file; a folder with transformers' SAM; or a checkpoint folder of this
            package, to be written in another number format, with fewer words, or (`base`) as an adapter.
        target: The folder to make.
        dtype: Floating-point type on disk.
        tokenizer: `tokenizer.json`, or a folder with one; needed where the text encoder's vocabulary is not
            bert-base-uncased (RoBERTa, say).
        overwrite: Replace an existing folder.
        text: Folder with a BERT or RoBERTa of the Hugging Face libraries, to give to a SAM without UniFusion.
        base: A SAM checkpoint folder: a trained model of its family becomes an adapter over it, an adapter a whole
            checkpoint.
        words: Text file: the text encoder of a checkpoint of this package keeps the word pieces that it needs.

    Raises:
        CheckpointError: The source cannot be read, is refused, is of an unknown kind, or does not fit; lists names.
        UsageError: The target exists, or may not be replaced (it holds the source, or no checkpoint), or an option does
            not go with the source.
    """
    # --overwrite replaces checkpoints only, and never one of the inputs
    if overwrite and target.is_dir() and any(target.iterdir()):
        inputs = [path.resolve() for path in (source, tokenizer, text, base, words) if path is not None]
        if any(target.resolve() in path.parents for path in inputs):
            raise UsageError(f"{target}: --overwrite would delete the input inside of it; choose another folder")
        if not is_checkpoint(target):
            raise UsageError(f"{target}: is not a checkpoint of uniref, so it is not replaced; choose another folder")
        if more := sorted({path.name for path in target.iterdir()} - {WEIGHTS, ADAPTER, CONFIG, TOKENIZER}):
            raise UsageError(
                f"{target}: holds more than a checkpoint ({listing(more)}), so it is not replaced; move that away"
            )
    with atomic_folder(target, overwrite) as work:
        # a checkpoint of this package: written once more, or to and from an adapter
        if is_checkpoint(source):
            for option, value in (("--tokenizer", tokenizer), ("--text", text)):
                if value is not None:
                    raise UsageError(f"{option} {value}: does not go with a checkpoint of uniref; leave it out")
            if base is not None and words is not None:
                raise UsageError(f"--words {words}: does not go with a checkpoint of uniref and --base; leave it out")
            if base is None:
                return rewrite(source, work, dtype, words)
            return convert_adapter(source, work, base, dtype)
        # anything else
        if base is not None:
            raise UsageError(f"--base {base}: goes with a checkpoint or an adapter of uniref, which {source} is not")
        if words is not None:
            raise UsageError(f"--words {words}: goes with a checkpoint of uniref; convert {source} first")
        return _convert_foreign(source, work, dtype, tokenizer, text)


def _convert_foreign(
    source: Path, work: Path, dtype: DType, tokenizer: Path | None, text: Path | None
) -> ConversionReport:
    # read the file, and where it comes from
    settings = read_settings(source) if source.is_dir() else None
    file = weights_file(source) if source.is_dir() else source
    tensors, iteration = read_weights(file)
    origin: dict[str, Any] = {"file": file.name, "sha256": sha256(file)}
    if iteration is not None:
        origin["iteration"] = iteration
    # recognise its kind by the names of its tensors
    if is_sam(tensors):
        from uniref.weights.convert_sam import convert_sam  # transformers' SAM takes a moment to import

        words = read_text_source(text) if text else None
        return convert_sam(str(file), work, tensors, dtype, tokenizer, words, origin, settings)
    if text is not None:
        raise UsageError(f"--text {text}: is for a SAM without UniFusion, which {source} is not")
    if any(name.startswith("detr.detr.") for name in tensors):
        return _convert_model(source, work, tensors, dtype, tokenizer, origin)
    return _convert_backbone(source, work, tensors, dtype, origin)


def _convert_model(
    source: Path, work: Path, tensors: dict[str, Tensor], dtype: DType, tokenizer: Path | None, origin: dict[str, Any]
) -> ConversionReport:
    _check_repeated_heads(tensors, str(source))
    renamed = rename(tensors, rename_rules.RELEASED, str(source))
    config = infer_checked(infer_model_config, renamed, str(source))
    with torch.device("meta"):
        expected = UniRef(config).state_dict()
    renamed = fit_to_model(renamed, expected, str(source))
    save(
        work,
        renamed,
        CheckpointMetadata(dtype=dtype, model=config, source=origin),
        tokenizer_for(config.text, tokenizer),
    )
    return conversion_report(f"UniRef++ {_variant(config)}, {config.backbone.name}", tensors, renamed, ())


def _convert_backbone(
    source: Path, work: Path, tensors: dict[str, Tensor], dtype: DType, origin: dict[str, Any]
) -> ConversionReport:
    # rename, and infer the configuration
    kind, rules = _backbone_kind(tensors, str(source))
    renamed = rename(tensors, rules, str(source))
    if rules is IMAGENET_LITE0:
        config, renamed = LITE0, adapt_input(renamed)
    else:
        config = infer_checked(infer_backbone_config, renamed, str(source))
    with torch.device("meta"):
        backbone = Backbone(config)
    # a classifier has no norms of the output levels
    notes = []
    if backbone.norms is not None and not any(name.startswith("backbone.norms.") for name in renamed):
        for index, width in enumerate(backbone.widths):
            renamed[f"backbone.norms.{index}.weight"] = torch.ones(width)
            renamed[f"backbone.norms.{index}.bias"] = torch.zeros(width)
        notes.append("the norms of the four output levels are newly initialised (the classifier has none)")
    # check and write
    check_fit(renamed, nn.ModuleDict({"backbone": backbone}).state_dict(), str(source))
    save(work, renamed, CheckpointMetadata(dtype=dtype, backbone=config, source=origin), None)
    notes.append("this is a backbone to start training from, not a model that predicts")
    return conversion_report(f"{kind}, {config.name}", tensors, renamed, notes)


def _backbone_kind(tensors: Mapping[str, Tensor], source: str) -> tuple[str, list[Rule]]:
    if "conv1_w" in tensors:
        raise CheckpointError(
            f"{source}: is a Caffe2 ResNet (BGR, stride in the 1x1 convolution), another network than UniRef++ uses; "
            "take detectron2's conversion of torchvision's ResNet-50"
        )
    if "stem.conv1.weight" in tensors:
        return "detectron2 ResNet", rename_rules.IMAGENET_DETECTRON
    if "layer1.0.conv1.weight" in tensors and "layer1.0.conv3.weight" in tensors:
        return "torchvision ResNet", rename_rules.IMAGENET_TORCHVISION
    if "patch_embed.proj.weight" in tensors and "layers.0.blocks.0.norm1.weight" in tensors:
        return "official Swin", rename_rules.IMAGENET_SWIN
    if "_blocks.15._project_conv.weight" in tensors and "_blocks.0._expand_conv.weight" not in tensors:
        return "EfficientNet-Lite0", IMAGENET_LITE0
    raise CheckpointError(
        f"{source}: not a released UniRef++ checkpoint, nor a SAM, ResNet-50, Swin or EfficientNet-Lite0 "
        f"(its tensors: {listing(tensors, 3)})"
    )


def _check_repeated_heads(tensors: Mapping[str, Tensor], source: str) -> None:
    """Heads that the file stores twice must be equal. Raises CheckpointError."""
    differing = []
    for name, tensor in tensors.items():
        twin = re.sub(r"^(detr\.detr\.)transformer\.decoder\.((?:bbox|class)_embed\.)", r"\1\2", name)
        if twin != name and (twin not in tensors or not torch.equal(tensor, tensors[twin])):
            differing.append(name)
    if differing:
        raise CheckpointError(f"{source}: tensors that should repeat detr.detr.* do not: {listing(differing)}")


def _variant(config: ModelConfig) -> str:
    if config.fusion is None:
        return f"pretraining ({config.classes} classes)"
    if config.mask_encoder is None:
        return "first image-level step (text only)"
    return "joint model (text and masks)"
