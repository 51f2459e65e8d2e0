"""Looking before training: `--dry-run` (sizes, rates, data, batches, memory) and `--preview` (training samples)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from uniref.core.device import best_precision, resolve_device
from uniref.data.train.preview import write_preview
from uniref.data.train.sources import open_sources
from uniref.engine.checkpointer import FINAL
from uniref.engine.distributed import processes_of_stage, recompute_activations
from uniref.engine.optim import parameter_groups
from uniref.engine.requirements import find_problems
from uniref.engine.stage_model import freeze, make_tokenizer
from uniref.extensions.plugins import source_hooks
from uniref.model.build import build_model
from uniref.model.referring import ReferringModel
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.recipe.recipe import Recipe, StageConfig

_MOMENTS = 2  # tensors that AdamW keeps for each parameter


def describe(
    recipe: Recipe,
    names: tuple[str, ...],
    root: Path,
    device: str,
    processes: int,
    out: Path | None = None,
    memory: float | None = None,
) -> Iterator[str]:
    """What a training would do: the resolved recipe, then sizes, rates, data, batches and memory of each stage.

    Args:
        recipe: The resolved recipe.
        names: Stages; empty = all.
        root: Data root; data sets that are not prepared are marked as such.
        device: As for `resolve_device`; `cuda` need not be on this machine, and then multiplies in bfloat16.
        processes: How many devices share a step.
        out: Folder of the run, where earlier stages have left their weights.
        memory: Of a device, in GB (10^9 bytes); None = not compared.

    Raises:
        UsageError: The batch cannot be shared, or recipe and model do not fit.
        UniRefError: After all lines: something is missing that the training needs.
    """
    names = recipe.select(names)
    target = _planned_device(device)
    yield from yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False).rstrip().splitlines()
    for name in names:
        stage = recipe.stages[name]
        # sizes of a checkpoint that is not there are unknown
        start = stage.init.model
        sizes_known = start is None or start.is_dir() or "model" in stage.model_fields_set
        with torch.device("meta"):
            model = build_model(stage.model)
        freeze(model, stage, f"stages.{name}")
        yield ""
        yield f"stage {name}"
        if sizes_known:
            yield from _parts(model)
            yield from _rates(model, stage)
        yield from _data(stage, root)
        yield from _batch(stage, name, target, processes)
        yield _memory(model, stage, target, memory) if sizes_known else f"  sizes are those of {stage.init.model}"
    # what the training would stop at
    if problems := find_problems(recipe, names, root, out if out is not None else Path("runs")):
        yield ""
        yield "missing, or of another kind than the stages need:"
        texts = list(dict.fromkeys(map(str, problems)))
        yield from (f"  {text}" for text in texts)
        more = f"; and {len(texts) - 1} more" if len(texts) > 1 else ""
        raise type(problems[0])(f"not ready to train: {texts[0]}{more}")


def _planned_device(name: str) -> torch.device:
    """The device that is named; one with CUDA may be on another machine."""
    return torch.device("cuda") if name.partition(":")[0] == "cuda" else resolve_device(name)


def _planned_precision(device: torch.device, stage: StageConfig) -> str:
    if stage.precision != "auto":
        return stage.precision
    elsewhere = device.type == "cuda" and not torch.cuda.is_available()
    return "bfloat16" if elsewhere else best_precision(device)


def _parts(model: ReferringModel) -> Iterator[str]:
    yield "  parameters (trained / all)"
    for name, part in model.named_children():
        yield f"    {name:14} {_count(part, True):>14,} / {_count(part):,}"
    yield f"    {'all':14} {_count(model, True):>14,} / {_count(model):,}"


def _count(module: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def _rates(model: ReferringModel, stage: StageConfig) -> Iterator[str]:
    schedule = stage.optim.schedule
    drops = ", ".join(f"x {schedule.gamma:g} from step {m}" for m in schedule.milestones) or "constant"
    warm = f", warm-up over {schedule.warmup_steps} steps" if schedule.warmup_steps else ""
    yield f"  learning rates ({stage.steps:,} steps; {drops}{warm})"
    for group in parameter_groups(model, stage.optim):
        size = sum(p.numel() for p in group.parameters.values())
        yield f"    {group.name:18} {group.lr:<10.3g} weight decay {group.weight_decay:<6g} {size:>13,} parameters"


def _data(stage: StageConfig, root: Path) -> Iterator[str]:
    yield "  data"
    total = sum(source.ratio for source in stage.data.sources)
    for source in stage.data.sources:
        share = source.ratio / total
        draws = share * stage.steps * stage.global_batch
        if not (root / "index" / source.index / "manifest.json").is_file():
            yield f"    {share:6.1%}  {source.index}: not prepared (uniref prepare-data {source.index.split('/')[0]})"
            continue
        (opened,) = open_sources(stage.data.model_copy(update={"sources": (source,)}), root, source_hooks)
        yield (
            f"    {share:6.1%}  {source.index}: {opened.task.value}, {len(opened):,} samples, "
            f"seen {draws / len(opened):.3g} times"
        )
        if opened.without_target:
            yield f"            {opened.without_target:,} more are left out: their expressions refer to nothing"


def _batch(stage: StageConfig, name: str, device: torch.device, processes: int) -> Iterator[str]:
    used = processes_of_stage(stage, processes, name)
    idle = f"; the other {processes - used} wait" if used < processes else ""
    yield (
        f"  global batch {stage.global_batch} = {stage.micro_batch} per device x {used} "
        f"{'process' if used == 1 else 'processes'} ({device.type}) x {stage.micro_batches_per_step // used} "
        f"accumulated{idle}"
    )


def fixed_memory(model: ReferringModel, stage: StageConfig) -> int:
    """Bytes of float32 weights, and of gradients, AdamW's two moments and the average of the trained ones."""
    weights, trained = 4 * _count(model), 4 * _count(model, True)
    return weights + trained * (1 + _MOMENTS) + (trained if stage.ema else 0)


