"""From predictions and targets to weighted loss terms (SPEC section 8).

Axes: B images, L decoder layers, Q queries, M matches (all images and layers), N objects of all images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from uniref.core.batch import Batch, Targets
from uniref.core.boxes import cxcywh_to_xyxy
from uniref.core.tasks import Task
from uniref.losses.box_inst import box_masks, pairwise_terms, projection_loss, similar_neighbours
from uniref.losses.boxes import iou_and_giou
from uniref.losses.focal import focal_loss
from uniref.losses.masks import bootstrapped_loss, dice_loss, soft_iou_loss
from uniref.losses.matching import NONE, hungarian, sim_ota
from uniref.model.mask_head import STRIDE
from uniref.model.structures import Detections
from uniref.ops.images import MEAN, STD
from uniref.ops.resize import aligned_bilinear
from uniref.recipe.loss import LossConfig

_PIXELS = 1 << 22  # of masks that are drawn at a time; their intermediate values exist for no others

Draw = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(layers, rows, queries) int64 [m] each -> mask logits float32 [m, H / 4, W / 4]."""


@dataclass(frozen=True)
class Matches:
    """Pairs of query and object, ordered by image and layer; int64 [M] each."""

    layers: Tensor
    rows: Tensor
    queries: Tensor
    targets: Tensor
    """Place among the objects of all images, one image's after the other's."""

    def __getitem__(self, chosen: Tensor | slice) -> Matches:
        return Matches(self.layers[chosen], self.rows[chosen], self.queries[chosen], self.targets[chosen])

    def __len__(self) -> int:
        return len(self.layers)

    def per_layer(self, values: Tensor, layers: int) -> Tensor:
        """Sums over the matches of each layer: [M, ...] -> [L, ...]."""
        return values.new_zeros(layers, *values.shape[1:]).index_add(0, self.layers, values)

    def counts(self, layers: int) -> Tensor:
        """Matches of each layer, at least 1 (a divisor): float [L]."""
        return self.per_layer(torch.ones(len(self), device=self.layers.device), layers).clamp(min=1)


