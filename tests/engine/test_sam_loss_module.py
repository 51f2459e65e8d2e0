"""UniFusion in SAM learns: losses, what is frozen, padding, cached embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.counting import encoder_calls
from tests.engine.batches import SIZE, make_batch
from tests.tiny import tiny_sam_config
from uniref.core.batch import Batch
from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.engine.sam_loss_module import EmbeddingCache, SamLossModule, to_square
from uniref.engine.stage_model import train_mode
from uniref.model.sam import UniRefSam
from uniref.recipe.loss import SamLossConfig

STEPS = 120


@pytest.fixture
def loss_module() -> SamLossModule:
    """A SAM with weights of a scale that suits its width: transformers' own suits a thousand channels."""
    torch.manual_seed(0)
    model = UniRefSam(tiny_sam_config())
    for parameter in model.sam.parameters():
        if parameter.dim() > 1:
            torch.nn.init.xavier_uniform_(parameter)
    return SamLossModule(model, SamLossConfig())


def found(loss_module: SamLossModule, batch: Batch) -> Tensor:
    """Logits of a batch, float [B, 128, 128]."""
    square = to_square(batch, 128)
    fused = loss_module.model.fuse(
        loss_module.encode_image(square.images, square.padding), loss_module.references(square)
    )
    return F.interpolate(loss_module.model.segment(fused).logits[:, None], scale_factor=4.0, mode="bilinear")[:, 0]


def iou(loss_module: SamLossModule, batch: Batch) -> float:
    masks = found(loss_module, batch)[:, : SIZE[0], : SIZE[1]] > 0
    truth = torch.stack([each.masks[0] for each in batch.targets if each.masks is not None])
    return float(((masks & truth).sum((1, 2)) / (masks | truth).sum((1, 2))).mean())


@pytest.mark.parametrize("task", [Task.RIS, Task.FSS, Task.VOS, Task.RVOS], ids=lambda task: task.value)
@pytest.mark.slow
def test_overfits_a_batch_and_leaves_the_frozen_parts(task: Task, loss_module: SamLossModule) -> None:
    batch, model = make_batch(task), loss_module.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3, weight_decay=0.05)
    for step in range(STEPS):
        train_mode(model)
        terms = loss_module(batch, 2.0, step)
        assert set(terms) == {"loss_bce", "loss_dice"}
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        assert iou(loss_module, batch) > 0.9
    after = model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not changed & model.frozen_names()
    assert {name.split(".")[0] for name in changed} == {"sam", "fusion"} | (
        {"text_encoder"} if batch.text is not None else set()
    ) | ({"mask_encoder"} if batch.references is not None else set())
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)


@torch.no_grad()
def test_losses_are_those_of_the_whole_square(loss_module: SamLossModule) -> None:
    batch = make_batch(Task.RIS)
    loss_module.eval()
    terms = loss_module(batch, 1.0, 0)
    p = found(loss_module, batch).sigmoid()
    truth = torch.zeros(2, 128, 128)
    truth[:, : SIZE[0], : SIZE[1]] = torch.stack([each.masks[0] for each in batch.targets])
    bce = -(truth * p.log() + (1 - truth) * (1 - p).log()).mean()
    dice = 1 - (2 * (p * truth).sum((1, 2)) + 1) / (p.sum((1, 2)) + truth.sum((1, 2)) + 1)
    torch.testing.assert_close(terms["loss_bce"], 2 * bce)
    torch.testing.assert_close(terms["loss_dice"], 0.5 * dice.mean())
    halved = SamLossModule(loss_module.model, SamLossConfig(bce=1.0, dice=0.25))(batch, 7.0, 3)
    assert all(math.isclose(2 * float(halved[name]), float(terms[name]), rel_tol=1e-6) for name in terms)


def wider(batch: Batch) -> Batch:
    """The same batch with 32 more padded columns and rows, as beside a larger image."""

    def grown(x: Tensor, value: float = 0) -> Tensor:
        return F.pad(x, (0, 32, 0, 32), value=value)

    shown = batch.references
    if shown is not None:
        shown = replace(shown, images=grown(shown.images), padding=grown(shown.padding, 1), masks=grown(shown.masks))
    return replace(
        batch,
        images=grown(batch.images),
        padding=grown(batch.padding, 1),
        targets=tuple(replace(each, masks=grown(each.masks)) for each in batch.targets),
        references=shown,
    )


