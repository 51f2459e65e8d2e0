"""The project's checkpoint: a folder of `model.safetensors`, `config.json` and `tokenizer.json`, or an adapter."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from uniref.core.errors import CheckpointError, UsageError
from uniref.core.files import reading, writing
from uniref.model.build import build_model
from uniref.model.referring import ReferringModel
from uniref.model.text import TextTokenizer
from uniref.weights.checkpoint_config import (
    CONFIG,
    TOKENIZER,
    AdapterConfig,
    CheckpointMetadata,
    read_config,
    weights_of,
    write_config,
)
from uniref.weights.rename import check_finite, check_fit
from uniref.weights.safe_load import read_safetensors


def frozen_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hexadecimal) over names, shapes and values of tensors, whatever their order."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.numpy().data)
    return digest.hexdigest()


def merge_with_base(
    own: Mapping[str, Tensor], base: Mapping[str, Tensor], config: AdapterConfig, folder: Path
) -> dict[str, Tensor]:
    """The whole model's tensors: those of an adapter, and the frozen ones of its base.

    Args:
        own: The adapter's tensors.
        base: The base checkpoint's tensors.
        config: Configuration of the adapter.
        folder: Folder of the base, for messages.

    Raises:
        CheckpointError: The base's frozen tensors are not those that the adapter was trained over.
    """
    frozen = {name: tensor for name, tensor in base.items() if name not in own}
    if frozen_digest(frozen) != config.frozen_sha256:
        raise CheckpointError(
            f"{folder}: its frozen weights are not those that the adapter was trained over; name the SAM that it was"
        )
    return frozen | dict(own)


M = TypeVar("M", bound=torch.nn.Module)
_SMALL = 1 << 26  # values; buffers that are computed and not stored


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint."""

    model: ReferringModel
    """In evaluation mode, float32, on the CPU."""
    tokenizer: TextTokenizer | None
    """None where the model has no text encoder."""
    config: CheckpointMetadata


def save_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], config: CheckpointMetadata, tokenizer: TextTokenizer | None
) -> None:
    """Write a checkpoint into an existing folder.

    Args:
        folder: Existing folder; use `atomic_folder` so that an interruption leaves nothing behind.
        tensors: Our names -> tensors; floating-point ones are stored as `config.dtype`.
        config: Written to `config.json`.
        tokenizer: Written to `tokenizer.json`; None: the model has no text encoder.
    """
    # convert to the number format on disk; safetensors stores no two names of one tensor, so repeated ones are copied
    dtype = getattr(torch, config.dtype)
    stored: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        converted = (tensor.to(dtype) if tensor.is_floating_point() else tensor).contiguous()
        if converted.data_ptr() in seen:
            converted = converted.clone()
        seen.add(converted.data_ptr())
        stored[name] = converted
    # write the tensors; safetensors makes files readable by their owner only, so the usual permissions are restored
    path = weights_of(folder, config)
    with writing(path):
        save_file(stored, path, metadata={"format": "pt"})
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
    write_config(folder, config)
    if tokenizer is not None:
        with writing(folder / TOKENIZER):
            tokenizer.save(folder)


def load_checkpoint(folder: Path, base: Path | None = None) -> Checkpoint:
    """Rebuild the model of a checkpoint folder.

    Args:
        folder: A checkpoint, or an adapter.
        base: The folder that an adapter is loaded over; None = the one it names itself.

    Raises:
        CheckpointError: The folder is missing, not a checkpoint, from a newer version, damaged, or holds a backbone; or
            the adapter's base is missing or another one.
    """
    folder = Path(folder)
    # read configuration and tensors
    config = read_config(folder)
    if config.model is None:
        raise CheckpointError(
            f"{folder}: holds an initial backbone, not a trained model; it is a starting point for training"
        )
    sizes, tensors = config.model, read_tensors(folder, base)
    # build the model; a configuration of a far larger model than the weights must not allocate its memory
    most = 2 * sum(tensor.numel() for tensor in tensors.values()) + _SMALL
    with reading(folder / CONFIG, CheckpointError):
        try:
            model = without_initialisation(lambda: build_model(sizes, most))
        except UsageError as error:
            raise CheckpointError(f"{folder / CONFIG}: does not fit the weights beside it ({error})") from None
    load_tensors(model, tensors, str(folder))
    tokenizer = None
    if config.model.text is not None:
        tokenizer = TextTokenizer.from_file(folder / TOKENIZER, config.model.text.max_tokens)
    return Checkpoint(model.eval(), tokenizer, config)


def read_tensors(folder: Path, base: Path | None = None) -> dict[str, Tensor]:
    """All tensors of a checkpoint folder, floating-point ones as float32; of an adapter with those of its base.

    Arguments and errors as of `load_checkpoint`.
    """
    config = read_config(folder)
    own = _stored(weights_of(folder, config))
    if config.adapter is None:
        return own
    base = base or folder / config.adapter.base
    with reading(folder / CONFIG, CheckpointError):
        exists = base.is_dir()
    if not exists:
        raise CheckpointError(
            f"{base}: no such folder, but the adapter {folder} belongs over it; "
            f"'uniref convert {folder} FOLDER --base SAM' makes a whole checkpoint"
        )
    if read_config(base).adapter is not None:
        raise CheckpointError(f"{base}: is an adapter itself; an adapter goes over a whole checkpoint")
    return merge_with_base(own, read_tensors(base), config.adapter, base)


def _stored(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent}: not a uniref checkpoint (no {path.name}); convert it again")
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in read_safetensors(path).items()}
    check_finite(tensors, str(path))
    return tensors


def load_tensors(module: torch.nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Load tensors into a module, whose parameters and buffers must be exactly these.

    Raises:
        CheckpointError: Names or shapes differ; lists them.
    """
    check_fit(tensors, module.state_dict(), source)
    module.load_state_dict(dict(tensors), assign=True)


class _NoRandomInit(TorchFunctionMode):
    """Skips random initialisation, which takes seconds and is overwritten by the loaded weights."""

    _SKIPPED = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.erfinv_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._SKIPPED:
            return args[0]
        return func(*args, **(kwargs or {}))


def without_initialisation(build: Callable[[], M]) -> M:
    """Run a constructor without random initialisation, for modules whose weights are loaded next."""
    with _NoRandomInit():
        return build()
