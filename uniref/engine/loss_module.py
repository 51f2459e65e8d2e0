"""Model and losses as one module: a batch in, weighted loss terms out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from uniref.core.batch import Batch, ReferenceImages
from uniref.core.errors import UsageError
from uniref.engine.distributed import recompute_activations
from uniref.losses.alignment import alignment_loss
from uniref.losses.criterion import Criterion
from uniref.model.referring import ReferringModel
from uniref.model.structures import Features, ProjectedReference, join_shots
from uniref.model.uniref import UniRef
from uniref.recipe.loss import LossConfig


class ReferringLossModule(nn.Module):
    """What is called in training, and wrapped to share it between processes: either family of models.

    Its call takes a batch, the number of ground-truth boxes and the iteration, and gives weighted loss terms, see
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
        """Whatever the batch refers by, ready to be fused: nothing, text, masks, or both."""
        references = []
        if batch.text is not None:
            references.append(self.model.project(self.model.encode_text(batch.text.ids, batch.text.valid)))
        if batch.references is not None:
            references.append(self._masks(batch.references))
        return references

    def _masks(self, shown: ReferenceImages) -> ProjectedReference:
        """The images of each sample as one reference: tokens side by side (SPEC section 3)."""
        shots = shown.images.shape[1]
        images = shown.images.flatten(0, 1)
        features = self.encode_image(images, shown.padding.flatten(0, 1))
        encoded = self.model.encode_mask(features, images, shown.masks.flatten(0, 1).to(images.dtype))
        return join_shots(self.model.project(encoded), shots)


class LossModule(ReferringLossModule):
    """UniRef++ and its losses.

    Args:
        model: The network that is trained.
        loss: Weights and numbers of matching and losses.
        checkpoint_activations: Recompute layers in the backward pass instead of keeping their activations.
    """

    model: UniRef

    def __init__(self, model: UniRef, loss: LossConfig, checkpoint_activations: bool = False) -> None:
        super().__init__(model)
        self.criterion = Criterion(loss)
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
            `loss_align` where a recipe asks for it.
            Suffixes: none for the last decoder layer, `_0`, `_1`, ... for the others, `_enc` for proposals.

        Raises:
            UsageError: The model lacks a part, or the batch lacks masks, that the task needs.
        """
        model, loss = self.model, self.criterion.config
        features = self.encode_image(batch.images, batch.padding)
        references = self.references(batch)
        terms = {}
        if loss.weights.align and batch.text is not None:
            terms["loss_align"] = loss.weights.align * self._alignment(features, references[0], batch)
        if not loss.detection:
            if not terms:
                raise UsageError(f"loss.detection: false trains on texts alone, and this is a batch of {batch.task}")
            return terms
        fused = model.fuse(features, references)
        found = model.detect(fused, with_proposals=True)
        mask_features = model.mask_features(fused, found)

        def draw(layers: Tensor, rows: Tensor, queries: Tensor) -> Tensor:
            return model.predict_masks(mask_features, found, fused.sizes, layers, rows, queries)

        with torch.autocast(batch.images.device.type, enabled=False):
            return self.criterion(found, batch, draw, boxes, iteration) | terms

    def _alignment(self, features: Features, text: ProjectedReference, batch: Batch) -> Tensor:
        """Loss of the words' likeness to what they mean."""
        shown = [each.masks.any(0) for each in batch.targets if each.masks is not None]
        if len(shown) < len(batch):
            raise UsageError("loss.weights.align needs masks, which this batch lacks; set it to 0")
        sentences, masks, images = text[0].embedding, torch.stack(shown), None
        if batch.phrases is not None:
            further = self.model.encode_text(batch.phrases.text.ids, batch.phrases.text.valid)
            sentences = torch.cat([sentences, further[0].embedding])
            masks = torch.cat([masks, batch.phrases.masks])
            images = torch.cat([torch.arange(len(batch), device=masks.device), batch.phrases.images])
        with torch.autocast(batch.images.device.type, enabled=False):
            return alignment_loss(features.levels, features.paddings, sentences, masks, images)


def ground_truth_boxes(batch: Batch) -> int:
    """Objects of all images of a batch."""
    return sum(len(each.boxes) for each in batch.targets)
