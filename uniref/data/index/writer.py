"""Writing an index in bounded memory: rows are flushed batch by batch, the manifest comes last."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.atomic import atomic_folder
from uniref.core.errors import UniRefError
from uniref.core.files import sha256
from uniref.core.tasks import Task
from uniref.data.index.manifest import Manifest, SourceFile, TableFile, write_manifest
from uniref.data.index.rows import Kind
from uniref.data.index.schema import FORMAT, KINDS, ROWS, TABLES, TRUTH, arrow_schema
from uniref.version import __version__


class _TableWriter:
    """One Arrow file, written `ROWS` rows at a time."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        schema = arrow_schema(path.stem)
        self.path = path
        self.rows = 0
        self._schema = schema
        self._columns: dict[str, list[Any]] = {name: [] for name in schema.names}
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, schema)

    def extend(self, count: int, columns: Mapping[str, Sequence[Any]]) -> int:
        """Add rows; returns the first one's number."""
        first = self.rows
        for name, values in self._columns.items():
            values.extend(columns[name])
        self.rows += count
        while len(next(iter(self._columns.values()))) >= ROWS:
            self._flush()
        return first

    def add(self, **row: Any) -> int:
        """Add a row; returns its number."""
        return self.extend(1, {name: (value,) for name, value in row.items()})

    def _flush(self) -> None:
        import pyarrow as pa

        arrays = [pa.array(self._columns[field.name][:ROWS], type=field.type) for field in self._schema]
        for values in self._columns.values():
            del values[:ROWS]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def close(self, complete: bool) -> None:
        if complete and self._columns[self._schema.names[0]]:
            self._flush()
        self._writer.close()
        self._sink.close()


