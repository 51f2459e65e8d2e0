"""Following objects in both directions, on arrays and on real files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniref import Predictor, UsageError
from uniref.core.errors import UniRefError
from uniref.inference.clip import ArrayClip
from uniref.inference.search import Search
from uniref.inference.two_pass import BothWays
from uniref.weights.checkpoint import Checkpoint, load_checkpoint


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return Predictor.from_pretrained(checkpoint, device="cpu")


@pytest.fixture
def frames() -> list[np.ndarray]:
    ground = np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8)
    return [np.roll(ground, 5 * i, axis=1) for i in range(6)]


def follow(predictor: Predictor, frames: list[np.ndarray], **options) -> list:
    return list(predictor.segment_video(frames, short_side=32, **{"score_threshold": 0.0} | options))


def test_a_mask_in_the_middle_is_followed_to_both_ends(
    predictor: Predictor, frames: list[np.ndarray], disk: np.ndarray
) -> None:
    forwards = follow(predictor, frames[3:], masks={0: {1: disk}})
    backwards = follow(predictor, frames[3::-1], masks={0: {1: disk}})
    both = follow(predictor, frames, masks={3: {1: disk}}, both_ways=True)
    assert [result.index for result in both] == list(range(6))
    for result, expected in zip(both, [*backwards[:0:-1], *forwards], strict=True):
        assert np.array_equal(result.masks[1], expected.masks[1])
        assert np.array_equal(result.labels, expected.labels)
        assert result.scores[1] == pytest.approx(expected.scores[1], abs=1e-6)
        assert np.allclose(result.boxes[1], expected.boxes[1])
        assert result.probabilities == {}


def test_the_best_frame_of_a_text_is_its_anchor(predictor: Predictor, frames: list[np.ndarray]) -> None:
    alone = follow(predictor, frames, text="dog", propagate=False)
    best = max(alone, key=lambda result: result.scores[1])
    found = follow(predictor, frames, text="dog", two_pass=True)
    assert np.array_equal(found[best.index].masks[1], best.masks[1])
    # before and after it, as trackers that begin there
    for step in (1, -1):
        tracker = predictor.track({1: "dog"}, score_threshold=0.0, short_side=32)
        position, given = best.index, {1: best.masks[1]}
        while 0 <= position < len(frames):
            expected = tracker.step(frames[position], given)
            assert np.array_equal(found[position].masks[1], expected.masks[1])
            position, given = position + step, {}


def test_a_text_that_is_found_late_is_followed_back(predictor: Predictor, frames: list[np.ndarray]) -> None:
    alone = follow(predictor, frames, text="dog", propagate=False)
    scores = [result.scores[1] for result in alone]
    late = max(range(len(scores)), key=lambda i: min([scores[i] - s for s in scores[:i]], default=-1))
    assert late > 0  # its score is over all scores before it
    options = {"start_threshold": max(scores[:late])}
    plain = follow(predictor, frames, text="dog", **options)
    both = follow(predictor, frames, text="dog", both_ways=True, **options)
    assert [result.masks[1].any() for result in plain] == [position >= late for position in range(6)]
    assert all(result.masks[1].any() for result in both)
    for position in range(late, 6):
        assert (both[position].masks[1] == plain[position].masks[1]).mean() > 0.99


def test_objects_have_anchors_of_their_own_and_share_the_pixels(
    predictor: Predictor, frames: list[np.ndarray], disk: np.ndarray
) -> None:
    left, right = np.roll(disk, -14, 1), np.roll(disk, 14, 1)
    both = follow(predictor, frames, text=["dog"], masks={1: {4: left}, 4: {9: right}}, two_pass=True)
    assert [sorted(result.masks) for result in both] == [[1, 4, 9]] * 6
    assert np.array_equal(both[1].masks[4], left)  # given masks are certain
    assert np.array_equal(both[4].masks[9], right)
    for result in both:
        assert not (result.masks[4] & result.masks[9]).any()
        assert np.array_equal(result.masks[4], result.labels == 4)
    # a text may overlap, as in one pass; it is the same with and without the others
    alone = follow(predictor, frames, text="dog", two_pass=True)
    for a, b in zip(both, alone, strict=True):
        assert (a.masks[1] == b.masks[1]).mean() > 0.99


def test_between_two_masks_the_earlier_one_is_followed(
    predictor: Predictor, frames: list[np.ndarray], disk: np.ndarray
) -> None:
    masks = {1: {1: disk}, 4: {1: np.roll(disk, 9, 1)}}
    plain = follow(predictor, frames, masks=masks)
    both = follow(predictor, frames, masks=masks, both_ways=True)
    assert 1 not in plain[0].masks
    assert 1 in both[0].masks
    for a, b in zip(plain[1:], both[1:], strict=True):
        assert np.array_equal(a.masks[1], b.masks[1])


def test_a_text_that_is_nowhere_has_empty_masks_and_its_scores(
    predictor: Predictor, frames: list[np.ndarray], disk: np.ndarray
) -> None:
    alone = follow(predictor, frames, text="dog", propagate=False)
    found = follow(predictor, frames, text="dog", masks={0: {2: disk}}, two_pass=True, start_threshold=1.0)
    assert not any(result.masks[1].any() for result in found)
    assert [r.scores[1] for r in found] == pytest.approx([r.scores[1] for r in alone], abs=1e-6)
    assert all(2 in result.masks for result in found)
    only = follow(predictor, frames, text="dog", two_pass=True, start_threshold=1.0, probabilities=True)
    assert not any(result.labels.any() or result.probabilities[1].any() for result in only)


def test_all_instances_of_the_fullest_frame(predictor: Predictor, frames: list[np.ndarray], disk: np.ndarray) -> None:
    options = {"masks": {5: {2: disk}}, "all_instances": True, "instance_threshold": 0.0}
    sums = []
    for frame in frames:
        (alone,) = follow(predictor, [frame], text="dog", masks=None, all_instances=True, instance_threshold=0.0)
        sums.append(sum(alone.scores.values()))
        if sums[-1] == max(sums):
            fullest = alone
    found = follow(predictor, frames, text="dog", two_pass=True, **options)
    position = int(np.argmax(sums))
    ids = [number for number in range(1, len(fullest.masks) + 2) if number != 2]  # 2 is the mask's
    assert len(ids) > 1
    for result in found:
        assert sorted(result.masks) == sorted([*ids, 2])
        assert result.instance_of == dict.fromkeys(ids, 1)
    free = ~found[position].masks[2]
    for own, expected in zip(ids, fullest.masks.values(), strict=True):
        assert ((found[position].masks[own] & free) == (expected & free)).mean() > 0.95  # steps of 1/256 compete


def test_soft_edges_in_both_directions(predictor: Predictor, frames: list[np.ndarray], disk: np.ndarray) -> None:
    both = follow(predictor, frames, masks={3: {1: disk}}, both_ways=True, probabilities=True)
    for result in both:
        assert np.array_equal(result.probabilities[1] > 0.5, result.masks[1])


def test_a_search_stops_where_nothing_can_change(predictor: Predictor, frames: list[np.ndarray]) -> None:
    tracker = predictor.track(score_threshold=0.0, short_side=32)
    references = dict(zip((1, 2), tracker.model.text_references(["dog", "cat"]), strict=True))
    first = Search(tracker, references, {2: 2}, best=False)
    looked = 0
    for frame in ArrayClip(frames).forwards():
        if first.done:
            break
        first.look(frame)
        looked += 1
    assert looked == 3
    assert {n: sight.frame for n, sight in first.sights.items()} == {1: 0, 2: 2}
    assert Search(tracker, {}, {}, best=True).done


def test_stopping_and_progress(predictor: Predictor, frames: list[np.ndarray], disk: np.ndarray) -> None:
    names = []

    def progress(items, description, total, unit="frame"):
        names.append((description, total))
        yield from items

    def both() -> BothWays:
        return BothWays(
            ArrayClip(frames, "clip"),
            lambda: predictor.track(score_threshold=0.0, short_side=32),
            {1: "dog"},
            {},
            {4: [2]},
            lambda frame: {2: disk} if frame.index == 4 else {},
            best=True,
        )

    assert both().prepare(progress)
    assert names == [("clip, looking", 6), ("clip, backwards", max(5, names[1][1]))]
    names.clear()
    assert not both().prepare(progress, stop=lambda: True)
    assert names == [("clip, looking", 6)]


def test_files_are_read_twice(predictor: Predictor, make_video, disk: np.ndarray) -> None:
    clip = make_video(frames=6)
    options = {"short_side": 32, "score_threshold": 0.0}
    assert [r.index for r in predictor.segment_file(clip, "dog", start="1", stride=2, **options)] == [0, 1, 2]
    both = list(predictor.segment_file(clip, "dog", {3: {7: disk}}, both_ways=True, start="1", stride=2, **options))
    assert [sorted(result.masks) for result in both] == [[1, 7]] * 3
    assert np.array_equal(both[1].masks[7], disk)
    for way in ({}, {"two_pass": True}):
        with pytest.raises(UsageError, match="frame 2, which is not among the frames"):
            predictor.segment_file(clip, masks={2: {7: disk}}, start="1", stride=2, **way)


def test_damaged_frames_show_nothing_and_stop_nothing(
    predictor: Predictor, frames: list[np.ndarray], disk: np.ndarray, tmp_path: Path
) -> None:
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"\x89PNG")
    options = {"both_ways": True, "short_side": 32, "score_threshold": 0.0}
    found = list(predictor.segment_file(tmp_path, masks={4: {1: disk}}, **options))
    assert [sorted(result.masks) for result in found] == [[1], [1], [], [1], [1], [1]]
    # the frames before it are followed from the one after it
    whole = follow(predictor, [*frames[:2], *frames[3:]], masks={3: {1: disk}}, both_ways=True)
    assert np.array_equal(found[0].masks[1], whole[0].masks[1])


def test_what_two_passes_cannot_do(
    predictor: Predictor, checkpoint: Path, frames: list[np.ndarray], disk: np.ndarray
) -> None:
    with pytest.raises(UsageError, match="frames that can be read twice"):
        predictor.segment_video(iter(frames), "dog", two_pass=True)
    with pytest.raises(UsageError, match="leave propagate on"):
        predictor.segment_video(frames, "dog", propagate=False, two_pass=True)
    with pytest.raises(UsageError, match="frame 9, which is not among the frames"):
        predictor.segment_video(frames, masks={9: {1: disk}}, both_ways=True)
    loaded = load_checkpoint(checkpoint)
    loaded.model.mask_encoder = None
    without = Predictor(Checkpoint(loaded.model, loaded.tokenizer, loaded.config), device="cpu")
    with pytest.raises(UniRefError, match="no mask encoder"):
        without.segment_video(frames, "dog", two_pass=True)
