"""The half of the predictor that segments single images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, cast, overload

import numpy as np
import numpy.typing as npt
import torch

from uniref.core.device import best_precision, resolve_device
from uniref.core.errors import UsageError
from uniref.core.types import UInt8Image
from uniref.inference.image_objects import as_frame, find_instances, image_results
from uniref.inference.inference_model import Frame, InferenceModel
from uniref.inference.regions import Box, Points, Region, regions_of
from uniref.inference.results import MAX_ID, SCORE_THRESHOLD, DetectionResult, FrameResult, ImageResult
from uniref.inference.video import check_ids
from uniref.kernels.cuda import prepare_for_cuda
from uniref.kernels.prepare import compile_image_encoder, prepare_for_inference, share_weights
from uniref.model.structures import ProjectedReference, ProjectedTokens, batch_references, split_reference
from uniref.ops.images import check_image, check_mask, normalise, resize_mask
from uniref.weights.checkpoint import Checkpoint

AnyMask = npt.NDArray[np.generic]
Support = Sequence[tuple[UInt8Image, AnyMask]]
Side = int | None | Literal["default"]
"""A side in pixels, None for no resizing (short side) or no limit (long side), or the task's own default."""

TEXT_SIDES = (800, 1333)
SUPPORT_SIDES = (480, 768)


