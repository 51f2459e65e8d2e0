"""From predictions and targets to weighted loss terms (SPEC section 8).

Axes: B images, L decoder layers, Q queries, K classes, M matches (all images and layers), N objects (all images).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from uniref.core.batch import Batch
from uniref.core.boxes import cxcywh_to_xyxy
from uniref.core.errors import UsageError
from uniref.core.tasks import Task
from uniref.losses.alignment import coverage
from uniref.losses.box_inst import box_masks, pairwise_terms, projection_loss, similar_neighbours
from uniref.losses.matching import NONE, Matches, hungarian, sim_ota
from uniref.losses.terms import aggregate, bootstrapped_loss, dice_loss, focal_loss, iou_and_giou, soft_iou_loss
from uniref.model.mask_head import STRIDE
from uniref.model.structures import Detections, Proposals
from uniref.ops.images import aligned_bilinear, denormalise
from uniref.recipe.loss import LossConfig

_PIXELS = 1 << 22  # of masks that are drawn and compared at a time

Draw = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(layers, rows, queries) int64 [m] each -> mask logits float32 [m, H / 4, W / 4]."""
Terms = dict[str, Tensor]


class Criterion:
    """Matches predictions with objects and compares them; float32 throughout.

    Args:
        config: Weights and numbers.
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config

    def __call__(self, found: Detections, batch: Batch, draw: Draw, boxes: float, iteration: int) -> Terms:
        """Weighted loss terms: see `LossModule.forward`.

        Args:
            found: Predictions for the batch, with proposals.
            batch: Its targets.
            draw: Draws masks of chosen queries.
            boxes: Divisor of the proposals' losses.
            iteration: Optimiser steps before this one.
        """
        logits, predicted = found.logits.float(), found.boxes.float()
        layers = len(logits)
        matches = self.match(logits, predicted, batch)
        shares = matches.counts(layers)
        classes = torch.cat([each.classes for each in batch.targets])
        terms = self._classes_and_boxes(logits, predicted, matches, classes, batch, shares)
        if any(each.masks is None for each in batch.targets):
            terms |= self._box_inst(layers, batch, matches, draw, iteration)
        else:
            terms |= self._masks(layers, batch, matches, draw)
        suffixes = [f"_{layer}" for layer in range(layers - 1)] + [""]
        by_name = {name + suffixes[layer]: values[layer] for name, values in terms.items() for layer in range(layers)}
        if self.config.proposals:
            by_name |= {f"{name}_enc": values[0] for name, values in self._proposals(found, batch, boxes).items()}
        return by_name

    def match(self, logits: Tensor, boxes: Tensor, batch: Batch) -> Matches:
        """Queries and objects of every layer, by SimOTA. Logits [L, B, Q, K], boxes [L, B, Q, 4]."""
        focal, config = self.config.focal, self.config.sim_ota
        matched = [
            sim_ota(logits[:, row], boxes[:, row], each.boxes, each.classes, focal, config)
            for row, each in enumerate(batch.targets)
        ]
        return Matches.gather(matched, [len(each.boxes) for each in batch.targets])

    def match_proposals(self, proposals: Proposals, batch: Batch) -> Matches:
        """Proposals and objects, one to one, as a single layer; every object's class is 0."""
        matched = [
            hungarian(
                proposals.logits[row].float(),
                proposals.boxes[row].float(),
                each.boxes,
                torch.zeros_like(each.classes),
                self.config.focal,
                self.config.hungarian,
            )[None]
            for row, each in enumerate(batch.targets)
        ]
        return Matches.gather(matched, [len(each.boxes) for each in batch.targets])

    def _proposals(self, found: Detections, batch: Batch, boxes: float) -> Terms:
        """Terms [1] each."""
        proposals = found.proposals
        assert proposals is not None
        if self.config.proposal_targets == "inside":
            matches = _covered(batch, [(x.shape[-2], x.shape[-1]) for x in found.memory])
            boxes = max(1.0, len(matches))
        else:
            matches = self.match_proposals(proposals, batch)
        logits, predicted = proposals.logits.float()[None], proposals.boxes.float()[None]
        classes = torch.cat([torch.zeros_like(each.classes) for each in batch.targets])
        return self._classes_and_boxes(logits, predicted, matches, classes, batch, logits.new_tensor([boxes]))

    def _classes_and_boxes(
        self, logits: Tensor, boxes: Tensor, matches: Matches, classes: Tensor, batch: Batch, shares: Tensor
    ) -> Terms:
        """Terms [L] each. Logits [L, B, Q, K], boxes [L, B, Q, 4], classes [N], divisors [L]."""
        weights, focal = self.config.weights, self.config.focal
        chosen = (matches.layers, matches.rows, matches.queries)
        wanted = torch.zeros_like(logits)
        wanted.index_put_((*chosen, classes[matches.targets]), wanted.new_ones(()))
        loss = focal_loss(logits, wanted, focal.alpha, focal.gamma)
        predicted, target = boxes[chosen], torch.cat([each.boxes for each in batch.targets])[matches.targets]
        distance = (predicted - target).abs().sum(1)
        _, giou = iou_and_giou(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(target))
        return {
            "loss_ce": weights.cls * loss.flatten(1).sum(1) / shares,
            "loss_bbox": weights.l1 * matches.per_layer(distance, len(logits)) / shares,
            "loss_giou": weights.giou * matches.per_layer(1 - giou, len(logits)) / shares,
        }

    def _masks(self, layers: int, batch: Batch, matches: Matches, draw: Draw) -> Terms:
        """Terms [L] each."""
        weights = self.config.weights
        stride = 1 if batch.task is Task.VOS else STRIDE
        masks = torch.cat(
            [
                each.masks[:, stride // 2 :: stride, stride // 2 :: stride]
                for each in batch.targets
                if each.masks is not None
            ]
        )

        def compare(part: Matches) -> Tensor:
            logits = draw(part.layers, part.rows, part.queries)
            if stride == 1:
                logits = aligned_bilinear(logits[:, None], STRIDE)[:, 0]
            return self._compare(logits, masks[part.targets].float())

        values = matches.in_pieces(compare, _pieces(masks.shape[-2:].numel()))
        focal, dice, *auxiliary = (matches.per_layer(values, layers) / matches.counts(layers)[:, None]).unbind(1)
        terms = {"loss_mask": weights.mask * focal, "loss_dice": weights.dice * dice}
        if auxiliary:
            terms["loss_mask_cls"] = weights.mask_class * auxiliary[0]
            terms["loss_mask_iou"] = weights.mask_iou * auxiliary[1]
        return terms

    def _compare(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Losses of each mask, [m, 2], or [m, 4] with the auxiliary ones. Both arguments float [m, h, w]."""
        focal = self.config.focal
        losses = [
            focal_loss(logits, masks, focal.alpha, focal.gamma).mean((1, 2)),
            dice_loss(logits.sigmoid(), masks),
        ]
        if self.config.auxiliary_masks:
            competing = aggregate(logits)
            losses += [bootstrapped_loss(competing, masks), soft_iou_loss(competing.sigmoid(), masks)]
        return torch.stack(losses, dim=1)

    def _box_inst(self, layers: int, batch: Batch, matches: Matches, draw: Draw, iteration: int) -> Terms:
        """Terms [L] each, for masks of which only boxes are known."""
        config, weights = self.config.box_inst, self.config.weights
        matches = matches.at_most(config.max_masks, layers)
        similar = similar_neighbours(denormalise(batch.images), batch.padding, STRIDE, config)
        size = (batch.images.shape[-2] // STRIDE, batch.images.shape[-1] // STRIDE)
        inside = torch.cat([box_masks(boxes, size, STRIDE) for boxes in pixel_boxes(batch)])

        def compare(part: Matches) -> Tensor:
            logits = draw(part.layers, part.rows, part.queries)
            boxes = inside[part.targets]
            apart, pairs = pairwise_terms(logits, similar[part.rows], boxes, config)
            return torch.stack([projection_loss(logits.sigmoid(), boxes), apart, pairs], dim=1)

        values = matches.in_pieces(compare, _pieces(similar[0].numel()))
        projection, apart, pairs = matches.per_layer(values, layers).unbind(1)
        # the released counter grows with every layer's loss, the last layer's first
        counter = iteration * layers + (torch.arange(layers, device=pairs.device) + 1) % layers + 1
        ramp = (counter / config.warmup).clamp(max=1)
        return {
            "loss_prj": weights.projection * projection / matches.counts(layers),
            "loss_pairwise": weights.pairwise * ramp * apart / pairs.clamp(min=1),
        }


def _covered(batch: Batch, sizes: Sequence[tuple[int, int]]) -> Matches:
    """Tokens of levels (h, w) of which an object covers more than half, and of each object the most covered one of the
    first level, as a single layer.

    Raises:
        UsageError: Targets have no masks.
    """
    matched = []
    for each in batch.targets:
        if each.masks is None:
            raise UsageError("loss.proposal_targets: inside needs masks, which this batch lacks; use matched")
        shares = coverage(each.masks, sizes)
        if len(shares):
            most, target = shares.max(0)
            target = target.masked_fill(most <= 0.5, NONE)
            target[shares[:, : sizes[0][0] * sizes[0][1]].argmax(1)] = torch.arange(len(shares), device=shares.device)
        else:
            target = torch.full(shares.shape[1:], NONE, device=shares.device)
        matched.append(target[None])
    return Matches.gather(matched, [len(each.boxes) for each in batch.targets])


def pixel_boxes(batch: Batch) -> list[Tensor]:
    """Target boxes of each image, xyxy in input pixels, float [N, 4]."""
    valid = ~batch.padding
    sizes = torch.stack([valid[:, 0, :].sum(1), valid[:, :, 0].sum(1)], dim=1).repeat(1, 2)
    return [cxcywh_to_xyxy(each.boxes) * size for each, size in zip(batch.targets, sizes, strict=True)]


def _pieces(pixels: int) -> int:
    """Masks of so many values that are compared at a time."""
    return max(1, _PIXELS // pixels)
