"""A project as a whole: who may open it, what survives a kill, and that every action can be taken back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.labeling.clips import masks_of, runs, street_frames, street_masks, write_clip
from tests.labeling.conftest import FRAMES, assert_same, settle, stored
from uniref import MediaError, Predictor, UniRefError, UsageError
from uniref.labeling.plan import frames_of, plan_run
from uniref.labeling.session import LabelSession
from uniref.media.source import MediaSource
from uniref.media.video_write import VideoWriter

Open = Callable[..., LabelSession]
MASKS = street_masks()

RUN = """
import sys, time
from pathlib import Path
from tests.labeling.clips import runs, street_masks
from uniref import Predictor
from uniref.labeling.session import LabelSession

session = LabelSession(Path(sys.argv[1]), Path(sys.argv[2]), lambda: Predictor.from_pretrained("small", device="cpu"))
for number, mask in street_masks().items():
    session.add_object()
    session.set_mask(number, 0, runs(mask))
session.run()
while session.store.mask(1, int(sys.argv[3])) is None:
    session.wait(session.store.revision, 1)
print("there", flush=True)
time.sleep(600)
"""


def test_a_killed_run_goes_on_where_it_was(
    clip: Path, tmp_path: Path, predictor: Predictor, open_session: Open
) -> None:
    command = [sys.executable, "-c", RUN, str(clip), str(tmp_path / "project"), "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        # nobody else may open it meanwhile
        with pytest.raises(UniRefError, match=rf"project: is being labelled by process {process.pid} on .*; wait"):
            open_session(clip)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    # a dead process's lock does not count, and what was done is there
    session = open_session(clip)
    stale = {each["stale_from"] for each in session.info()["objects"]}
    assert stale <= {3, 4, 5, None}
    assert len(stale) == 1
    assert session.info()["undo"] == "follow object 1, object 2"
    if stale != {None}:
        session.run()
    assert_same(stored(settle(session)), masks_of(predictor.segment_file(clip, masks={0: MASKS})))


def test_a_project_belongs_to_its_video(open_session: Open, clip: Path, tmp_path: Path) -> None:
    session = open_session(clip)
    session.add_object("car")
    with pytest.raises(UniRefError, match="is being labelled by process"):
        open_session(clip)
    session.close()
    # the video may be elsewhere, but it must be the same
    moved = Path(shutil.copy(clip, tmp_path / "moved.mp4"))
    session = open_session(moved)
    assert [each["name"] for each in session.info()["objects"]] == ["car"]
    session.close()
    other = tmp_path / "other.png"
    Image.fromarray(street_frames(1)[0]).save(other)
    with pytest.raises(UsageError, match=r"project: is the project of another video \(.*clip.mp4\); choose another"):
        open_session(other)
    # a file that was replaced since
    moved.write_bytes(moved.read_bytes() + b"more")
    shutil.rmtree(tmp_path / "project")
    open_session(moved).close()
    moved.write_bytes(clip.read_bytes())
    with pytest.raises(UsageError, match=r"moved.mp4: has changed since its project .*project was made"):
        open_session(moved)
    moved.unlink()
    shutil.rmtree(tmp_path / "project")
    with pytest.raises(MediaError, match="no such file or folder"):
        open_session(tmp_path / "missing.mp4")
    assert open_session(clip).info()["video"]["frames"] == FRAMES  # those that failed hold no lock


def state(session: LabelSession) -> list[Any]:
    """Everything that undo has to bring back."""
    objects = session.info()["objects"]
    masks = [session.masks(frame) for frame in range(session.frames.count)]
    return json.loads(json.dumps([objects, masks]))


def test_every_action_is_undone_and_done_again(open_session: Open, clip: Path) -> None:
    session = open_session(clip)
    moved = np.roll(MASKS[1], 5, 1)
    steps: list[Callable[[], Any]] = [
        session.add_object,
        lambda: session.set_mask(1, 0, runs(MASKS[1])),
        lambda: session.run(0, "forwards"),
        lambda: session.add_object("a tree"),
        lambda: session.update_object(2, name="the tree", colour="#123456", visible=False),
        lambda: session.set_text(2, 1, "the green tree"),
        lambda: session.set_mask(1, 3, runs(moved)),
        lambda: session.set_mask(1, 3, runs(MASKS[1])),
        session.run,
        lambda: session.clear_mask(1, 3),
        lambda: session.run(2, "both", [1]),
        lambda: session.remove_object(1),
    ]
    states = [state(session)]
    for step in steps:
        step()
        states.append(state(settle(session)))
    assert session.info()["undo"] == "remove object 1"
    for wanted in reversed(states[:-1]):
        assert session.undo() is not None
        assert state(session) == wanted
    assert session.undo() is None
    assert session.info()["undo"] is None
    for wanted in states[1:]:
        assert session.redo() is not None
        assert state(session) == wanted
    assert session.redo() is None
    # something new ends what could be done again
    session.undo()
    session.add_object()
    assert session.info()["redo"] is None


def test_a_variable_rate_is_counted_as_predict_does(open_session: Open, tmp_path: Path, predictor: Predictor) -> None:
    images, path = street_frames(5), tmp_path / "variable.mp4"
    writer = VideoWriter(path, images[0].shape[:2], 25.0)
    for image, seconds, duration in zip(images, (0, 0.04, 0.5, 0.54, 1.0), (0.04, 0.46, 0.04, 0.46, 0.04), strict=True):
        writer.write(image, seconds, duration)
    writer.close()
    session = open_session(path)
    assert session.frames.count == 5
    for frame in MediaSource(path).frames():
        assert np.array_equal(session.frames.read(frame.index).image, frame.image)
    session.add_object()
    session.set_mask(1, 1, runs(MASKS[1]))
    session.run(direction="forwards")
    assert_same(stored(settle(session)), masks_of(predictor.segment_file(path, masks={1: {1: MASKS[1]}})))


def test_a_truncated_video_is_followed_to_its_end(open_session: Open, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "cut.mp4", 12)  # its index, in front, announces all of them
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.8)])
    count = len(list(MediaSource(path).frames()))
    session = open_session(path)
    assert 1 < count < 12
    assert session.frames.count == count
    session.add_object()
    session.set_mask(1, count - 2, runs(MASKS[1]))
    session.run(direction="forwards")
    settle(session)
    assert session.store.mask(1, count - 1) is not None
    assert session.info()["objects"][0]["stale_from"] is None
    with pytest.raises(UsageError, match=f"frame {count}: cut.mp4 has frames 0 to {count - 1}"):
        session.frame_jpeg(count)


def test_damaged_frames_in_both_directions(open_session: Open, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, image in enumerate(street_frames(5)):
        Image.fromarray(image).save(folder / f"{index}.png")
    for index in (1, 3):
        (folder / f"{index}.png").write_bytes((folder / "0.png").read_bytes()[:150])
    session = settle(open_session(folder))
    assert session.info()["notes"] == []
    revision = session.wait(session.store.revision, 0.5)  # the end of loading is a change too
    session.thumbnail(1)
    note = "frames: frame 1 is damaged; the page shows the frame before, without masks"
    assert (session.info()["notes"], session.store.revision) == ([note], revision + 1)
    session.frame_jpeg(3)
    assert session.info()["notes"] == [note.replace("frame 1 is", "2 frames (first: 1) are")]
    session.add_object()
    session.set_mask(1, 2, runs(MASKS[1]))
    work = plan_run(session.store, [1], None, "both", 5)
    assert len(frames_of(work)) == 5  # frame 2, where it begins in both directions, counts once
    session.run()
    settle(session)
    assert session.info()["objects"][0]["stale_from"] is None
    areas = {frame: each.area for frame in range(5) for each in session.store.masks(frame)}
    assert areas.pop(3) == 0
    assert areas.pop(1, 0) == 0
    assert all(areas[frame] for frame in (0, 2, 4))
    record = session.store.mask(1, 3)
    assert record is not None
    assert record.score is None


def test_frames_of_different_sizes_are_noted(open_session: Open, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, size in enumerate([(64, 48), (64, 48), (32, 48)]):
        Image.new("RGB", size).save(folder / f"{index}.png")
    session = open_session(folder)
    for index in range(3):
        session.thumbnail(index)
    # what is drawn has the coordinates of the first frame
    session.add_object()
    for draw in (
        lambda: session.set_mask(1, 2, runs(np.ones((48, 64), np.bool_))),
        lambda: session.set_region(1, 2, [1, 1, 20, 20]),
    ):
        with pytest.raises(UsageError, match=r"frame 2: is 32 x 48 pixels, not 64 x 48 as the first one; draw in"):
            draw()
    (note,) = session.info()["notes"]
    assert note.startswith("frames: its frames differ in size (32 x 48 from 2.png on); the page shows them all at the")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.set_mask(1, 0, runs(np.zeros_like(MASKS[1]))), "marks no pixel; clear the mask instead"),
        (lambda s: s.set_mask(1, 0, runs(MASKS[1][:50])), "run lengths are of size"),
        (lambda s: s.set_mask(1, 0, {"size": [108, 192], "counts": [5]}), "run lengths cover 5 pixels of 20736"),
        (lambda s: s.set_mask(1, 0, {"size": [108, 192], "counts": "##"}), "mask of object 1 in frame 0: run lengths"),
        (lambda s: s.set_mask(1, 0, []), "mask of object 1 in frame 0: "),
        (lambda s: s.set_mask(7, 0, runs(MASKS[1])), "object 7: there is none of this id"),
        (lambda s: s.set_mask(1, FRAMES, runs(MASKS[1])), f"frame {FRAMES}: clip.mp4 has frames 0 to {FRAMES - 1}"),
        (lambda s: s.set_text(1, 0, "  "), "text '': describe the object"),
        (lambda s: s.set_text(1, -1, "car"), "frame -1: clip.mp4 has frames 0 to"),
        (lambda s: s.set_example(1, 0, b"x", b"y"), "image of the example: is not an image that can be read"),
        (lambda s: s.update_object(1, colour="red"), "colour 'red': use #rrggbb"),
        (lambda s: s.update_object(1, name=" "), "name ' ': use 1 to 200 characters"),
        (lambda s: s.remove_object(2), "object 2: there is none of this id"),
        (lambda s: s.run(0), "there is nothing to follow from frame 0: give an object a mask there first"),
        (lambda s: s.run(), "there is nothing to follow: every mask is up to date, or no object has one yet"),
        (lambda s: s.run(objects=[5]), "object 5: there is none of this id"),
        (lambda s: s.run(direction="up"), "direction 'up': use both, forwards or backwards"),
    ],
)
def test_what_is_wrong_is_one_line_and_changes_nothing(
    open_session: Open, clip: Path, call: Callable[[LabelSession], None], message: str
) -> None:
    session = open_session(clip)
    session.add_object()
    before = state(session)
    with pytest.raises(UniRefError) as caught:
        call(session)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert state(session) == before
    assert session.info()["undo"] == "add object 1"


def test_what_is_not_a_video_leaves_no_project(open_session: Open, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("not a video", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    for name in ("empty", "text.mp4"):
        with pytest.raises(UniRefError):
            open_session(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before
