"""Every term of the training losses agrees with the released system."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.conftest import Golden
from uniref.core.batch import Batch, ReferenceImages, Targets, TextTokens
from uniref.core.boxes import xyxy_to_cxcywh
from uniref.core.tasks import Task
from uniref.engine.loss_module import LossModule, ground_truth_boxes
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.ops.images import normalise, pad_batch, pad_mask
from uniref.recipe.loss import LossConfig
from uniref.weights.checkpoint import load_checkpoint

pytestmark = [pytest.mark.golden, pytest.mark.slow]

Arrays = Mapping[str, Any]

TIE = 5e-6
"""Scores of proposals that differ by less change places with the order in which floats are added (one golden pair is a
single bit apart); and a query's place decides its learnt content."""


def _further() -> list[str]:
    """Loss batches beside the further cases: "more/loss_fss_new.npz" is "more/fss_new"."""
    folder = Path(os.environ.get("UNIREF_GOLDEN", "none")) / "more"
    return [f"more/{path.stem.removeprefix('loss_')}" for path in sorted(folder.glob("loss_*.npz"))]


@pytest.mark.parametrize(
    "name", ["ris", "detection", "fss", "vos", "rvos_lang", "rvos_lang_mask", "pretrain", *_further()]
)
def test_losses(name: str, golden: Golden, golden_folder: Path, converted: Callable[[str], Path]) -> None:
    folder, _, name = name.rpartition("/")
    stem = str(Path(folder) / f"loss_{name}")
    arrays = golden(stem)
    expected = json.loads((golden_folder / f"{stem}.json").read_text())
    name = name.removesuffix("_new")
    checkpoint = load_checkpoint(converted("pre_r50" if name == "pretrain" else "r50"))
    batch = make_batch(name, arrays, checkpoint.tokenizer)
    loss_module = LossModule(checkpoint.model, LossConfig(auxiliary_masks=name != "pretrain")).eval()
    # the released counter of BoxInst counts every decoder layer's loss
    iteration = arrays.get("boxinst_iteration", 0) / len(checkpoint.model.transformer.decoder)
    found = []
    for _ in orders_of_ties(checkpoint.model):
        terms = loss_module(batch, ground_truth_boxes(batch), iteration)
        found.append({key: term.item() for key, term in terms.items()})
        if found[-1] == pytest.approx(expected, rel=1e-4):
            break
    else:
        assert found[0] == pytest.approx(expected, rel=1e-4)
    torch.stack(list(terms.values())).sum().backward()
    gradients = [p.grad for p in loss_module.parameters() if p.grad is not None]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def orders_of_ties(model: UniRef) -> Iterator[None]:
    """While iterated, the model ranks proposals as it does, then with tied ones in every other order."""
    propose, swapped = model.transformer._propose, []
    ties: list[list[int]] = []

    def ranked(*arguments: Any) -> tuple[Tensor, Any]:
        start, proposals = propose(*arguments)
        scores = proposals.logits[..., 0].sort(dim=1, descending=True).values[:, : start.shape[1]]
        # unusable tokens are all alike: their order means nothing
        differ = (start[:, :-1] != start[:, 1:]).any(-1)
        ties[:] = (differ & (scores[:, :-1] - scores[:, 1:] < TIE)).nonzero().tolist()
        for row, place in swapped:
            start[row, [place, place + 1]] = start[row, [place + 1, place]]
        return start, proposals

    model.transformer._propose = ranked  # type: ignore[method-assign]
    yield
    assert len(ties) < 5, "no golden batch has so many"
    for chosen in list(product((False, True), repeat=len(ties)))[1:]:
        swapped[:] = [tie for tie, swap in zip(ties, chosen, strict=True) if swap]
        yield


def make_batch(name: str, arrays: Arrays, tokenizer: TextTokenizer | None) -> Batch:
    task = Task.DETECTION if name == "pretrain" else Task(name.split("_", maxsplit=1)[0])
    if task.is_video:
        images, masks = [arrays["frames"][1]], [arrays["mask1"][None]]
    else:
        images = [arrays["image0"], arrays["image1"]]
        one = "masks{}" if task is Task.DETECTION else "mask{}"
        masks = [
            arrays[one.format(i)].reshape(-1, *image.shape[:2]) for i, image in enumerate(images) if name != "pretrain"
        ]
    padded = pad_batch([normalise(image, image.shape[:2]) for image in images])
    targets = []
    for i, image in enumerate(images):
        height, width = image.shape[:2]
        boxes = torch.from_numpy(arrays[f"boxes{i}"]) if not masks else tight_boxes(masks[i])
        classes = torch.from_numpy(arrays[f"classes{i}"]) if not masks else torch.zeros(len(boxes), dtype=torch.int64)
        filled = pad_mask(torch.from_numpy(masks[i]), padded.images.shape[-2:]) if masks else None
        targets.append(Targets(xyxy_to_cxcywh(boxes) / torch.tensor([width, height] * 2), classes, filled))
    text = references = None
    if task.needs_text:
        assert tokenizer is not None
        text = TextTokens(*tokenizer([str(each) for each in np.atleast_1d(arrays.get("texts", arrays.get("text")))]))
    if task is Task.FSS:
        references = shown([arrays["support0"], arrays["support1"]], [arrays["support_mask0"], arrays["support_mask1"]])
    elif name in ("vos", "rvos_lang_mask"):
        references = shown([arrays["frames"][0]], [arrays["mask0"]])
    return Batch(task, padded.images, padded.padding, tuple(targets), text, references)


def shown(images: list[Any], masks: list[Any]) -> ReferenceImages:
    """One reference image a sample."""
    padded = pad_batch([normalise(image, image.shape[:2]) for image in images])
    filled = [pad_mask(torch.from_numpy(mask), padded.images.shape[-2:]) for mask in masks]
    return ReferenceImages(padded.images[:, None], padded.padding[:, None], torch.stack(filled)[:, None])


def tight_boxes(masks: Any) -> Tensor:
    """xyxy in pixels, the far edges exclusive."""
    found = []
    for mask in masks:
        ys, xs = np.nonzero(mask)
        found.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    return torch.tensor(found, dtype=torch.float32)
