from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from uniref import Predictor, UsageError
from uniref.core.errors import UniRefError
from uniref.model.uniref import UniRef
from uniref.weights.checkpoint import Checkpoint, load_checkpoint


@pytest.fixture(scope="module")
def predictor(checkpoint: Path) -> Predictor:
    return Predictor.from_pretrained(checkpoint, device="cpu")


def clip(frames: int = 4) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(3)
    ground = rng.integers(0, 256, (48, 64, 3), np.uint8)
    for i in range(frames):
        yield np.roll(ground, 2 * i, axis=1)


def test_image_by_text(predictor: Predictor, picture: np.ndarray) -> None:
    found = predictor.segment_image(picture, text="the red car", short_side=64, long_side=128)
    assert found.mask.shape == (48, 64)
    assert found.mask.dtype == np.bool_
    assert 0 <= found.score <= 1
    assert found.box.shape == (4,)
    assert found.box.dtype == np.float32
    assert (found.box >= 0).all()
    assert (found.box <= [64, 48, 64, 48]).all()


def test_several_texts_share_the_image(predictor: Predictor, picture: np.ndarray) -> None:
    texts = ["the red car on the left", "dog"]
    together = predictor.segment_image(picture, texts, short_side=None)
    assert predictor.segment_image(picture, [], short_side=None) == []
    for text, found in zip(texts, together, strict=True):
        alone = predictor.segment_image(picture, text, short_side=None)
        assert alone.score == pytest.approx(found.score, abs=1e-5)
        assert (alone.mask == found.mask).mean() > 0.99


@pytest.mark.parametrize("batch", [None, 2, 3])
def test_images_of_one_size_go_together(predictor: Predictor, picture: np.ndarray, batch: int | None) -> None:
    """In any batches each image gets the result that it gets alone."""
    small = np.ascontiguousarray(picture[:40, :50])
    images = [picture, picture[::-1].copy(), np.roll(picture, 9, 1), small, small[:, ::-1].copy(), picture]
    results = list(predictor.segment_images(iter(images), "the red car", short_side=64, long_side=128, batch=batch))
    assert len(results) == len(images)
    for image, result in zip(images, results, strict=True):
        alone = predictor.segment_image(image, "the red car", short_side=64, long_side=128)
        assert result.score == pytest.approx(alone.score, abs=1e-5)
        assert result.box == pytest.approx(alone.box, abs=1e-2)
        assert (result.mask == alone.mask).mean() > 0.999
    assert not any(r.present for r in predictor.segment_images(images, "dog", 64, 128, score_threshold=1.0))
    assert list(predictor.segment_images([], "dog")) == []
    with pytest.raises(UsageError, match="batch 0: must be at least 1"):
        predictor.segment_images(images, "dog", batch=0)


def test_image_by_support_of_other_sizes(predictor: Predictor, picture: np.ndarray, disk: np.ndarray) -> None:
    small, small_disk = np.ascontiguousarray(picture[:40, :50]), np.ascontiguousarray(disk[:40, :50])
    one = predictor.segment_image(picture, support=[(picture, disk)], short_side=None)
    two = predictor.segment_image(picture, support=[(picture, disk), (small, small_disk)], short_side=None)
    assert one.mask.shape == two.mask.shape == (48, 64)
    assert one.score != two.score


def test_no_resizing_equals_resizing_to_the_own_size(predictor: Predictor, picture: np.ndarray) -> None:
    a = predictor.segment_image(picture, "dog", short_side=None)
    b = predictor.segment_image(picture, "dog", short_side=48)
    assert a.score == b.score
    assert np.array_equal(a.mask, b.mask)


def test_video_by_masks(predictor: Predictor, disk: np.ndarray) -> None:
    late = np.zeros_like(disk)
    late[5:15, 5:15] = True
    given = {0: {10: disk, 2: np.roll(disk, 9, 1) & ~disk}, 2: {7: late}}
    results = list(predictor.segment_video(clip(), masks=given, score_threshold=0.0, short_side=None))
    assert [r.index for r in results] == [0, 1, 2, 3]
    assert [sorted(r.masks) for r in results] == [[2, 10], [2, 10], [2, 7, 10], [2, 7, 10]]
    for result in results:
        assert result.labels.dtype == np.uint8
        for number, mask in result.masks.items():
            assert np.array_equal(mask, result.labels == number)
            assert 0 <= result.scores[number] <= 1
    assert np.array_equal(results[0].masks[10], disk)
    assert np.array_equal(results[2].masks[7], late)


