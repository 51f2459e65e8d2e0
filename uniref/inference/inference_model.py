"""A model with its tokenizer, device and precision: arrays in, mask predictions out. Shared by images and video.

Axes: N objects, H x W the original image, h x w the network input without padding, H' x W' with it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import nms

from uniref.core.boxes import cxcywh_to_xyxy, mask_box
from uniref.core.device import autocast
from uniref.core.errors import UsageError
from uniref.core.types import UInt8Image
from uniref.inference.region_fit import best_candidate
from uniref.inference.regions import Region
from uniref.kernels.matmul import fast_matmul
from uniref.kernels.unifusion import FoldedUniFusion
from uniref.model.mask_head import STRIDE
from uniref.model.referring import ReferringModel
from uniref.model.structures import (
    Features,
    ProjectedReference,
    ReferenceTokens,
    join_images,
    join_objects,
    join_shots,
    split_reference,
)
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.ops.images import (
    aligned_bilinear,
    check_image,
    fit_size,
    normalise,
    pad_batch,
    pad_mask,
    resize_bilinear,
    resize_nearest,
)

NMS_IOU = 0.7
_QUERIES = 16  # whose masks are predicted as one batch: bounds memory
_OBJECTS = 4  # that go through the transformer as one batch on an accelerator: bounds memory


@dataclass(frozen=True)
class Frame:
    """One image after the backbone."""

    features: Features
    images: Tensor
    """The network input, float32 [1, 3, H', W'] (padded)."""
    size: tuple[int, int]
    """(h, w), the unpadded network input."""
    original: tuple[int, int]
    """(H, W)."""


@dataclass(frozen=True)
class MaskPredictions:
    """N objects in one image."""

    logits: Tensor
    """Mask logits at stride 4, padded, float32 [N, H' / 4, W' / 4]."""
    scores: list[float]
    """Confidences, 0..1."""
    boxes: Tensor | None
    """Float32 [N, 4] on the CPU, xyxy in pixels of the original image, clipped to it; None where the model predicts
    masks alone."""

    def rows(self, rows: Sequence[int]) -> MaskPredictions:
        """Some of the objects."""
        boxes = None if self.boxes is None else self.boxes[list(rows)]
        return MaskPredictions(self.logits[list(rows)], [self.scores[row] for row in rows], boxes)

    def box(self, row: int, mask: Tensor) -> npt.NDArray[np.float32]:
        """An object's box, float32 [4]: the model's, or the tight one of its mask [H, W] (zeros for an empty mask)."""
        if self.boxes is not None:
            return self.boxes[row].numpy()
        return np.array(mask_box(mask.cpu().numpy()) or (0, 0, 0, 0), np.float32)


class InferenceModel:
    """Encodes images and references, and predicts the masks of the objects that the references mean.

    Args:
        network: In evaluation mode, on `device`; on a CPU best prepared by `uniref.kernels.prepare`.
        tokenizer: Of the checkpoint; None where it has no text encoder.
        device: Where to compute.
        precision: "float32", or "bfloat16" / "float16" for mixed precision.
        fast: Accept small differences: mask references are pooled 2 x 2 at the finest level.

    Raises:
        UsageError: The precision is unknown.
    """

    def __init__(
        self,
        network: ReferringModel,
        tokenizer: TextTokenizer | None,
        device: torch.device,
        precision: str = "float32",
        fast: bool = False,
    ) -> None:
        autocast(device, precision)  # refuses an unknown precision now rather than at the first image
        self.network, self.tokenizer, self.device = network, tokenizer, device
        self.precision, self.fast = precision, fast
        on_cpu = device.type == "cpu"
        self._matmul: Callable[[Tensor | None], contextlib.AbstractContextManager[None]]
        self._matmul = fast_matmul if on_cpu else lambda images: contextlib.nullcontext()
        self.batch_size = 1 if on_cpu else _OBJECTS
        """Objects that go through the transformer together."""

    @property
    def attention_precision(self) -> str:
        """As `precision`, of the attention to mask references."""
        fusion = self.network.fusion
        bfloat16 = isinstance(fusion, FoldedUniFusion) and fusion.bfloat16_matmul
        return "bfloat16" if bfloat16 else self.precision

    @torch.inference_mode()
    def encode(self, image: UInt8Image, short_side: int | None, long_side: int | None) -> Frame:
        """Resize, normalise, pad and run the backbone.

        Args:
            image: uint8 RGB [H, W, 3].
            short_side, long_side: As for `fit_size`.

        Raises:
            UsageError: The image has another form, or does not fit into the model's square input.
        """
        return self.encode_images([image], short_side, long_side)[0]

    @torch.inference_mode()
    def encode_images(self, images: Sequence[UInt8Image], short_side: int | None, long_side: int | None) -> list[Frame]:
        """Encode images of the same size as one batch. Arguments and errors as for `encode`."""
        for image in images:
            check_image(image)
        original = (images[0].shape[0], images[0].shape[1])
        size = self.fit(original, short_side, long_side)
        batch = pad_batch([normalise(image, size, self.device) for image in images], self.network.input_size)
        inputs = batch.images.to(self.device)
        with self._computing(inputs):
            features = self.network.encode_image(inputs, batch.padding.to(self.device))
        if len(images) == 1:
            return [Frame(features, inputs, size, original)]
        return [Frame(features.image(i), inputs[i : i + 1], size, original) for i in range(len(images))]

    def fit(self, original: tuple[int, int], short_side: int | None, long_side: int | None) -> tuple[int, int]:
        """Size of the network input, as `fit_size`, of an image of `original` size. Raises UsageError as `encode`."""
        size = fit_size(*original, short_side, long_side)
        square = self.network.input_size
        if square is not None and max(size) > square:
            raise UsageError(
                f"image: {size[1]} x {size[0]} pixels do not fit into this model's square of {square}; "
                "leave the short side to its default"
            )
        return size

    @torch.inference_mode()
    def text_references(self, texts: Sequence[str]) -> list[ProjectedReference]:
        """One reference per text, all with the same number of tokens.

        Raises:
            UsageError: A text has no words, or the checkpoint has no text encoder.
        """
        if self.tokenizer is None:
            raise UsageError("this checkpoint has no text encoder: it cannot follow a text")
        ids, valid = self.tokenizer(texts)
        with self._computing():
            reference = self.network.encode_text(ids.to(self.device), valid.to(self.device))
            return split_reference(self.network.project(reference))

    @torch.inference_mode()
    def mask_references(self, frame: Frame, masks: Tensor) -> list[ProjectedReference]:
        """One reference per mask; the frame's features are shared.

        Args:
            frame: The frame that the masks belong to.
            masks: Bool [N, H, W] at the original size, or [N, h, w] at network size.
        """
        at_input = resize_nearest(masks.to(self.device), frame.size).float()
        padded = pad_mask(at_input, frame.images.shape[-2:])
        with self._computing(frame.images):
            reference = self.network.encode_mask(frame.features, frame.images, padded)
            if self.fast:
                reference = (pool_tokens(reference[0], frame.features.levels[0].shape[-2:]), *reference[1:])
            return split_reference(self.network.project(reference))

    @torch.inference_mode()
    def support_reference(self, images: Sequence[Tensor], masks: Sequence[Tensor]) -> ProjectedReference:
        """One reference from k support images: encoded as a batch, their tokens side by side.

        Args:
            images: Normalised, float32 [3, h, w] each, of any sizes.
            masks: Bool [h, w] each.
        """
        batch = pad_batch(images, self.network.input_size)
        size = batch.images.shape[-2:]
        stacked = torch.stack([pad_mask(mask.float(), size) for mask in masks]).to(self.device)
        inputs = batch.images.to(self.device)
        with self._computing(inputs):
            features = self.network.encode_image(inputs, batch.padding.to(self.device))
            reference = self.network.project(self.network.encode_mask(features, inputs, stacked))
        return join_shots(reference, len(images))

    @torch.inference_mode()
    def predict(self, frame: Frame, groups: Sequence[Sequence[ProjectedReference]]) -> MaskPredictions:
        """Mask, score and box of each object.

        Args:
            frame: The image.
            groups: Objects with the same kind of references. Of each group, references with one row per object, all of
                which are added (text and masks in RVOS).

        Returns:
            The objects of all groups, one after the other.
        """
        with self._computing(frame.images):
            fused = join_objects([self.network.fuse(frame.features, references) for references in groups])
            starts = range(0, len(fused.levels[0]), self.batch_size)
            segments = [self.network.segment(fused.rows(slice(i, i + self.batch_size))) for i in starts]
        boxes = [part.boxes for part in segments if part.boxes is not None]
        return MaskPredictions(
            logits=torch.cat([part.logits for part in segments]),
            scores=torch.cat([part.scores for part in segments]).tolist(),
            boxes=_pixels(torch.cat(boxes), frame.original) if boxes else None,
        )

    @torch.inference_mode()
    def predict_images(self, frames: Sequence[Frame], reference: ProjectedReference) -> list[MaskPredictions]:
        """The object of one reference in each of several images of the same size, as one batch."""
        with self._computing(frames[0].images):
            fused = join_images([self.network.fuse(frame.features, [reference]) for frame in frames])
            found = self.network.segment(fused)
        scores = found.scores.tolist()
        boxes = None if found.boxes is None else _pixels(found.boxes, frames[0].original)
        return [
            MaskPredictions(found.logits[i : i + 1], scores[i : i + 1], None if boxes is None else boxes[i : i + 1])
            for i in range(len(frames))
        ]

    @torch.inference_mode()
    def candidates(
        self, frame: Frame, reference: ProjectedReference | None, least: Callable[[float], float]
    ) -> MaskPredictions:
        """The masks of all queries that score well, not of the best alone; several may show the same object.

        Args:
            frame: The image.
            reference: Of one object; None: objects of any kind.
            least: The best score -> what the scores of others are above.

        Returns:
            Best first; at least one row.

        Raises:
            UsageError: A SAM model has one answer per reference.
        """
        network = self.network
        if not isinstance(network, UniRef):
            raise UsageError("a SAM model has one answer per reference; use a UniRef++ checkpoint for all instances")
        with self._computing(frame.images):
            fused = network.fuse(frame.features, [] if reference is None else [reference])
            detections = network.detect(fused)
            # queries by score
            scores, queries = detections.logits[-1, 0].float().sigmoid().amax(-1).sort(descending=True, stable=True)
            count = max(1, int((scores > least(float(scores[0]))).sum()))
            scores, queries = scores[:count], queries[:count]
            # their masks, some at a time: each has its own copy of the mask features
            mask_features = network.mask_features(fused, detections)
            logits = []
            for part in queries.split(_QUERIES):
                layers = torch.full_like(part, len(detections.query_states) - 1)
                rows = torch.zeros_like(part)
                logits.append(network.predict_masks(mask_features, detections, fused.sizes, layers, rows, part))
        boxes = _pixels(detections.boxes[-1, 0, queries], frame.original)
        return MaskPredictions(torch.cat(logits), scores.tolist(), boxes)

    @torch.inference_mode()
    def predict_regions(self, frame: Frame, regions: Sequence[Region]) -> list[MaskPredictions | None]:
        """The objects that boxes and points show.

        Args:
            frame: The image.
            regions: Checked.

        Returns:
            Of each region one object; None where there is none. SAM's own prompt encoder finds it; a UniRef++ takes the
            detected object that fits best.
        """
        network = self.network
        if not network.finds_regions:
            found = self.candidates(frame, None, lambda best: 0.0)
            rows = [best_candidate(region, found, frame) for region in regions]
            return [None if row is None else found.rows([row]) for row in rows]
        # SAM: coordinates of the input
        scale = torch.tensor([frame.size[1] / frame.original[1], frame.size[0] / frame.original[0]], device=self.device)
        results: list[MaskPredictions | None] = []
        for region in regions:
            points = [*region.points, *region.background]
            places = torch.tensor(points, device=self.device).reshape(-1, 2) * scale
            labels = torch.tensor([1] * len(region.points) + [0] * len(region.background), device=self.device)
            box = None if region.box is None else torch.tensor(region.box, device=self.device) * scale.repeat(2)
            with self._computing(frame.images):
                shown = network.segment_region(frame.features, places, labels, box)
            predictions = MaskPredictions(shown.logits, shown.scores.tolist(), None)
            results.append(predictions if bool((shown.logits > 0).any()) else None)
        return results

    @torch.inference_mode()
    def detect(self, frame: Frame, top: int = 100) -> tuple[Tensor, Tensor, Tensor]:
        """All objects of an image without a reference: class-agnostic NMS at IoU 0.7, then the best.

        Args:
            frame: The image.
            top: At most this many.

        Returns:
            Boxes float32 [N, 4] (xyxy, pixels of the original image), scores float32 [N] descending, and classes
            int64 [N], all on the CPU.

        Raises:
            UsageError: The model needs a reference.
        """
        if not isinstance(self.network, UniRef):
            raise UsageError("a SAM model finds objects by a reference only; it cannot detect all objects of an image")
        with self._computing(frame.images):
            detections = self.network.detect(frame.features)
        scores = detections.logits[-1, 0].float().sigmoid().cpu()
        boxes = _pixels(detections.boxes[-1, 0], frame.original)
        kept = nms(boxes, scores.amax(-1), NMS_IOU)
        # a query may be listed with several classes
        best, flat = scores[kept].flatten().sort(descending=True, stable=True)
        best, flat = best[:top], flat[:top]
        return boxes[kept][flat // scores.shape[1]], best, flat % scores.shape[1]

    def image_masks(self, predictions: MaskPredictions, frame: Frame) -> Tensor:
        """Masks of an image: upsample, sigmoid > 0.5, crop the padding, resize (nearest) to the original size.

        Returns:
            Bool [N, H, W].
        """
        height, width = frame.size
        masks = (upsample(predictions.logits, aligned=False).sigmoid() > 0.5)[:, :height, :width]
        return resize_nearest(masks, frame.original)

    def image_probabilities(self, predictions: MaskPredictions, frame: Frame) -> Tensor:
        """Probabilities of an image's masks: upsample, sigmoid, crop the padding, resize to the original size.

        Returns:
            Float32 [N, H, W].
        """
        height, width = frame.size
        probabilities = upsample(predictions.logits, aligned=False).sigmoid()[:, :height, :width]
        return resize_bilinear(probabilities.float(), frame.original)

    def video_probabilities(self, predictions: MaskPredictions, row: int, frame: Frame, by_mask: bool) -> Tensor:
        """An object's probabilities in a frame of a video: upsample, crop the padding, resize to the original size.

        Args:
            predictions: Objects of the frame.
            row: Which of them.
            frame: The frame.
            by_mask: Whether the object is followed by masks alone: its logits are then upsampled as in CondInst.

        Returns:
            Float32 [H, W].
        """
        height, width = frame.size
        logits, threshold = predictions.logits[row : row + 1], self.network.mask_threshold_logit
        if threshold is None:
            probabilities = upsample(logits, aligned=by_mask).sigmoid()[:, :height, :width]
            return resize_bilinear(probabilities, frame.original)[0]
        cropped = upsample(logits, aligned=False)[:, :height, :width]
        return (resize_bilinear(cropped, frame.original)[0] - threshold).sigmoid()

    def _computing(self, images: Tensor | None = None) -> contextlib.ExitStack:
        """Precision and matrix products of this device, for work on `images` [B, 3, H', W'] or on texts (None)."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(autocast(self.device, self.precision))
            stack.enter_context(self._matmul(images))
            return stack.pop_all()


