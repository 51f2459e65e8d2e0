"""Reading an index: memory-mapped, lazily, in constant time per row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from uniref.core.errors import UniRefError
from uniref.core.files import reading, sha256
from uniref.data.index.manifest import Manifest, read_manifest
from uniref.data.index.rows import Annotations, Expression, Media, Object, Sample
from uniref.data.index.schema import ADDED, KINDS, ROWS, TABLES, arrow_schema

_ADVICE = "prepare the data set again"
_LARGEST_SIDE, _MOST_PIXELS = 1 << 17, 1 << 28


class _TableReader:
    """Random access to one Arrow file; memory-mapped, so that all processes share its pages."""

    def __init__(self, path: Path, rows: int) -> None:
        import pyarrow as pa

        self.path = path
        self.rows = rows
        schema = arrow_schema(path.stem)
        self._numeric = {f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)}
        with reading(path, advice=_ADVICE):
            self._file = pa.ipc.open_file(pa.memory_map(str(path), "r"))
        # an earlier version's table has no `ADDED` columns
        self._absent = frozenset(ADDED.get(path.stem, ())) - set(self._file.schema.names)
        for name in self._absent:
            schema = schema.remove(schema.get_field_index(name))
        if not self._file.schema.equals(schema) or self._file.num_record_batches != -(-rows // ROWS):
            raise UniRefError(f"{path}: does not fit its manifest; prepare the data set again")
        self._columns: dict[tuple[str, int], Any] = {}

    def column(self, name: str, batch: int) -> Any:
        """A numpy view of a column of numbers, an Arrow array of any other."""
        key = (name, batch)
        if key not in self._columns:
            with reading(self.path, advice=_ADVICE):
                rows = self._file.get_batch(batch)
                rows.validate(full=True)  # Arrow itself follows offsets wherever they lead
            for field, array in zip(rows.schema, rows.columns, strict=True):
                numeric = field.name in self._numeric
                self._columns[field.name, batch] = array.to_numpy(zero_copy_only=True) if numeric else array
        return self._columns[key]

    def number(self, name: str, row: int) -> int:
        """One entry of a column of numbers."""
        if row < 0:
            raise UniRefError(f"{self.path.parent}: refers to row {row} of {self.path.stem}; {_ADVICE}")
        if name in self._absent:
            return 0
        batch, offset = divmod(row, ROWS)
        return int(self.column(name, batch)[offset])

    def value(self, name: str, row: int) -> Any:
        """Text, bytes or a list."""
        batch, offset = divmod(row, ROWS)
        return self.column(name, batch)[offset].as_py()

    def whole(self, name: str) -> npt.NDArray[Any]:
        """A copy of a whole column of numbers."""
        if name in self._absent:
            return np.zeros(self.rows, TABLES[self.path.stem][name])
        parts = [self.column(name, batch) for batch in range(self._file.num_record_batches)]
        return np.concatenate(parts) if parts else np.zeros(0, TABLES[self.path.stem][name])

    def check(self, row: int, kind: str) -> None:
        if not 0 <= row < self.rows:
            raise IndexError(f"{self.path.parent}: has no {kind} {row}")


class Index:
    """One split of one data set (see `Index.open`). Axes: n annotations of an object."""

    def __init__(self, folder: Path, roots: Mapping[str, Path] | None = None) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = read_manifest(self.folder)
        self._given_roots = dict(roots or {})
        self.roots = [
            Path(self._given_roots.get(name, self.folder / relative)) for name, relative in self.manifest.roots.items()
        ]
        missing = set(TABLES) - set(self.manifest.tables)
        if missing:
            raise UniRefError(f"{self.folder}: its manifest lists no {sorted(missing)[0]}; prepare the data set again")
        self._tables = {
            name: _TableReader(self.folder / f"{name}.arrow", self.manifest.tables[name].rows) for name in TABLES
        }

    @classmethod
    def open(cls, folder: Path | str, roots: Mapping[str, Path] | None = None) -> Index:
        """Open an index folder; nothing but its manifest is read yet.

        Args:
            folder: `<root>/index/<dataset>/<split>`.
            roots: Where media lie now, by root name, if not where they lay when the index was made.

        Raises:
            UniRefError: No index, damaged, or of another format.
        """
        return cls(Path(folder), roots)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Index, (self.folder, self._given_roots))  # a worker maps the files itself

    def __len__(self) -> int:
        return self._tables["samples"].rows

    def __iter__(self) -> Iterator[Sample]:
        return (self.sample(row) for row in range(len(self)))

    def sample(self, row: int) -> Sample:
        """A sample. Raises IndexError."""
        table = self._tables["samples"]
        table.check(row, "sample")
        with reading(self.folder, advice=_ADVICE):
            media, objects = table.number("media", row), tuple(table.value("objects", row))
            expressions = tuple(table.value("expressions", row))
            for kind, rows in (("media", (media,)), ("objects", objects), ("expressions", expressions)):
                if not all(0 <= each < self._tables[kind].rows for each in rows):
                    raise ValueError(f"sample {row} has {kind} that are not there")
            return Sample(
                id=f"{self.manifest.name}:{row}",
                row=row,
                media=media,
                objects=objects,
                expressions=expressions,
                category=table.number("category", row),
                group=table.number("group", row),
                no_target=bool(table.number("no_target", row)),
            )

    def media(self, row: int) -> Media:
        """An image or video. Raises IndexError."""
        table = self._tables["media"]
        table.check(row, "media")
        with reading(self.folder, advice=_ADVICE):
            # rows and size are bounded before anything is built from them
            start, count = table.number("object_start", row), table.number("object_count", row)
            height, width = table.number("height", row), table.number("width", row)
            if start < 0 or count < 0 or start + count > self._tables["objects"].rows:
                raise ValueError(f"media {row} has objects that are not there")
            if not (0 <= height < _LARGEST_SIDE and 0 <= width < _LARGEST_SIDE and height * width <= _MOST_PIXELS):
                raise ValueError(f"media {row} is {width} x {height} pixels")
            return Media(
                row=row,
                name=table.value("name", row),
                kind=KINDS[table.number("kind", row)],  # type: ignore[arg-type]
                path=self.roots[table.number("root", row)] / table.value("path", row),
                frames=tuple(table.value("frames", row)),
                width=width,
                height=height,
                length=table.number("length", row),
                source_id=table.number("source_id", row),
                complete=bool(table.number("complete", row)),
                objects=range(start, start + count),
            )

    def object(self, row: int) -> Object:
        """An object. Raises IndexError."""
        table = self._tables["objects"]
        table.check(row, "object")
        with reading(self.folder, advice=_ADVICE):
            first, seen = table.number("score_first", row), table.number("seen", row)
            return Object(
                row=row,
                media=table.number("media", row),
                source_id=table.number("source_id", row),
                category=table.number("category", row),
                crowd=bool(table.number("crowd", row)),
                given_frame=table.number("given_frame", row),
                score_range=None if first < 0 else (first, table.number("score_last", row)),
                seen=None if seen < 0 else bool(seen),
            )

    def annotations(self, row: int) -> Annotations:
        """Every annotation of an object. Raises IndexError."""
        objects, table = self._tables["objects"], self._tables["annotations"]
        objects.check(row, "object")
        with reading(self.folder, advice=_ADVICE):
            media = objects.number("media", row)
            start = objects.number("annotation_start", row)
            rows = range(start, start + objects.number("annotation_count", row))
            pieces = [_piece(table, batch, first, last) for batch, first, last in _batches(rows)]
            frames, boxes, areas, roles, counts = zip(*pieces, strict=True) if pieces else ((),) * 5
            return Annotations(
                frames=np.concatenate(frames) if frames else np.zeros(0, np.int32),
                boxes=np.concatenate(boxes) if boxes else np.zeros((0, 4), np.float32),
                areas=np.concatenate(areas) if areas else np.zeros(0),
                roles=np.concatenate(roles) if roles else np.zeros(0, np.uint8),
                counts=tuple(value for part in counts for value in part),
                height=self._tables["media"].number("height", media),
                width=self._tables["media"].number("width", media),
            )

    def expression(self, row: int) -> Expression:
        """An expression. Raises IndexError."""
        table = self._tables["expressions"]
        table.check(row, "expression")
        with reading(self.folder, advice=_ADVICE):
            text, source = table.value("text", row), table.value("source_id", row)
            return Expression(row, text, source, table.number("annotator", row))

    def sample_column(self, name: str) -> npt.NDArray[Any]:
        """`media`, `category`, `group` or `no_target` of every sample: a copy, [samples]."""
        return self._tables["samples"].whole(name)

    def object_column(self, name: str) -> npt.NDArray[Any]:
        """A column of numbers of every object (see schema.py): a copy, [objects]."""
        return self._tables["objects"].whole(name)

    def media_column(self, name: str) -> npt.NDArray[Any]:
        """A column of numbers of every media (see schema.py): a copy, [media]."""
        return self._tables["media"].whole(name)

    def media_sizes(self) -> npt.NDArray[np.int32]:
        """(height, width) of every media, [media, 2]."""
        return np.stack([self.media_column("height"), self.media_column("width")], axis=1)

    def verify(self) -> None:
        """Read every file and compare with the manifest's checksums.

        Raises:
            UniRefError: A file differs.
        """
        for name, table in self.manifest.tables.items():
            path = self.folder / f"{name}.arrow"
            if sha256(path) != table.sha256:
                raise UniRefError(f"{path}: does not have the content it was written with; prepare the data set again")


def _batches(rows: range) -> Iterator[tuple[int, int, int]]:
    """(batch, first, last + 1) for each record batch that a range of rows touches."""
    row = rows.start
    while row < rows.stop:
        batch, first = divmod(row, ROWS)
        last = min(ROWS, first + rows.stop - row)
        yield batch, first, last
        row += last - first


def _piece(table: _TableReader, batch: int, first: int, last: int) -> tuple[Any, ...]:
    boxes = table.column("box", batch).slice(first, last - first).flatten().to_numpy(zero_copy_only=True)
    return (
        table.column("frame", batch)[first:last],
        boxes.reshape(-1, 4),
        table.column("area", batch)[first:last],
        table.column("role", batch)[first:last],
        table.column("mask", batch).slice(first, last - first).to_pylist(),
    )