@pytest.mark.parametrize("task", [Task.RIS, Task.FSS, Task.RVOS], ids=lambda task: task.value)
@torch.no_grad()
def test_what_a_batch_is_padded_to_makes_no_difference(task: Task, loss_module: SamLossModule) -> None:
    loss_module.eval()
    batch = make_batch(task)
    plain, padded = loss_module(batch, 1.0, 0), loss_module(wider(batch), 1.0, 0)
    assert all(torch.equal(plain[name], padded[name]) for name in plain)
    square = to_square(batch, 128)
    again = to_square(square, 128)
    assert torch.equal(square.images, again.images)
    assert torch.equal(square.padding, again.padding)


def test_what_cannot_be_learnt_from_is_told(loss_module: SamLossModule) -> None:
    with pytest.raises(UsageError, match="by a reference only"):
        loss_module(make_batch(Task.DETECTION), 1.0, 0)
    with pytest.raises(UsageError, match="drawn:0: has no mask"):
        loss_module(make_batch(Task.RIS, masks=False), 1.0, 0)
    with pytest.raises(UsageError, match="an image of 96 x 64 pixels does not fit into the model's square of 80"):
        to_square(make_batch(Task.RIS), 80)


@torch.no_grad()
def test_an_image_is_encoded_once_in_all_epochs_and_runs(loss_module: SamLossModule, tmp_path: Path) -> None:
    loss_module.eval()
    model, batch = loss_module.model, make_batch(Task.VOS)
    plain = loss_module(batch, 1.0, 0)
    calls = encoder_calls(model)
    cached = SamLossModule(model, SamLossConfig(), EmbeddingCache(tmp_path, model, "float32"))
    first = cached(batch, 1.0, 0)
    assert calls == [2, 2]
    other = replace(batch, images=batch.images.flip(0), targets=batch.targets[::-1])
    second = [cached(batch, 1.0, 0), SamLossModule(model, SamLossConfig(), EmbeddingCache(tmp_path, model, "float32"))]
    cached(other, 1.0, 0)
    third = second[1](wider(batch), 1.0, 0)
    assert calls == [2, 2]
    for name, value in plain.items():
        assert torch.equal(first[name], second[0][name])
        assert torch.equal(first[name], third[name])
        torch.testing.assert_close(first[name], value, rtol=1e-2, atol=1e-3)  # float16
    files = list(tmp_path.rglob("*.npy"))
    assert len(files) == 2  # one picture and one earlier frame, in both samples
    assert all(path.stat().st_size < 2 * 32 * 8 * 8 + 200 for path in files)


@pytest.mark.parametrize(
    "change",
    [
        lambda model, path: model.sam.vision_encoder.pos_embed.data.add_(1),
        lambda model, path: [each.write_bytes(b"damaged") for each in path.rglob("*.npy")],
    ],
    ids=["other weights", "damaged files"],
)
@torch.no_grad()
def test_what_does_not_fit_any_more_is_encoded_again(
    change: Callable[[UniRefSam, Path], object], loss_module: SamLossModule, tmp_path: Path
) -> None:
    model, batch = loss_module.model, to_square(make_batch(Task.RIS), 128)
    EmbeddingCache(tmp_path, model, "float32").encode(batch.images, batch.padding)
    change(model, tmp_path)
    calls = encoder_calls(model)
    again = EmbeddingCache(tmp_path, model, "float32").encode(batch.images, batch.padding)
    assert calls == [2]
    expected = model.encode_image(batch.images, batch.padding)
    torch.testing.assert_close(again.levels[0], expected.levels[0], rtol=1e-3, atol=1e-3)
    assert torch.equal(again.sizes, expected.sizes)


def test_a_folder_that_cannot_be_written_is_told(loss_module: SamLossModule, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    batch = to_square(make_batch(Task.RIS), 128)
    cache = EmbeddingCache(tmp_path / "file", loss_module.model, "float32")
    with pytest.raises(UniRefError, match=r"embedding_cache: .*cannot be written"):
        cache.encode(batch.images, batch.padding)