def test_objects_do_not_influence_each_other_before_merging(predictor: Predictor, disk: np.ndarray) -> None:
    other = np.roll(disk, 25, 1) & ~disk
    both = predictor.segment_video(clip(), masks={0: {1: disk, 2: other}}, short_side=None)
    alone = predictor.segment_video(clip(), masks={0: {1: disk}}, short_side=None)
    next(both)
    next(alone)
    assert next(both).scores[1] == pytest.approx(next(alone).scores[1], abs=1e-4)


def test_video_by_text_with_and_without_propagation(predictor: Predictor) -> None:
    kept = list(predictor.segment_video(clip(), text="dog", score_threshold=0.0, short_side=None))
    single = list(predictor.segment_video(clip(), text=["dog", "cat"], propagate=False, short_side=None))
    assert kept[0].scores[1] == pytest.approx(single[0].scores[1], abs=1e-5)
    for result in single:
        assert set(result.masks) == {1, 2}
        assert not (result.masks[1] & result.masks[2]).any()


def test_a_propagated_text_is_independent_of_other_objects(predictor: Predictor, disk: np.ndarray) -> None:
    alone = list(predictor.segment_video(clip(), text="dog", score_threshold=0.0, short_side=None))
    mixed = list(
        predictor.segment_video(clip(), text="dog", masks={1: {1: disk}}, score_threshold=0.0, short_side=None)
    )
    for a, b in zip(alone, mixed, strict=True):
        assert a.scores[1] == pytest.approx(b.scores[2], abs=1e-4)  # the mask keeps its id, the text gets the next
        assert (a.masks[1] == b.masks[2]).mean() > 0.99


def test_threshold_hides_unlikely_objects(predictor: Predictor, disk: np.ndarray) -> None:
    results = list(predictor.segment_video(clip(), masks={0: {1: disk}}, score_threshold=1.0, short_side=None))
    assert results[0].masks[1].any()  # given
    assert not any(r.masks[1].any() for r in results[1:])
    texts = list(predictor.segment_video(clip(), text="dog", score_threshold=1.0, short_side=None))
    assert not any(r.masks[1].any() for r in texts)


def test_frames_are_consumed_lazily(predictor: Predictor) -> None:
    taken = []

    def frames() -> Iterator[np.ndarray]:
        for i, frame in enumerate(clip(10)):
            taken.append(i)
            yield frame

    stream = predictor.segment_video(frames(), text="dog", short_side=None)
    assert taken == []
    next(stream)
    assert taken == [0]