def pool_tokens(tokens: ReferenceTokens, size: Sequence[int]) -> ReferenceTokens:
    """A mask reference with every 2 x 2 pixels averaged into one token: a quarter of the keys.

    Args:
        tokens: Of one level.
        size: (h, w) of the level.

    Returns:
        Tokens of a level of half the size (rounded up); padded pixels do not count.
    """
    padding = tokens.padding if tokens.padding is not None else tokens.keys.new_zeros(tokens.keys.shape[:2])
    valid = (~padding.bool()).float().unflatten(1, size)[:, None]

    def average(x: Tensor) -> Tensor:
        grid = x.transpose(1, 2).unflatten(2, size) * valid
        return F.avg_pool2d(grid, 2, ceil_mode=True)

    share = F.avg_pool2d(valid, 2, ceil_mode=True)
    keys, values = (
        (average(x) / share.clamp(min=1e-6)).flatten(2).transpose(1, 2) for x in (tokens.keys, tokens.values)
    )
    return ReferenceTokens(keys, values, (share == 0).flatten(1), tokens.embedding)


def upsample(logits: Tensor, aligned: bool) -> Tensor:
    """Mask logits [N, h, w] at stride 4 to input resolution: CondInst's aligned bilinear (VOS), or plain bilinear."""
    if aligned:
        return aligned_bilinear(logits[:, None], STRIDE)[:, 0]
    return F.interpolate(logits[:, None], scale_factor=STRIDE, mode="bilinear", align_corners=False)[:, 0]


def _pixels(boxes: Tensor, original: tuple[int, int]) -> Tensor:
    """Normalised cxcywh [N, 4] to xyxy in pixels of the original image (H, W), clipped to it, float32 on the CPU."""
    height, width = original
    limit = torch.tensor([width, height, width, height], dtype=torch.float32)
    return torch.minimum((cxcywh_to_xyxy(boxes.float().cpu()) * limit).clamp(min=0), limit)
