"""What adapters are written over, as `uniref convert` and the training do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from uniref.core.errors import CheckpointError
from uniref.model.text import TextTokenizer
from uniref.weights.adapter import AdapterConfig, frozen_digest
from uniref.weights.bundle import BundleConfig, read_tensors, save_bundle
from uniref.weights.rename import listing


@dataclass(frozen=True)
class AdapterBase:
    """A checkpoint folder that holds a model's frozen tensors."""

    folder: Path
    names: frozenset[str]
    """Of the frozen tensors."""
    sha256: str

    @classmethod
    def of(cls, folder: Path, tensors: Mapping[str, Tensor], names: Set[str], source: str) -> AdapterBase:
        """The base of a model, checked.

        Args:
            folder: The base.
            tensors: All of the model's.
            names: Which of them are frozen.
            source: What to call the model in messages.

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
        """What an adapter holds of a model's tensors."""
        return {name: tensor for name, tensor in tensors.items() if name not in self.names}

    def save(
        self, folder: Path, tensors: Mapping[str, Tensor], config: BundleConfig, tokenizer: TextTokenizer | None
    ) -> None:
        """Write an adapter into an existing folder.

        Args:
            folder: Where; it may be renamed afterwards, but not moved elsewhere than together with the base.
            tensors: All of the model's.
            config: Of the whole model.
            tokenizer: As for `save_bundle`.
        """
        save_bundle(folder, self.trained(tensors), self.config(config, folder), tokenizer)

    def config(self, whole: BundleConfig, folder: Path) -> BundleConfig:
        """The configuration of an adapter in `folder`."""
        path = os.path.relpath(self.folder.resolve(), folder.resolve())
        return whole.model_copy(update={"adapter": AdapterConfig(base=path, frozen_sha256=self.sha256)})
