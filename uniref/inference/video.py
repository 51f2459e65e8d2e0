"""Online video segmentation: one pass, one frame in flight, two reference frames per object.

Axes: N objects, H x W the original frame, h x w the network input without padding.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uniref.core.errors import UsageError
from uniref.core.types import BoolMask, UInt8Image
from uniref.inference.image_objects import find_instances
from uniref.inference.inference_model import Frame, InferenceModel, MaskPredictions
from uniref.inference.regions import Box, Points, Region, regions_of
from uniref.inference.results import MAX_ID, SCORE_THRESHOLD, FrameResult
from uniref.inference.tracked_object import ObjectPrediction, TrackedObject
from uniref.model.structures import ProjectedReference, batch_references, concat_references
from uniref.ops.images import check_image, check_mask, resize_bilinear, resize_mask


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
    score_threshold: float | None = None
    """A best score at or below it means that the object is not in the frame. None: 0.3, and for texts without
    propagation no threshold at all (Ref-DAVIS17)."""
    start_threshold: float | None = None
    """As `score_threshold`, of a text or support images in frames before the object has a mask. None: the same."""
    short_side: int | None = 480
    long_side: int | None = 1333
    exact_masks: bool = True
    """In the frame where a mask is given, return that mask itself. Else return it resized to the network's resolution
    and back, as the released system, whose published scores count it so."""
    all_instances: bool = False
    """Texts and support images: in the first frame where any object is found, all that they mean become objects of
    their own, which are followed by their masks. The best one has the id of the text, the others the next free ids."""
    instance_threshold: float | None = None
    """Scores of instances are above it; None: above a share of the best one's, see `find_instances`."""
    reserved: Collection[int] = ()
    """Ids that instances must not get, for masks of later frames."""
    keep_probabilities: bool = False
    """Results carry the probabilities of every object."""

    def __post_init__(self) -> None:
        if self.all_instances and not self.propagate:
            raise UsageError(
                "all instances are followed by their masks, which needs propagation: leave out --no-propagate"
            )
        if self.all_instances and self.model.network.mask_encoder is None:
            raise UsageError("all instances: each is followed by its mask, but this checkpoint has no mask encoder")
        self._index = 0
        self._instance_of: dict[int, int] = {}
        kept = SCORE_THRESHOLD if self.score_threshold is None else self.score_threshold
        self._thresholds = (kept if self.start_threshold is None else self.start_threshold, kept)
        self._objects: dict[int, TrackedObject] = {}
        self._next_masks: dict[int, npt.NDArray[np.generic]] = {}
        self.add(self.texts, self.supports)

    def add(
        self,
        texts: Mapping[int, str] | None = None,
        supports: Mapping[int, ProjectedReference] | None = None,
        masks: Mapping[int, npt.NDArray[np.generic]] | None = None,
    ) -> None:
        """Add objects, which are looked for from the next step on.

        Args:
            texts: Object id -> text.
            supports: Object id -> what `Predictor.encode_support` returned.
            masks: Object id -> mask [H, W] in the next frame, as for `step`.

        Raises:
            UsageError: An id is out of range or in use, or a text has no words; nothing is added.
        """
        texts, supports, masks = texts or {}, supports or {}, masks or {}
        numbers = [*texts, *supports, *masks]
        for number in numbers:
            check_id(number)
            if number in self._objects or number in self._next_masks or numbers.count(number) > 1:
                raise UsageError(f"object {number}: is followed already; use another id, or remove it first")
        added = {
            n: TrackedObject(reference, follow=False, thresholds=self._thresholds) for n, reference in supports.items()
        }
        if texts:
            follow = self.propagate and self.model.network.mask_encoder is not None
            always = not self.propagate and self.score_threshold is None and self.start_threshold is None
            thresholds = None if always else self._thresholds
            references = self.model.text_references(list(texts.values()))
            for number, reference in zip(texts, references, strict=True):
                added[number] = TrackedObject(reference, follow, thresholds, independent=self.propagate)
        self._objects |= added
        self._next_masks |= masks

    def remove(self, number: int) -> None:
        """Follow an object no longer; its id may be used again. Raises UsageError where there is no such object."""
        if self._objects.pop(number, None) is None and self._next_masks.pop(number, None) is None:
            raise UsageError(f"object {number}: is not followed")
        self._instance_of.pop(number, None)

    def restore(
        self,
        frame: Frame,
        masks: Mapping[int, BoolMask],
        first: Collection[int],
        previous: Collection[int],
        given: Collection[int] = (),
    ) -> None:
        """Take up again where objects were followed to earlier, by masks that they had then; called for each frame that
        is the first or the last one where any of them had a mask, before the next step.

        The references are those that following them made, so that what comes next is the same.

        Args:
            frame: What `encode` returned for that frame.
            masks: Object id -> its mask in it, bool [H, W], not empty. A text has to be added before.
            first: The ids of those whose first mask it is since they were given.
            previous: The ids of those whose last mask it is.
            given: The ids of those whose mask was given in that frame.

        Raises:
            UsageError: An id is out of range, or a mask is empty or of another size than the frame.
        """
        checked = self._check_masks(masks, frame.original)
        for numbers, at in (
            ([n for n in checked if n in given], frame.size),
            ([n for n in checked if n not in given], None),
        ):
            if not numbers:
                continue
            stacked = np.stack([checked[n] if at is None else resize_mask(checked[n], at) for n in numbers])
            references = self.model.mask_references(frame, torch.from_numpy(stacked))
            for number, reference in zip(numbers, references, strict=True):
                restored = self._objects.setdefault(number, TrackedObject(thresholds=self._thresholds))
                restored.first = reference if number in first else restored.first
                restored.previous = reference if number in previous else restored.previous

    @property
    def threshold_to_find(self) -> float:
        """A score at or below it means that a text's object is not in a frame, as long as it has no mask."""
        return self._thresholds[0]

    @property
    def ids(self) -> list[int]:
        """Ids of the objects that are followed, ascending."""
        return sorted({*self._objects, *self._next_masks})

    def step(
        self,
        image: UInt8Image,
        masks: Mapping[int, npt.NDArray[np.generic]] | None = None,
        frame: Frame | None = None,
        found: Mapping[int, npt.NDArray[np.float32]] | None = None,
        boxes: Mapping[int, Box] | None = None,
        points: Mapping[int, Points] | None = None,
        taken: BoolMask | None = None,
    ) -> FrameResult:
        """Segment the next frame.

        Args:
            image: uint8 RGB [H, W, 3].
            masks: Objects given in this frame: id -> mask [H, W], non-zero = the object. A new id is followed from
                here on; an id that is followed already, also a text's that is propagated, starts again from this
                mask. The result shows it as `exact_masks` says.
            frame: What `encode` returned for the image, where several trackers follow objects in the same frames.
            found: Texts that an earlier pass found in this frame: id -> probabilities, float32 [H, W]. They start from
                where these are over 0.5, and the result shows them so.
            boxes, points: Objects shown in this frame: id -> x0, y0, x1, y1 and id -> points (x, y) or (x, y, label)
                with a label of 1 on the object and 0 beside it; an object may have both. The mask that is found for
                it counts as a given one; where none is, a new object is absent, and an old one goes on.
            taken: Bool [H, W], pixels of objects that are not followed here. The label map, and objects that exclude
                each other, leave them out, but for masks that are given in this frame.

        Returns:
            Every object followed so far.

        Raises:
            UsageError: The frame or a mask has the wrong form, or an id belongs to support images or to a text without
                propagation.
        """
        check_image(image)
        found = found or {}
        given_masks = self._check_masks({**self._next_masks, **(masks or {})}, (image.shape[0], image.shape[1]))
        self._next_masks = {}
        given_masks |= {number: probabilities > 0.5 for number, probabilities in found.items()}
        regions = regions_of(boxes, points)
        if regions:
            frame = frame or self.encode(image)
            given_masks |= self._check_masks(self.region_masks(frame, regions, given_masks), frame.original)
        index, self._index = self._index, self._index + 1
        for number in given_masks:
            self._objects.setdefault(number, TrackedObject(thresholds=self._thresholds))
        missing = [number for number in regions if number not in self._objects]
        if not self._objects:
            nothing = FrameResult(index, np.zeros(image.shape[:2], np.uint8), {}, {}, {})
            return nothing.with_absent(missing, self.keep_probabilities)
        frame = frame or self.encode(image)
        # masks given in this frame are first and previous reference of their objects
        if given_masks:
            at_input = {n: resize_mask(mask, frame.size) for n, mask in given_masks.items()}
            stacked = torch.from_numpy(np.stack(list(at_input.values())))
            for number, reference in zip(given_masks, self.model.mask_references(frame, stacked), strict=True):
                self._objects[number].first = self._objects[number].previous = reference
            if not self.exact_masks:
                given_masks = {n: _resize_as_released(mask, frame.original) for n, mask in at_input.items()}
        # objects of which all instances are looked for
        objects = self._find_instances(frame) if self.all_instances else {}
        # predict every other object; those of one group share their attention
        groups: dict[tuple[int, ...], list[int]] = {}
        for number in self._order():
            if number not in objects:
                groups.setdefault(self._objects[number].group, []).append(number)
        if groups:
            predictions = self.model.predict(frame, [self._references(group) for group in groups.values()])
            objects |= self._object_predictions(frame, predictions, [n for group in groups.values() for n in group])
        given = {n: mask.astype(np.float32) for n, mask in given_masks.items()} | dict(found)
        result = self._merge_and_update_memory(index, frame, objects, given, taken)
        return result.with_absent(missing, self.keep_probabilities)

    def region_masks(
        self, frame: Frame, regions: Mapping[int, Region], others: Collection[int] = ()
    ) -> dict[int, BoolMask]:
        """Object id -> mask, bool [H, W], of what boxes and points show in a frame; without those that are not found.

        Args:
            frame: What `encode` returned.
            regions: Object id -> box and points.
            others: Ids of objects that are given by masks in the same frame.

        Raises:
            UsageError: A box or point is not in the frame, or an id is given twice.
        """
        checked = {n: region.check(frame.original, f"object {n}") for n, region in regions.items()}
        for number in checked:
            if number in others:
                raise UsageError(f"object {number}: is given by a mask and by a box or points; use another id")
        shown = self.model.predict_regions(frame, list(checked.values()))
        masks = {
            number: self.model.image_masks(each, frame)[0].cpu().numpy()
            for number, each in zip(checked, shown, strict=True)
            if each is not None
        }
        return {number: mask for number, mask in masks.items() if mask.any()}

    def encode(self, image: UInt8Image) -> Frame:
        """A frame after the backbone, at this tracker's resolution. Raises UsageError as `step` does."""
        return self.model.encode(image, self.short_side, self.long_side)

    def _check_masks(self, masks: Mapping[int, npt.NDArray[np.generic]], size: tuple[int, int]) -> dict[int, BoolMask]:
        for number in masks:
            check_id(number)
            if number in self._objects and not self._objects[number].follow:
                raise UsageError(f"object {number}: is searched in every frame by itself; use another id for its mask")
        return {n: check_mask(m, size, f"mask of object {n} in frame {self._index}") for n, m in masks.items()}

    def _order(self) -> list[int]:
        """Objects in the order in which the released system multiplies and adds them: by id, as text."""
        return sorted(self._objects, key=str)

    def _references(self, numbers: Sequence[int]) -> list[ProjectedReference]:
        """The references of a group: texts or supports, and first and previous masks side by side."""
        objects = [self._objects[number] for number in numbers]
        references = []
        if statics := [each.static for each in objects if each.static is not None]:
            references.append(batch_references(statics))
        firsts = [each.first for each in objects if each.first is not None]
        previous = [each.previous for each in objects if each.previous is not None]
        if firsts and previous:
            references.append(concat_references([batch_references(firsts), batch_references(previous)]))
        return references

    def _find_instances(self, frame: Frame) -> dict[int, ObjectPrediction]:
        """Look for every text or support object that has not been found yet; its instances become objects.

        Returns:
            Object id -> prediction, of instances and of what is not in this frame.
        """
        objects: dict[int, ObjectPrediction] = {}
        searched = {n: each.static for n, each in self._objects.items() if each.static and each.first is None}
        for number, reference in searched.items():
            free = [n for n in range(1, MAX_ID + 1) if n not in self._objects and n not in self.reserved]
            start, limit = self._thresholds[0], 1 + len(free)
            found = find_instances(self.model, frame, reference, start, self.instance_threshold, limit)
            # a probability map per instance; one without a pixel cannot be followed
            maps = [
                self.model.video_probabilities(found, row, frame, by_mask=False) for row in range(len(found.scores))
            ]
            rows = [row for row, probability in enumerate(maps) if bool((probability > 0.5).any())]
            if found.scores[0] <= start or not rows:
                objects[number] = ObjectPrediction(found, 0, torch.zeros_like(maps[0]))
                continue
            # each becomes an object with its mask as the first reference
            references = self.model.mask_references(frame, torch.stack([maps[row] > 0.5 for row in rows]))
            for row, own, mask in zip(rows, [number, *free], references, strict=False):
                self._objects[own] = TrackedObject(thresholds=self._thresholds, first=mask, previous=mask)
                self._instance_of[own] = number
                objects[own] = ObjectPrediction(found, row, maps[row])
        return objects

    def _object_predictions(
        self, frame: Frame, predictions: MaskPredictions, numbers: Sequence[int]
    ) -> dict[int, ObjectPrediction]:
        """Probabilities of each row's object; zero where its score means that it is not in the frame."""
        objects = {}
        for row, number in enumerate(numbers):
            tracked = self._objects[number]
            if not tracked.is_present(predictions.scores[row]):
                probability = torch.zeros(frame.original, device=self.model.device)
            else:
                by_mask = tracked.static is None
                probability = self.model.video_probabilities(predictions, row, frame, by_mask)
            objects[number] = ObjectPrediction(predictions, row, probability)
        return objects

    def _merge_and_update_memory(
        self,
        index: int,
        frame: Frame,
        objects: Mapping[int, ObjectPrediction],
        given: Mapping[int, npt.NDArray[np.float32]],
        taken: BoolMask | None,
    ) -> FrameResult:
        """Merge the objects into one label map, and renew their previous references.

        Args:
            index: Of the frame.
            frame: The frame.
            objects: Every object's prediction.
            given: Probabilities of masks given in this frame, which replace predictions.
            taken: As for `step`.
        """
        # one probability map per object, then labels and masks
        order = self._order()
        device = self.model.device
        probabilities = {
            n: torch.from_numpy(given[n]).to(device) if n in given else objects[n].probability for n in order
        }
        independent = {n for n in order if self._objects[n].independent}
        if taken is None:
            labels, masks = merge_objects(probabilities, independent)
        else:
            free = torch.from_numpy(~taken).to(device)
            left = {n: each if n in given else each * free for n, each in probabilities.items()}
            labels, masks = merge_objects(left, independent)
            masks |= {n: probabilities[n] > 0.5 for n in independent}
        # visible objects that are followed, unless their mask was given here, get a new previous reference; the device
        # is asked once for all
        visible = torch.stack([masks[n].any() for n in order]).tolist()
        renewed = [
            n for n, seen in zip(order, visible, strict=True) if seen and n not in given and self._objects[n].follow
        ]
        if renewed:
            references = self.model.mask_references(frame, torch.stack([masks[n] for n in renewed]))
            for number, reference in zip(renewed, references, strict=True):
                tracked = self._objects[number]
                tracked.first = tracked.first or reference
                tracked.previous = reference
        numbers = sorted(order)
        on_host = torch.stack([masks[n] for n in numbers]).cpu()
        return FrameResult(
            index=index,
            labels=labels.cpu().numpy(),
            masks={n: mask.numpy() for n, mask in zip(numbers, on_host, strict=True)},
            scores={n: objects[n].score for n in numbers},
            boxes={
                n: objects[n].predictions.box(objects[n].row, mask) for n, mask in zip(numbers, on_host, strict=True)
            },
            instance_of=dict(self._instance_of),
            probabilities={n: probabilities[n].cpu().numpy() for n in numbers} if self.keep_probabilities else {},
        )


