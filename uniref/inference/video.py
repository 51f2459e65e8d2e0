"""Streaming video: one pass, one frame in flight, two reference frames an object (SPEC section 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.core.types import BoolMask, UInt8Image
from uniref.inference.inference_model import Frame, InferenceModel, MaskPredictions
from uniref.inference.results import FrameResult
from uniref.model.structures import ProjectedReference, batch_references, concat_references
from uniref.ops.images import check_image, check_mask, resize_mask

MAX_ID = 255  # labels are uint8, 0 is background


@dataclass
class _Object:
    """What is known of one object; nothing here grows with the number of frames."""

    static: ProjectedReference | None = None
    """A text or support images: the same in every frame."""
    follow: bool = True
    """Use the object's own masks as references for later frames."""
    thresholded: bool = True
    """A low score means that the object is not in the frame."""
    first: ProjectedReference | None = None
    previous: ProjectedReference | None = None

    @property
    def origin(self) -> tuple[int, ...]:
        """Equal for objects that can be predicted as one batch with shared attention: texts of the same length
        without masks, and objects whose two masks stand in the same two frames."""
        static = tuple(level.values.shape[1] for level in self.static or ())
        return (*static, *(id(masks[0].keys) for masks in (self.first, self.previous) if masks))


@dataclass(frozen=True)
class ObjectPrediction:
    """One object in one frame."""

    found: MaskPredictions
    row: int
    probability: Tensor
    """Float32 [H, W]."""

    @property
    def score(self) -> float:
        """Confidence, 0..1."""
        return self.found.scores[self.row]


