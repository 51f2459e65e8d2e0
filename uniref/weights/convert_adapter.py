"""A trained SAM model to an adapter, and an adapter to a whole checkpoint."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from uniref.core.errors import CheckpointError
from uniref.weights.adapter import AdapterConfig, frozen_digest
from uniref.weights.bundle import CONFIG, Bundle, BundleConfig, load_bundle, read_config, read_tensors
from uniref.weights.convert_common import Converted, DType, report, save
from uniref.weights.rename import listing


def is_checkpoint(folder: Path) -> bool:
    """Whether this is a checkpoint folder of this package."""
    try:
        content = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("model_type") == "uniref"


def convert_adapter(source: Path, work: Path, target: Path, base: Path, dtype: DType) -> Converted:
    """Write a checkpoint of a SAM model as an adapter over a SAM, or an adapter as a whole checkpoint.

    Args:
        source: Checkpoint folder of either kind.
        work: Existing folder to write into.
        target: Where the folder will be in the end.
        base: The SAM, a checkpoint folder.
        dtype: On disk.

    Raises:
        CheckpointError: A folder is no checkpoint, or the frozen weights of the two differ; lists names.
    """
    config = read_config(source)
    bundle = load_bundle(source, base if config.adapter is not None else None)
    tensors = dict(bundle.model.state_dict())
    if config.adapter is not None:
        return _saved("adapter, joined with its SAM", bundle, work, tensors, dtype, None, ())
    names = bundle.model.frozen_names()
    if not names:
        raise CheckpointError(f"{source}: is no SAM model; all of its weights are trained, so it has no adapter")
    _check_frozen(tensors, base, names, source)
    adapter = AdapterConfig(
        base=os.path.relpath(base.resolve(), target.resolve()),
        frozen_sha256=frozen_digest({name: tensors[name] for name in names}),
    )
    trained = {name: tensor for name, tensor in tensors.items() if name not in names}
    frozen = sum(tensors[name].numel() for name in names)
    note = f"adapter: the other {frozen / 1e6:.1f} M values stay in {base}, which is needed to load it"
    return _saved("trained SAM model", bundle, work, trained, dtype, adapter, [note])


def _saved(
    kind: str,
    bundle: Bundle,
    work: Path,
    tensors: dict[str, Tensor],
    dtype: DType,
    adapter: AdapterConfig | None,
    notes: Sequence[str],
) -> Converted:
    config = BundleConfig(dtype=dtype, model=bundle.config.model, adapter=adapter, source=bundle.config.source)
    save(work, tensors, config, bundle.tokenizer)
    return report(kind, tensors, tensors, notes)


def _check_frozen(tensors: dict[str, Tensor], base: Path, names: set[str], source: Path) -> None:
    frozen = read_tensors(base)
    differing = [n for n in sorted(names) if n not in frozen or not torch.equal(frozen[n], tensors[n])]
    if differing:
        raise CheckpointError(
            f"{source}: its frozen weights are not those of {base} ({listing(differing, 3)}); "
            "name the SAM that it was trained from"
        )
