"""One project that is being labelled: what the page's server calls."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uniref.core import rle
from uniref.core.atomic import exclusive
from uniref.core.errors import MediaError, UsageError
from uniref.core.types import UInt8Image
from uniref.inference.results import MAX_ID
from uniref.labeling.edits import give_mask, painted_record, read_runs, suggested_record
from uniref.labeling.export import FORMATS, check_export, list_exports, write_export
from uniref.labeling.frames import FrameReader
from uniref.labeling.plan import Direction, Pass, frames_of, plan_run, stale_from, text_in_force
from uniref.labeling.reader import DATABASE
from uniref.labeling.records import ObjectRecord
from uniref.labeling.results import default_name
from uniref.labeling.store import ProjectStore
from uniref.labeling.suggest import Request, read_example, suggest
from uniref.labeling.tracking import Follower
from uniref.labeling.worker import Job, Worker
from uniref.media.draw import colour

if TYPE_CHECKING:
    from uniref.inference.predictor import Predictor

_LONGEST_NAME, _LONGEST_TEXT = 200, 2_000  # characters
_REPORTED = 10  # frames of an export between two reports
_NOT_FOUND, _LATER = "not found in this frame", "; a run looks for it in the later ones"


class LabelSession:
    """Objects of one video, their masks and corrections, kept in a project folder as they are made.

    All methods may be called by several threads.

    Args:
        video: Video file, folder of frames or image.
        folder: Of the project; made where it is missing.
        predictor: Called once, in the background, for the model.
        checkpoint: What to call the model.

    Raises:
        UniRefError: The project is open elsewhere, belongs to another video, cannot be written, or is damaged.
        MediaError: The video cannot be read.
    """

    def __init__(
        self, video: Path, folder: Path, predictor: Callable[[], Predictor], checkpoint: str | None = None
    ) -> None:
        self.video, self.folder = Path(video), Path(folder)
        self._load, self._checkpoint = predictor, checkpoint
        self._predictor: Predictor | None = None
        self._lock = threading.Lock()
        self._running: frozenset[int] = frozenset()
        with contextlib.ExitStack() as opened:
            # of a new project first, so that what is not a video leaves no project behind
            frames = None if (self.folder / DATABASE).exists() else FrameReader(self.video)
            if frames is not None:
                opened.callback(frames.close)
            opened.enter_context(exclusive(self.folder, "labelled"))
            self.store = ProjectStore(self.folder)
            opened.callback(self.store.close)
            self.frames = self._open_video(frames)
            opened.callback(self.frames.close)
            self._worker = Worker(self.store.touch)
            opened.callback(self._worker.close)
            self._opened = opened.pop_all()
        self._worker.start(self._model, Job("load"))

    def _open_video(self, frames: FrameReader | None) -> FrameReader:
        """The video, opened if it is not yet, which has to be that of the project. Raises UniRefError."""
        count, known = self.store.meta("frames"), self.store.meta("fingerprint")
        frames = frames or FrameReader(self.video, None if count is None else int(count))
        if known is not None and frames.fingerprint() != known:
            frames.close()
            if self.store.meta("video") == str(self.video.resolve()):
                raise UsageError(
                    f"{self.video}: has changed since its project {self.folder} was made; put the old file back, or "
                    "choose another folder for a new project"
                )
            raise UsageError(
                f"{self.folder}: is the project of another video ({self.store.meta('video')}); choose another folder "
                f"for {self.video}"
            )
        if known is None:
            with self.store.writing():
                self.store.set_meta("frames", str(frames.count))
                self.store.set_meta("fingerprint", frames.fingerprint())
                self.store.set_meta("video", str(self.video.resolve()))
        return frames

    def close(self) -> None:
        """Stop what goes on after the frame at hand, and let others open the project."""
        self._opened.close()

    # the state

    def info(self) -> dict[str, Any]:
        """The state of the project, as JSON types: video, objects with their prompts, job, undo and redo, exports."""
        predictor = self._predictor
        return {
            "video": {
                "name": self.video.name,
                "frames": self.frames.count,
                "fps": self.frames.source.fps,
                "width": self.frames.size[1],
                "height": self.frames.size[0],
            },
            "project": str(self.folder),
            **self.progress(),
            "objects": [self._describe(each) for each in self.store.objects()],
            "error": self._worker.error,
            "undo": self.store.undo_label(),
            "redo": self.store.redo_label(),
            "exports": list_exports(self.store),
            "notes": self.frames.notes(),
            "model": {"checkpoint": self._checkpoint, "device": None if predictor is None else str(predictor.device)},
            "formats": list(FORMATS),
        }

    def progress(self) -> dict[str, Any]:
        """`revision` and `job` of `info`, at no cost."""
        job = self._worker.job
        return {"revision": self.store.revision, "job": None if job is None else job.as_json()}

    def _describe(self, record: ObjectRecord) -> dict[str, Any]:
        given, is_image = self.store.given(record.object), self.frames.source.kind == "image"
        prompts = [{"frame": each.frame, **each.about} for each in given]
        return {
            "id": record.object,
            "name": record.name,
            "colour": record.colour,
            "visible": bool(record.visible),
            "text": text_in_force(given, self.frames.count),
            "prompts": prompts,
            "stale_from": None if is_image else stale_from(given, self.frames.count),
        }

    def frame_jpeg(self, index: int, max_width: int | None = None) -> bytes:
        """A frame as a JPEG, at most `max_width` pixels wide. Raises UsageError, MediaError."""
        return self._noticing(lambda: self.frames.jpeg(index, max_width))

    def thumbnail(self, index: int) -> bytes:
        """A frame as a small JPEG, 96 pixels high at most. Raises UsageError, MediaError."""
        return self._noticing(lambda: self.frames.thumbnail(index))

    def _noticing(self, read: Callable[[], bytes]) -> bytes:
        """Read something; where that brings up what the user should know, the page is told."""
        before = self.frames.notes()
        try:
            return read()
        finally:
            if self.frames.notes() != before:
                self.store.touch()

    def masks(self, index: int) -> list[dict[str, Any]]:
        """The masks of a frame, by object: `object`, `kind` ("given" or "tracked"), `score` and `rle` (COCO's plain
        run lengths: `size` [H, W], `counts`). Raises UsageError."""
        self.frames.check(index)
        return [
            {
                "object": each.object,
                "kind": "given" if each.given else "tracked",
                "score": each.score,
                "rle": {"size": [each.height, each.width], "counts": rle.to_runs(each.pixels)},
            }
            for each in self.store.masks(index)
        ]

    def timeline(self, after: int = 0) -> dict[str, Any]:
        """Scores and areas of masks that changed after a revision (0: of all), by object, and what was removed."""
        changes = self.store.changes(after)
        objects: dict[str, dict[str, list[Any]]] = {}
        for number, frame, score, area, given in changes.rows:
            row = objects.setdefault(str(number), {"frames": [], "scores": [], "areas": [], "given": []})
            row["frames"].append(frame)
            row["scores"].append(None if score is None else round(score, 4))
            row["areas"].append(area)
            row["given"].append(bool(given))
        removed = [list(each) for each in changes.removed]
        return {"revision": changes.revision, "objects": objects, "removed": removed, "full": changes.full}

    def wait(self, revision: int, timeout: float) -> int:
        """Block until the revision is larger than `revision`, at most `timeout` seconds; returns the current one."""
        self.store.wait(lambda: self.store.revision > revision, timeout)
        return self.store.revision

    # objects

    def add_object(self, name: str | None = None) -> int:
        """Add an object; returns its id. Raises UsageError."""
        with self.store.writing():
            used = [each.object for each in self.store.objects()]
            number = max(used, default=0) + 1
            if number > MAX_ID:
                number = next((n for n in range(1, MAX_ID + 1) if n not in used), 0)
            if not number:
                raise UsageError(f"at most {MAX_ID} objects fit into one label map")
            record = ObjectRecord(
                number, _name(name or default_name(number)), "#{:02x}{:02x}{:02x}".format(*colour(number)), 1
            )
            self.store.put_object(self.store.begin_action(f"add {record.name}"), record)
        return number

    def update_object(
        self, number: int, name: str | None = None, colour: str | None = None, visible: bool | None = None
    ) -> None:
        """Change what an object is called and how the page shows it. Raises UsageError."""
        with self.store.writing():
            record = self.store.object(number)
            if colour is not None and not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
                raise UsageError(f"colour {colour!r:.40}: use #rrggbb")
            changed = replace(
                record,
                name=record.name if name is None else _name(name),
                colour=colour or record.colour,
                visible=record.visible if visible is None else int(visible),
            )
            if changed != record:
                self.store.put_object(self.store.begin_action(f"change {record.name}"), changed)

    def remove_object(self, number: int) -> None:
        """Remove an object with all of its masks. Raises UsageError."""
        with self._editing(number, f"remove {self.store.object(number).name}") as action:
            self.store.remove_object(action, number)

    @contextlib.contextmanager
    def _editing(self, number: int, label: str) -> Iterator[int]:
        """One action on an object, which is not being followed meanwhile."""
        with self._lock:
            self._stop_run(number)
            with self.store.writing():
                self.store.object(number)
                yield self.store.begin_action(label)

    # masks and prompts

    def set_mask(self, number: int, frame: int, mask: Mapping[str, Any]) -> None:
        """Give an object's mask in a frame, COCO run lengths of the frame's size. Raises UsageError, MediaError."""
        image = self._drawn_on(number, frame)
        pixels = read_runs(mask, (image.shape[0], image.shape[1]), f"mask of object {number} in frame {frame}")
        with self._editing(number, f"paint {self.store.object(number).name} in frame {frame}") as action:
            give_mask(self.store, action, painted_record(number, frame, pixels))

    def clear_mask(self, number: int, frame: int) -> None:
        """Remove an object's mask from a frame, with what was asked for there. Raises UsageError."""
        self.frames.check(frame)
        name = self.store.object(number).name
        if self.store.mask(number, frame) is None:
            return
        with self._editing(number, f"clear {name} in frame {frame}") as action:
            self.store.remove_masks(action, number, frame, frame)

    def set_text(self, number: int, frame: int, text: str) -> dict[str, Any]:
        """Look for an object by a text in a frame, and from there on in runs.

        Returns:
            `masks` of the frame, whether the object was `found`, and a `message` where it was not.

        Raises:
            UsageError: No such object or frame, or not a text.
            MediaError: The frame is damaged.
        """
        words = " ".join(text.split())
        if not words or len(words) > _LONGEST_TEXT or any(0xD800 <= ord(letter) < 0xE000 for letter in words):
            raise UsageError(f"text {words!r:.40}: describe the object in 1 to {_LONGEST_TEXT:,} characters")
        return self._suggest(number, frame, Request(text=words), {"kind": "text", "text": words})

    def set_region(
        self,
        number: int,
        frame: int,
        box: Sequence[float] | None = None,
        points: Sequence[Sequence[float]] | None = None,
    ) -> dict[str, Any]:
        """Show an object by a box (x0, y0, x1, y1) and by points (x, y, 1 on it or 0 beside it) in a frame.

        Returns:
            As `set_text`.

        Raises:
            UsageError: No such object or frame, or nothing in the frame that can be shown.
            MediaError: The frame is damaged.
        """
        prompt: dict[str, Any] = {"kind": "points" if box is None else "box"}
        prompt |= {} if box is None else {"box": [float(each) for each in box]}
        prompt |= {} if not points else {"points": [[float(each) for each in point] for point in points]}
        if len(prompt) == 1:
            raise UsageError("give a box, or points on the object")
        self._drawn_on(number, frame)
        return self._suggest(number, frame, Request(box=box, points=points or None), prompt)

    def set_example(self, number: int, frame: int, image: bytes, mask: bytes) -> dict[str, Any]:
        """Look for an object in a frame by an example: the files of an image and of a mask of its size.

        Returns:
            As `set_text`.

        Raises:
            UsageError: No such object or frame.
            MediaError: A file is not an image, or the frame is damaged.
        """
        return self._suggest(number, frame, Request(example=read_example(image, mask)), {"kind": "example"})

    def _suggest(self, number: int, frame: int, request: Request, prompt: Mapping[str, Any]) -> dict[str, Any]:
        """Segment a frame in the background thread, and store what is found as a given mask."""
        image, is_video = self._seen(number, frame), self.frames.source.kind != "image"
        with self._lock:
            self._stop_run(number)
        result = self._worker.call(
            lambda: suggest(self._model(), image, number, request, is_video), Job("suggest", frame)
        )
        found, is_text = bool(result.masks[number].any()), request.text is not None
        message = None if found else _NOT_FOUND + (_LATER if is_text and is_video else "")
        if found or is_text:  # a text is looked for in later frames
            label = f"find {self.store.object(number).name} by {prompt['kind']} in frame {frame}"
            with self._editing(number, label) as action:
                give_mask(self.store, action, suggested_record(result, number, frame, prompt))
        return {"masks": self.masks(frame), "found": found, "message": message}

    def _seen(self, number: int, frame: int) -> UInt8Image:
        """The image of a frame in which an object is shown. Raises UsageError, MediaError."""
        self.store.object(number)
        shown = self.frames.read(frame)
        if shown.damaged:
            raise MediaError(f"{self.video.name}: frame {frame} is damaged; show the object in another one")
        return shown.image

    def _drawn_on(self, number: int, frame: int) -> UInt8Image:
        """As `_seen`, of a frame in which something is drawn, in the coordinates of the first frame."""
        image = self._seen(number, frame)
        if image.shape[:2] != self.frames.size:
            sizes = [f"{width} x {height}" for height, width in (image.shape[:2], self.frames.size)]
            raise UsageError(
                f"frame {frame}: is {sizes[0]} pixels, not {sizes[1]} as the first one; draw in a frame of that size "
                "or use a text"
            )
        return image

    # following objects

    def run(
        self, frame: int | None = None, direction: Direction = "both", objects: Sequence[int] | None = None
    ) -> None:
        """Follow objects in the background; a run that goes on is stopped first.

        Args:
            frame: Where to begin; None: whatever is out of date.
            direction: From there.
            objects: Their ids; None: all.

        Raises:
            UsageError: No such frame or object, or there is nothing to follow.
        """
        if direction not in ("both", "forwards", "backwards"):
            raise UsageError(f"direction {direction!r:.40}: use both, forwards or backwards")
        if self.frames.source.kind == "image":
            raise UsageError(f"{self.video.name}: is a single image; there are no frames to follow objects to")
        if frame is not None:
            self.frames.check(frame)
        with self._lock:
            self._worker.stop("run")
            numbers = [each.object for each in self.store.objects()] if objects is None else sorted(set(objects))
            work = plan_run(self.store, numbers, frame, direction, self.frames.count)
            if not work:
                raise UsageError(_nothing_to_do(frame))
            followed = sorted({each.object for part in work for each in part.segments})
            job = Job("run", work[0].first, 0, len(frames_of(work)), work[0].direction)
            self._running = frozenset(followed)
            names = ", ".join(self.store.object(number).name for number in followed)
            self._worker.start(lambda: self._follow(work, job, f"follow {names}"), job)

    def _follow(self, work: Sequence[Pass], job: Job, label: str) -> None:
        """The task of a run."""
        predictor = self._model()
        action = self.store.begin_action(label)
        # a frame from which objects are followed both ways counts once
        left = frames_of(work)

        def report(index: int) -> None:
            left.discard(index)
            job.frame, job.done = index, job.total - len(left)

        try:
            for part in work:
                job.direction = part.direction
                follower = Follower(self.store, self.frames, predictor, part, action)
                if not follower.run(self._worker.keep_going, report):
                    return
        finally:
            self.store.drop_empty_action(action)

    def _stop_run(self, number: int | None = None) -> None:
        """Stop a run, if it follows this object (None: whatever it follows)."""
        if number is None or number in self._running:
            self._worker.stop("run")

    def stop(self) -> None:
        """Stop following and exporting after the frame at hand; what was followed stays."""
        self._worker.stop()

    def undo(self) -> str | None:
        """Take the last action back, after stopping a run; returns what it was, None where there was nothing."""
        with self._lock:
            self._stop_run()
            return self.store.undo()

    def redo(self) -> str | None:
        """Do the last action again that was taken back; returns what it was, None where there was nothing."""
        with self._lock:
            self._stop_run()
            return self.store.redo()

    # files

    def export(self, formats: Sequence[str], name: str | None = None) -> None:
        """Write files into `exports/NAME` of the project, in the background. Raises UsageError."""
        folder = check_export(self.store, formats, name)
        job = Job("export", None, 0, self.frames.count)
        self._worker.start(lambda: self._write_export(formats, folder, job), job)

    def _write_export(self, formats: Sequence[str], folder: Path, job: Job) -> None:
        """The task of an export."""

        def report(index: int) -> None:
            job.frame, job.done = index, job.done + 1
            if job.done % _REPORTED == 0:
                self.store.touch()

        with self.store.snapshot() as project:
            write_export(project, self.frames, formats, folder, self._worker.keep_going, report)

    # the model

    def _model(self) -> Predictor:
        """The model, loaded when it is needed first; in the background thread."""
        if self._predictor is None:
            self._predictor = self._load()
        return self._predictor


def _nothing_to_do(frame: int | None) -> str:
    if frame is None:
        return "there is nothing to follow: every mask is up to date, or no object has one yet"
    return f"there is nothing to follow from frame {frame}: give an object a mask there first"


def _name(name: str) -> str:
    words = " ".join(name.split())
    if not words or len(words) > _LONGEST_NAME:
        raise UsageError(f"name {name!r:.40}: use 1 to {_LONGEST_NAME} characters")
    return words
