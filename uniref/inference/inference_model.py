"""The model with its device and precision: arrays in, probabilities out. Shared by images and video.

Axes: N objects, H x W the original image, h x w the network input (unpadded).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
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
from uniref.kernels.matmul import cpu_has_bfloat16, fast_matmul
from uniref.model.mask_head import STRIDE
from uniref.model.referring import ReferringModel
from uniref.model.structures import (
    Features,
    ProjectedReference,
    ReferenceTokens,
    join_objects,
    join_shots,
    split_reference,
)
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.ops.images import (
    Input,
    aligned_bilinear,
    check_image,
    fit_size,
    normalise,
    pad_batch,
    pad_mask,
    resize_nearest,
)

_LARGE = 1 << 17  # pixels of an input from which other kernels than PyTorch's usual ones pay
NMS_IOU = 0.7
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
    """Float32 [N, 4] on the CPU, xyxy in pixels of the original image, clipped to it; None where the model finds masks
    alone."""

    def box(self, row: int, mask: Tensor) -> npt.NDArray[np.float32]:
        """An object's box, float32 [4]: the model's, or the tight one of its mask [H, W] (zeros for an empty mask)."""
        if self.boxes is not None:
            return self.boxes[row].numpy()
        return np.array(mask_box(mask.cpu().numpy()) or (0, 0, 0, 0), np.float32)


class InferenceModel:
    """Runs the model's verbs for one image at a time.

    Args:
        model: In evaluation mode, on `device`.
        tokenizer: Of the checkpoint; None where it has no text encoder.
        device: Where to compute.
        precision: "float32", or "bfloat16" / "float16" for mixed precision.
        fast: Accept small differences: mask references are pooled 2 x 2 at the finest level; implies `rounded`.
        rounded: Multiply in bfloat16 in the attention to mask references of large inputs, on CPUs that have such
            products (see `uniref.kernels.multi_query_attention`).
    """

    def __init__(
        self,
        model: ReferringModel,
        tokenizer: TextTokenizer | None,
        device: torch.device,
        precision: str = "float32",
        fast: bool = False,
        rounded: bool = False,
    ) -> None:
        autocast(device, precision)  # refuses an unknown precision now rather than at the first image
        self.fast = fast
        if model.fusion is not None:
            model.fusion.rounded = fast or rounded
        self.network, self.tokenizer, self.device, self.precision = model, tokenizer, device, precision

    @property
    def attention_precision(self) -> str:
        """As `precision`, of the attention to mask references."""
        fusion = self.network.fusion
        rounded = fusion is not None and fusion.rounded and fusion.foldable and self.device.type == "cpu"
        return "bfloat16" if rounded and cpu_has_bfloat16() else self.precision

    @torch.inference_mode()
    def encode(self, image: UInt8Image, short_side: int | None, long_side: int | None) -> Frame:
        """Resize, normalise, pad and run the backbone.

        Raises:
            UsageError: `image` is not uint8 RGB [H, W, 3], or would not fit into a model's square input.
        """
        check_image(image)
        original = (image.shape[0], image.shape[1])
        size = self.fit(original, short_side, long_side)
        return self._encode(pad_batch([normalise(image, size)], self.network.input_size), size, original)

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

    def _encode(self, batch: Input, size: tuple[int, int], original: tuple[int, int]) -> Frame:
        images = batch.images.to(self.device)
        with self._computing(images):
            features = self.network.encode_image(images, batch.padding.to(self.device))
        return Frame(features, images, size, original)

    @torch.inference_mode()
    def text_references(self, texts: Sequence[str]) -> list[ProjectedReference]:
        """One reference a text, all with the same number of tokens.

        Raises:
            UsageError: A text has no words, or the checkpoint has no text encoder.
        """
        if self.tokenizer is None:
            raise UsageError("this checkpoint has no text encoder: it cannot follow a text")
        ids, valid = self.tokenizer(texts)
        with autocast(self.device, self.precision), fast_matmul(self.device):
            reference = self.network.project(self.network.encode_text(ids.to(self.device), valid.to(self.device)))
        return split_reference(reference)

    @torch.inference_mode()
    def mask_references(self, frame: Frame, masks: Tensor) -> list[ProjectedReference]:
        """One reference a mask; the frame's features are shared.

        Args:
            frame: The frame the masks belong to.
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
        """One reference from k support images: encoded as a batch, flattened to one row of tokens (SPEC section 3).

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
            groups: Objects with the same kind of references. Of each group, references with one row an object, all of
                which are added (text and masks of RVOS).

        Returns:
            The objects of all groups, one after the other.
        """
        size = 1 if self.device.type == "cpu" else _OBJECTS
        with self._computing(frame.images):
            fused = join_objects([self.network.fuse(frame.features, references) for references in groups])
            starts = range(0, len(fused.levels[0]), size)
            found = [self.network.segment(fused.rows(slice(i, i + size))) for i in starts]
        boxes = [part.boxes for part in found if part.boxes is not None]
        return MaskPredictions(
            logits=torch.cat([part.logits for part in found]),
            scores=torch.cat([part.scores for part in found]).tolist(),
            boxes=_pixels(torch.cat(boxes), frame.original) if boxes else None,
        )

    def shares_work(self, frame: Frame) -> bool:
        """Whether objects of one frame should be grouped: not in small inputs on a CPU (see `_computing`)."""
        return self.device.type != "cpu" or frame.images.shape[-2:].numel() >= _LARGE

    def probabilities(self, found: MaskPredictions, row: int, frame: Frame, by_mask: bool) -> Tensor:
        """Video's way to the original size: upsample, crop the padding, resize (SPEC section 6).

        Args:
            found: Objects of the frame.
            row: Which of them.
            frame: The frame.
            by_mask: Whether the object is followed by masks alone.

        Returns:
            Float32 [H, W].
        """
        height, width = frame.size
        logits, half = found.logits[row : row + 1], self.network.mask_threshold_logit
        if half is None:
            return _resized(upsample(logits, by_mask).sigmoid()[:, :height, :width], frame.original)[0]
        return (_resized(upsample(logits, False)[:, :height, :width], frame.original)[0] - half).sigmoid()

    @torch.inference_mode()
    def detect(self, frame: Frame, top: int = 100) -> tuple[Tensor, Tensor, Tensor]:
        """All objects of an image without a reference: class-agnostic NMS at IoU 0.7, then the best (SPEC section 6).

        Args:
            frame: The image.
            top: At most this many.

        Returns:
            Boxes float32 [N, 4] (xyxy, pixels of the original image), scores float32 [N] descending, and classes
            int64 [N], all on the CPU.

        Raises:
            UsageError: The model cannot find anything without a reference.
        """
        if not isinstance(self.network, UniRef):
            raise UsageError("a SAM model finds objects by a reference only; it cannot detect all objects of an image")
        with self._computing(frame.images):
            found = self.network.detect(frame.features)
        scores = found.logits[-1, 0].float().sigmoid().cpu()
        boxes = _pixels(found.boxes[-1, 0], frame.original)
        kept = nms(boxes, scores.amax(-1), NMS_IOU)
        best, flat = scores[kept].flatten().sort(descending=True, stable=True)
        best, flat = best[:top], flat[:top]
        return boxes[kept][flat // scores.shape[1]], best, flat % scores.shape[1]

    @contextlib.contextmanager
    def _computing(self, images: Tensor) -> Iterator[None]:
        """Precision and kernels for work on `images` [B, 3, H, W].

        The fast kernels differ in rounding alone, but that can exchange two queries of nearly equal rank; where they
        gain nothing, results stay those of the plain ones.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(autocast(self.device, self.precision))
            if images.shape[-2:].numel() >= _LARGE:
                stack.enter_context(fast_matmul(self.device))
            yield


def _pixels(boxes: Tensor, original: tuple[int, int]) -> Tensor:
    """Normalised cxcywh [N, 4] to xyxy in pixels of the original image (H, W), clipped to it, float32 on the CPU."""
    height, width = original
    limit = torch.tensor([width, height, width, height], dtype=torch.float32)
    return torch.minimum((cxcywh_to_xyxy(boxes.float().cpu()) * limit).clamp(min=0), limit)


def pool_tokens(tokens: ReferenceTokens, size: Sequence[int]) -> ReferenceTokens:
    """A mask reference with every 2 x 2 pixels averaged into one token: a quarter of the keys.

    Args:
        tokens: Of one level.
        size: (h, w) of the level.

    Returns:
        Tokens of a level of half the size (rounded up); padded pixels count for nothing.
    """
    skip = tokens.padding if tokens.padding is not None else tokens.keys.new_zeros(tokens.keys.shape[:2])
    valid = (~skip.bool()).float().unflatten(1, size)[:, None]

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


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """[N, h, w] to `size`, bilinear."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def hard_masks(found: MaskPredictions, frame: Frame) -> Tensor:
    """Images' way to the original size: sigmoid > 0.5, crop the padding, nearest resize (SPEC section 6).

    Returns:
        Bool [N, H, W].
    """
    height, width = frame.size
    masks = (upsample(found.logits, aligned=False).sigmoid() > 0.5)[:, :height, :width]
    return resize_nearest(masks, frame.original)