def _memory(model: ReferringModel, stage: StageConfig, device: torch.device, available: float | None) -> str:
    """An estimate: weights, gradients and optimiser, and activations of the largest images."""
    precision = _planned_precision(device, stage)
    fixed = fixed_memory(model, stage)
    # activations of the largest images, in the proportions of a film
    augment = [stage.data.augment_of(source) for source in stage.data.sources]
    largest = max(augment, key=lambda each: max(each.short_sides) * each.max_long_side)
    short, long = max(largest.short_sides), largest.max_long_side
    long = min(long, short * 16 // 9)
    size = model.resize or (-(-short // 32) * 32, -(-long // 32) * 32)
    activations = _activations(model, stage, size) * stage.micro_batch * (1 if precision == "float32" else 0.5)
    total = (fixed + activations) / 1e9
    verdict = ""
    if available is not None and total > available:
        remedy = "parallel: fsdp or " if stage.activation_checkpointing else "activation_checkpointing: true, "
        verdict = f"; more than the {available:g} GB of a device: set {remedy}a smaller micro_batch"
    elif available is not None:
        verdict = f"; {total / available:.0%} of the {available:g} GB of a device"
    return (
        f"  memory about {total:.1f} GB per device: weights, gradients and optimiser "
        f"{fixed / 1e9:.1f}, activations {activations / 1e9:.1f} ({stage.micro_batch} x {size[0]} x {size[1]} pixels, "
        f"{precision}{', recomputed' if stage.activation_checkpointing else ''}){verdict}"
        + ("; a process on a CPU needs 1 to 2 GB more" if device.type == "cpu" else "")
    )


def _activations(model: ReferringModel, stage: StageConfig, size: tuple[int, int]) -> float:
    """Bytes that are kept for the backward pass of one image, in float32; reference images count as further ones."""
    kept: dict[int, int] = {}
    held: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        held.append(tensor)  # else a later tensor could get the same address
        return tensor

    def pack_arguments(module: nn.Module, arguments: Any, options: Any) -> None:
        for value in (*arguments, *options.values()):
            if isinstance(value, Tensor):
                pack(value)

    # a forward pass on the meta device
    model.train()
    if stage.activation_checkpointing and isinstance(model, UniRef):
        for layer in recompute_activations(model):
            layer.register_forward_pre_hook(pack_arguments, with_kwargs=True)
    images = torch.empty(1, 3, *size, device="meta")
    padding = torch.zeros(1, *size, dtype=torch.bool, device="meta")
    parameters = {p.untyped_storage()._cdata for p in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, _same):
        if isinstance(model, UniRef):
            model.detect(model.encode_image(images, padding), with_proposals=True)
        else:
            _segment(model, images, padding)
    # what autograd holds, without parameters
    total = float(sum(size for key, size in kept.items() if key not in parameters))
    references = max((source.shots if source.task != "ris" else 0 for source in stage.data.sources), default=0)
    return total * (1 + references * 0.5 * (stage.model.mask_encoder is not None))


def _segment(model: ReferringModel, images: Tensor, padding: Tensor) -> None:
    """Forward pass of a SAM model, with an image and its own mask, or a text, as reference."""
    features = model.encode_image(images, padding)
    if model.mask_encoder is not None:
        reference = model.encode_mask(features, images, torch.empty(1, *images.shape[-2:], device="meta"))
    else:
        ids = torch.zeros(1, 16, dtype=torch.int64, device="meta")
        reference = model.encode_text(ids, ids == 0)
    model.segment(model.fuse(features, [model.project(reference)]))


def _same(value: Any) -> Any:
    return value


def preview_stage(recipe: Recipe, name: str, root: Path, out: Path, count: int) -> Path:
    """Draw the first samples that a stage trains on; returns the PNG.

    Raises:
        UsageError: The recipe has no such stage.
        UniRefError: The data cannot be used, or the PNG not be written.
    """
    recipe.select([name])
    stage = recipe.stages[name]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"preview-{name}.png"
    write_preview(
        stage.data,
        root,
        path,
        count,
        seed=recipe.stage_seed(name),
        micro_batches_per_step=stage.micro_batches_per_step,
        micro_batch_size=stage.micro_batch,
        tokenizer=_tokenizer(recipe, name, out),
        open_hooks=source_hooks,
    )
    return path


def _tokenizer(recipe: Recipe, name: str, out: Path) -> TextTokenizer | None:
    """As in training; where the stage before is not trained yet, the tokenizer that it will write."""
    stage = recipe.stages[name]
    before = stage.init.stage
    final = None if before is None else out / before / FINAL
    if before is None or stage.init.text is not None or (final is not None and final.is_dir()):
        return make_tokenizer(stage, name, final)
    return _tokenizer(recipe, before, out)