class ImagePredictor:
    """A loaded model that segments images. Arguments as of `Predictor`."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        dtype: str = "float32",
        fast: bool = False,
        own: bool = False,
        compiled: bool = False,
    ) -> None:
        resolved = resolve_device(device)
        precision = best_precision(resolved) if dtype == "auto" else dtype
        self.config = checkpoint.config
        network = checkpoint.model.to(resolved)
        if resolved.type == "cpu":
            network = network if own else share_weights(network)
            prepare_for_inference(network, bfloat16_attention=fast or dtype != "float32")
        elif resolved.type == "cuda":
            network = network if own else share_weights(network)
            prepare_for_cuda(network)
        if compiled:
            network = share_weights(network) if resolved.type == "mps" and not own else network
            compile_image_encoder(network)
        self._model = InferenceModel(network, checkpoint.tokenizer, resolved, precision, fast)

    @property
    def precision(self) -> str:
        """In which precision it computes: "float32", "bfloat16" or "float16"."""
        return self._model.precision

    @property
    def attention_precision(self) -> str:
        """In which precision it multiplies in the attention to mask references."""
        return self._model.attention_precision

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self._model.device

    @property
    def classes(self) -> int:
        """How many classes of objects `detect` tells apart; 1 for a class-agnostic model."""
        return self._model.network.classes

    @property
    def score_threshold(self) -> float | None:
        """The calibrated threshold of this checkpoint: an object of a text whose score is not above it is probably not
        there. None: `uniref eval --calibrate` has not been run on it."""
        return self.config.presence.threshold if self.config.presence is not None else None

    @overload
    def segment_image(
        self,
        image: UInt8Image,
        text: str | None = None,
        support: Support | ProjectedReference | None = None,
        short_side: Side = "default",
        long_side: Side = "default",
        probabilities: bool = False,
        score_threshold: float | None = None,
        all_instances: Literal[False] = False,
    ) -> ImageResult: ...

    @overload
    def segment_image(
        self,
        image: UInt8Image,
        text: list[str] | tuple[str, ...],
        *,
        short_side: Side = "default",
        long_side: Side = "default",
        probabilities: bool = False,
        score_threshold: float | None = None,
        all_instances: Literal[False] = False,
    ) -> list[ImageResult]: ...

    @overload
    def segment_image(
        self,
        image: UInt8Image,
        text: str | None = None,
        support: Support | ProjectedReference | None = None,
        short_side: Side = "default",
        long_side: Side = "default",
        probabilities: bool = False,
        score_threshold: float | None = None,
        *,
        all_instances: Literal[True],
    ) -> list[ImageResult]: ...

    @overload
    def segment_image(
        self,
        image: UInt8Image,
        text: list[str] | tuple[str, ...],
        *,
        short_side: Side = "default",
        long_side: Side = "default",
        probabilities: bool = False,
        score_threshold: float | None = None,
        all_instances: Literal[True],
    ) -> list[list[ImageResult]]: ...

    def segment_image(
        self,
        image: UInt8Image,
        text: str | list[str] | tuple[str, ...] | None = None,
        support: Support | ProjectedReference | None = None,
        short_side: Side = "default",
        long_side: Side = "default",
        probabilities: bool = False,
        score_threshold: float | None = None,
        all_instances: bool = False,
    ) -> ImageResult | list[ImageResult] | list[list[ImageResult]]:
        """Segment the object that a text, or example images with masks, refer to.

        Args:
            image: uint8 RGB [H, W, 3].
            text: What to segment; a list of texts shares the image's features and gives a list of results.
            support: Few-shot examples: (uint8 RGB [h, w, 3], mask [h, w], non-zero = the object), of any sizes; or what
                `encode_support` made of them, to use them for many images.
            short_side, long_side: Network resolution in pixels; by default 800 / 1333 for a text and 480 / 768 for
                support images (which are resized the same way). `short_side=None` keeps every image's size. A SAM
                model's input is a square: by default the long side is made to fill it, and never more.
            probabilities: Results hold a mask with soft edges too.
            score_threshold: An object whose score is not above it is not in the image: its result is not `present`, and
                its mask is empty. None: there is always an answer. See `Predictor.score_threshold`.
            all_instances: Find all objects that the text or the support images mean, each once, instead of the best
                one alone. `score_threshold` is then that of every instance. None: if the best score is above 0.3, or
                above `Predictor.score_threshold`, instances are those above 0.4 of it.

        Returns:
            Mask at the image's size, score and box (of a SAM model: the mask's tight box). With `all_instances` a list,
            best first, empty where there is none.

        Raises:
            UsageError: Not exactly one of `text` and `support`, or an array of the wrong form.
        """
        if (text is None) == (support is None):
            raise UsageError("segment_image: give either a text or support images")
        if support is not None:
            resize = self._resize(short_side, long_side, SUPPORT_SIDES)
            frame = self._model.encode(image, *resize)
            reference = self._support(support, resize)
        else:
            texts = [text] if isinstance(text, str) else list(text or ())
            if not texts:
                return []
            reference = batch_references(self._model.text_references(texts))
            frame = self._model.encode(image, *self._resize(short_side, long_side, TEXT_SIDES))
        # all instances of each reference
        if all_instances:
            start = self._start(score_threshold)
            every = []
            for each in split_reference(reference):
                found = find_instances(self._model, frame, each, start, score_threshold, MAX_ID)
                there = found.scores[0] > start
                every.append(image_results(self._model, frame, found, None, probabilities) if there else [])
            return every if isinstance(text, list | tuple) else every[0]
        # or the best one's mask, resized to the image
        predictions = self._model.predict(frame, [[reference]])
        results = image_results(self._model, frame, predictions, score_threshold, probabilities)
        return results if isinstance(text, list | tuple) else results[0]

    def segment_images(
        self,
        images: Iterable[UInt8Image],
        text: str,
        short_side: Side = "default",
        long_side: Side = "default",
        score_threshold: float | None = None,
        batch: int | None = None,
    ) -> Iterator[ImageResult]:
        """Segment the object that one text means in many images. The text is encoded once, and images of the same size
        that follow each other go through the network together.

        Args:
            images: uint8 RGB [H, W, 3] arrays; any iterable, consumed lazily.
            text: What to segment.
            short_side, long_side, score_threshold: As for `segment_image`.
            batch: At most this many images at once; None: 4 on an accelerator, 1 on a CPU, where more gain nothing.

        Returns:
            One result per image, in their order, as soon as its batch is done.

        Raises:
            UsageError: The text has no words, an array has the wrong form, or `batch` is below 1.
        """
        most = self._model.batch_size if batch is None else batch
        if most < 1:
            raise UsageError(f"segment_images: batch {batch}: must be at least 1")
        [reference] = self._model.text_references([text])
        resize = self._resize(short_side, long_side, TEXT_SIDES)

        def results() -> Iterator[ImageResult]:
            for group in _of_one_size(images, most):
                frames = self._model.encode_images(group, *resize)
                for frame, found in zip(frames, self._model.predict_images(frames, reference), strict=True):
                    yield from image_results(self._model, frame, found, score_threshold, False)

        return results()

    def segment_objects(
        self,
        image: UInt8Image,
        texts: Mapping[int, str] | None = None,
        support: Mapping[int, Support | ProjectedReference] | None = None,
        short_side: Side = "default",
        long_side: Side = "default",
        probabilities: bool = False,
        score_threshold: float | None = None,
        all_instances: bool = False,
        start_threshold: float | None = None,
        boxes: Mapping[int, Box] | None = None,
        points: Mapping[int, Points] | None = None,
    ) -> FrameResult:
        """Segment several objects of an image, with ids and a label map as in a frame of a video.

        Args:
            image: uint8 RGB [H, W, 3].
            texts: Object id (1..255) -> text.
            support: Object id -> support images with masks, or what `encode_support` returned.
            short_side, long_side, probabilities, score_threshold: As for `segment_image`.
            all_instances: As for `segment_image`. The best instance has the object's id, the others the next free ones.
            start_threshold: With `all_instances`, what the best score has to be above; None: as for `segment_image`.
            boxes: Object id -> x0, y0, x1, y1 in pixels, of an object that a box shows.
            points: Object id -> points (x, y) or (x, y, label) with a label of 1 on the object and 0 beside it; an
                object may have a box too. SAM's own prompt encoder finds the mask; a UniRef++ gives the detected object
                that fits best, or none.

        Returns:
            All objects; masks may overlap, and the label map shows the one with the highest score.

        Raises:
            UsageError: No object, an id is out of range or used twice, a text has no words, or an array has the wrong
                form.
        """
        texts, support = dict(texts or {}), dict(support or {})
        regions = regions_of(boxes, points)
        check_ids([*texts, *support, *regions])
        if regions:  # wrong ones are refused before anything is computed
            check_image(image)
            size = (image.shape[0], image.shape[1])
            regions = {number: region.check(size, f"object {number}") for number, region in regions.items()}
        # encode the image and the references: texts and regions at one resolution, support images at another
        groups: list[tuple[Frame, dict[int, ProjectedReference]]] = []
        results: dict[int, ImageResult] = {}
        if texts or regions:
            frame = self._model.encode(image, *self._resize(short_side, long_side, TEXT_SIDES))
            results = self._segment_regions(frame, regions, probabilities)
            if texts:
                encoded = self._model.text_references(list(texts.values()))
                groups.append((frame, dict(zip(texts, encoded, strict=True))))
        if support:
            resize = self._resize(short_side, long_side, SUPPORT_SIDES)
            frame = self._model.encode(image, *resize)
            groups += [(frame, {number: self._support(pairs, resize)}) for number, pairs in support.items()]
        # predict the best object of each, all of a group at once
        if not all_instances:
            for frame, references in groups:
                predictions = self._model.predict(frame, [[batch_references(list(references.values()))]])
                each = image_results(self._model, frame, predictions, score_threshold, probabilities)
                results |= dict(zip(references, each, strict=True))
            return as_frame(results)
        # or all instances, one reference after the other
        start = self._start(score_threshold) if start_threshold is None else start_threshold
        instance_of: dict[int, int] = {}
        used = {*texts, *support, *regions}
        for frame, references in groups:
            for number, reference in references.items():
                free = [n for n in range(1, MAX_ID + 1) if n not in used]
                found = find_instances(self._model, frame, reference, start, score_threshold, 1 + len(free))
                there = found.scores[0] > start
                each = image_results(self._model, frame, found, None if there else start, probabilities)
                own = dict(zip([number, *free], each, strict=False))
                results |= own
                used.update(own)
                instance_of |= dict.fromkeys(own if there else (), number)
        return as_frame(results, instance_of)

    def _segment_regions(
        self, frame: Frame, regions: Mapping[int, Region], probabilities: bool
    ) -> dict[int, ImageResult]:
        """Object id -> the object that a (checked) box or points show."""
        results = {}
        shown = self._model.predict_regions(frame, list(regions.values())) if regions else []
        for number, found in zip(regions, shown, strict=True):
            if found is not None:
                (results[number],) = image_results(self._model, frame, found, None, probabilities)
            else:
                soft = np.zeros(frame.original, np.float32) if probabilities else None
                results[number] = ImageResult(
                    np.zeros(frame.original, np.bool_), 0.0, np.zeros(4, np.float32), False, soft
                )
        return results

    def _start(self, score_threshold: float | None) -> float:
        """What the best score of all instances has to be above: as given, else the checkpoint's own, else 0.3."""
        known = self.score_threshold if score_threshold is None else score_threshold
        return SCORE_THRESHOLD if known is None else known

    def encode_support(
        self, support: Support, short_side: Side = "default", long_side: Side = "default"
    ) -> ProjectedReference:
        """Encode few-shot examples once, for many calls of `segment_image`, which takes the same arguments.

        Raises:
            UsageError: No example, or an array of the wrong form.
        """
        return self._support(support, self._resize(short_side, long_side, SUPPORT_SIDES))

    def detect(
        self, image: UInt8Image, short_side: Side = "default", long_side: Side = "default", top: int = 100
    ) -> DetectionResult:
        """Find all objects of an image, without a reference.

        Args:
            image: uint8 RGB [H, W, 3].
            short_side, long_side: Network resolution in pixels, by default 800 / 1333; `short_side=None` keeps it.
            top: At most this many.

        Raises:
            UsageError: The image has the wrong form.
        """
        frame = self._model.encode(image, *self._resize(short_side, long_side, TEXT_SIDES))
        boxes, scores, classes = self._model.detect(frame, top)
        return DetectionResult(boxes.numpy(), scores.numpy(), classes.numpy())

    def _resize(self, short: Side, long: Side, protocol: tuple[int, int]) -> tuple[int | None, int | None]:
        """(short side, longest long side): as requested, else as the model is made for, else the protocol's; never
        longer than the model's square."""
        square = self._model.network.input_size
        defaults = self.config.resize or protocol
        resize = (defaults[0] if short == "default" else short, defaults[1] if long == "default" else long)
        for name, value in zip(("short_side", "long_side"), resize, strict=True):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} {value!r}: must be a whole number of pixels, at least 1")
        return resize if square is None else (resize[0], min(resize[1] or square, square))

    def _support(
        self, support: Support | ProjectedReference, resize: tuple[int | None, int | None]
    ) -> ProjectedReference:
        """Support images as a reference, encoded unless they are already."""
        if not support:
            raise UsageError("segment_image: the list of support images is empty")
        if isinstance(support[0], ProjectedTokens):
            return cast(ProjectedReference, support)
        images, masks = [], []
        for index, (image, mask) in enumerate(cast(Support, support)):
            check_image(image)
            original = (image.shape[0], image.shape[1])
            marked = check_mask(mask, original, f"mask of support image {index}")
            size = self._model.fit(original, *resize)
            images.append(normalise(image, size))
            masks.append(torch.tensor(resize_mask(marked, size)))
        return self._model.support_reference(images, masks)


def _of_one_size(images: Iterable[UInt8Image], most: int) -> Iterator[list[UInt8Image]]:
    """Images that follow each other and have the same size, at most `most` at a time."""
    group: list[UInt8Image] = []
    for image in images:
        if group and (len(group) == most or np.shape(image) != np.shape(group[0])):
            yield group
            group = []
        group.append(image)
    if group:
        yield group
