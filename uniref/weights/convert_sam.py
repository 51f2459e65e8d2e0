"""SAM checkpoints to checkpoint folders: the released UniRef-SAM, Meta's `sam_vit_*.pth`, transformers' folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import SamConfig

from uniref.core.errors import CheckpointError
from uniref.model.mask_encoder import MaskEncoder
from uniref.model.sam import PATCH, UniRefSam, sam_config
from uniref.model.unifusion import UniFusion
from uniref.recipe.model import SAM_SIZES, SamDecoderConfig, SamModelConfig
from uniref.weights import rename_rules
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref.weights.config_from_shapes import infer_sam_config
from uniref.weights.conversion import (
    ConversionReport,
    DType,
    TextSource,
    conversion_report,
    fit_to_model,
    infer_checked,
    save,
    tokenizer_for,
)
from uniref.weights.rename import rename

_POSITION = "sam.shared_image_embedding.positional_embedding"
_POSITION_TWIN = "sam.prompt_encoder.shared_embedding.positional_embedding"
_COMPUTED = {
    "attention_downsample_rate",
    "global_attn_indexes",
    "hidden_act",
    "image_size",
    "layer_norm_eps",
    "num_attention_heads",
    "num_multimask_outputs",
    "patch_size",
    "qkv_bias",
    "use_abs_pos",
    "use_rel_pos",
    "window_size",
}
"""Settings of transformers that change the computation."""


def convert_sam(
    source: str,
    work: Path,
    tensors: dict[str, Tensor],
    dtype: DType,
    tokenizer: Path | None,
    text: TextSource | None,
    origin: dict[str, Any],
    settings: Mapping[str, Any] | None = None,
) -> ConversionReport:
    """Write tensors of SAM as a checkpoint folder.

    Args:
        source: Name of the file in messages.
        work: Existing folder to write into.
        tensors: Tensors of the file, checked to be finite.
        dtype: On disk.
        tokenizer: Of a released model whose text encoder is not bert-base-uncased.
        text: Text encoder to add to a SAM without UniFusion.
        origin: Origin of the weights, written to `config.json`.
        settings: transformers' `config.json` that came with the tensors.

    Raises:
        CheckpointError: Tensors are missing, unknown or misshapen, or the settings are of another SAM than this.
    """
    # a released model is complete
    if rename_rules.is_released(tensors):
        if text is not None:
            raise CheckpointError(f"{source}: has a text encoder of its own; convert it without --text")
        return _released(source, work, tensors, dtype, tokenizer, origin)
    # a SAM: rename, and infer the configuration
    kind, rules = (
        ("transformers' SAM", rename_rules.TRANSFORMERS_SAM)
        if rename_rules.is_transformers(tensors)
        else ("original SAM", rename_rules.ORIGINAL_SAM)
    )
    renamed = _with_twin(rename(tensors, rules, source))
    inferred = infer_checked(infer_sam_config, renamed, source)
    config = SamModelConfig(
        hidden_dim=inferred.hidden_dim,
        image_encoder=inferred.image_encoder,
        mask_decoder=inferred.mask_decoder if settings is None else _decoder_of(settings, inferred.mask_decoder),
        text=text.config if text else None,
    )
    # add initial weights of the parts that a SAM does not have
    complete = _fit(_fresh(config) | renamed | (text.tensors if text else {}), config, source)
    if settings is not None:
        _check_settings(config, settings, source)
    save(work, complete, CheckpointMetadata(dtype=dtype, model=config, source=origin), text.tokenizer if text else None)
    notes = ["UniFusion and the mask encoder are untrained: the gate is zero, so references do not change features yet"]
    if text is None:
        notes.append("it has no text encoder; --text FOLDER gives it one")
    return conversion_report(f"{kind}, {_size(config)}", tensors, complete, notes)


def _released(
    source: str, work: Path, tensors: dict[str, Tensor], dtype: DType, tokenizer: Path | None, origin: dict[str, Any]
) -> ConversionReport:
    plain = {name.removeprefix(rename_rules.PREFIX): tensor for name, tensor in tensors.items()}
    renamed = _with_twin(rename(plain, rename_rules.RELEASED_SAM, source))
    config = infer_checked(infer_sam_config, renamed, source)
    renamed = _fit(renamed, config, source)
    words = tokenizer_for(config.text, tokenizer)
    save(work, renamed, CheckpointMetadata(dtype=dtype, model=config, source=origin), words)
    return conversion_report(f"UniFusion in SAM, {_size(config)}", tensors, renamed, ())


def _with_twin(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """SamModel holds the positional embedding under two names; files hold it once."""
    return tensors | ({_POSITION_TWIN: tensors[_POSITION]} if _POSITION in tensors else {})


def _fit(tensors: Mapping[str, Tensor], config: SamModelConfig, source: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return fit_to_model(tensors, UniRefSam(config).state_dict(), source)


def _fresh(config: SamModelConfig) -> dict[str, Tensor]:
    """Initial weights of UniFusion, mask encoder and text projection, from a fixed seed."""
    dim, fusion = config.hidden_dim, config.fusion
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts: dict[str, nn.Module] = {"fusion": UniFusion(dim, fusion.heads, fusion.head_dim)}
        if config.mask_encoder is not None:
            parts["mask_encoder"] = MaskEncoder(config.mask_encoder, dim, [PATCH], 1)
        if config.text is not None:
            projection = nn.Linear(config.text.encoder["hidden_size"], dim)
            parts["text_encoder"] = nn.ModuleDict({"projection": projection, "norm": nn.LayerNorm(dim)})
    return dict(nn.ModuleDict(parts).state_dict())


def _decoder_of(settings: Mapping[str, Any], inferred: SamDecoderConfig) -> SamDecoderConfig:
    """`inferred` with the settings that shapes do not determine, from transformers' config."""
    theirs = _part(settings, "mask_decoder_config")
    return inferred.model_copy(update={"heads": theirs["num_attention_heads"], "norm_eps": theirs["layer_norm_eps"]})


def _check_settings(config: SamModelConfig, settings: Mapping[str, Any], source: str) -> None:
    """Refuse a SAM whose settings differ from those its tensors imply (another activation, no relative positions)."""
    ours = sam_config(config).to_dict()
    for name in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        theirs = _part(settings, name)
        for key in sorted(_COMPUTED.intersection(theirs)):
            if _plain(theirs[key]) != _plain(ours[name].get(key)):
                raise CheckpointError(
                    f"{source}: its config.json has {name}.{key} {theirs[key]!r}, but its tensors are those of a SAM "
                    f"with {ours[name].get(key)!r}; such a variant cannot be converted"
                )


def _part(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of transformers' settings, with its defaults for missing settings."""
    written = settings.get(name)
    return dict(SamConfig().to_dict()[name]) | (written if isinstance(written, dict) else {})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _size(config: SamModelConfig) -> str:
    image = config.image_encoder
    for name, sizes in SAM_SIZES.items():
        if sizes == (image.width, image.depth, image.heads):
            return name
    return f"ViT of width {image.width}, {image.depth} layers"
