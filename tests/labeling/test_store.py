"""The file of a project: whole after every action, and every action can be taken back."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from uniref import UniRefError, UsageError
from uniref.labeling.edits import painted_record
from uniref.labeling.reader import DATABASE
from uniref.labeling.records import MaskRecord, ObjectRecord
from uniref.labeling.store import ProjectStore


def mask_record(number: int, frame: int, seed: int = 0) -> MaskRecord:
    pixels = np.random.default_rng([number, frame, seed]).random((6, 8)) > 0.5
    return painted_record(number, frame, pixels)


def contents(store: ProjectStore) -> tuple[list[ObjectRecord], list[tuple[int, int, bytes]]]:
    """All that a user sees."""
    masks = [(each.object, each.frame, each.counts) for frame in range(10) for each in store.masks(frame)]
    return store.objects(), masks


def random_action(store: ProjectStore, choice: random.Random) -> None:
    """One of the things that users do, on up to three objects in ten frames."""
    number, frame, last = choice.randint(1, 3), choice.randint(0, 9), choice.randint(0, 9)
    with store.writing():
        action = store.begin_action("something")
        kind = choice.choice(["object", "mask", "masks", "remove", "clear"])
        if kind == "object":
            store.put_object(action, ObjectRecord(number, f"name {choice.random()}", "#ff0000", 1))
        elif kind == "mask":
            store.put_mask(action, mask_record(number, frame, choice.randint(0, 99)))
        elif kind == "masks":
            for each in range(frame, 10):
                store.put_mask(action, mask_record(number, each, choice.randint(0, 99)))
        elif kind == "remove":
            store.remove_object(action, number)
        else:
            store.remove_masks(action, number, min(frame, last), max(frame, last))


@pytest.mark.parametrize("seed", range(5))
def test_undo_and_redo_of_random_actions(seed: int, tmp_path: Path) -> None:
    choice = random.Random(seed)  # noqa: S311 - no secret
    store = ProjectStore(tmp_path / "project")
    states = [contents(store)]
    for _ in range(25):
        random_action(store, choice)
        states.append(contents(store))
    for state in reversed(states[:-1]):
        assert store.undo() == "something"
        assert contents(store) == state
    assert store.undo() is None
    for state in states[1:]:
        assert store.redo() == "something"
        assert contents(store) == state
    assert store.redo() is None
    # back in the middle, a new action ends what could be redone; all of it survives closing
    for _ in range(10):
        store.undo()
    random_action(store, choice)
    assert store.redo_label() is None
    last = contents(store)
    store.close()
    store = ProjectStore(tmp_path / "project")
    assert contents(store) == last
    assert store.undo() == "something"
    assert contents(store) == states[15]
    store.close()


@pytest.mark.parametrize("seed", range(3))
def test_changes_are_what_a_reader_of_the_timeline_lacks(seed: int, tmp_path: Path) -> None:
    choice = random.Random(seed)  # noqa: S311 - no secret
    store = ProjectStore(tmp_path / "project")
    seen: dict[tuple[int, int], int] = {}
    revision = 0
    for step in range(60):
        if step % 7 == 5:
            store.undo()
        else:
            random_action(store, choice)
        if choice.random() < 0.5:  # it asks now and then
            continue
        changes = store.changes(revision)
        if changes.full:
            seen.clear()
        for number, first, last in changes.removed:
            seen = {key: area for key, area in seen.items() if key[0] != number or not first <= key[1] <= last}
        seen |= {(number, frame): area for number, frame, _, area, _ in changes.rows}
        revision = changes.revision
        assert seen == {(each.object, each.frame): each.area for f in range(10) for each in store.masks(f)}
    store.close()


def test_an_action_that_fails_changes_nothing(tmp_path: Path) -> None:
    store = ProjectStore(tmp_path / "project")
    random_action(store, random.Random(1))  # noqa: S311 - no secret
    before, revision = contents(store), store.revision
    with pytest.raises(ZeroDivisionError), store.writing():
        action = store.begin_action("half")
        store.put_mask(action, mask_record(1, 1))
        raise ZeroDivisionError
    assert (contents(store), store.revision, store.undo_label()) == (before, revision, "something")
    store.close()


def test_a_snapshot_does_not_see_what_comes_later(tmp_path: Path) -> None:
    store = ProjectStore(tmp_path / "project")
    store.put_mask(store.begin_action("first"), mask_record(1, 0))
    with store.snapshot() as project:
        store.put_mask(store.begin_action("second"), mask_record(2, 0))
        assert [each.object for each in project.masks(0)] == [1]
    assert [each.object for each in store.masks(0)] == [1, 2]
    store.close()


WRITER = """
import sys
from pathlib import Path
from tests.labeling.test_store import mask_record
from uniref.labeling.store import ProjectStore
store = ProjectStore(Path(sys.argv[1]))
for count in range(10**9):
    with store.writing():
        action = store.begin_action(str(count))
        for number in (1, 2, 3):  # all three or none
            store.put_mask(action, mask_record(number, count % 10, count))
    print(count, flush=True)
