"""A stage's model: built, given its initial weights, frozen where the recipe says so."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from uniref.core.errors import CheckpointError, UsageError
from uniref.core.tasks import missing_part
from uniref.data.train.sources import TrainSource
from uniref.engine.loss_module import LossModule, ReferringLossModule
from uniref.extensions.plugins import loss_hooks
from uniref.model.build import build_model
from uniref.model.referring import ReferringModel
from uniref.model.text import TextTokenizer, wordpiece
from uniref.model.uniref import UniRef
from uniref.recipe.recipe import StageConfig
from uniref.weights.checkpoint import read_tensors
from uniref.weights.checkpoint_config import TOKENIZER, read_config
from uniref.weights.conversion import read_text_tensors
from uniref.weights.rename import listing
from uniref.weights.safe_load import read_weights


class BuiltModel(NamedTuple):
    """A model ready to be trained."""

    model: ReferringModel
    tokenizer: TextTokenizer | None
    notes: tuple[str, ...]
    """Where its weights come from, one line each."""


def build_stage_model(
    stage: StageConfig, name: str, seed: int, start: Path | None = None, load: bool = True
) -> BuiltModel:
    """The model at the start of a stage: random weights from the seed, then the ones that `init` names.

    Args:
        stage: Configuration.
        name: Of the stage, for messages.
        seed: Of the random weights.
        start: Checkpoint folder that takes the place of `init.stage`.
        load: False leaves out the weights that `init` names, because a checkpoint is restored instead.

    Raises:
        CheckpointError: Initial weights are missing, damaged, or do not fit the model.
        UsageError: The tokenizer does not fit the text encoder, or a pattern of `frozen` matches nothing.
    """
    # random weights, some of which an extension changes
    torch.manual_seed(seed)
    model = _build_model(stage, name)
    loss_hooks(stage).initialise(model)
    # whole models first, then parts
    notes = _load_initial_weights(model, stage, name, start) if load else []
    # the tokenizer of the text encoder; what is not trained
    tokenizer = make_tokenizer(stage, name, start)
    freeze(model, stage, f"stages.{name}")
    return BuiltModel(model, tokenizer, tuple(notes) or ("all weights start random",))


def build_without_memory(stage: StageConfig, name: str, start: Path | None = None, load: bool = True) -> ReferringModel:
    """The model of a stage on the meta device, after the checks of `build_stage_model`: the initial weights are read
    and compared with it, and nothing else is computed.

    Args:
        stage, name, load: As for `build_stage_model`.
        start: As for `build_stage_model`; None where the stage before is not trained yet, so that its weights cannot be
            checked.

    Raises:
        CheckpointError, UsageError: As `build_stage_model` does.
    """
    with torch.device("meta"):
        model = _build_model(stage, name)
    if load:
        _load_initial_weights(model, stage, name, start)
    if start is not None or stage.init.stage is None or stage.init.text is not None:
        make_tokenizer(stage, name, start)
    freeze(model, stage, f"stages.{name}")
    return model


def _build_model(stage: StageConfig, name: str) -> ReferringModel:
    try:
        return build_model(stage.model)
    except UsageError as error:
        raise UsageError(f"stages.{name}.model: {error}") from None


def _load_initial_weights(model: ReferringModel, stage: StageConfig, name: str, start: Path | None) -> list[str]:
    """Lay what `init` names over a model's weights; returns a line on each. On the meta device it is compared alone."""
    init, where = stage.init, f"stages.{name}.init"
    notes = []
    folder = start if init.stage is not None else init.model
    if folder is not None:
        notes.append(_load_model(model, folder, where))
    if init.backbone is not None:
        notes.append(_load_part(model.get_submodule("backbone"), "backbone.", init.backbone, f"{where}.backbone"))
    if init.text is not None and model.text_encoder is not None:
        notes.append(_load_text(model.text_encoder.body, init.text, f"{where}.text"))
    if init.mask_encoder is not None and model.mask_encoder is not None:
        notes.append(_load_mask_encoder(model.mask_encoder, init.mask_encoder, f"{where}.mask_encoder"))
    return notes


