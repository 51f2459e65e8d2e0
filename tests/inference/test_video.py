from pathlib import Path

import numpy as np
import pytest
import torch

from uniref import Predictor
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
