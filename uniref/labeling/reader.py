"""What a project holds: its objects and masks, read from its file."""

# ruff: noqa: S608 - statements are built of constants of this file alone; values are bound

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError, UsageError
from uniref.labeling.records import MaskRecord, ObjectRecord

DATABASE = "project.db"


class ProjectReader:
    """Reads a project; all methods may be called by several threads.

    Args:
        folder: Of the project.
        db: Its open file.
    """

    def __init__(self, folder: Path, db: sqlite3.Connection) -> None:
        self.folder, self._db = folder, db
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, plain_errors(self.folder):
            yield self._db

    def meta(self, key: str) -> str | None:
        """A fact by its name."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def undo_label(self) -> str | None:
        """What `undo` would undo."""
        return self._label("undone = 0 ORDER BY action DESC")

    def redo_label(self) -> str | None:
        """What `redo` would do again."""
        return self._label("undone = 1 ORDER BY action")

    def _label(self, which: str) -> str | None:
        with self._reading() as db:
            row = db.execute(f"SELECT label FROM actions WHERE {which} LIMIT 1").fetchone()
        return None if row is None else str(row[0])

    def objects(self) -> list[ObjectRecord]:
        """All objects, by id."""
        with self._reading() as db:
            return [ObjectRecord(*row) for row in db.execute("SELECT * FROM objects ORDER BY object")]

    def object(self, number: int) -> ObjectRecord:
        """An object. Raises UsageError where there is none of this id."""
        with self._reading() as db:
            row = db.execute("SELECT * FROM objects WHERE object = ?", (number,)).fetchone()
        if row is None:
            raise UsageError(f"object {number}: there is none of this id")
        return ObjectRecord(*row)

    def mask(self, number: int, frame: int) -> MaskRecord | None:
        """An object's mask in a frame."""
        return next(iter(self._masks("object = ? AND frame = ?", (number, frame))), None)

    def masks(self, frame: int) -> list[MaskRecord]:
        """All masks of a frame, by object."""
        return self._masks("frame = ? ORDER BY object", (frame,))

    def given(self, number: int) -> list[MaskRecord]:
        """An object's given masks, by frame."""
        return self._masks("object = ? AND given = 1 ORDER BY frame", (number,))

    def nearest(self, number: int, frame: int, step: int, limit: int) -> MaskRecord | None:
        """The first mask of an object with a pixel, from `frame` on in steps of 1 or -1 up to and with `limit`."""
        if step > 0:
            return next(
                iter(
                    self._masks(
                        "object = ? AND frame >= ? AND frame <= ? AND area > 0 ORDER BY frame LIMIT 1",
                        (number, frame, limit),
                    )
                ),
                None,
            )
        return next(
            iter(
                self._masks(
                    "object = ? AND frame <= ? AND frame >= ? AND area > 0 ORDER BY frame DESC LIMIT 1",
                    (number, frame, limit),
                )
            ),
            None,
        )

    def _masks(self, which: str, values: Sequence[Any]) -> list[MaskRecord]:
        with self._reading() as db:
            rows = db.execute(f"SELECT * FROM masks WHERE {which}", values).fetchall()
        return [MaskRecord(*row) for row in rows]


@contextlib.contextmanager
def plain_errors(folder: Path) -> Iterator[None]:
    """One line, as a UniRefError, for what SQLite reports about the project in `folder`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        reason = "the disk is full; free some space" if "full" in str(error) else str(error)
        raise UniRefError(f"{folder}: the project cannot be read or written ({reason})") from None
    except sqlite3.DatabaseError as error:
        raise UniRefError(f"{folder / DATABASE}: is damaged, or not a project ({error})") from None
