"""The public interface of prediction: images, and here videos."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from uniref.core.errors import UsageError
from uniref.core.progress import terminal_progress
from uniref.core.types import UInt8Image
from uniref.inference.clip import ArrayClip, MediaClip
from uniref.inference.follow import GivenObjects, check_prompts, follow_both_ways, follow_forwards, follow_frames
from uniref.inference.image_predictor import AnyMask, ImagePredictor, Side
from uniref.inference.regions import Box, Points
from uniref.inference.results import FrameResult
from uniref.inference.video import VideoTracker
from uniref.media.source import MediaSource, Selection
from uniref.weights.checkpoint import load_checkpoint
from uniref.weights.fetch import Access
from uniref.weights.locate import find_checkpoint

VIDEO_SIDES = (480, 1333)


class Predictor(ImagePredictor):
    """A loaded model that segments images and videos.

    Args:
        checkpoint: A loaded checkpoint.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        dtype: Precision of the computation: "float32", "bfloat16" / "float16" for mixed precision, or "auto": mixed
            precision on CUDA; float32 elsewhere, where CPUs with bfloat16 products use those in the attention to masks,
            whose result they change by 1e-5 to 3e-5.
        fast: Accept small differences in videos for speed, see `InferenceModel`.
        own: The model serves this predictor alone and may itself be prepared for inference (on a CPU, see
            `uniref.kernels.prepare`), after which it cannot be trained or stored. Else a model that shares its weights
            is.
        compiled: Compile the image encoder by `torch.compile`: at the first image of each size that takes a minute or
            more, and later frames take less. Needs a C++ compiler on CPUs, Triton on CUDA.

    Raises:
        UsageError: The device is not there, or the precision is unknown.
    """

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        device: str = "auto",
        dtype: str = "float32",
        fast: bool = False,
        download: bool | None = None,
        compiled: bool = False,
    ) -> Predictor:
        """Load a checkpoint folder made by `uniref convert` or `uniref train`, or a checkpoint by its name.

        Args:
            folder: With `model.safetensors` and `config.json`; or "small", the bundled model; or another name of
                `uniref.available_checkpoints()`; or "owner/name" or "owner/name@revision" of the Hugging Face hub.
            device: "auto", "cpu", "cuda", "cuda:N" or "mps".
            dtype: "float32", "bfloat16", "float16" or "auto".
            fast: Accept small differences in videos for speed.
            download: Fetch a checkpoint that is named and not here yet, once, into the cache. None: repositories of
                the hub alone, as everybody's `from_pretrained` does; False: nothing goes over the network.
            compiled: As for `Predictor`.

        Raises:
            CheckpointError: The folder is missing, damaged or not a checkpoint of a trained model; or it could not be
                fetched.
            UsageError: The device is not there, or the precision is unknown; or a checkpoint is known, but not here,
                and `download` is off.
        """
        access = Access(bool(download), terminal_progress, how_to_download="pass download=True", hub=download is None)
        return cls(load_checkpoint(find_checkpoint(folder, access)), device, dtype, fast, own=True, compiled=compiled)

    def segment_video(
        self,
        frames: Iterable[UInt8Image],
        text: str | Sequence[str] | None = None,
        masks: Mapping[int, Mapping[int, AnyMask]] | None = None,
        propagate: bool = True,
        score_threshold: float | None = None,
        short_side: Side = "default",
        long_side: Side = "default",
        exact_masks: bool = True,
        probabilities: bool = False,
        start_threshold: float | None = None,
        two_pass: bool = False,
        both_ways: bool = False,
        all_instances: bool = False,
        instance_threshold: float | None = None,
        boxes: Mapping[int, Mapping[int, Box]] | None = None,
        points: Mapping[int, Mapping[int, Points]] | None = None,
    ) -> Iterator[FrameResult]:
        """Segment objects through a video, frame by frame; memory does not grow with its length.

        Args:
            frames: uint8 RGB [H, W, 3] arrays; any iterable, consumed lazily. With `two_pass` or `both_ways` a
                sequence; see also `segment_file`.
            text: One or several texts; they become objects 1, 2, ... (ids that `masks` uses are skipped).
            masks: Frame index -> object id (1..255) -> mask [H, W] of objects given by a mask. An object may be
                given in any frame and is followed from there.
            propagate: Texts: from the first frame where the object was segmented on, use its own masks too
                (Ref-YouTube-VOS); else every frame by the text alone (Ref-DAVIS17).
            score_threshold: An object whose best score is at or below it is not in the frame. The published
                protocols use 0.3 (texts, DAVIS), 0.4 (YouTube-VOS, MOSE) and 0.5 (LVOS). None: 0.3, and for texts
                without propagation no threshold at all.
            short_side, long_side: Network resolution in pixels, by default 480 / 1333; `short_side=None` keeps it. For
                a SAM model as in `segment_image`.
            exact_masks: In the frame where a mask is given, return that mask itself. False: return the mask resized to
                the network's resolution and back, as the released system and `uniref eval` do.
            probabilities: Results hold masks with soft edges too.
            start_threshold: As `score_threshold`, of a text in frames before its object has been found; None: the same.
                `Predictor.score_threshold` is a good value where the checkpoint has one.
            two_pass: First look for every text in all frames, by the text alone; then follow its mask in the frame of
                the best score forwards and backwards. Given masks are followed both ways too.
            both_ways: Follow also backwards, from where an object is given or first found, to the beginning.
            all_instances: In the first frame where an object of a text is found, all objects that it means become
                objects of their own (`FrameResult.instance_of`), which are then followed by their masks. The best one
                has the text's id, the others the next free ids. With `two_pass` it is the frame where the sum of their
                scores is largest.
            instance_threshold: Scores of instances are above it; None: above 0.4 of the best one's.
            boxes: Frame index -> object id -> x0, y0, x1, y1 in pixels; what is found for it (see `segment_objects`) is
                followed like a given mask.
            points: Frame index -> object id -> points (x, y) or (x, y, label), with a label of 1 on the object and 0
                beside it.

        Yields:
            One result per frame, as soon as it is ready.

        Raises:
            UsageError: No text, mask, box or point, a contradictory id, or an array of the wrong form; in both
                directions also frames that cannot be read twice, or texts without propagation.
        """
        texts, given = check_prompts("segment_video", text, GivenObjects(masks or {}, boxes or {}, points or {}))
        new_tracker = functools.partial(
            self.track,
            propagate=propagate,
            score_threshold=score_threshold,
            short_side=short_side,
            long_side=long_side,
            exact_masks=exact_masks,
            probabilities=probabilities,
            start_threshold=start_threshold,
            all_instances=all_instances,
            instance_threshold=instance_threshold,
            reserved=given.ids,
        )
        if not (two_pass or both_ways):
            return follow_frames(new_tracker(texts), frames, given)
        if not isinstance(frames, Sequence | np.ndarray):
            raise UsageError("segment_video: two passes need frames that can be read twice: a list or an array")
        if not propagate:
            raise UsageError("segment_video: two passes follow objects by their masks; leave propagate on")
        clip = ArrayClip(cast(Sequence[UInt8Image], frames))
        return follow_both_ways(clip, new_tracker, texts, given, two_pass)

    def segment_file(
        self,
        path: str | Path,
        text: str | Sequence[str] | None = None,
        masks: Mapping[int, Mapping[int, AnyMask]] | None = None,
        *,
        two_pass: bool = False,
        both_ways: bool = False,
        start: str | None = None,
        end: str | None = None,
        stride: int = 1,
        score_threshold: float | None = None,
        short_side: Side = "default",
        long_side: Side = "default",
        exact_masks: bool = True,
        probabilities: bool = False,
        start_threshold: float | None = None,
        all_instances: bool = False,
        instance_threshold: float | None = None,
        boxes: Mapping[int, Mapping[int, Box]] | None = None,
        points: Mapping[int, Mapping[int, Points]] | None = None,
    ) -> Iterator[FrameResult]:
        """Segment objects through a video file or a folder of frames; memory does not grow with its length.

        Args:
            path: The file or folder.
            text, masks: As for `segment_video`; indices of frames count from the beginning of the file.
            two_pass, both_ways: As for `segment_video`. The results of the backward pass are kept in a temporary file.
            start, end: Frames to begin with and to stop before: indices ("120") or times ("3.5s", "1:02.5").
            stride: Read every n-th frame.
            score_threshold, short_side, long_side, exact_masks, probabilities, start_threshold, all_instances,
                instance_threshold, boxes, points: As for `segment_video`.

        Yields:
            One result per frame that is read; `index` counts these. A damaged frame shows no object.

        Raises:
            UsageError: As `segment_video`, or a frame with a mask is not among those that are read.
            MediaError: The file cannot be read.
        """
        texts, given = check_prompts("segment_file", text, GivenObjects(masks or {}, boxes or {}, points or {}))
        clip = MediaClip(MediaSource(Path(path)), Selection(start, end, stride))
        new_tracker = functools.partial(
            self.track,
            score_threshold=score_threshold,
            short_side=short_side,
            long_side=long_side,
            exact_masks=exact_masks,
            probabilities=probabilities,
            start_threshold=start_threshold,
            all_instances=all_instances,
            instance_threshold=instance_threshold,
            reserved=given.ids,
        )
        if two_pass or both_ways:
            return follow_both_ways(clip, new_tracker, texts, given, two_pass)
        return follow_forwards(clip, new_tracker(texts), given)

    def track(
        self,
        texts: Mapping[int, str] | None = None,
        support: Mapping[int, Sequence[tuple[UInt8Image, AnyMask]]] | None = None,
        propagate: bool = True,
        score_threshold: float | None = None,
        short_side: Side = "default",
        long_side: Side = "default",
        exact_masks: bool = True,
        probabilities: bool = False,
        start_threshold: float | None = None,
        all_instances: bool = False,
        instance_threshold: float | None = None,
        reserved: Collection[int] = (),
    ) -> VideoTracker:
        """A tracker whose `step(image, masks)` takes one frame at a time, for live sources.

        Args:
            texts: Object id -> text.
            support: Object id -> support images with masks; every frame is searched by itself.
            propagate, score_threshold, short_side, long_side, exact_masks, probabilities, start_threshold,
                all_instances, instance_threshold: As for `segment_video`; of support images too.
            reserved: Ids that instances must not get, for masks of later frames.

        Raises:
            UsageError: An id is out of range, a text has no words, or an array has the wrong form.
        """
        resize = self._resize(short_side, long_side, VIDEO_SIDES)
        return VideoTracker(
            self._model,
            texts=texts or {},
            supports={number: self._support(pairs, resize) for number, pairs in (support or {}).items()},
            propagate=propagate,
            score_threshold=score_threshold,
            short_side=resize[0],
            long_side=resize[1],
            exact_masks=exact_masks,
            keep_probabilities=probabilities,
            start_threshold=start_threshold,
            all_instances=all_instances,
            instance_threshold=instance_threshold,
            reserved=reserved,
        )