class IndexWriter:
    """Writes one split of one data set; the folder gets its name when it is complete.

    Media come in order, each followed by its objects, each object by its annotations. Samples may refer to any object
    of the last media, or to those of earlier ones through `media=`.

    Args:
        folder: Where the index goes. What is there is replaced.
        dataset: `refcoco`.
        split: `val`.
        task: What its samples are.
        roots: Folders that media paths are relative to, by name. Stored relative to `folder`.
        categories: Names by id.
        sources: What the index is made from.
        options: Options that shaped the content.

    Raises:
        UniRefError: The folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dataset: str,
        split: str,
        task: Task,
        roots: Mapping[str, Path],
        categories: Mapping[int, str] | None = None,
        sources: Sequence[SourceFile] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.dataset, self.split, self.task = dataset, split, task
        self.categories = dict(categories or {})
        self.sources = list(sources)
        self.options = dict(options or {})
        self.dropped: dict[str, int] = {}
        self.notes: list[str] = []
        self._roots = {name: _relative(path, self.folder) for name, path in roots.items()}
        self._root_ids = {name: number for number, name in enumerate(self._roots)}
        self._masks = 0
        self._media: dict[str, Any] | None = None
        self._object: dict[str, Any] | None = None

    def __enter__(self) -> IndexWriter:
        self._stack = contextlib.ExitStack()
        self._work = self._stack.enter_context(atomic_folder(self.folder, overwrite=True))
        self._tables = {name: _TableWriter(self._work / f"{name}.arrow") for name in TABLES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._end_media()
            for table in self._tables.values():
                table.close(complete=kind is None)
            if kind is None:
                self._finish()
        except BaseException as problem:
            if not self._stack.__exit__(type(problem), problem, problem.__traceback__):
                raise
        else:
            self._stack.__exit__(kind, error, trace)

    def add_media(
        self,
        *,
        name: str,
        kind: Kind,
        root: str,
        path: str,
        width: int,
        height: int,
        frames: Sequence[str] = (),
        length: int | None = None,
        source_id: int = -1,
        complete: bool = True,
    ) -> int:
        """Begin an image or video; returns its row.

        Args:
            name: As the data set calls it.
            kind: `image`, `frames` (a folder) or `video` (one file).
            root: Which of the roots `path` starts at.
            path: Relative, with `/`.
            width: Pixels.
            height: Pixels.
            frames: File names within the folder, in order.
            length: Frames of a video file.
            source_id: The data set's own number.
            complete: Whether a missing annotation means that the object is absent.

        Raises:
            UniRefError: An absolute path, or one that leaves its root.
        """
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in path:
            raise UniRefError(f"{self.dataset}/{self.split}: {path}: must be a relative path within its root")
        self._end_media()
        self._media = {
            "name": name,
            "kind": KINDS.index(kind),
            "root": self._root_ids[root],
            "path": path,
            "frames": list(frames),
            "width": width,
            "height": height,
            "length": length if length is not None else max(len(frames), 1),
            "source_id": source_id,
            "complete": int(complete),
            "object_start": self._tables["objects"].rows,
        }
        return self._tables["media"].rows

    def add_object(
        self,
        *,
        source_id: int,
        category: int = -1,
        crowd: bool = False,
        given_frame: int = -1,
        score_range: tuple[int, int] | None = None,
        seen: bool | None = None,
    ) -> int:
        """Begin an object of the last media; returns its row."""
        self._end_object()
        first, last = score_range or (-1, -1)
        self._object = {
            "media": self._tables["media"].rows,
            "source_id": source_id,
            "category": category,
            "crowd": int(crowd),
            "given_frame": given_frame,
            "score_first": first,
            "score_last": last,
            "seen": -1 if seen is None else int(seen),
            "annotation_start": self._tables["annotations"].rows,
        }
        return self._tables["objects"].rows

    def add_annotation(
        self, frame: int, box: Sequence[float], counts: bytes | None, area: float, role: int = TRUTH
    ) -> None:
        """One frame of the last object, frames ascending: box (x0, y0, x1, y1) in pixels, run lengths or None."""
        self._tables["annotations"].add(frame=frame, box=[float(x) for x in box], mask=counts, area=area, role=role)
        self._masks += counts is not None

    def add_boxes(
        self,
        categories: npt.NDArray[np.int32],
        boxes: npt.NDArray[np.float32],
        source_ids: npt.NDArray[np.int64],
        crowd: npt.NDArray[np.bool_] | None = None,
    ) -> range:
        """Many objects of the last media that have one box and no mask each (Objects365); returns their rows.

        Args:
            categories: [n].
            boxes: (x0, y0, x1, y1) in pixels, [n, 4].
            source_ids: Annotation ids, [n].
            crowd: [n]; none by default.
        """
        self._end_object()
        n = len(boxes)
        # annotations, then the objects that refer to them
        areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).astype(float).tolist()
        start = self._tables["annotations"].extend(
            n,
            {"frame": [0] * n, "box": boxes.tolist(), "mask": [None] * n, "area": areas, "role": [TRUTH] * n},
        )
        first = self._tables["objects"].extend(
            n,
            {
                "media": [self._tables["media"].rows] * n,
                "source_id": source_ids.tolist(),
                "category": categories.tolist(),
                "crowd": [0] * n if crowd is None else crowd.astype(int).tolist(),
                "given_frame": [-1] * n,
                "score_first": [-1] * n,
                "score_last": [-1] * n,
                "seen": [-1] * n,
                "annotation_start": range(start, start + n),
                "annotation_count": [1] * n,
            },
        )
        return range(first, first + n)

    def add_expression(self, text: str, *, source_id: str, annotator: int = -1) -> int:
        """An expression; returns its row."""
        return self._tables["expressions"].add(text=text, source_id=source_id, annotator=annotator)

    def add_sample(
        self,
        *,
        objects: Iterable[int] = (),
        expressions: Iterable[int] = (),
        category: int = -1,
        group: int = -1,
        media: int | None = None,
        no_target: bool = False,
    ) -> int:
        """A sample of the last media, or of an earlier one; returns its row."""
        return self._tables["samples"].add(
            media=self._tables["media"].rows if media is None else media,
            objects=list(objects),
            expressions=list(expressions),
            category=category,
            group=group,
            no_target=int(no_target),
        )

    def drop(self, reason: str, count: int = 1) -> None:
        """Count a record that is left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    @property
    def samples(self) -> int:
        """Samples so far."""
        return self._tables["samples"].rows

    def _end_object(self) -> None:
        if self._object is not None:
            count = self._tables["annotations"].rows - self._object["annotation_start"]
            self._tables["objects"].add(**self._object, annotation_count=count)
            self._object = None

    def _end_media(self) -> None:
        self._end_object()
        if self._media is not None:
            count = self._tables["objects"].rows - self._media["object_start"]
            self._tables["media"].add(**self._media, object_count=count)
            self._media = None

    def _finish(self) -> None:
        tables = {
            name: TableFile(rows=table.rows, size=table.path.stat().st_size, sha256=sha256(table.path))
            for name, table in self._tables.items()
        }
        manifest = Manifest(
            format=FORMAT,
            tool=__version__,
            dataset=self.dataset,
            split=self.split,
            task=self.task,
            roots=self._roots,
            categories=self.categories,
            sources=tuple(self.sources),
            dropped=self.dropped,
            options=self.options,
            notes=tuple(self.notes),
            masks=self._masks,
            tables=tables,
        )
        write_manifest(self._work, manifest)


def _relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, of which parts may be symbolic links.

    The relative path by name stays valid when both are moved together; but `..` behind a link leads elsewhere.
    """
    by_name = os.path.relpath(path, folder)
    if os.path.realpath(os.path.join(folder, by_name)) != os.path.realpath(path):
        by_name = os.path.relpath(os.path.realpath(path), os.path.realpath(folder))
    return Path(by_name).as_posix()
