"""Boxes and points that show objects."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_sam_config
from uniref import Predictor, UsageError
from uniref.core.types import BoolMask, UInt8Image
from uniref.inference.inference_model import Frame, MaskPredictions
from uniref.inference.region_fit import best_candidate
from uniref.inference.regions import Region, regions_of
from uniref.media.mask import read_mask
from uniref.media.video_read import VideoFile
from uniref.model.sam import UniRefSam
from uniref.model.structures import Features
from uniref.model.text import TextTokenizer
from uniref.weights.checkpoint import Checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZE = (40, 60)


@pytest.fixture(scope="module")
def small() -> Predictor:
    return Predictor.from_pretrained("small", device="cpu")


@pytest.fixture(scope="module")
def street() -> tuple[list[UInt8Image], BoolMask]:
    """The first frames, and where the orange car is in the first one."""
    frames = [frame.image for frame, _ in zip(VideoFile(EXAMPLES / "street.mp4").frames(), range(4), strict=False)]
    return frames, read_mask(EXAMPLES / "street-masks" / "00000.png") == 1


def tight_box(mask: BoolMask) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def iou(a: BoolMask, b: BoolMask) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region(box=(0, 0, math.nan, 9)), "nan is not a coordinate"),
        (Region(box=(0, 0, math.inf, 9)), "inf is not a coordinate"),
        (Region(box=(5, 0, 5, 9)), "x0 < x1"),
        (Region(box=(5, 9, 8, 9)), "y0 < y1"),
        (Region(box=(0, 0, 62, 9)), "62 is outside of the image, which is 60 x 40"),
        (Region(points=((3, 41.5),)), "41.5 is outside of the image, which is 60 x 40"),
        (Region(points=((-2, 4),)), "-2 is outside"),
        (Region(background=((3, 4),)), "or a point on the object"),
    ],
)
def test_what_shows_nothing_is_refused(region: Region, message: str) -> None:
    with pytest.raises(UsageError, match=f"^--box: .*{message}"):
        region.check(SIZE, "--box")


def test_a_pixel_too_far_is_clipped() -> None:
    assert Region(box=(-1, 0, 61, 40.5)).check(SIZE, "").box == (0, 0, 60, 40)


def test_boxes_and_points_of_one_object_belong_together() -> None:
    regions = regions_of({1: np.array([1, 2, 3, 4], np.float32)}, {1: [(5, 6), (7, 8, 0)], 2: [(9, 9, 1)]})
    assert regions == {
        1: Region((1.0, 2.0, 3.0, 4.0), ((5.0, 6.0),), ((7.0, 8.0),)),
        2: Region(points=((9.0, 9.0),)),
    }
    for boxes, points in (({1: (1, 2, 3)}, {}), ({}, {1: [(1, 2, 3)]}), ({}, {1: [(1,)]})):
        with pytest.raises(UsageError, match="object 1"):
            regions_of(boxes, points)


def candidates(*rectangles: tuple[int, int, int, int], scores: list[float] | None = None) -> MaskPredictions:
    """Objects whose masks fill boxes of a 64 x 64 input, best first."""
    logits = torch.full((len(rectangles), 16, 16), -5.0)
    for row, (x0, y0, x1, y1) in enumerate(rectangles):
        logits[row, y0 // 4 : y1 // 4, x0 // 4 : x1 // 4] = 5
    boxes = torch.tensor(rectangles, dtype=torch.float32)
    return MaskPredictions(logits, scores or [0.9] * len(rectangles), boxes)


def test_the_detected_object_that_fits() -> None:
    features = Features((), (), torch.zeros(1, 2))
    frame = Frame(features, torch.zeros(1, 3, 64, 64), (64, 64), (64, 64))
    found = candidates((0, 0, 64, 64), (8, 8, 40, 40), (12, 12, 24, 24), (16, 16, 20, 20), scores=[0.9, 0.8, 0.7, 0.1])
    assert best_candidate(Region(box=(8, 8, 36, 40)), found, frame) == 1
    assert best_candidate(Region(box=(11, 12, 25, 24)), found, frame) == 2
    assert best_candidate(Region(box=(50, 50, 52, 52)), found, frame) is None
    # the smallest that is good: the last one has too low a score
    assert best_candidate(Region(points=((18, 18),)), found, frame) == 2
    assert best_candidate(Region(points=((18, 18), (35, 35))), found, frame) == 1
    assert best_candidate(Region(points=((10, 10),), background=((60, 60),)), found, frame) == 1
    assert best_candidate(Region(points=((60, 60),), background=((18, 18),)), found, frame) is None
    assert best_candidate(Region((8, 8, 36, 40), background=((18, 18),)), found, frame) is None


def test_an_object_of_an_image_by_box_and_by_point(small: Predictor, street: tuple[list[UInt8Image], BoolMask]) -> None:
    (image, *_), car = street
    box = tight_box(car)
    middle = ((box[0] + box[2]) // 2, (box[1] + box[3]) // 2)
    shown = small.segment_objects(image, {5: "the red car"}, boxes={1: box}, points={2: [middle], 3: [(380, 3)]})
    assert sorted(shown.masks) == [1, 2, 3, 5]
    assert iou(shown.masks[1], car) > 0.85
    assert iou(shown.masks[2], car) > 0.7
    assert not shown.masks[3].any()  # the sky
    assert shown.scores[3] == 0
    with pytest.raises(UsageError, match="object 1: 900 is outside of the image, which is 384 x 216"):
        small.segment_objects(image, boxes={1: (0, 0, 900, 9)})
    with pytest.raises(UsageError, match="object 1: is given twice"):
        small.segment_objects(image, {1: "a car"}, boxes={1: box})


def test_a_box_in_a_video_is_followed_like_its_mask(
    small: Predictor, street: tuple[list[UInt8Image], BoolMask]
) -> None:
    frames, car = street
    given = dict(boxes={1: {1: tight_box(car)}}, points={1: {2: [(380, 3)]}})
    results = list(small.segment_video(frames, **given))
    assert results[0].masks == {}
    assert sorted(results[1].masks) == [1, 2]  # 2 is not found, and not followed
    assert results[1].scores[2] == 0
    assert sorted(results[2].masks) == [1]
    mask = results[1].masks[1]
    assert iou(mask, car) > 0.7
    by_mask = list(small.segment_video(frames, masks={1: {1: mask}}))
    for one, other in zip(results, by_mask, strict=True):
        assert np.array_equal(one.labels, other.labels)
    # both ways: the frames before it too
    both = list(small.segment_video(frames, both_ways=True, **given))
    assert iou(both[0].masks[1], mask) > 0.6
    assert np.array_equal(both[3].labels, results[3].labels)
    with pytest.raises(UsageError, match="object 1: is given by a mask and by a box"):
        list(small.segment_video(frames, masks={1: {1: mask}}, boxes={1: {1: tight_box(car)}}))


@pytest.fixture
def sam() -> UniRefSam:
    torch.manual_seed(0)
    model = UniRefSam(tiny_sam_config()).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and name.startswith("sam."):
            torch.nn.init.xavier_uniform_(parameter, 2)
    return model


@pytest.mark.parametrize(
    "region",
    [
        Region(box=(8, 4, 40, 30)),
        Region(points=((20, 20),)),
        Region(points=((20, 20), (30, 30)), background=((5, 5),)),
        Region((8, 4, 40, 30), points=((20, 20),)),
    ],
)
def test_sam_finds_what_transformers_finds(sam: UniRefSam, picture: np.ndarray, region: Region) -> None:
    loaded = Checkpoint(sam, TextTokenizer.bert_base_uncased(), CheckpointMetadata(model=sam.config))
    model = Predictor(loaded, device="cpu")._model
    frame = model.encode(picture, 1024, 128)  # 48 x 64 becomes 96 x 128
    (found,) = model.predict_regions(frame, [region.check((48, 64), "")])
    points = [*region.points, *region.background]
    with torch.no_grad():
        expected = sam.sam(
            pixel_values=frame.images,
            input_points=2 * torch.tensor(points)[None, None] if points else None,
            input_labels=torch.tensor([1] * len(region.points) + [0] * len(region.background))[None, None]
            if points
            else None,
            input_boxes=2 * torch.tensor(region.box)[None, None] if region.box else None,
            multimask_output=region.box is None and len(points) == 1,
        )
    best = int(expected.iou_scores[0, 0].argmax())
    assert found is not None
    assert torch.allclose(found.logits[0], expected.pred_masks[0, 0, best], atol=1e-4)
    assert found.scores[0] == pytest.approx(float(expected.iou_scores[0, 0, best].clamp(0, 1)), abs=1e-5)


def test_sam_follows_what_a_box_shows(sam: UniRefSam, picture: np.ndarray) -> None:
    loaded = Checkpoint(sam, TextTokenizer.bert_base_uncased(), CheckpointMetadata(model=sam.config))
    predictor = Predictor(loaded, device="cpu")
    shown = predictor.segment_objects(picture, boxes={1: (8, 4, 40, 30)}).masks[1]
    first, second = predictor.segment_video([picture, picture], boxes={0: {1: (8, 4, 40, 30)}})
    assert np.array_equal(first.masks[1], shown)
    assert 1 in second.masks