class Criterion:
    """Matches predictions with objects and compares them; float32 throughout.

    Args:
        config: Weights and numbers.
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config

    def __call__(self, found: Detections, batch: Batch, draw: Draw, boxes: float, iteration: int) -> dict[str, Tensor]:
        """Weighted loss terms.

        Args:
            found: Predictions for the batch, with proposals.
            batch: Its targets.
            draw: Draws masks of chosen queries.
            boxes: Divisor of the proposals' losses.
            iteration: Optimiser steps before this one.

        Returns:
            Scalars by name. The suffix is the decoder layer (none for the last one), or `enc` for the proposals.
        """
        layers = len(found.logits)
        suffixes = [f"_{layer}" for layer in range(layers - 1)] + [""]
        everything = Everything.of(batch.targets)
        matches = self.match(found, batch.targets)
        by_name = self._class_and_boxes(found.logits.float(), found.boxes.float(), matches, everything, None)
        by_name |= self._masks(found, batch, matches, draw, iteration)
        terms = {name + suffixes[layer]: values[layer] for name, values in by_name.items() for layer in range(layers)}
        if self.config.proposals:
            terms |= self._proposals(found, batch.targets, boxes)
        return terms

    def match(self, found: Detections, targets: Sequence[Targets]) -> Matches:
        """SimOTA in every image and decoder layer."""
        logits, boxes = found.logits.detach().float(), found.boxes.detach().float()
        return _matches(
            [
                sim_ota(
                    logits[:, row], boxes[:, row], each.boxes, each.classes, self.config.focal, self.config.sim_ota
                )
                for row, each in enumerate(targets)
            ],
            targets,
        )

    def match_proposals(self, found: Detections, targets: Sequence[Targets]) -> Matches:
        """One proposal for each object; all proposals are of class 0."""
        assert found.proposals is not None
        logits, boxes = found.proposals.logits.detach().float(), found.proposals.boxes.detach().float()
        return _matches(
            [
                hungarian(
                    logits[row],
                    boxes[row],
                    each.boxes,
                    torch.zeros_like(each.classes),
                    self.config.focal,
                    self.config.hungarian,
                )[None]
                for row, each in enumerate(targets)
            ],
            targets,
        )

    def _proposals(self, found: Detections, targets: Sequence[Targets], boxes: float) -> dict[str, Tensor]:
        assert found.proposals is not None
        matches = self.match_proposals(found, targets)
        everything = Everything.of(targets)
        everything = Everything(everything.boxes, torch.zeros_like(everything.classes))
        logits, predicted = found.proposals.logits.float()[None], found.proposals.boxes.float()[None]
        terms = self._class_and_boxes(logits, predicted, matches, everything, boxes)
        return {f"{name}_enc": values[0] for name, values in terms.items()}

    def _class_and_boxes(
        self, logits: Tensor, boxes: Tensor, matches: Matches, everything: Everything, divisor: float | None
    ) -> dict[str, Tensor]:
        """Terms of each layer, [L] each. Logits [L, B, Q, K], boxes [L, B, Q, 4]."""
        layers, weights, focal = len(logits), self.config.weights, self.config.focal
        shares = matches.counts(layers) if divisor is None else torch.full((layers,), divisor, device=logits.device)
        at = (matches.layers, matches.rows, matches.queries)
        wanted = torch.zeros_like(logits)
        wanted[(*at, everything.classes[matches.targets])] = 1
        classes = focal_loss(logits, wanted, focal.alpha, focal.gamma).flatten(1).sum(1)
        predicted, target = boxes[at], everything.boxes[matches.targets]
        distance = (predicted - target).abs().sum(1)
        _, giou = iou_and_giou(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(target))
        return {
            "loss_ce": weights.cls * classes / shares,
            "loss_bbox": weights.l1 * matches.per_layer(distance, layers) / shares,
            "loss_giou": weights.giou * matches.per_layer(1 - giou, layers) / shares,
        }

    def _masks(
        self, found: Detections, batch: Batch, matches: Matches, draw: Draw, iteration: int
    ) -> dict[str, Tensor]:
        """Terms of each layer, [L] each."""
        if any(each.masks is None for each in batch.targets):
            return self._box_inst(found, batch, matches, draw, iteration)
        layers, weights = len(found.logits), self.config.weights
        full = batch.task is Task.VOS
        masks = torch.cat([_at_stride(each, 1 if full else STRIDE) for each in batch.targets])

        def compare(part: Matches) -> Tensor:
            logits = draw(part.layers, part.rows, part.queries)
            if full:
                logits = aligned_bilinear(logits[:, None], STRIDE)[:, 0]
            return self._compare(logits, masks[part.targets].float())

        sums = matches.per_layer(_in_pieces(compare, matches, masks.shape[-2:].numel()), layers)
        focal, dice, *auxiliary = (sums / matches.counts(layers)[:, None]).unbind(1)
        terms = {"loss_mask": weights.mask * focal, "loss_dice": weights.dice * dice}
        if auxiliary:
            terms |= {
                "loss_mask_cls": weights.mask_class * auxiliary[0],
                "loss_mask_iou": weights.mask_iou * auxiliary[1],
            }
        return terms

    def _compare(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Each mask's losses: [m, 2], or [m, 4] with the auxiliary ones. Both arguments float [m, h, w]."""
        focal = self.config.focal
        probabilities = logits.sigmoid()
        losses = [
            focal_loss(logits, masks, focal.alpha, focal.gamma).mean((1, 2)),
            dice_loss(probabilities, masks),
        ]
        if self.config.auxiliary_masks:
            losses += [bootstrapped_loss(probabilities, masks), soft_iou_loss(probabilities, masks)]
        return torch.stack(losses, dim=1)

    def _box_inst(
        self, found: Detections, batch: Batch, matches: Matches, draw: Draw, iteration: int
    ) -> dict[str, Tensor]:
        """Mask terms of each layer without masks, [L] each."""
        layers, config, weights = len(found.logits), self.config.box_inst, self.config.weights
        matches = _at_most(matches, config.max_masks, layers)
        pixels = batch.images.new_tensor(STD)[:, None, None] * batch.images + batch.images.new_tensor(MEAN)[:, None, None]
        similar = similar_neighbours(pixels.round(), batch.padding, STRIDE, config)
        size = (batch.images.shape[-2] // STRIDE, batch.images.shape[-1] // STRIDE)
        valid = ~batch.padding
        heights, widths = valid[:, :, 0].sum(1), valid[:, 0, :].sum(1)
        scale = torch.stack([widths, heights, widths, heights], dim=1)
        inside = torch.cat(
            [
                box_masks(cxcywh_to_xyxy(each.boxes) * scale[row], size, STRIDE)
                for row, each in enumerate(batch.targets)
            ]
        )

        def compare(part: Matches) -> Tensor:
            logits = draw(part.layers, part.rows, part.queries)
            boxes = inside[part.targets]
            disagreement, pairs = pairwise_terms(logits, similar[part.rows], boxes, config)
            return torch.stack([projection_loss(logits.sigmoid(), boxes), disagreement, pairs], dim=1)

        values = _in_pieces(compare, matches, 8 * size[0] * size[1])
        projection, disagreement, pairs = matches.per_layer(values, layers).unbind(1)
        ramp = min((iteration + 1) / config.warmup, 1.0)
        return {
            "loss_prj": weights.projection * projection / matches.counts(layers),
            "loss_pairwise": weights.pairwise * ramp * disagreement / pairs.clamp(min=1),
        }


@dataclass(frozen=True)
class Everything:
    """The objects of all images, one image's after the other's."""

    boxes: Tensor
    """Float32 [N, 4], cxcywh as fractions."""
    classes: Tensor
    """Int64 [N]."""

    @staticmethod
    def of(targets: Sequence[Targets]) -> Everything:
        """Gather them."""
        return Everything(torch.cat([each.boxes for each in targets]), torch.cat([each.classes for each in targets]))


def _matches(matched: Sequence[Tensor], targets: Sequence[Targets]) -> Matches:
    """From the objects of each image's queries, int64 [L, Q] an image."""
    parts, first = [], 0
    for row, (each, target) in enumerate(zip(matched, targets, strict=True)):
        layers, queries = (each != NONE).nonzero(as_tuple=True)
        parts.append((layers, torch.full_like(layers, row), queries, each[layers, queries] + first))
        first += len(target.classes)
    return Matches(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _at_most(matches: Matches, count: int, layers: int) -> Matches:
    """A random choice of at most `count` matches in each layer, in the old order."""
    kept = []
    for layer in range(layers):
        place = (matches.layers == layer).nonzero().flatten()
        if len(place) > count:
            place = place[torch.randperm(len(place), device=place.device)[:count]]
        kept.append(place)
    return matches[torch.cat(kept).sort().values]


def _in_pieces(compare: Callable[[Matches], Tensor], matches: Matches, pixels: int) -> Tensor:
    """`compare` for a few matches at a time; the backward pass draws their masks once more instead of keeping them."""
    count = max(1, _PIXELS // pixels)
    starts = range(0, max(1, len(matches)), count)
    pieces = [
        checkpoint(compare, matches[start : start + count], use_reentrant=False, preserve_rng_state=False)
        for start in starts
    ]
    return torch.cat(pieces)


def _at_stride(target: Targets, stride: int) -> Tensor:
    assert target.masks is not None
    return target.masks[:, stride // 2 :: stride, stride // 2 :: stride] if stride > 1 else target.masks