def freeze(model: ReferringModel, stage: StageConfig, where: str = "recipe") -> None:
    """Turn off the gradient of the parameters that a stage does not train.

    Raises:
        UsageError: A pattern matches no parameter.
    """
    names = dict(model.named_parameters())
    for pattern in stage.frozen:
        chosen = [name for name in names if re.match(pattern, name)]
        if not chosen:
            example = next(iter(names))
            raise UsageError(f"{where}.frozen: {pattern!r} matches no parameter; they are named like {example}")
        for name in chosen:
            names[name].requires_grad_(False)
    model.freeze()


def build_loss_module(model: ReferringModel, stage: StageConfig, precision: str) -> ReferringLossModule:
    """The model with its losses.

    Args:
        model: On its device.
        stage: Configuration.
        precision: Of the network's products; images' embeddings that are cached differ by it.
    """
    if isinstance(model, UniRef):
        return LossModule(model, stage.loss, stage.activation_checkpointing, loss_hooks(stage))
    # transformers' SAM takes a moment to import, which UniRef++ need not wait for
    from uniref.engine.sam_loss_module import EmbeddingCache, SamLossModule
    from uniref.model.sam import UniRefSam

    assert isinstance(model, UniRefSam)
    cache = EmbeddingCache(stage.embedding_cache, model, precision) if stage.embedding_cache is not None else None
    return SamLossModule(model, stage.loss.sam, cache)


