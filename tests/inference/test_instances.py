"""All objects that a reference means, in images and videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_sam_config
from uniref import Predictor, UsageError
from uniref.inference.image_objects import distinct
from uniref.media.mask import read_mask
from uniref.media.video_read import VideoFile
from uniref.model.sam import UniRefSam
from uniref.model.text import TextTokenizer
from uniref.weights.checkpoint import Checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return Predictor.from_pretrained(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def small() -> Predictor:
    return Predictor.from_pretrained("small", device="cpu")


def rectangle(top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


def test_masks_of_the_same_object_count_once() -> None:
    masks = torch.stack(
        [
            rectangle(0, 10, 0, 10),
            rectangle(0, 10, 0, 8),  # IoU 0.8 with the first
            rectangle(0, 0, 0, 0),  # empty
            rectangle(2, 4, 2, 4),  # a part of the first
            rectangle(5, 15, 0, 10),  # a third is common: another object
            rectangle(0, 20, 0, 20),  # holds others
            rectangle(16, 20, 16, 20),
        ]
    )
    assert distinct(masks, 255) == [0, 4, 6]
    assert distinct(masks, 2) == [0, 4]


def test_every_car_of_the_street(small: Predictor) -> None:
    image = next(iter(VideoFile(EXAMPLES / "street.mp4").frames())).image
    truth = read_mask(EXAMPLES / "street-masks" / "00000.png")
    found = small.segment_image(image, "car", all_instances=True)
    assert len(found) == 4
    assert [result.score for result in found] == sorted((result.score for result in found), reverse=True)
    covered = set()
    for result in found:
        overlaps = {
            number: np.sum(result.mask & (truth == number)) / np.sum(result.mask | (truth == number))
            for number in range(1, 7)
        }
        best = max(overlaps, key=lambda number: overlaps[number])
        assert overlaps[best] > 0.6
        covered.add(best)
    assert len(covered) == 4


def test_several_texts_each_with_their_instances(predictor: Predictor, picture: np.ndarray) -> None:
    options = {"short_side": None, "score_threshold": 0.0, "all_instances": True}
    dogs, cats = predictor.segment_image(picture, ["dog", "cat"], **options)
    assert dogs
    assert cats
    best = predictor.segment_image(picture, "dog", short_side=None)
    assert dogs[0].score == pytest.approx(best.score, abs=1e-5)
    assert (dogs[0].mask == best.mask).mean() > 0.99
    (alone,) = [predictor.segment_image(picture, "dog", **options)]
    assert [result.score for result in alone] == pytest.approx([result.score for result in dogs], abs=1e-5)
    # as objects with ids: the first instances keep the texts' ids
    frame = predictor.segment_objects(picture, {1: "dog", 4: "cat"}, **options)
    assert frame.instance_of[1] == 1
    assert frame.instance_of[4] == 4
    assert len(frame.masks) == len(dogs) + len(cats)
    assert sorted(frame.masks)[:4] == [1, 2, 3, 4][: len(frame.masks)]
    assert predictor.segment_image(picture, "dog", short_side=None, score_threshold=1.0, all_instances=True) == []
    absent = predictor.segment_objects(picture, {1: "dog"}, short_side=None, score_threshold=1.0, all_instances=True)
    assert absent.instance_of == {}
    assert absent.scores[1] > 0
    assert not absent.masks[1].any()


def test_instances_of_the_first_sight_are_followed_by_their_masks(small: Predictor) -> None:
    frames = [frame.image for frame, _ in zip(VideoFile(EXAMPLES / "street.mp4").frames(), range(3), strict=False)]
    blank = np.full_like(frames[0], 128)
    tree = np.zeros(blank.shape[:2], np.bool_)
    tree[:9, :9] = True
    results = list(
        small.segment_video([blank, *frames], ["car"], masks={3: {3: tree}}, all_instances=True, start_threshold=0.52)
    )
    assert sorted(results[0].masks) == [1]
    assert results[0].instance_of == {}
    first = results[1].instance_of
    assert first == {1: 1, 2: 1, 4: 1, 5: 1}  # 3 is taken by the mask of a later frame
    for result in results[2:]:
        assert result.instance_of == first
        for number in first:
            before, now = results[1].masks[number], result.masks[number]
            assert (before & now).sum() / (before | now).sum() > 0.6


def test_what_cannot_be_followed_is_refused(predictor: Predictor, picture: np.ndarray) -> None:
    with pytest.raises(UsageError, match="followed by their masks"):
        predictor.track({1: "dog"}, all_instances=True, propagate=False)
    model = UniRefSam(tiny_sam_config()).eval()
    sam = Predictor(Checkpoint(model, TextTokenizer.bert_base_uncased(), CheckpointMetadata(model=model.config)), "cpu")
    with pytest.raises(UsageError, match="a SAM model has one answer per reference"):
        sam.segment_image(picture, "dog", all_instances=True)


def test_ids_of_objects_are_checked(predictor: Predictor, picture: np.ndarray) -> None:
    for texts, message in (({}, "no object given"), ({0: "dog"}, "from 1 to 255"), ({256: "dog"}, "from 1 to 255")):
        with pytest.raises(UsageError, match=message):
            predictor.segment_objects(picture, texts)
