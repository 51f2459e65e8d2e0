"""From predictions and targets to weighted loss terms (UniRef++, Sec. 3), as tensors per decoder layer.

Axes: B images, L decoder layers, Q queries, K classes, M matches (all images and layers), N objects (all images).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from uniref.core.batch import Batch
from uniref.core.boxes import cxcywh_to_xyxy
from uniref.core.tasks import Task
from uniref.losses.box_inst import box_masks, pairwise_terms, projection_loss, similar_neighbours
from uniref.losses.matching import Matches, hungarian, sim_ota
from uniref.losses.terms import aggregate, bootstrapped_loss, dice_loss, focal_loss, iou_and_giou, soft_iou_loss
from uniref.model.mask_head import STRIDE
from uniref.model.referring import ReferringModel
from uniref.model.structures import Detections, Features, ProjectedReference, Proposals
from uniref.ops.images import aligned_bilinear, denormalise
from uniref.recipe.loss import LossConfig

_PIXELS = 1 << 22  # of masks that are predicted and compared at a time

PredictMasks = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(layers, rows, queries) int64 [m] each -> mask logits float32 [m, H / 4, W / 4]."""
Terms = dict[str, Tensor]


class LossHooks:
    """What an extension may change about losses and initial weights; this base class leaves them as they are."""

    ends_before_fusion = False
    """Whether `losses_before_fusion` are the only losses."""

    def initialise(self, model: ReferringModel) -> None:
        """Change the random weights of a new model, before others are loaded."""
        del model

    def losses_before_fusion(
        self, model: ReferringModel, batch: Batch, features: Features, references: Sequence[ProjectedReference]
    ) -> Terms:
        """Further weighted terms, from features and references that are not fused yet."""
        del model, batch, features, references
        return {}

    def losses(self, batch: Batch, detections: Detections, matches: Matches, predict_masks: PredictMasks) -> Terms:
        """Further weighted terms, float32 scalars by name, from the predictions of all decoder layers.

        Args:
            batch: With the targets.
            detections: Of all queries.
            matches: Which query learns which object, in each layer.
            predict_masks: Mask logits of chosen queries.
        """
        del batch, detections, matches, predict_masks
        return {}

    def match_proposals(self, batch: Batch, level_sizes: Sequence[tuple[int, int]]) -> Matches | None:
        """Proposals (tokens of all levels (h, w)) and objects, instead of Hungarian matching; None = that.

        The proposals' losses are then divided by the number of matches.
        """
        del batch, level_sizes
        return None


