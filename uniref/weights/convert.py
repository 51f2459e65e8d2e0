"""`uniref convert`: a foreign checkpoint to a checkpoint folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from uniref.core.atomic import atomic_folder
from uniref.core.errors import CheckpointError
from uniref.core.files import sha256
from uniref.model.backbone import Backbone
from uniref.model.tokenizer import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.recipe.model import ModelConfig
from uniref.weights import tables
from uniref.weights.bundle import BundleConfig, save_bundle
from uniref.weights.efficientnet import IMAGENET_LITE0, LITE0, adapt_input
from uniref.weights.infer import infer_backbone, infer_model
from uniref.weights.rename import Rule, check_finite, check_fit, listing, rename
from uniref.weights.safe_load import read_weights

DType = Literal["float32", "float16", "bfloat16"]
T = TypeVar("T")


@dataclass(frozen=True)
class Converted:
    """What a conversion made."""

    kind: str
    """What the source was recognised as."""
    tensors: int
    """Tensors written."""
    parameters: int
    """Numbers in them."""
    redundant: int
    """Source tensors left out because they repeat or can be computed."""
    notes: tuple[str, ...]
    """What a user should know about the result."""


def convert(
    source: Path, target: Path, dtype: DType = "float32", tokenizer: Path | None = None, overwrite: bool = False
) -> Converted:
    """Convert a released UniRef++ checkpoint, or an ImageNet backbone, to a checkpoint folder.

    The variant is recognised from the tensors. The folder appears complete or not at all.

    Args:
        source: A `.pth`, `.pkl` or `.safetensors` file.
        target: The folder to make.
        dtype: Floating-point type on disk.
        tokenizer: `tokenizer.json`, or a folder with one; needed where the text encoder's vocabulary is not
            bert-base-uncased (RoBERTa, say).
        overwrite: Replace an existing folder.

    Raises:
        CheckpointError: The source cannot be read, is refused, is of no known kind, or does not fit; lists names.
        UsageError: The target exists.
    """
    with atomic_folder(target, overwrite) as work:
        tensors, iteration = read_weights(source)
        check_finite(tensors, str(source))
        origin: dict[str, Any] = {"file": source.name, "sha256": sha256(source)}
        if iteration is not None:
            origin["iteration"] = iteration
        if any(name.startswith("detr.detr.") for name in tensors):
            return _convert_model(source, work, tensors, dtype, tokenizer, origin)
        return _convert_backbone(source, work, tensors, dtype, origin)


def _convert_model(
    source: Path, work: Path, tensors: dict[str, Tensor], dtype: DType, tokenizer: Path | None, origin: dict[str, Any]
) -> Converted:
    _check_repeated_heads(tensors, str(source))
    renamed = rename(tensors, tables.RELEASED, str(source))
    config = _inferred(infer_model, renamed, str(source))
    with torch.device("meta"):
        expected = UniRef(config).state_dict()
    for name, tensor in renamed.items():
        if tensor.shape == (1,) and name in expected and expected[name].dim() == 0:
            renamed[name] = tensor.reshape(())  # some writers store a counter as a list of one
    check_fit(renamed, expected, str(source))
    _save(work, renamed, BundleConfig(dtype=dtype, model=config, source=origin), _tokenizer(config, tokenizer))
    return _report(f"UniRef++ {_variant(config)}, {config.backbone.name}", tensors, renamed, ())


def _convert_backbone(
    source: Path, work: Path, tensors: dict[str, Tensor], dtype: DType, origin: dict[str, Any]
) -> Converted:
    kind, rules = _backbone_kind(tensors, str(source))
    renamed = rename(tensors, rules, str(source))
    if rules is IMAGENET_LITE0:
        config, renamed = LITE0, adapt_input(renamed)
    else:
        config = _inferred(infer_backbone, renamed, str(source))
    with torch.device("meta"):
        backbone = Backbone(config)
    notes = []
    if backbone.norms is not None and not any(name.startswith("backbone.norms.") for name in renamed):
        for index, width in enumerate(backbone.widths):
            renamed[f"backbone.norms.{index}.weight"] = torch.ones(width)
            renamed[f"backbone.norms.{index}.bias"] = torch.zeros(width)
        notes.append("the norms of the four output levels start fresh (the classifier has none)")
    check_fit(renamed, nn.ModuleDict({"backbone": backbone}).state_dict(), str(source))
    _save(work, renamed, BundleConfig(dtype=dtype, backbone=config, source=origin), None)
    notes.append("this is a backbone to start training from, not a model that predicts")
    return _report(f"{kind}, {config.name}", tensors, renamed, notes)


def _backbone_kind(tensors: Mapping[str, Tensor], source: str) -> tuple[str, list[Rule]]:
    if any(name.startswith(("model.sam.", "sam.", "image_encoder.")) for name in tensors):
        raise CheckpointError(f"{source}: is a SAM model; this version converts UniRef++ and ImageNet backbones only")
    if "conv1_w" in tensors:
        raise CheckpointError(
            f"{source}: is a Caffe2 ResNet (BGR, stride in the 1x1 convolution), another network than UniRef++ uses; "
            "take detectron2's conversion of torchvision's ResNet-50"
        )
    if "stem.conv1.weight" in tensors:
        return "detectron2 ResNet", tables.IMAGENET_DETECTRON
    if "layer1.0.conv1.weight" in tensors and "layer1.0.conv3.weight" in tensors:
        return "torchvision ResNet", tables.IMAGENET_TORCHVISION
    if "patch_embed.proj.weight" in tensors and "layers.0.blocks.0.norm1.weight" in tensors:
        return "official Swin", tables.IMAGENET_SWIN
    if "_blocks.15._project_conv.weight" in tensors and "_blocks.0._expand_conv.weight" not in tensors:
        return "EfficientNet-Lite0", IMAGENET_LITE0
    raise CheckpointError(
        f"{source}: not a released UniRef++ checkpoint, nor a ResNet-50, Swin or EfficientNet-Lite0 "
        f"(its tensors: {listing(tensors, 3)})"
    )


def _check_repeated_heads(tensors: Mapping[str, Tensor], source: str) -> None:
    """The heads that the file stores twice must be equal, or one of them was changed by mistake."""
    differing = []
    for name, tensor in tensors.items():
        twin = re.sub(r"^(detr\.detr\.)transformer\.decoder\.((?:bbox|class)_embed\.)", r"\1\2", name)
        if twin != name and (twin not in tensors or not torch.equal(tensor, tensors[twin])):
            differing.append(name)
    if differing:
        raise CheckpointError(f"{source}: tensors that should repeat detr.detr.* do not: {listing(differing)}")


def _inferred(infer: Callable[[Mapping[str, Tensor]], T], tensors: Mapping[str, Tensor], source: str) -> T:
    try:
        return infer(tensors)
    except KeyError as error:
        raise CheckpointError(f"{source}: missing tensors: {error.args[0]}") from None
    # a tensor of another rank, a zero-sized one, sizes that no model has
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source}: its shapes fit no model ({str(error).splitlines()[-1].strip()})") from None


def _tokenizer(config: ModelConfig, path: Path | None) -> TextTokenizer | None:
    if config.text is None:
        return None
    wanted = config.text.encoder["vocab_size"]
    if path is None:
        tokenizer, name = TextTokenizer.bert_base_uncased(config.text.max_tokens), "the bundled bert-base-uncased"
    else:
        file = path / "tokenizer.json" if path.is_dir() else path
        tokenizer, name = TextTokenizer.from_file(file, config.text.max_tokens), str(file)
    if tokenizer.size != wanted:
        raise CheckpointError(
            f"the text encoder has {wanted} words but {name} vocabulary has {tokenizer.size}; "
            "name its tokenizer.json with --tokenizer"
        )
    return tokenizer


def _variant(config: ModelConfig) -> str:
    if config.fusion is None:
        return f"pretraining ({config.classes} classes)"
    if config.mask_encoder is None:
        return "first image-level step (text only)"
    return "joint model (text and masks)"


def _save(work: Path, tensors: dict[str, Tensor], config: BundleConfig, tokenizer: TextTokenizer | None) -> None:
    if config.dtype == "float16":
        limit = torch.finfo(torch.float16).max
        large = [name for name, t in tensors.items() if t.is_floating_point() and t.numel() and t.abs().max() > limit]
        if large:
            raise CheckpointError(f"values too large for float16 in {listing(large)}; use --dtype bfloat16")
    save_bundle(work, tensors, config, tokenizer)


def _report(kind: str, source: Mapping[str, Tensor], written: Mapping[str, Tensor], notes: Any) -> Converted:
    return Converted(
        kind=kind,
        tensors=len(written),
        parameters=sum(t.numel() for t in written.values()),
        redundant=max(0, len(source) - len(written)),
        notes=tuple(notes),
    )