"""


def test_killed_between_any_two_writes(tmp_path: Path) -> None:
    """What was reported is there; what was being written is there as a whole or not at all."""
    for kill in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "project")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(20 + 17 * kill):
            reported = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        reported = max([reported, *map(int, process.stdout.read().split())])
        assert process.wait() == -signal.SIGKILL
        store = ProjectStore(tmp_path / "project")
        count = int(store.undo_label() or -1)
        assert reported <= count <= reported + 1
        for number in (1, 2, 3):
            mask = store.mask(number, count % 10)
            assert mask is not None
            assert mask.counts == mask_record(number, count % 10, count).counts
        store.close()


def test_files_that_are_not_projects(tmp_path: Path) -> None:
    for name, content in (("text", b"no database" * 100), ("cut", None), ("other", None), ("newer", None)):
        folder = tmp_path / name
        folder.mkdir()
        file = folder / DATABASE
        if content is not None:
            file.write_bytes(content)
        elif name == "cut":
            store = ProjectStore(folder)
            store.put_mask(store.begin_action("first"), mask_record(1, 0))
            store.close()
            whole = file.read_bytes()
            file.write_bytes(whole[:4096] + os.urandom(len(whole) - 4096))
        else:
            database = sqlite3.connect(file)
            database.execute("CREATE TABLE mine (a)" if name == "other" else "PRAGMA user_version = 999")
            database.commit()
            database.close()
        before = file.read_bytes()
        expected = {
            "text": "is damaged, or not a project",
            "cut": "is damaged, or not a project",
            "other": "is not a project of uniref label; choose another folder",
            "newer": "was made by a newer version of uniref",
        }[name]
        with pytest.raises(UniRefError, match=expected) as problem:
            store = ProjectStore(folder)
            contents(store)
        assert str(folder) in str(problem.value)
        assert file.read_bytes() == before, name


FULL = """
import json, sys
from pathlib import Path
from tests.labeling.test_store import mask_record
from uniref import UniRefError
from uniref.core import rle
from uniref.labeling.records import ObjectRecord
from uniref.labeling.edits import painted_record
from uniref.labeling.store import ProjectStore
import numpy as np
store = ProjectStore(Path(sys.argv[1]))
store.put_object(store.begin_action("add"), ObjectRecord(1, "one", "#ff0000", 1))
written = 0
try:
    for frame in range(10**6):
        noise = np.random.default_rng(frame).random((64, 64)) > 0.5
        with store.writing():
            store.put_mask(store.begin_action(f"paint {frame}"), painted_record(1, frame, noise))
        written += 1
except UniRefError as error:
    print(json.dumps({"error": str(error), "written": written, "last": store.undo_label(),
                      "masks": sum(store.mask(1, frame) is not None for frame in range(written + 1))}))
"""


def test_a_full_disk_is_one_line_and_the_project_stays(tmp_path: Path) -> None:
    mount = tmp_path / "small"
    mount.mkdir()
    script = f"mount -t tmpfs -o size=400k tmpfs {mount} && exec {sys.executable} -c '{FULL}' {mount / 'project'}"
    if not Path("/usr/bin/unshare").exists():
        pytest.skip("needs unshare")
    done = subprocess.run(["/usr/bin/unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("needs a small disk, which this system lets nobody mount")
    answer = json.loads(done.stdout)
    assert "the disk is full; free some space" in answer["error"]
    assert answer["written"] > 2
    assert answer["masks"] == answer["written"]
    assert answer["last"] == f"paint {answer['written'] - 1}"


def test_ids_that_are_not_there(tmp_path: Path) -> None:
    store = ProjectStore(tmp_path / "project")
    with pytest.raises(UsageError, match="object 4: there is none of this id"):
        store.object(4)
    assert store.mask(4, 0) is None
    store.close()
