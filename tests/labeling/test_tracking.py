"""What is followed on the page is what `uniref predict` gives for the same prompts."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.labeling.clips import masks_of, runs, street_frames, street_masks
from tests.labeling.conftest import FRAMES, assert_same, settle, stored
from uniref import Predictor, UsageError
from uniref.inference.video import VideoTracker
from uniref.labeling.session import LabelSession

Open = Callable[..., LabelSession]
MASKS = street_masks()
MOVED = np.roll(MASKS[1], (3, 9), (0, 1))


def with_masks(session: LabelSession, frame: int = 0) -> LabelSession:
    for number, mask in MASKS.items():
        assert session.add_object() == number
        session.set_mask(number, frame, runs(mask))
    return session


def test_first_run_of_masks_and_its_undoing(open_session: Open, clip: Path, predictor: Predictor) -> None:
    session = with_masks(open_session(clip))
    assert [each["stale_from"] for each in session.info()["objects"]] == [0, 0]
    before = stored(session)
    session.run()
    wanted = list(predictor.segment_file(clip, masks={0: MASKS}))
    assert_same(stored(settle(session)), masks_of(wanted))
    for result in wanted:  # scores and boxes too
        for each in session.store.masks(result.index):
            assert each.score == pytest.approx(result.scores[each.object], abs=1e-6)
            assert each.box == result.boxes[each.object].astype("<f4").tobytes()
    assert [each["stale_from"] for each in session.info()["objects"]] == [None, None]
    with pytest.raises(UsageError, match="nothing to follow: every mask is up to date"):
        session.run()
    # taken back as one action, and done again
    assert session.undo() == "follow object 1, object 2"
    assert_same(stored(session), before)
    assert [each["stale_from"] for each in session.info()["objects"]] == [0, 0]
    assert session.redo() == "follow object 1, object 2"
    assert_same(stored(session), masks_of(wanted))


def test_a_correction_is_a_mask_of_predict(open_session: Open, clip: Path, predictor: Predictor) -> None:
    session = with_masks(open_session(clip))
    session.run()
    first = stored(settle(session))
    session.set_mask(1, 3, runs(MOVED))
    assert [each["stale_from"] for each in session.info()["objects"]] == [3, None]
    session.run(3, "forwards")
    wanted = masks_of(predictor.segment_file(clip, masks={0: MASKS, 3: {1: MOVED}}))
    assert_same(stored(settle(session)), wanted)
    assert_same({frame: stored(session)[frame] for frame in range(3)}, {frame: first[frame] for frame in range(3)})


def test_a_correction_of_one_object_leaves_the_others(open_session: Open, clip: Path) -> None:
    session = with_masks(open_session(clip))
    session.run()
    first = stored(settle(session))
    # over the other object's pixels
    session.set_mask(1, 3, runs(MASKS[2] | MOVED))
    session.run()  # what is out of date: the corrected one
    settle(session)
    assert_same(
        {f: {2: masks[2]} for f, masks in stored(session).items()}, {f: {2: masks[2]} for f, masks in first.items()}
    )
    for frame in (4, 5):
        mask = session.store.mask(1, frame)
        assert mask is not None
        assert not (mask.pixels & first[frame][2]).any()


def test_text(open_session: Open, clip: Path, predictor: Predictor) -> None:
    session = open_session(clip)
    session.add_object()
    assert session.set_text(1, 0, " the red  car ")["found"]
    session.run()
    assert_same(stored(settle(session)), masks_of(predictor.segment_file(clip, text="the red car")))
    # corrected by a mask, it goes on with the text
    session.set_mask(1, 2, runs(MOVED))
    assert session.info()["objects"][0]["text"] == "the red car"
    session.run()
    tracker = predictor.track({1: "the red car"})
    results = [tracker.step(image, {1: MOVED} if i == 2 else None) for i, image in enumerate(frames_of(session))]
    assert_same(stored(settle(session)), masks_of(results))
    # and where it is corrected in its first frame
    session.set_mask(1, 0, runs(MASKS[1]))
    session.clear_mask(1, 2)
    assert session.info()["objects"][0]["text"] == "the red car"
    session.run()
    tracker = predictor.track({1: "the red car"})
    results = [tracker.step(image, {1: MASKS[1]} if i == 0 else None) for i, image in enumerate(frames_of(session))]
    assert_same(stored(settle(session)), masks_of(results))


def frames_of(session: LabelSession) -> list[np.ndarray]:
    return [session.frames.read(index).image for index in range(session.frames.count)]


def test_a_text_that_is_not_there_is_looked_for_in_later_frames(
    open_session: Open, tmp_path: Path, predictor: Predictor
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    images = street_frames(4)
    for index, image in enumerate([np.full_like(images[0], 255), *images[1:]]):
        Image.fromarray(image).save(folder / f"{index}.png")
    session = open_session(folder)
    session.add_object()
    answer = session.set_text(1, 0, "the red car")
    assert not answer["found"]
    assert "later" in answer["message"]
    session.run()
    wanted = masks_of(predictor.segment_file(folder, text="the red car"))
    assert wanted[3][1].any()
    assert_same(stored(settle(session)), wanted)


def test_text_and_masks_together_and_an_object_added_in_the_middle(
    open_session: Open, clip: Path, predictor: Predictor
) -> None:
    session = open_session(clip)
    for number in (1, 2, 3):
        assert session.add_object() == number
    session.set_mask(1, 0, runs(MASKS[1]))
    session.set_mask(2, 2, runs(MASKS[2]))
    session.set_text(3, 1, "the red car")
    session.run(0, "forwards")
    tracker = predictor.track()
    results = []
    for index, image in enumerate(frames_of(session)):
        if index == 1:
            tracker.add({3: "the red car"})
        results.append(tracker.step(image, {0: {1: MASKS[1]}, 2: {2: MASKS[2]}}.get(index)))
    settle(session)
    for index, result in enumerate(results):
        records = session.store.masks(index)
        assert {each.object for each in records} == set(result.masks)
        for each in records:
            assert np.array_equal(each.own_pixels, result.labels == each.object)


def test_backwards_is_forwards_in_the_reversed_video(open_session: Open, tmp_path: Path, predictor: Predictor) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    images = street_frames(5)
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    session = with_masks(open_session(folder), frame=3)
    session.run(direction="backwards")
    tracker = predictor.track()
    results = {index: tracker.step(images[index], MASKS if index == 3 else None) for index in (3, 2, 1, 0)}
    assert_same(stored(settle(session)), {i: results[i].masks for i in range(4)} | {4: {}})
    assert [each["stale_from"] for each in session.info()["objects"]] == [3, 3]
    # the rest, and then everything from another frame on
    session.run()
    tracker = predictor.track()
    later = {index: tracker.step(images[index], MASKS if index == 3 else None) for index in (3, 4)}
    assert_same(stored(settle(session)), {i: results[i].masks for i in range(3)} | {i: later[i].masks for i in (3, 4)})
    session.run(1, "both")  # forwards from their masks there, up to the given ones
    settle(session)
    assert [each["stale_from"] for each in session.info()["objects"]] == [None, None]
    assert_same(
        {i: stored(session)[i] for i in (0, 1, 3, 4)},
        {i: results[i].masks for i in (0, 1)} | {3: later[3].masks, 4: later[4].masks},
    )


def test_a_stopped_run_is_continued_with_the_same_masks(open_session: Open, clip: Path, predictor: Predictor) -> None:
    session = with_masks(open_session(clip))
    session.run()
    while session.store.mask(1, 2) is None:
        session.wait(session.store.revision, 1)
    begun = time.monotonic()
    session.stop()
    assert time.monotonic() - begun < 60
    stale = {each["stale_from"] for each in session.info()["objects"]}
    assert len(stale) == 1
    assert stale <= {3, 4, 5}
    assert session.info()["job"] is None
    session.run()
    assert_same(stored(settle(session)), masks_of(predictor.segment_file(clip, masks={0: MASKS})))


def test_painting_while_an_object_is_followed_stops_the_run_of_that_object_only(open_session: Open, clip: Path) -> None:
    session = with_masks(open_session(clip))
    session.run(objects=[1])
    while session.store.mask(1, 1) is None:
        session.wait(session.store.revision, 1)
    session.set_mask(2, 1, runs(MASKS[2]))
    assert session.info()["job"] is not None
    assert session.set_text(2, 2, "the red car")["found"]  # between two frames
    assert not (session.store.mask(1, FRAMES - 1) and session.info()["job"])
    session.undo()
    assert session.info()["job"] is None
    session.run(objects=[1])
    session.set_mask(1, 4, runs(MOVED))
    assert session.info()["job"] is None


def test_boxes_points_and_examples(open_session: Open, clip: Path, predictor: Predictor) -> None:
    session = open_session(clip)
    for _ in range(3):
        session.add_object()
    image = frames_of(session)[2]
    rows, columns = np.nonzero(MASKS[1])
    box = [float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)]
    shown = predictor.track().step(image, boxes={1: box})
    answer = session.set_region(1, 2, box)
    assert answer["found"] == bool(shown.masks[1].any())
    first = session.store.mask(1, 2)
    if first is not None:
        assert np.array_equal(first.pixels, shown.masks[1])
        assert first.about == {"kind": "box", "box": box}
    middle = [float(columns.mean()), float(rows.mean()), 1]
    session.set_region(2, 2, points=[middle])
    files = []
    for content in (image, MASKS[1].astype(np.uint8) * 255):
        file = BytesIO()
        Image.fromarray(content).save(file, format="PNG")
        files.append(file.getvalue())
    answer = session.set_example(3, 2, *files)
    wanted = predictor.track(support={3: [(image, MASKS[1])]}).step(image)
    assert answer["found"] == bool(wanted.masks[3].any())
    if answer["found"]:
        third = session.store.mask(3, 2)
        assert third is not None
        assert np.array_equal(third.pixels, wanted.masks[3])
    with pytest.raises(UsageError, match="is outside of the image"):
        session.set_region(1, 2, [0, 0, 900, 900])
    with pytest.raises(UsageError, match="give a box, or points"):
        session.set_region(1, 2)


def test_restored_references_are_those_of_the_first_time(predictor: Predictor) -> None:
    images = street_frames(4)
    whole = predictor.track()
    results = [whole.step(image, MASKS if i == 0 else None) for i, image in enumerate(images)]
    resumed: VideoTracker = predictor.track()
    for index in (0, 2):
        resumed.restore(
            resumed.encode(images[index]),
            MASKS if index == 0 else results[index].masks,
            first=MASKS if index == 0 else (),
            previous=MASKS if index == 2 else (),
            given=MASKS if index == 0 else (),
        )
    last = resumed.step(images[3])
    assert last.scores == pytest.approx(results[3].scores, abs=1e-6)
    assert_same({0: last.masks}, {0: results[3].masks})