def merge_objects(
    probabilities: Mapping[int, Tensor], independent: Collection[int]
) -> tuple[Tensor, dict[int, Tensor]]:
    """Label map and masks of the objects of one frame.

    Args:
        probabilities: Object id -> float32 [H, W], in the order of the ids as text, in which the released system
            multiplies.
        independent: Objects whose masks may overlap others': they hold all pixels that are more probable than not.

    Returns:
        Labels, uint8 [H, W]; object id -> mask, bool [H, W].
    """
    labels = merge_labels(torch.stack(list(probabilities.values())), list(probabilities))
    masks = {n: p > 0.5 if n in independent else labels == n for n, p in probabilities.items()}
    return labels, masks


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


def check_id(number: int) -> None:
    """Raise UsageError unless `number` can be an object id (1..255)."""
    if not isinstance(number, int | np.integer) or not 1 <= number <= MAX_ID:
        raise UsageError(f"object id {number!r}: must be a whole number from 1 to {MAX_ID}")


def check_ids(numbers: Sequence[int]) -> None:
    """Raise UsageError unless there are ids, each can be an object's (1..255), and none is used twice."""
    if not numbers:
        raise UsageError("no object given: give at least one text, mask, support image, box or point")
    for position, number in enumerate(numbers):
        check_id(number)
        if number in numbers[:position]:
            raise UsageError(f"object {number}: is given twice; use another id for one of them")


def _resize_as_released(mask: BoolMask, size: tuple[int, int]) -> BoolMask:
    """A mask [h, w] at the network's resolution, resized to `size` (H, W) as the released system does."""
    return np.asarray(resize_bilinear(torch.from_numpy(mask).float()[None], size)[0].numpy() > 0.5)
