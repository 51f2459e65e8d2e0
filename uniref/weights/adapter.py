"""Adapters: the trained tensors of a SAM model, written over the checkpoint folder that has its frozen ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.json_files import read_json
from uniref.model.text import TextTokenizer
from uniref.weights.checkpoint import frozen_digest, load_checkpoint, read_tensors, save_checkpoint
from uniref.weights.checkpoint_config import CONFIG, AdapterConfig, CheckpointMetadata
from uniref.weights.conversion import ConversionReport, DType, conversion_report, save
from uniref.weights.rename import listing


@dataclass(frozen=True)
class AdapterBase:
    """The checkpoint folder that holds a model's frozen tensors."""

    folder: Path
    names: frozenset[str]
    """Of the frozen tensors."""
    sha256: str

    @classmethod
    def of(cls, folder: Path, tensors: Mapping[str, Tensor], names: Set[str], source: str) -> AdapterBase:
        """The base of a model, checked.

        Args:
            folder: The base.
            tensors: All tensors of the model.
            names: Names of the frozen ones.
            source: Name of the model in messages.

        Raises:
            CheckpointError: The base cannot be read, or the frozen tensors of the two differ; lists names.
        """
        base = read_tensors(folder)
        differing = [n for n in sorted(names) if n not in base or not torch.equal(base[n], tensors[n].cpu())]
        if differing:
            raise CheckpointError(
                f"{source}: its frozen weights are not those of {folder} ({listing(differing, 3)}); "
                "name the SAM that it was trained from"
            )
        return cls(folder, frozenset(names), frozen_digest({name: tensors[name] for name in names}))

    def trained(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a model that an adapter holds: those that are not frozen."""
        return {name: tensor for name, tensor in tensors.items() if name not in self.names}

    def save(
        self, folder: Path, tensors: Mapping[str, Tensor], config: CheckpointMetadata, tokenizer: TextTokenizer | None
    ) -> None:
        """Write an adapter into an existing folder.

        Args:
            folder: Existing folder; its base is stored as a path relative to it, so the two move together only.
            tensors: All tensors of the model.
            config: Metadata of the whole model.
            tokenizer: As for `save_checkpoint`.
        """
        save_checkpoint(folder, self.trained(tensors), self.config(config, folder), tokenizer)

    def config(self, whole: CheckpointMetadata, folder: Path) -> CheckpointMetadata:
        """The metadata of an adapter in `folder`."""
        path = os.path.relpath(self.folder.resolve(), folder.resolve())
        return whole.model_copy(update={"adapter": AdapterConfig(base=path, frozen_sha256=self.sha256)})


def is_checkpoint(folder: Path) -> bool:
    """Whether this is a checkpoint folder of this package."""
    try:
        content = read_json(folder / CONFIG)
    except UniRefError:
        return False
    return isinstance(content, dict) and content.get("model_type") == "uniref"


def convert_adapter(source: Path, work: Path, base: Path, dtype: DType) -> ConversionReport:
    """Write a checkpoint of a SAM model as an adapter over a SAM, or an adapter as a whole checkpoint.

    Args:
        source: Checkpoint folder of either kind.
        work: Existing folder to write into.
        base: The SAM, a checkpoint folder.
        dtype: On disk.

    Raises:
        CheckpointError: A folder is not a checkpoint, or the frozen weights of the two differ; lists names.
    """
    checkpoint = load_checkpoint(source, base)
    whole = CheckpointMetadata(
        dtype=dtype,
        model=checkpoint.config.model,
        sides=checkpoint.config.sides,
        presence=checkpoint.config.presence,
        source=checkpoint.config.source,
    )
    tensors = dict(checkpoint.model.state_dict())
    if checkpoint.config.adapter is not None:
        save(work, tensors, whole, checkpoint.tokenizer)
        return conversion_report("adapter, joined with its SAM", tensors, tensors, ())
    names = checkpoint.model.frozen_names()
    if not names:
        raise CheckpointError(f"{source}: is not a SAM model; all of its weights are trained, so it has no adapter")
    over = AdapterBase.of(base, tensors, names, str(source))
    trained = over.trained(tensors)
    save(work, trained, over.config(whole, work), checkpoint.tokenizer)
    frozen = sum(tensors[name].numel() for name in names)
    note = f"adapter: the other {frozen / 1e6:.1f} M parameters stay in {base}, which is needed to load it"
    return conversion_report("trained SAM model", trained, trained, [note])
