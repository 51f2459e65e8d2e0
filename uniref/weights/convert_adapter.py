"""A trained SAM model to an adapter, and an adapter to a whole checkpoint."""

from __future__ import annotations

from pathlib import Path

from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.json_files import read_json
from uniref.weights.adapter_base import AdapterBase
from uniref.weights.bundle import CONFIG, BundleConfig, load_bundle
from uniref.weights.convert_common import Converted, DType, report, save


def is_checkpoint(folder: Path) -> bool:
    """Whether this is a checkpoint folder of this package."""
    try:
        content = read_json(folder / CONFIG)
    except UniRefError:
        return False
    return isinstance(content, dict) and content.get("model_type") == "uniref"


def convert_adapter(source: Path, work: Path, base: Path, dtype: DType) -> Converted:
    """Write a checkpoint of a SAM model as an adapter over a SAM, or an adapter as a whole checkpoint.

    Args:
        source: Checkpoint folder of either kind.
        work: Existing folder to write into.
        base: The SAM, a checkpoint folder.
        dtype: On disk.

    Raises:
        CheckpointError: A folder is no checkpoint, or the frozen weights of the two differ; lists names.
    """
    bundle = load_bundle(source, base)
    whole = BundleConfig(dtype=dtype, model=bundle.config.model, sides=bundle.config.sides, source=bundle.config.source)
    tensors = dict(bundle.model.state_dict())
    if bundle.config.adapter is not None:
        save(work, tensors, whole, bundle.tokenizer)
        return report("adapter, joined with its SAM", tensors, tensors, ())
    names = bundle.model.frozen_names()
    if not names:
        raise CheckpointError(f"{source}: is no SAM model; all of its weights are trained, so it has no adapter")
    over = AdapterBase.of(base, tensors, names, str(source))
    trained = over.trained(tensors)
    save(work, trained, over.config(whole, work), bundle.tokenizer)
    frozen = sum(tensors[name].numel() for name in names)
    note = f"adapter: the other {frozen / 1e6:.1f} M values stay in {base}, which is needed to load it"
    return report("trained SAM model", trained, trained, [note])
