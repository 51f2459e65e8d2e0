"""Frozen answers of a tiny model, so that a change of any result is noticed without the released system's files.

    python -m tests.golden.tiny          # writes tiny.npz again: only where a result is meant to change

The answers are this package's own; that it computes what the released system computes is shown by the other tests of
this folder. Weights, images and masks are functions of names and coordinates, the same on every machine.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.tiny import tiny_config
from uniref.core.batch import Batch, ReferenceImages, Targets, TextTokens
from uniref.core.tasks import Task
from uniref.engine.loss_module import LossModule, ground_truth_boxes
from uniref.inference.predictor import Predictor
from uniref.inference.results import FrameResult
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.ops.images import normalise, pad_batch, pad_mask
from uniref.recipe.loss import LossConfig
from uniref.weights.checkpoint import Checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata

FILE = Path(__file__).with_name("tiny.npz")
TEXT, TEXTS = "the red disk on the left", ["a blue disk", "the green one"]
LATE = {0: (9, 100), 2: (20,)}
"""Frame -> ids of the objects that are given there."""


def tiny_bundle() -> Checkpoint:
    """A tiny model whose weights depend on their names alone."""
    config = tiny_config()
    model = UniRef(config)
    state = {name: _weights(name, tensor) for name, tensor in model.state_dict().items()}
    model.load_state_dict(state)
    return Checkpoint(model.eval(), TextTokenizer.bert_base_uncased(), CheckpointMetadata(model=config))


def _weights(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    values = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(tuple(tensor.shape))
    if tensor.dim() >= 2:
        values *= 1.4 / np.sqrt(values[0].size)
    elif name.endswith("running_var"):
        values = 1 + 0.2 * np.abs(values)
    elif name.endswith("weight"):  # of a norm
        values = 1 + 0.1 * values
    else:
        values *= 0.1
    return torch.from_numpy(values).to(tensor.dtype)


def scene(frame: int, height: int = 60, width: int = 100) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Three coloured disks that move over a slope of colours: uint8 RGB [H, W, 3], and a mask for each."""
    y, x = np.mgrid[:height, :width].astype(float)
    image = np.stack([90 + x, 60 + y, 200 - x / 2 - y / 2], -1)
    masks = {}
    for number, (colour, left, top) in enumerate(
        [((220, 30, 40), 0.25, 0.4), ((30, 60, 220), 0.55, 0.55), ((40, 200, 60), 0.8, 0.4)]
    ):
        away = (x - left * width - 3 * frame * (1 - number)) ** 2 + (y - top * height - frame) ** 2
        masks[number] = away < (height / 5 + number) ** 2
        image[masks[number]] = colour
    return image.round().clip(0, 255).astype(np.uint8), masks


def videos(predictor: Predictor, threshold: float = 0.0) -> list[FrameResult]:
    """Objects given by masks, two at first and one later, at twice the clip's resolution, as `uniref eval` does it."""
    frames = [scene(t) for t in range(5)]
    masks = {
        t: {number: frames[t][1][i + t // 2 * 2] for i, number in enumerate(numbers)} for t, numbers in LATE.items()
    }
    return list(
        predictor.segment_video(
            [image for image, _ in frames], masks=masks, score_threshold=threshold, short_side=96, exact_masks=False
        )
    )


def followed_text(predictor: Predictor, threshold: float = 0.0) -> list[FrameResult]:
    """A text that is followed by its own masks once it is found."""
    frames = [scene(t)[0] for t in range(5)]
    return list(predictor.segment_video(frames, TEXT, score_threshold=threshold, short_side=None))


def answers(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Everything that is frozen. The model is trained on nothing, but may be rewritten for inference at the end."""
    found = {f"loss_{name}": np.array([terms[k] for k in sorted(terms)]) for name, terms in losses(checkpoint).items()}
    predictor = Predictor(checkpoint, "cpu", own=True)
    image, _ = scene(0)
    ris = predictor.segment_image(image, TEXT, short_side=None)
    support = [(scene(3, 50, 70)[0], scene(3, 50, 70)[1][1]), (scene(1, 80, 64)[0], scene(1, 80, 64)[1][1])]
    fss = predictor.segment_image(image, support=support, short_side=None)
    for name, result in (("ris", ris), ("fss", fss)):
        found |= {f"{name}_mask": result.mask, f"{name}_box": result.box, f"{name}_score": np.array(result.score)}
    apart = list(predictor.segment_video([image, scene(2)[0]], TEXTS, propagate=False, short_side=None))
    for name, results in (("vos", videos(predictor)), ("rvos", followed_text(predictor)), ("texts", apart)):
        found[f"{name}_labels"] = np.stack([result.labels for result in results])
        found[f"{name}_scores"] = np.array([score for result in results for score in result.scores.values()])
    return found


def losses(checkpoint: Checkpoint) -> dict[str, dict[str, float]]:
    """Every loss term of a batch of each task."""
    loss_module = LossModule(checkpoint.model, LossConfig(auxiliary_masks=True)).eval()
    found = {}
    with torch.no_grad():
        for name in ("detection", "boxes", "ris", "fss", "vos", "rvos"):
            batch = _batch(name, checkpoint)
            terms = loss_module(batch, ground_truth_boxes(batch), 40)
            found[name] = {key: float(term) for key, term in terms.items()}
    return found


def _batch(name: str, checkpoint: Checkpoint) -> Batch:
    """Two samples of different sizes with one object each; of "boxes", the masks are not told."""
    task = Task.DETECTION if name == "boxes" else Task(name)
    scenes = [scene(0), scene(2, 84, 70)]
    padded = pad_batch([normalise(image, image.shape[:2]) for image, _ in scenes])
    targets = []
    for image, masks in scenes:
        mask = torch.from_numpy(masks[0])[None]
        rows, columns = mask[0].any(1).nonzero(), mask[0].any(0).nonzero()
        y0, y1, x0, x1 = (float(edge) for edge in (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1))
        height, width = image.shape[:2]
        box = [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
        filled = None if name == "boxes" else pad_mask(mask, padded.images.shape[-2:])
        targets.append(Targets(torch.tensor([box]), torch.zeros(1, dtype=torch.int64), filled))
    text = references = None
    if task.needs_text:
        assert checkpoint.tokenizer is not None
        text = TextTokens(*checkpoint.tokenizer([TEXT, TEXTS[0]]))
    if task in (Task.FSS, Task.VOS, Task.RVOS):
        shown = [scene(1, 50, 50), scene(3, 150, 130)]
        views = pad_batch([normalise(image, image.shape[:2]) for image, _ in shown])
        filled = [pad_mask(torch.from_numpy(masks[0]), views.images.shape[-2:]) for _, masks in shown]
        references = ReferenceImages(views.images[:, None], views.padding[:, None], torch.stack(filled)[:, None])
    return Batch(task, padded.images, padded.padding, tuple(targets), text, references)


if __name__ == "__main__":
    np.savez_compressed(FILE, **answers(tiny_bundle()))
    print(f"{FILE}: {FILE.stat().st_size} bytes")  # noqa: T201 - run by hand