def test_frames_before_the_first_mask_cost_nothing(
    predictor: Predictor, disk: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(UniRef, "encode_image", lambda *a, _real=UniRef.encode_image: (seen.append(1), _real(*a))[1])
    results = list(predictor.segment_video(clip(), masks={3: {1: disk}}, short_side=None))
    assert [len(r.masks) for r in results] == [0, 0, 0, 1]
    assert len(seen) == 1


def test_the_backbone_runs_once_a_frame_for_all_objects(
    predictor: Predictor, disk: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(UniRef, "encode_image", lambda *a, _real=UniRef.encode_image: (seen.append(1), _real(*a))[1])
    list(predictor.segment_video(clip(3), text=["dog", "cat"], masks={0: {5: disk, 6: ~disk}}, short_side=None))
    assert len(seen) == 3


def test_nothing_grows_with_the_video(predictor: Predictor, disk: np.ndarray) -> None:
    tracker = predictor.track({2: "dog"}, score_threshold=0.0, short_side=None)

    def held() -> int:
        total = 0
        for known in tracker._objects.values():
            for reference in (known.static, known.first, known.previous):
                total += sum(t.keys.numel() + t.values.numel() for t in reference or ())
        return total

    sizes = []
    for i, frame in enumerate(clip(8)):
        tracker.step(frame, {1: disk} if i == 0 else None)
        sizes.append(held())
    assert len(set(sizes[2:])) == 1


def test_frames_may_change_their_size(predictor: Predictor, disk: np.ndarray) -> None:
    frames = list(clip(2)) + [np.ascontiguousarray(f[:40, :56]) for f in clip(2)]
    results = list(predictor.segment_video(frames, masks={0: {1: disk}, 1: {2: disk}}, short_side=None))
    assert results[3].labels.shape == (40, 56)


def test_a_checkpoint_without_mask_encoder_follows_texts_frame_by_frame(checkpoint: Path) -> None:
    loaded = load_checkpoint(checkpoint)
    loaded.model.mask_encoder = None
    predictor = Predictor(Checkpoint(loaded.model, loaded.tokenizer, loaded.config), device="cpu")
    assert len(list(predictor.segment_video(clip(3), text="dog", score_threshold=0.0, short_side=None))) == 3
    with pytest.raises(UsageError, match="no mask encoder"):
        list(predictor.segment_video(clip(1), masks={0: {1: np.ones((48, 64), bool)}}, short_side=None))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_stays_close(
    checkpoint: Path, predictor: Predictor, picture: np.ndarray, precision: str
) -> None:
    exact = predictor.segment_image(picture, "the red car", short_side=None)
    rough = Predictor.from_pretrained(checkpoint, "cpu", precision).segment_image(
        picture, "the red car", short_side=None
    )
    assert rough.score == pytest.approx(exact.score, abs=0.05)


def test_masks_after_the_end_are_told(predictor: Predictor, disk: np.ndarray) -> None:
    with pytest.warns(UserWarning, match=r"\[9\].*ended after 2 frames"):
        list(predictor.segment_video(clip(2), text="dog", masks={9: {4: disk}}, short_side=None))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either a text or support"),
        ({"text": "a", "support": []}, "either a text or support"),
        ({"support": []}, "empty"),
        ({"text": ""}, "no words"),
        ({"text": "dog", "short_side": 0}, "short_side"),
        ({"text": "dog", "long_side": -3}, "long_side"),
    ],
)
def test_impossible_image_requests(predictor: Predictor, picture: np.ndarray, arguments, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        predictor.segment_image(picture, **arguments)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), 3],
)
def test_wrong_arrays_are_told(predictor: Predictor, image) -> None:
    with pytest.raises(UsageError, match="image"):
        predictor.segment_image(image, text="dog")
    with pytest.raises(UsageError, match="image"):
        list(predictor.segment_video([image], text="dog"))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({0: {0: np.ones((48, 64))}}, "object id 0"),
        ({0: {256: np.ones((48, 64))}}, "object id 256"),
        ({0: {1: np.ones((4, 64))}}, "64 x 4 pixels, but its image is 64 x 48"),
        ({0: {1: np.zeros((48, 64))}}, "is empty"),
        ({0: {1: np.ones((48, 64, 3))}}, "expected a mask"),
        ({}, "at least one text, mask, box or point"),
    ],
)
def test_impossible_masks(predictor: Predictor, masks, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(predictor.segment_video(clip(1), masks=masks))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"device": "tpu9"}, "tpu9"), ({"device": "cuda:77"}, "cuda:77"), ({"dtype": "int8"}, "int8")],
)
def test_unusable_devices_and_precisions(checkpoint: Path, options: dict[str, str], message: str) -> None:
    with pytest.raises(UniRefError, match=message):
        Predictor.from_pretrained(checkpoint, **options)


def test_an_object_below_the_threshold_is_not_present(predictor: Predictor, picture: np.ndarray) -> None:
    assert predictor.score_threshold is None
    found = predictor.segment_image(picture, "dog", short_side=None)
    for threshold, present in ((found.score, False), (found.score * 0.999, True)):
        result = predictor.segment_image(picture, "dog", short_side=None, score_threshold=threshold)
        assert result.present is present
        assert result.score == found.score
        assert np.array_equal(result.mask, found.mask if present else np.zeros_like(found.mask))


def test_a_text_starts_above_one_threshold_and_goes_on_above_another(predictor: Predictor) -> None:
    def presence(**options: float) -> list[bool]:
        results = predictor.segment_video(clip(), "dog", short_side=None, **options)
        return [bool(result.masks[1].any()) for result in results]

    first = next(predictor.segment_video(clip(), "dog", short_side=None, score_threshold=0)).scores[1]
    assert presence(score_threshold=1.0, start_threshold=first) == [False] * 4
    assert presence(score_threshold=1.0, start_threshold=first * 0.99)[:2] == [True, False]
    assert presence(score_threshold=0.0, start_threshold=first * 0.99) == [True] * 4
    # without propagation every frame is searched anew
    assert presence(score_threshold=0.0, start_threshold=1.0, propagate=False) == [False] * 4
