"""One project that is being labelled: what the page's server calls."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from uniref.core import rle
from uniref.core.atomic import exclusive
from uniref.core.errors import UsageError
from uniref.inference.predictor import Predictor
from uniref.inference.video import MAX_ID
from uniref.labeling.frames import FrameReader
from uniref.labeling.records import ObjectRecord
from uniref.labeling.store import ProjectStore
from uniref.labeling.worker import Job, Worker
from uniref.media.draw import colour

Direction = Literal["both", "forwards", "backwards"]
_LONGEST_NAME = 200  # characters


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
        with contextlib.ExitStack() as opened:
            opened.enter_context(exclusive(self.folder, "labelled"))
            self.store = ProjectStore(self.folder)
            opened.callback(self.store.close)
            self.frames = self._open_video()
            opened.callback(self.frames.close)
            self._worker = Worker(self.store.touch)
            opened.callback(self._worker.close)
            self._opened = opened.pop_all()
        self._worker.start(self._load_predictor)

    def _open_video(self) -> FrameReader:
        """The video, which has to be that of the project. Raises UniRefError."""
        count, known = self.store.meta("frames"), self.store.meta("fingerprint")
        frames = FrameReader(self.video, None if count is None else int(count))
        if known is not None and frames.fingerprint() != known:
            frames.close()
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
        job, predictor = self._worker.job, self._predictor
        return {
            "video": {
                "name": self.video.name,
                "frames": self.frames.count,
                "fps": self.frames.source.fps,
                "width": self.frames.size[1],
                "height": self.frames.size[0],
            },
            "project": str(self.folder),
            "revision": self.store.revision,
            "objects": [self._describe(each) for each in self.store.objects()],
            "job": None if job is None else job.as_json(),
            "error": self._worker.error,
            "undo": self.store.undo_label(),
            "redo": self.store.redo_label(),
            "exports": [],
            "model": {"checkpoint": self._checkpoint, "device": None if predictor is None else str(predictor.device)},
            "formats": [],
        }

    def _describe(self, record: ObjectRecord) -> dict[str, Any]:
        given = self.store.given(record.object)
        prompts = [{"frame": each.frame, **each.about} for each in given]
        return {
            "id": record.object,
            "name": record.name,
            "colour": record.colour,
            "visible": bool(record.visible),
            "text": next((each.text for each in reversed(given) if each.text), None),
            "prompts": prompts,
            "stale_from": None,
        }

    def frame_jpeg(self, index: int, max_width: int | None = None) -> bytes:
        """A frame as a JPEG, at most `max_width` pixels wide. Raises UsageError, MediaError."""
        return self.frames.jpeg(index, max_width)

    def thumbnail(self, index: int) -> bytes:
        """A frame as a small JPEG, 96 pixels high at most. Raises UsageError, MediaError."""
        return self.frames.thumbnail(index)

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
                number, _name(name or f"object {number}"), "#{:02x}{:02x}{:02x}".format(*colour(number)), 1
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
        raise NotImplementedError

    # masks and prompts

    def set_text(self, number: int, frame: int, text: str) -> dict[str, Any]:
        """Look for an object by a text in a frame, and from there on in runs.

        Returns:
            `masks` of the frame, whether the object was `found`, and a `message` where it was not.

        Raises:
            UsageError: No such object or frame, or not a text.
        """
        raise NotImplementedError

    def set_mask(self, number: int, frame: int, mask: dict[str, Any]) -> None:
        """Give an object's mask in a frame, COCO run lengths of the frame's size. Raises UsageError."""
        raise NotImplementedError

    def clear_mask(self, number: int, frame: int) -> None:
        """Remove an object's mask from a frame, with what was asked for there. Raises UsageError."""
        raise NotImplementedError

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
        """
        raise NotImplementedError

    def set_example(self, number: int, frame: int, image: bytes, mask: bytes) -> dict[str, Any]:
        """Look for an object in a frame by an example: the files of an image and of a mask of its size.

        Returns:
            As `set_text`.

        Raises:
            UsageError: No such object or frame.
            MediaError: A file is not an image.
        """
        raise NotImplementedError

    # following objects

    def run(
        self, frame: int | None = None, direction: Direction = "both", objects: Sequence[int] | None = None
    ) -> None:
        """Follow objects in the background.

        Args:
            frame: Where to begin; None: whatever is out of date.
            direction: From there.
            objects: Their ids; None: all.

        Raises:
            UsageError: No such frame or object, or there is nothing to follow.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Stop following and exporting after the frame at hand; what was done stays."""
        self._worker.stop()

    def undo(self) -> str | None:
        """Take the last action back, after stopping a run; returns what it was, None where there was nothing."""
        self._worker.stop()
        return self.store.undo()

    def redo(self) -> str | None:
        """Do the last action again that was taken back; returns what it was, None where there was nothing."""
        self._worker.stop()
        return self.store.redo()

    # files

    def export(self, formats: Sequence[str], name: str | None = None) -> None:
        """Write files into `exports/NAME` of the project, in the background. Raises UsageError."""
        raise NotImplementedError

    # the model

    def _load_predictor(self) -> None:
        self._worker.show(Job("load"))
        self._predictor = self._load()


def _name(name: str) -> str:
    words = " ".join(name.split())
    if not words or len(words) > _LONGEST_NAME:
        raise UsageError(f"name {name!r:.40}: use 1 to {_LONGEST_NAME} characters")
    return words
