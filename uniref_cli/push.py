"""`uniref convert ... --push owner/name`."""

from __future__ import annotations

from pathlib import Path

from uniref.core.errors import CheckpointError
from uniref_cli.console import Console


def push_checkpoint(
    console: Console, folder: Path, repository: str, results: Path | None, licence: str | None, private: bool
) -> None:
    """Put a checkpoint folder onto the Hugging Face hub, with a model card.

    Raises:
        CheckpointError: The folder is no checkpoint, or the hub refuses or cannot be reached.
        UniRefError: The results cannot be read.
    """
    from uniref.recipe.model import SamModelConfig
    from uniref.weights.checkpoint import read_config
    from uniref.weights.hub import push
    from uniref.weights.model_card import model_card, read_results

    config = read_config(folder)
    if config.model is None:
        raise CheckpointError(f"{folder}: holds an initial backbone, which is not pushed; push a trained model")
    if config.adapter is not None:
        raise CheckpointError(
            f"{folder}: is an adapter, which is nothing without its SAM; make a whole checkpoint first: "
            f"uniref convert {folder} FOLDER --base SAM"
        )
    model = config.model
    tasks = [
        task
        for task, able in (
            ("text", model.text is not None),
            ("mask", model.mask_encoder is not None and model.fusion is not None),
            ("support", model.mask_encoder is not None and model.fusion is not None),
        )
        if able
    ] or ["detection"]
    backbone = "SAM" if isinstance(model, SamModelConfig) else model.backbone.name
    title = f"UniFusion in {backbone}" if backbone == "SAM" else f"UniRef++ with {backbone}"
    records = read_results(results) if results is not None else []
    if licence is None:
        console.warn(f"{repository}: its card says that the licence is unknown; --licence states it")
    card = model_card(repository, title, tasks, licence or "unknown", config.source, records)
    page = push(folder, repository, card, private)
    console.say(f"{folder}: is at {page}; use it with --checkpoint {repository}")
    console.result({"pushed": repository, "page": page})
