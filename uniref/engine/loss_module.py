"""Model and losses as one module (UniRef++, training): a batch in, weighted loss terms out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from uniref.core.batch import Batch, ReferenceImages
from uniref.engine.distributed import recompute_activations
from uniref.losses.criterion import Criterion, LossHooks
from uniref.model.referring import ReferringModel
from uniref.model.structures import Features, ProjectedReference, join_shots
from uniref.model.uniref import UniRef
from uniref.recipe.loss import LossConfig


class ReferringLossModule(nn.Module):
    """Model and losses of either family of models: the module that a step calls and that DDP or FSDP wraps.

    Called with a batch, the number of ground-truth boxes and the iteration, it returns weighted loss terms; see
    `LossModule.forward`.

    Args:
        model: The network that is trained.
    """

    def __init__(self, model: ReferringModel) -> None:
        super().__init__()
        self.model = model

    def encode_image(self, images: Tensor, padding: Tensor) -> Features:
        """As the model's."""
        return self.model.encode_image(images, padding)

    def references(self, batch: Batch) -> list[ProjectedReference]:
        """The references of a batch, ready to be fused: none, text, masks, or both."""
        references = []
        if batch.text is not None:
            references.append(self.model.project(self.model.encode_text(batch.text.ids, batch.text.valid)))
        if batch.references is not None:
            references.append(self._mask_reference(batch.references))
        return references

    def _mask_reference(self, reference: ReferenceImages) -> ProjectedReference:
        """The images of each sample as one reference: their tokens are concatenated."""
        shots = reference.images.shape[1]
        images = reference.images.flatten(0, 1)
        features = self.encode_image(images, reference.padding.flatten(0, 1))
        encoded = self.model.encode_mask(features, images, reference.masks.flatten(0, 1).to(images.dtype))
        return join_shots(self.model.project(encoded), shots)


class LossModule(ReferringLossModule):
    """UniRef++ and its losses.

    Args:
        model: The network that is trained.
        loss: Weights and parameters of matching and losses.
        checkpoint_activations: Recompute layers in the backward pass instead of keeping their activations.
        hooks: Of an extension.
    """

    model: UniRef

    def __init__(
        self,
        model: UniRef,
        loss: LossConfig,
        checkpoint_activations: bool = False,
        hooks: LossHooks | None = None,
    ) -> None:
        super().__init__(model)
        self.criterion = Criterion(loss)
        self.hooks = hooks or LossHooks()
        if checkpoint_activations:
            recompute_activations(model)

    def forward(self, batch: Batch, boxes: float, iteration: int) -> dict[str, Tensor]:
        """Loss terms of a batch, already weighted: their sum is what is minimised.

        Args:
            batch: Of any task, on the model's device.
            boxes: Ground-truth boxes of a batch, averaged over all batches of the optimiser step (at least 1).
            iteration: Optimiser steps before this one.

        Returns:
            Float32 scalars by name: `loss_ce`, `loss_bbox`, `loss_giou`, then `loss_mask`, `loss_dice` (with auxiliary
            losses also `loss_mask_cls`, `loss_mask_iou`), or `loss_prj`, `loss_pairwise` where targets have no masks;
            further ones of an extension.
            Suffixes: none for the last decoder layer, `_0`, `_1`, ... for the others, `_enc` for proposals.

        Raises:
            UsageError: The model lacks a part, or the batch lacks masks, that the task needs.
        """
        model, criterion = self.model, self.criterion
        # encode the images, and whatever the batch refers by
        features = self.encode_image(batch.images, batch.padding)
        references = self.references(batch)
        before_fusion = self.hooks.losses_before_fusion(model, batch, features, references)
        if self.hooks.ends_before_fusion:
            return before_fusion
        # fuse, and detect objects
        fused = model.fuse(features, references)
        detections = model.detect(fused, with_proposals=True)
        mask_features = model.mask_features(fused, detections)

        def predict_masks(layers: Tensor, rows: Tensor, queries: Tensor) -> Tensor:
            return model.predict_masks(mask_features, detections, fused.sizes, layers, rows, queries)

        with torch.autocast(batch.images.device.type, enabled=False):
            # match queries with objects, in every decoder layer
            logits, predicted = detections.logits.float(), detections.boxes.float()
            layers = len(logits)
            matches = criterion.match_queries(logits, predicted, batch)
            # classes and boxes, then masks
            classes = torch.cat([each.classes for each in batch.targets])
            counts = matches.counts(layers)
            terms = criterion.class_and_box_losses(logits, predicted, matches, classes, batch, counts)
            if any(each.masks is None for each in batch.targets):
                terms |= criterion.box_inst_losses(layers, batch, matches, predict_masks, iteration)
            else:
                terms |= criterion.mask_losses(layers, batch, matches, predict_masks)
            suffixes = [f"_{layer}" for layer in range(layers - 1)] + [""]
            named = {name + suffixes[layer]: term[layer] for name, term in terms.items() for layer in range(layers)}
            named |= self.hooks.losses(batch, detections, matches, predict_masks)
            # the encoder's proposals
            if criterion.config.proposals:
                proposals = detections.proposals
                assert proposals is not None
                level_sizes = [(level.shape[-2], level.shape[-1]) for level in detections.memory]
                matched = self.hooks.match_proposals(batch, level_sizes)
                divisor = boxes if matched is None else max(1.0, len(matched))
                matched = criterion.match_proposals(proposals, batch) if matched is None else matched
                of_proposals = criterion.proposal_losses(proposals, matched, batch, divisor)
                named |= {f"{name}_enc": term[0] for name, term in of_proposals.items()}
        return named | before_fusion


def ground_truth_boxes(batch: Batch) -> int:
    """Objects of all images of a batch."""
    return sum(len(each.boxes) for each in batch.targets)