def train_mode(model: nn.Module) -> None:
    """Training mode, except for parts whose parameters are all frozen: they run as in inference."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def check_sources(sources: Sequence[TrainSource], stage: StageConfig) -> None:
    """Check what only the prepared data tell: whether the model has the parts and the classes that they need.

    Raises:
        UsageError: It does not.
    """
    for source in sources:
        part = missing_part(source.task, stage.model, text_only=source.text_only >= 1)
        if part is not None:
            raise UsageError(
                f"{source.name}: is trained as {source.task.value}, but model.{part} is null; give the model that part "
                "or leave the source out"
            )
        classes = getattr(stage.model, "classes", 1)
        if len(source.classes) > classes:
            raise UsageError(
                f"{source.name}: has {len(source.classes)} categories, but model.classes is {classes}; set "
                f"model.classes={len(source.classes)}, or the source's `categories` to false"
            )


def _load_model(model: ReferringModel, folder: Path, where: str) -> str:
    """Weights of a trained model, for every part that both have; class heads of other sizes stay random."""
    config = read_config(folder)
    if config.model is None:
        raise CheckpointError(f"{where}: {folder}: holds a backbone; name it as init.backbone")
    tensors = read_tensors(folder)
    # parts that the folder lacks start new, and so do class heads of other sizes
    expected = model.state_dict()
    parts = {name.split(".")[0] for name in tensors}
    fresh = [name for name in expected if name not in tensors and name.split(".")[0] not in parts]
    heads = [name for name in expected if name in tensors and _is_other_head(name, tensors[name], expected[name])]
    kept = {name: tensor for name, tensor in tensors.items() if name in expected and name not in heads}
    # everything else has to fit
    missing = [name for name in expected if name not in kept and name not in fresh and name not in heads]
    misshapen = [name for name, tensor in kept.items() if tensor.shape != expected[name].shape]
    if missing or misshapen:
        problem = f"lacks {listing(missing)}" if missing else f"has other sizes in {listing(misshapen)}"
        raise CheckpointError(
            f"{where}: {folder}: does not fit the stage's model: it {problem}; leave `model` out of the recipe to take "
            "the checkpoint's, or adapt it"
        )
    _load(model, kept)
    new = sorted({name.split(".")[0] for name in fresh} | ({"class heads"} if heads else set()))
    return f"weights from {folder}" + (f"; new: {', '.join(new)}" if new else "")


def _is_other_head(name: str, have: Tensor, want: Tensor) -> bool:
    return name.startswith("transformer.class_heads.") and have.shape != want.shape


def _load_part(module: nn.Module, prefix: str, folder: Path, where: str) -> str:
    if read_config(folder).backbone is None and read_config(folder).model is None:
        raise CheckpointError(f"{where}: {folder}: does not hold a backbone; make one with 'uniref convert'")
    tensors = {name.removeprefix(prefix): t for name, t in read_tensors(folder).items() if name.startswith(prefix)}
    _fit(module, tensors, f"{where}: {folder}")
    return f"backbone from {folder}"


def _load_text(body: nn.Module, folder: Path, where: str) -> str:
    """A BERT-like encoder as the Hugging Face libraries store it, without heads and poolers of other tasks."""
    _fit(body, read_text_tensors(folder), f"{where}: {folder}")
    return f"text encoder from {folder}"


def _load_mask_encoder(module: nn.Module, path: Path, where: str) -> str:
    """Torchvision's ResNet-18; the stem reads image and mask, and the mask's channel stays random."""
    stored, _ = read_weights(path)
    expected = module.state_dict()
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        short = re.sub(r"^layer(\d)\.", lambda m: f"stages.{int(m[1]) - 1}.", name)
        if short == "conv1.weight" and short in expected and tensor.shape[1] == 3:
            mask_channel = expected[short][:, 3:]
            mask_channel = torch.zeros(mask_channel.shape) if mask_channel.is_meta else mask_channel
            tensors[short] = torch.cat([tensor, mask_channel], dim=1)
        elif short in expected and tensor.shape == expected[short].shape:
            tensors[short] = tensor
    needed = [name for name in expected if name.startswith(("conv1.weight", "bn1.", "stages."))]
    # our convolutions have biases, which a file of a bias-free network lacks: they are set to zero
    for name in needed:
        if name not in tensors and name.endswith(".bias") and name.removesuffix("bias") + "weight" in tensors:
            tensors[name] = torch.zeros_like(expected[name])
    if lacking := [name for name in needed if name not in tensors]:
        raise CheckpointError(f"{where}: {path}: is not a ResNet-18 of these sizes: lacks {listing(lacking)}")
    _load(module, tensors)
    return f"mask encoder's residual network from {path}"


def _fit(module: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    expected = module.state_dict()
    if missing := [name for name in expected if name not in tensors]:
        raise CheckpointError(f"{source}: does not fit the model: lacks {listing(missing)}")
    if other := [name for name in expected if tensors[name].shape != expected[name].shape]:
        raise CheckpointError(f"{source}: does not fit the model: other sizes in {listing(other)}")
    _load(module, {name: tensors[name] for name in expected})


def _load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load some of a module's tensors, which were compared with it; a module on the meta device holds none."""
    if not any(parameter.is_meta for parameter in module.parameters()):
        module.load_state_dict(dict(tensors), strict=False)


def make_tokenizer(stage: StageConfig, name: str, start: Path | None = None) -> TextTokenizer | None:
    """The tokenizer of a stage's text encoder: of the initial text encoder or model, else bert-base-uncased.

    Args:
        stage, name, start: As for `build_stage_model`.

    Raises:
        UsageError: Its vocabulary is not the text encoder's.
        CheckpointError: It cannot be read.
    """
    text = stage.model.text
    if text is None:
        return None
    folder = stage.init.text or (start if stage.init.stage is not None else stage.init.model)
    if folder is not None and (folder / TOKENIZER).is_file():
        tokenizer = TextTokenizer.from_file(folder / TOKENIZER, text.max_tokens)
    elif folder is not None and (folder / "vocab.txt").is_file():
        vocabulary = (folder / "vocab.txt").read_text("utf-8").splitlines()
        tokenizer = TextTokenizer(wordpiece(vocabulary), text.max_tokens)
    else:
        tokenizer = TextTokenizer.bert_base_uncased(text.max_tokens)
    size = text.encoder.get("vocab_size", 30522)
    if tokenizer.size != size:
        raise UsageError(
            f"stages.{name}.model.text.encoder.vocab_size is {size}, but the vocabulary "
            f"of {folder or 'bert-base-uncased'} has {tokenizer.size} tokens; init.text names the right folder"
        )
    return tokenizer
