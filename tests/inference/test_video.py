from pathlib import Path

import numpy as np
import pytest
import torch

from uniref import Predictor, UsageError
from uniref.inference import video
from uniref.inference.video import merge_labels


def test_worked_by_hand() -> None:
    # one pixel a column: nothing, the first object, both (second stronger), both weak, a tie
    p = torch.tensor([[[0.1, 0.9, 0.6, 0.4, 0.8]], [[0.2, 0.1, 0.7, 0.4, 0.8]]])
    # backgrounds 0.72, 0.09, 0.12, 0.36, 0.04: the weak pair beats it, and the earlier object wins the tie
    assert merge_labels(p, [7, 200]).tolist() == [[0, 7, 200, 7, 7]]


def test_ties_go_to_the_lowest_id_as_a_number() -> None:
    """Whatever the order of the rows, which is that of the ids as text."""
    p = torch.tensor([[[0.9, 0.2, 0.5]], [[0.9, 0.9, 0.5]], [[0.1, 0.9, 0.5]]])
    assert merge_labels(p, [100, 20, 9]).tolist() == [[20, 9, 9]]
    assert merge_labels(p, [9, 20, 100]).tolist() == [[9, 20, 9]]
    # the background wins against objects that are as probable
    assert merge_labels(torch.full((1, 1, 1), 0.5), [3]).tolist() == [[0]]


def test_one_object_is_more_probable_than_not() -> None:
    p = torch.tensor([[[0.5, 0.50001, 0.49999]]])
    assert merge_labels(p, [1]).tolist() == [[0, 1, 0]]


def test_objects_are_merged_in_the_order_of_their_ids_as_text(
    checkpoint: Path, picture: np.ndarray, disk: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The product of the background is rounded in this order in the released system; results are by number."""
    orders: list[list[int]] = []

    def noting(probabilities: torch.Tensor, ids: list[int]) -> torch.Tensor:
        orders.append(list(ids))
        return merge_labels(probabilities, ids)

    monkeypatch.setattr(video, "merge_labels", noting)
    tracker = Predictor.from_pretrained(checkpoint, device="cpu").track(short_side=32)
    result = tracker.step(picture, {9: disk, 20: disk, 100: disk})
    assert orders == [[100, 20, 9]]
    assert list(result.masks) == list(result.scores) == [9, 20, 100]


def test_objects_are_added_and_removed_while_frames_pass(checkpoint: Path, picture: np.ndarray) -> None:
    predictor = Predictor.from_pretrained(checkpoint, device="cpu")
    tracker = predictor.track({1: "dog"}, score_threshold=0.0, short_side=32)
    tracker.step(picture)
    tracker.add({2: "the red car"})
    both = tracker.step(picture)
    assert sorted(both.masks) == tracker.ids == [1, 2]
    # an object that is added later is the one that a tracker of its own would find from there on
    alone = predictor.track({2: "the red car"}, score_threshold=0.0, short_side=32).step(picture)
    assert both.scores[2] == pytest.approx(alone.scores[2], abs=1e-5)
    assert np.array_equal(both.masks[2], alone.masks[2])
    tracker.remove(1)
    assert sorted(tracker.step(picture).masks) == [2]
    with pytest.raises(UsageError, match="object 2: is followed already"):
        tracker.add({3: "cat", 2: "dog"})
    assert tracker.ids == [2]  # nothing was added
    with pytest.raises(UsageError, match="object 1: is not followed"):
        tracker.remove(1)


def test_a_mask_is_added_for_the_next_frame(checkpoint: Path, picture: np.ndarray, disk: np.ndarray) -> None:
    tracker = Predictor.from_pretrained(checkpoint, device="cpu").track(score_threshold=0.0, short_side=32)
    tracker.add(masks={3: disk})
    assert tracker.ids == [3]
    with pytest.raises(UsageError, match="object 3: is followed already"):
        tracker.add(masks={3: disk})
    assert np.array_equal(tracker.step(picture).masks[3], disk)
    assert not np.array_equal(tracker.step(picture).masks[3], disk)  # it was given once


def test_support_images_are_added_while_frames_pass(checkpoint: Path, picture: np.ndarray, disk: np.ndarray) -> None:
    predictor = Predictor.from_pretrained(checkpoint, device="cpu")
    tracker = predictor.track(score_threshold=0.0, short_side=32)
    assert tracker.step(picture).masks == {}
    tracker.add(supports={4: predictor.encode_support([(picture, disk)], short_side=32)})
    assert list(tracker.step(picture).scores) == [4]
    with pytest.raises(UsageError, match="object 4: is searched in every frame by itself"):
        tracker.step(picture, {4: disk})


def test_a_mask_restarts_the_object_of_a_text(checkpoint: Path, picture: np.ndarray, disk: np.ndarray) -> None:
    tracker = Predictor.from_pretrained(checkpoint, device="cpu").track({1: "dog"}, score_threshold=0.0, short_side=32)
    tracker.step(picture)
    assert np.array_equal(tracker.step(picture, {1: disk}).masks[1], disk)
    known = tracker._objects[1]
    assert known.first is known.previous is not None


def test_probabilities_are_kept_where_they_are_asked_for(
    checkpoint: Path, picture: np.ndarray, disk: np.ndarray
) -> None:
    tracker = Predictor.from_pretrained(checkpoint, device="cpu").track(score_threshold=0.0, short_side=32)
    assert tracker.step(picture, {1: disk}).probabilities == {}
    tracker.keep_probabilities = True
    result = tracker.step(picture)
    assert np.array_equal(result.probabilities[1] > 0.5, result.masks[1])
