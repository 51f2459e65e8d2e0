"""A project on disk: objects and masks in one SQLite file, whole after every user action and every segmented frame.

Every change belongs to an action, whose rows as they were before are kept beside it: undo and redo exchange the two.
"""

# ruff: noqa: S608 - statements are built of constants of this file alone; values are bound

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.labeling.reader import DATABASE, ProjectReader, plain_errors
from uniref.labeling.records import MaskRecord, ObjectRecord

FORMAT = 1
_MOST_ACTIONS = 200  # that can be undone
_MOST_REMOVALS = 20_000  # ranges of masks that are remembered for `changes`
_BUSY = 30.0  # seconds

_OBJECT_COLUMNS = "object INTEGER, name TEXT, colour TEXT, visible INTEGER"
_MASK_COLUMNS = (
    "object INTEGER, frame INTEGER, given INTEGER, prompt TEXT, score REAL, box BLOB, height INTEGER, width INTEGER, "
    "counts BLOB, own BLOB, soft BLOB, area INTEGER, forwards INTEGER, backwards INTEGER, "
    "revision INTEGER"
)
_KEYS = {"objects": ("object",), "masks": ("object", "frame")}
_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE actions (action INTEGER PRIMARY KEY AUTOINCREMENT, label TEXT, undone INTEGER);
CREATE TABLE objects ({_OBJECT_COLUMNS}, PRIMARY KEY (object));
CREATE TABLE objects_log (action INTEGER, present INTEGER, {_OBJECT_COLUMNS}, PRIMARY KEY (action, object));
CREATE TABLE masks ({_MASK_COLUMNS}, PRIMARY KEY (object, frame));
CREATE INDEX masks_frame ON masks (frame);
CREATE INDEX masks_given ON masks (object, frame) WHERE given = 1;
CREATE INDEX masks_revision ON masks (revision);
CREATE TABLE masks_log (action INTEGER, present INTEGER, {_MASK_COLUMNS}, PRIMARY KEY (action, object, frame));
PRAGMA user_version = {FORMAT};
"""


@dataclass(frozen=True)
class Changes:
    """What changed after a revision."""

    revision: int
    """The newest one."""
    full: bool
    """All masks there are, since changes are known from a later revision on only."""
    rows: list[tuple[int, int, float | None, int, int]]
    """Object, frame, score, area in pixels, and whether it was given (1) or tracked (0), by object and frame."""
    removed: list[tuple[int, int, int]]
    """Object, and the first and last frame of a range from which its masks were removed; comes before `rows`."""


class ProjectStore(ProjectReader):
    """The objects and masks of a project; all methods may be called by several threads.

    Args:
        folder: Of the project; made where it is missing.

    Raises:
        UniRefError: It cannot be written, or holds a file that is not a project.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._depth = 0
        self._changed = threading.Condition()
        self._removed: list[tuple[int, int, int, int]] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UniRefError(f"{folder}: cannot be written ({error.strerror or error})") from None
        with plain_errors(self.folder):
            super().__init__(self.folder, _connect(self.folder))
            self._open()
        self.revision = int(self.meta("revision") or 0)
        """Grows with every change."""
        self._known_from = self.revision

    def _open(self) -> None:
        # what is not a project is left as it is
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise UniRefError(f"{self.folder}: was made by a newer version of uniref; update uniref to open it")
        if version == 0 and self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise UniRefError(f"{self.folder / DATABASE}: is not a project of uniref label; choose another folder")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[ProjectReader]:
        """The project as it is now for a block, whatever is written meanwhile."""
        with plain_errors(self.folder), contextlib.closing(_connect(self.folder)) as db:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM meta").fetchone()  # the snapshot is of the first reading
            yield ProjectReader(self.folder, db)

    def close(self) -> None:
        """Close the file."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A block whose changes are all on disk afterwards, or none is if it raises; blocks may be nested."""
        with self._lock, plain_errors(self.folder):
            if self._depth:
                yield
                return
            before, removed = self.revision, len(self._removed)
            self._db.execute("BEGIN IMMEDIATE")
            self._depth, self.revision = 1, before + 1
            try:
                yield
                self.set_meta("revision", str(self.revision))
                self._db.execute("COMMIT")
            except BaseException:
                self.revision = before
                del self._removed[removed:]
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0
        self._notify()

    def touch(self) -> None:
        """Count a change of something that is not stored."""
        try:
            with self.writing():
                pass
        except UniRefError:  # whoever waits is told nevertheless
            self.revision += 1
            self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Block until `ready()`, which is asked after every change; returns whether it is."""
        with self._changed:
            return self._changed.wait_for(ready, timeout)

    # facts about the project

    def set_meta(self, key: str, value: str) -> None:
        """Store a fact, which is not undone."""
        with self.writing():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # actions

    def begin_action(self, label: str) -> int:
        """A new action for the changes that follow; what was undone before cannot be redone any more."""
        with self.writing():
            self._forget("undone = 1")
            number = self._db.execute("INSERT INTO actions (label, undone) VALUES (?, 0)", (label,)).lastrowid
            assert number is not None
            self._forget("action <= ?", (number - _MOST_ACTIONS,))
            return number

    def _forget(self, which: str, values: Sequence[Any] = ()) -> None:
        actions = [row[0] for row in self._db.execute(f"SELECT action FROM actions WHERE {which}", values)]
        for action in actions:
            for table in ("objects_log", "masks_log", "actions"):
                self._db.execute(f"DELETE FROM {table} WHERE action = ?", (action,))

    def drop_empty_action(self, action: int) -> None:
        """Forget an action that changed nothing."""
        with self.writing():
            logs = ("objects_log", "masks_log")
            if not any(
                self._db.execute(f"SELECT 1 FROM {t} WHERE action = ? LIMIT 1", (action,)).fetchone() for t in logs
            ):
                self._db.execute("DELETE FROM actions WHERE action = ?", (action,))

    def undo(self) -> str | None:
        """Take the last action back; returns its label, None where there is none."""
        return self._exchange("undone = 0 ORDER BY action DESC", 1)

    def redo(self) -> str | None:
        """Do the action again that was taken back last; returns its label, None where there is none."""
        return self._exchange("undone = 1 ORDER BY action", 0)

    def _exchange(self, which: str, undone: int) -> str | None:
        with self.writing():
            row = self._db.execute(f"SELECT action, label FROM actions WHERE {which} LIMIT 1").fetchone()
            if row is None:
                return None
            action, label = row
            for table, keys in _KEYS.items():
                self._exchange_rows(table, ", ".join(keys), action)
            self._db.execute("UPDATE actions SET undone = ? WHERE action = ?", (undone, action))
            return str(label)

    def _exchange_rows(self, table: str, keys: str, action: int) -> None:
        """Exchange the rows of a table with those that the log of an action holds."""
        logged = f"(SELECT {keys} FROM {table}_log WHERE action = ?)"
        columns = ", ".join(each.name for each in fields(MaskRecord if table == "masks" else ObjectRecord))
        run = self._db.execute
        run(f"CREATE TEMP TABLE exchanged AS SELECT {columns} FROM {table} WHERE ({keys}) IN {logged}", (action,))
        run("CREATE TEMP TABLE missing AS SELECT * FROM exchanged LIMIT 0")
        run(
            f"INSERT INTO missing ({keys}) SELECT {keys} FROM {table}_log WHERE action = ? AND ({keys}) NOT IN "
            f"(SELECT {keys} FROM {table})",
            (action,),
        )
        if table == "masks":
            self._note_removed(
                f"({keys}) IN (SELECT {keys} FROM masks_log WHERE action = ? AND present = 0)", (action,)
            )
        run(f"DELETE FROM {table} WHERE ({keys}) IN {logged}", (action,))
        returning = columns.replace("revision", str(self.revision))  # they change now
        run(
            f"INSERT INTO {table} ({columns}) SELECT {returning} FROM {table}_log WHERE action = ? AND present = 1",
            (action,),
        )
        run(f"DELETE FROM {table}_log WHERE action = ?", (action,))
        for rows, present in (("exchanged", 1), ("missing", 0)):
            run(
                f"INSERT INTO {table}_log (action, present, {columns}) SELECT ?, ?, {columns} FROM {rows}",
                (action, present),
            )
            run(f"DROP TABLE {rows}")

    def _log(self, table: str, action: int, key: Sequence[int]) -> None:
        """Keep a row as it was before an action."""
        keys = _KEYS[table]
        where = " AND ".join(f"{name} = ?" for name in keys)
        done = self._db.execute(
            f"INSERT OR IGNORE INTO {table}_log SELECT ?, 1, * FROM {table} WHERE {where}", (action, *key)
        )
        if done.rowcount <= 0:
            marks = ", ".join("?" * len(key))
            self._db.execute(
                f"INSERT OR IGNORE INTO {table}_log (action, present, {', '.join(keys)}) VALUES (?, 0, {marks})",
                (action, *key),
            )

    # objects

    def put_object(self, action: int, record: ObjectRecord) -> None:
        """Add or replace an object."""
        with self.writing():
            self._log("objects", action, (record.object,))
            self._db.execute(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)",
                (record.object, record.name, record.colour, record.visible),
            )

    def remove_object(self, action: int, number: int) -> None:
        """Remove an object and its masks."""
        with self.writing():
            self.remove_masks(action, number, 0, None)
            self._log("objects", action, (number,))
            self._db.execute("DELETE FROM objects WHERE object = ?", (number,))

    # masks

    def put_mask(self, action: int, record: MaskRecord) -> None:
        """Add or replace a mask; its revision is the current one."""
        with self.writing():
            self._log("masks", action, (record.object, record.frame))
            values = [getattr(record, each.name) for each in fields(MaskRecord)]
            values[-1] = self.revision
            self._db.execute(f"INSERT OR REPLACE INTO masks VALUES ({', '.join('?' * len(values))})", values)

    def set_reach(self, action: int, number: int, frame: int, forwards: int | None, backwards: int | None) -> None:
        """Say how far a given mask has been followed; None leaves it."""
        with self.writing():
            self._log("masks", action, (number, frame))
            self._db.execute(
                "UPDATE masks SET forwards = coalesce(?, forwards), backwards = coalesce(?, backwards) "
                "WHERE object = ? AND frame = ?",
                (forwards, backwards, number, frame),
            )

    def remove_masks(self, action: int, number: int, first: int, last: int | None) -> None:
        """Remove an object's masks from frame `first` to `last` (None: to the end)."""
        with self.writing():
            where = "object = ? AND frame >= ? AND frame <= ?"
            values = (number, first, (1 << 60) if last is None else last)
            self._db.execute(
                f"INSERT OR IGNORE INTO masks_log SELECT ?, 1, * FROM masks WHERE {where}", (action, *values)
            )
            self._note_removed(where, values)
            self._db.execute(f"DELETE FROM masks WHERE {where}", values)

    def _note_removed(self, where: str, values: Sequence[Any]) -> None:
        """Remember the ranges of masks that are about to be removed."""
        rows = self._db.execute(f"SELECT object, frame FROM masks WHERE {where} ORDER BY object, frame", values)
        ranges: list[list[int]] = []
        for number, frame in rows:
            if ranges and ranges[-1][0] == number and ranges[-1][2] == frame - 1:
                ranges[-1][2] = frame
            else:
                ranges.append([number, frame, frame])
        self._removed += [(self.revision, number, first, last) for number, first, last in ranges]
        if len(self._removed) > _MOST_REMOVALS:
            self._removed, self._known_from = [], self.revision

    def changes(self, after: int) -> Changes:
        """Masks that changed after a revision."""
        with self._lock:
            full = after < self._known_from or after > self.revision
            with self._reading() as db:
                rows = db.execute(
                    "SELECT object, frame, score, area, given FROM masks WHERE revision > ? ORDER BY object, frame",
                    (-1 if full else after,),
                ).fetchall()
            removed = [] if full else [each[1:] for each in self._removed if each[0] > after]
            return Changes(self.revision, full, rows, removed)


def _connect(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / DATABASE, timeout=_BUSY, isolation_level=None, check_same_thread=False)