@dataclass
class VideoTracker:
    """Follows objects given by texts and by masks through a video, frame by frame.

    Raises:
        UsageError: An id is out of range, a text has no words, or no text and no mask can be followed.
    """

    model: InferenceModel
    texts: Mapping[int, str] = field(default_factory=dict)
    """Object id -> text."""
    supports: Mapping[int, ProjectedReference] = field(default_factory=dict)
    """Object id -> reference from support images; every frame is searched by itself."""
    propagate: bool = True
    """Texts: use the object's own earlier masks too (Ref-YouTube-VOS); else every frame by text alone (Ref-DAVIS17)."""
    score_threshold: float = 0.3
    """A best score at or under it means that the object is not in the frame; unused by texts without propagation."""
    short_side: int | None = 480
    long_side: int | None = 1333
    exact_masks: bool = True
    """In the frame where a mask is given, put out that mask itself. Else put out what the released system does, which
    its published scores come from: the mask after its way to the network's resolution and back."""

    def __post_init__(self) -> None:
        for number in (*self.texts, *self.supports):
            check_id(number)
        self._index = 0
        self._objects = {n: _Object(reference, follow=False) for n, reference in self.supports.items()}
        if self.texts:
            follow = self.propagate and self.model.network.mask_encoder is not None
            references = self.model.text_references(list(self.texts.values()))
            for number, reference in zip(self.texts, references, strict=True):
                self._objects[number] = _Object(reference, follow=follow, thresholded=self.propagate)

    def step(
        self,
        image: UInt8Image,
        masks: Mapping[int, npt.NDArray[np.generic]] | None = None,
        frame: Frame | None = None,
    ) -> FrameResult:
        """Segment the next frame.

        Args:
            image: uint8 RGB [H, W, 3].
            masks: Objects given in this frame: id -> mask [H, W], non-zero = the object. A new id is followed from
                here on; a known one starts again from this mask. The result shows it as `exact_masks` says.
            frame: What `encode` made of the image, where several trackers look at the same frames.

        Returns:
            Every object known so far.

        Raises:
            UsageError: The frame or a mask has the wrong form, or an id belongs to a text.
        """
        check_image(image)
        given = self._check_given(masks or {}, (image.shape[0], image.shape[1]))
        index, self._index = self._index, self._index + 1
        for number in given:
            self._objects.setdefault(number, _Object())
        if not self._objects:
            return FrameResult(index, np.zeros(image.shape[:2], np.uint8), {}, {}, {})
        frame = frame or self.encode(image)
        if given:
            at_input = {n: resize_mask(mask, frame.size) for n, mask in given.items()}
            stacked = torch.from_numpy(np.stack(list(at_input.values())))
            for number, reference in zip(given, self.model.mask_references(frame, stacked), strict=True):
                self._objects[number].first = self._objects[number].previous = reference
            if not self.exact_masks:
                given = {n: _there_and_back(mask, frame.original) for n, mask in at_input.items()}
        sights = self._predict_objects(frame)
        return self._merge_and_update_memory(index, frame, sights, given)

    def encode(self, image: UInt8Image) -> Frame:
        """A frame after the backbone, at this tracker's resolution. Raises UsageError as `step` does."""
        return self.model.encode(image, self.short_side, self.long_side)

    def _check_given(self, masks: Mapping[int, npt.NDArray[np.generic]], size: tuple[int, int]) -> dict[int, BoolMask]:
        for number in masks:
            check_id(number)
            if number in self.texts or number in self.supports:
                kind = "a text" if number in self.texts else "support images"
                raise UsageError(f"object {number}: is given by {kind} and by a mask; use another id for one of them")
        return {n: check_mask(m, size, f"mask of object {n} in frame {self._index}") for n, m in masks.items()}

    def _order(self) -> list[int]:
        """Objects in the order in which the released system multiplies and adds them: by id, as text."""
        return sorted(self._objects, key=str)

    def _predict_objects(self, frame: Frame) -> dict[int, ObjectPrediction]:
        """Predict every object. Those whose references come from the same frames share their attention."""
        groups: dict[tuple[int, ...], list[int]] = {}
        together = self.model.shares_work(frame)
        for number in self._order():
            groups.setdefault(self._objects[number].origin if together else (number,), []).append(number)
        numbers = [number for group in groups.values() for number in group]
        found = self.model.predict(frame, [self._references(group) for group in groups.values()])
        sights = {}
        for row, number in enumerate(numbers):
            known = self._objects[number]
            if known.thresholded and found.scores[row] <= self.score_threshold:
                p = torch.zeros(frame.original, device=self.model.device)
            else:
                p = self.model.probabilities(found, row, frame, by_mask=known.static is None)
            sights[number] = ObjectPrediction(found, row, p)
        return sights

    def _references(self, numbers: Sequence[int]) -> list[ProjectedReference]:
        """What a group of objects is found by: texts or supports, and first and previous masks."""
        known = [self._objects[number] for number in numbers]
        references = []
        if statics := [k.static for k in known if k.static is not None]:
            references.append(batch_references(statics))
        firsts = [k.first for k in known if k.first is not None]
        previous = [k.previous for k in known if k.previous is not None]
        if firsts and previous:
            references.append(concat_references([batch_references(firsts), batch_references(previous)]))
        return references

    def _merge_and_update_memory(
        self, index: int, frame: Frame, sights: Mapping[int, ObjectPrediction], given: Mapping[int, BoolMask]
    ) -> FrameResult:
        """Merge, renew the previous references, and hand out arrays."""
        order = self._order()
        device = self.model.device
        stack = torch.stack(
            [torch.from_numpy(given[n]).to(device).float() if n in given else sights[n].probability for n in order]
        )
        labels = merge_labels(stack, order)
        masks: dict[int, Tensor] = {}
        for row, number in enumerate(order):
            independent = number in self.texts and self.propagate
            masks[number] = stack[row] > 0.5 if independent else labels == number
        renewed = [n for n in order if n not in given and self._objects[n].follow and bool(masks[n].any())]
        if renewed:
            references = self.model.mask_references(frame, torch.stack([masks[n] for n in renewed]))
            for number, reference in zip(renewed, references, strict=True):
                known = self._objects[number]
                known.first = known.first or reference
                known.previous = reference
        numbers = sorted(order)
        return FrameResult(
            index=index,
            labels=labels.cpu().numpy(),
            masks={n: masks[n].cpu().numpy() for n in numbers},
            scores={n: sights[n].score for n in numbers},
            boxes={n: sights[n].found.box(sights[n].row, masks[n]) for n in numbers},
        )


def _there_and_back(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """A mask at the network's resolution, resized to `size` (height, width) as the released system does."""
    if mask.shape == size:
        return mask
    maps = torch.from_numpy(mask).float()[None, None]
    return np.asarray(F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[0, 0].numpy() > 0.5)


def check_id(number: int) -> None:
    """Raise UsageError unless `number` can be an object id (1..255)."""
    if not isinstance(number, int | np.integer) or not 1 <= number <= MAX_ID:
        raise UsageError(f"object id {number!r}: must be a whole number from 1 to {MAX_ID}")


def merge_labels(probabilities: Tensor, ids: Sequence[int]) -> Tensor:
    """Most probable of background and objects at every pixel; background = product of (1 - p).

    Args:
        probabilities: Float [N, H, W].
        ids: The objects' ids, 1..255, one per row. Of exactly equal probabilities the background's wins, then the
            lowest id's.

    Returns:
        uint8 [H, W]; 0 = background.
    """
    # the product in the order of the rows, since rounding depends on it; argmax takes the first of equal values
    background = (1 - probabilities).prod(0, keepdim=True)
    by_id = sorted(range(len(ids)), key=lambda row: ids[row])
    winner = torch.cat([background, probabilities[by_id]]).argmax(0)
    table = torch.tensor([0, *(ids[row] for row in by_id)], dtype=torch.uint8, device=probabilities.device)
    return table[winner]
