"""The procedure of the released implementation, with this package's plain modules: the baseline of the speed benchmark.

Same weights, same results up to rounding; what differs is the work. The masks of all 300 queries are predicted by
grouped convolutions (and, with mask references, upsampled four times) and one is used; references are encoded and
projected again for every frame with a backbone pass of their own; objects are predicted one by one; deformable
attention samples with `grid_sample`, and fusion attention is PyTorch's float32 kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.inference.video import merge_labels
from uniref.model.mask_head import STRIDE
from uniref.model.structures import Features, ReferenceTokens
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.ops.dynamic_conv import layer_widths
from uniref.ops.images import aligned_bilinear, normalise, pad_batch, pad_mask
from uniref.recipe.model import MaskHeadConfig


def predict_masks_grouped(features: Tensor, centres: Tensor, parameters: Tensor, config: MaskHeadConfig) -> Tensor:
    """What `uniref.ops.dynamic_conv.predict_masks` computes, as convolutions with one group per query: [N, h, w]."""
    count, (channels, h, w) = len(parameters), features.shape[1:]
    widths = layer_widths(channels, config.dynamic_width, config.dynamic_layers)
    parts = parameters.split([i * o for i, o in widths] + [o for _, o in widths], dim=1)
    columns, rows = torch.arange(w, device=features.device), torch.arange(h, device=features.device)
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy")) * STRIDE + STRIDE // 2
    relative = centres[:, :, None, None] - pixels
    x = torch.cat([relative, features.repeat(count, 1, 1, 1)], dim=1).view(1, -1, h, w)
    for index, (inputs, outputs) in enumerate(widths):
        weight, bias = parts[index].reshape(count * outputs, inputs, 1, 1), parts[len(widths) + index].flatten()
        x = F.conv2d(x, weight, bias, groups=count)
        if index < len(widths) - 1:
            x = F.relu(x)
    return x[0]


class ReleasedWay:
    """Text in images, text in videos with propagation, and masks in videos, for unresized frames, on the model's
    device."""

    def __init__(self, model: UniRef, tokenizer: TextTokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def image(self, image: np.ndarray, text: str) -> np.ndarray:
        """Bool [H, W]."""
        features, _ = self._encode(image)
        logits = self._predict(features, [self._text(text)])
        return self._crop(F.interpolate(logits, scale_factor=4, mode="bilinear"), image) > 0.5

    @torch.inference_mode()
    def video_by_text(
        self, frames: list[np.ndarray], text: str, seen: np.ndarray | None = None
    ) -> Iterator[np.ndarray]:
        """Bool [H, W] per frame. `seen`: a mask of the object in the first frame, as if it had been segmented
        before."""
        expression = self._text(text)
        reference = None if seen is None else self._mask(frames[0], seen)
        kept = None if reference is None else (reference, reference)
        for image in frames:
            features, _ = self._encode(image)
            logits = self._predict(features, [expression] if kept is None else [expression, self._join(*kept)])
            mask = self._crop(F.interpolate(logits, scale_factor=4, mode="bilinear"), image) > 0.5
            if mask.any():
                reference = self._mask(image, mask)
                kept = (kept[0] if kept else reference, reference)
            yield mask

    @torch.inference_mode()
    def video_by_masks(self, frames: list[np.ndarray], masks: Mapping[int, np.ndarray]) -> Iterator[np.ndarray]:
        """Labels uint8 [H, W] per frame; all masks belong to the first."""
        first = {number: self._mask(frames[0], mask) for number, mask in masks.items()}
        previous = dict(first)
        order = sorted(masks, key=str)
        for index, image in enumerate(frames):
            features, _ = self._encode(image)
            p = []
            for number in order:
                logits = self._predict(features, [self._join(first[number], previous[number])], enlarge=4)
                p.append(torch.from_numpy(self._crop(logits, image)))
            if index == 0:
                p = [torch.from_numpy(masks[number]).float() for number in order]
            labels = merge_labels(torch.stack(p), order).numpy()
            for number in order:
                if index > 0 and (labels == number).any():
                    previous[number] = self._mask(image, labels == number)
            yield labels

    def _encode(self, image: np.ndarray) -> tuple[Features, Tensor]:
        batch = pad_batch([normalise(image, image.shape[:2], self.device)])
        return self.model.encode_image(batch.images, batch.padding), batch.images

    def _text(self, text: str) -> list[ReferenceTokens]:
        return list(self.model.encode_text(*(x.to(self.device) for x in self.tokenizer([text]))))

    def _mask(self, image: np.ndarray, mask: np.ndarray) -> list[ReferenceTokens]:
        features, images = self._encode(image)
        padded = pad_mask(torch.from_numpy(mask).to(self.device).float()[None], images.shape[-2:])
        return list(self.model.encode_mask(features, images, padded))

    @staticmethod
    def _join(first: list[ReferenceTokens], second: list[ReferenceTokens]) -> list[ReferenceTokens]:
        return [
            ReferenceTokens(
                torch.cat([a.keys, b.keys], 1),
                torch.cat([a.values, b.values], 1),
                torch.cat([a.padding, b.padding], 1) if a.padding is not None and b.padding is not None else None,
                (a.embedding + b.embedding) / 2,
            )
            for a, b in zip(first, second, strict=True)
        ]

    def _predict(self, features: Features, references: list[list[ReferenceTokens]], enlarge: int = 1) -> Tensor:
        """The best query's logits [1, 1, h, w], out of all queries' masks."""
        model = self.model
        fused = model.fuse(features, [model.project(tuple(reference)) for reference in references])
        detections = model.detect(fused, with_proposals=True)
        best = int(model.best_queries(detections))
        mask_features = model.mask_features(fused, detections)
        centres = detections.reference_boxes[-1, 0, :, :2] * fused.sizes.flip(-1)
        parameters = model.mask_head.controller(detections.query_states[-1, 0])
        logits = predict_masks_grouped(mask_features, centres, parameters, model.config.mask_head)
        return aligned_bilinear(logits[:, None], enlarge)[best : best + 1]

    @staticmethod
    def _crop(logits: Tensor, image: np.ndarray) -> np.ndarray:
        return logits.sigmoid()[0, 0, : image.shape[0], : image.shape[1]].cpu().numpy()