class Criterion:
    """Matches predictions with objects and compares them; float32 throughout.

    Args:
        config: Weights and parameters of target assignment and losses.
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config

    def match_queries(self, logits: Tensor, boxes: Tensor, batch: Batch) -> Matches:
        """Queries and objects of every layer, by SimOTA. Logits [L, B, Q, K], boxes [L, B, Q, 4]."""
        focal, config = self.config.focal, self.config.sim_ota
        objects = [target.boxes for target in batch.targets]
        matched = sim_ota(logits, boxes, objects, [target.classes for target in batch.targets], focal, config)
        return Matches.gather(matched, [len(target.boxes) for target in batch.targets])

    def match_proposals(self, proposals: Proposals, batch: Batch) -> Matches:
        """Proposals and objects, one to one by Hungarian matching, as a single layer; every object's class is 0."""
        logits, boxes = proposals.logits.float(), proposals.boxes.float()
        objects = [target.boxes for target in batch.targets]
        classes = [torch.zeros_like(target.classes) for target in batch.targets]
        matched = hungarian(logits, boxes, objects, classes, self.config.focal, self.config.hungarian)
        return Matches.gather(matched[:, None], [len(target.boxes) for target in batch.targets])

    def proposal_losses(self, proposals: Proposals, matches: Matches, batch: Batch, boxes: float) -> Terms:
        """Class and box losses of the encoder's proposals (two-stage Deformable DETR): terms [1].

        Args:
            proposals: Logits [B, T, 1], boxes [B, T, 4].
            matches: Of a single layer.
            batch: The targets.
            boxes: Divisor.
        """
        logits, predicted = proposals.logits.float()[None], proposals.boxes.float()[None]
        classes = torch.cat([torch.zeros_like(target.classes) for target in batch.targets])
        return self.class_and_box_losses(logits, predicted, matches, classes, batch, logits.new_full((1,), boxes))

    def class_and_box_losses(
        self, logits: Tensor, boxes: Tensor, matches: Matches, classes: Tensor, batch: Batch, divisors: Tensor
    ) -> Terms:
        """Focal loss of classes, L1 and GIoU of boxes: terms [L].

        Args:
            logits: Float [L, B, Q, K].
            boxes: Float [L, B, Q, 4], cxcywh as fractions of the image.
            matches: Queries and objects.
            classes: Int64 [N].
            batch: The targets.
            divisors: Float [L].
        """
        weights, focal = self.config.weights, self.config.focal
        # classes: every query learns, those without an object that there is none
        matched = (matches.layers, matches.rows, matches.queries)
        targets = torch.zeros_like(logits)
        targets.index_put_((*matched, classes[matches.targets]), targets.new_ones(()))
        loss = focal_loss(logits, targets, focal.alpha, focal.gamma)
        # boxes of matched queries
        predicted, target = boxes[matched], torch.cat([each.boxes for each in batch.targets])[matches.targets]
        distance = (predicted - target).abs().sum(1)
        _, giou = iou_and_giou(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(target))
        return {
            "loss_ce": weights.cls * loss.flatten(1).sum(1) / divisors,
            "loss_bbox": weights.l1 * matches.per_layer(distance, len(logits)) / divisors,
            "loss_giou": weights.giou * matches.per_layer(1 - giou, len(logits)) / divisors,
        }

    def mask_losses(self, layers: int, batch: Batch, matches: Matches, predict_masks: PredictMasks) -> Terms:
        """Focal and dice loss of masks, in videos at the input's resolution, else at stride 4: terms [L].

        With `auxiliary_masks` also the bootstrapped cross entropy and the soft IoU of masks after soft aggregation.
        """
        weights = self.config.weights
        stride = 1 if batch.task is Task.VOS else STRIDE
        offset = slice(stride // 2, None, stride)
        masks = torch.cat([each.masks[:, offset, offset] for each in batch.targets if each.masks is not None])

        def compare(part: Matches) -> Tensor:
            """Losses of each mask, [m, 2], or [m, 4] with the auxiliary ones."""
            focal, target = self.config.focal, masks[part.targets].float()
            logits = predict_masks(part.layers, part.rows, part.queries)
            if stride == 1:
                logits = aligned_bilinear(logits[:, None], STRIDE)[:, 0]
            losses = [
                focal_loss(logits, target, focal.alpha, focal.gamma).mean((1, 2)),
                dice_loss(logits.sigmoid(), target),
            ]
            if self.config.auxiliary_masks:
                competing = aggregate(logits)
                losses += [bootstrapped_loss(competing, target), soft_iou_loss(competing.sigmoid(), target)]
            return torch.stack(losses, dim=1)

        # masks exist for one part of the matches at a time: the backward pass predicts them once more
        parts = matches.parts(max(1, _PIXELS // masks.shape[-2:].numel()))
        values = torch.cat([checkpoint(compare, part, use_reentrant=False, preserve_rng_state=False) for part in parts])
        # means over the matches of each layer
        focal, dice, *auxiliary = (matches.per_layer(values, layers) / matches.counts(layers)[:, None]).unbind(1)
        terms = {"loss_mask": weights.mask * focal, "loss_dice": weights.dice * dice}
        if auxiliary:
            terms["loss_mask_cls"] = weights.mask_class * auxiliary[0]
            terms["loss_mask_iou"] = weights.mask_iou * auxiliary[1]
        return terms

    def box_inst_losses(
        self, layers: int, batch: Batch, matches: Matches, predict_masks: PredictMasks, iteration: int
    ) -> Terms:
        """BoxInst's losses (Tian et al., 2021) of masks where only boxes are known: terms [L]."""
        config, weights = self.config.box_inst, self.config.weights
        # neighbouring pixels of similar colour, and the boxes as masks
        matches = matches.at_most(config.max_masks, layers)
        similar = similar_neighbours(denormalise(batch.images), batch.padding, STRIDE, config)
        size = (batch.images.shape[-2] // STRIDE, batch.images.shape[-1] // STRIDE)
        inside = torch.cat([box_masks(boxes, size, STRIDE) for boxes in pixel_boxes(batch)])

        def compare(part: Matches) -> Tensor:
            """Projection loss, pairwise sum and number of pairs of each mask, [m, 3]."""
            logits = predict_masks(part.layers, part.rows, part.queries)
            boxes = inside[part.targets]
            different, pairs = pairwise_terms(logits, similar[part.rows], boxes, config)
            return torch.stack([projection_loss(logits.sigmoid(), boxes), different, pairs], dim=1)

        # as in mask_losses
        parts = matches.parts(max(1, _PIXELS // similar[0].numel()))
        values = torch.cat([checkpoint(compare, part, use_reentrant=False, preserve_rng_state=False) for part in parts])
        projection, different, pairs = matches.per_layer(values, layers).unbind(1)
        # the pairwise loss grows linearly; the released counter counts every layer's loss, the last layer's first
        counter = iteration * layers + (torch.arange(layers, device=pairs.device) + 1) % layers + 1
        ramp = (counter / config.warmup).clamp(max=1)
        return {
            "loss_prj": weights.projection * projection / matches.counts(layers),
            "loss_pairwise": weights.pairwise * ramp * different / pairs.clamp(min=1),
        }


def pixel_boxes(batch: Batch) -> list[Tensor]:
    """Target boxes of each image, xyxy in input pixels, float [N, 4]."""
    valid = ~batch.padding
    sizes = torch.stack([valid[:, 0, :].sum(1), valid[:, :, 0].sum(1)], dim=1).repeat(1, 2)
    return [cxcywh_to_xyxy(each.boxes) * size for each, size in zip(batch.targets, sizes, strict=True)]
