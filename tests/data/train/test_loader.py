"""From an index on disk to the batches that a step trains on."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data import toy
from uniref.core.batch import Batch
from uniref.core.boxes import cxcywh_to_xyxy
from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.data.index import Index, IndexWriter
from uniref.data.train.loader import LoadingStoppedError, TrainLoader, _Receiver
from uniref.model.text import TextTokenizer
from uniref.recipe.data import AugmentConfig, DataConfig, SourceConfig

SMALL = AugmentConfig(short_sides=(64, 80), max_long_side=120, crop_short_sides=(60, 70), crop_sides=(50, 60))
Make = Callable[..., TrainLoader]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of data set."""
    root = tmp_path_factory.mktemp("data")
    toy.images(root, Task.DETECTION, toy.scenes(12, portrait=5), "det")
    toy.images(root, Task.DETECTION, toy.scenes(6), "boxes", masks=False)
    toy.images(root, Task.RIS, toy.scenes(10, portrait=4), "ris")
    toy.images(root, Task.FSS, toy.scenes(9), "fss")
    toy.clips(root, Task.VOS, 4, "vos", blue_frames=[1, 2])
    toy.clips(root, Task.RVOS, 4, "rvos")
    toy.clips(root, Task.RVOS, 3, "film", as_file=True)
    return root


@pytest.fixture
def make(root: Path, tokenizer: TextTokenizer) -> Make:
    def make(*sources: dict[str, Any], data: dict[str, Any] | None = None, **options: Any) -> TrainLoader:
        config = DataConfig(
            sources=tuple(SourceConfig(**{"index": "det/train"} | each) for each in sources or ({},)),
            **{"augment": SMALL, "workers": 0, "clip_range": 3} | (data or {}),
        )
        settings = {
            "seed": 1,
            "micro_batches_per_step": 2,
            "micro_batch_size": 2,
            "end_step": 4,
            "tokenizer": tokenizer,
        } | options
        return TrainLoader(config, settings.pop("root", root), **settings)

    return make


MIX: list[dict[str, Any]] = [
    {"index": "det/train"},
    {"index": "det/train", "task": "vos"},
    {"index": "boxes/train", "categories": True},
    {"index": "ris/train"},
    {"index": "ris/train", "task": "rvos"},
    {"index": "fss/train", "shots": 2},
    {"index": "vos/train"},
    {"index": "rvos/train", "text_only": 0.5},
    {"index": "film/train", "text_only": 0},
]


def flat(steps: Iterable[list[Batch]]) -> list[Batch]:
    return list(chain.from_iterable(steps))


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from tensors(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))


def same(first: Batch, second: Batch) -> bool:
    pairs = list(zip(tensors(first), tensors(second), strict=True))
    return first.ids == second.ids and first.task == second.task and all(torch.equal(a, b) for a, b in pairs)


def check_targets(batch: Batch, masks: bool = True) -> None:
    """What batch.py promises, and that boxes are the masks' tight boxes."""
    size = batch.images.shape[-2:]
    assert not any(side % 32 for side in size)
    assert batch.padding.shape == (len(batch), *size)
    assert not batch.images.masked_select(batch.padding[:, None]).any()
    assert len(batch.targets) == len(batch.ids) == len(batch)
    for target, padding in zip(batch.targets, batch.padding, strict=True):
        height, width = int((~padding).any(1).sum()), int((~padding).any(0).sum())
        assert not padding[:height, :width].any()
        assert target.boxes.shape == (len(target.classes), 4)
        assert len(target.boxes) > 0
        assert target.boxes.min() >= 0 and target.boxes.max() <= 1
        if not masks:
            assert target.masks is None
            continue
        assert target.masks is not None and target.masks.shape == (len(target.boxes), *size)
        assert not (target.masks & padding).any()
        corners = (cxcywh_to_xyxy(target.boxes) * torch.tensor([width, height, width, height])).round().int()
        for mask, (x0, y0, x1, y1) in zip(target.masks, corners.tolist(), strict=True):
            assert mask.any()
            assert mask[y0:y1, x0:x1].sum() == mask.sum()
            assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()


def reddest(image: Tensor) -> Tensor:
    """Where a normalised image [3, H, W] shows the red object."""
    return (image[0] - image[2]) > 1.5


def agreement(mask: Tensor, region: Tensor) -> float:
    return float((mask & region).sum() / (mask | region).sum())


def test_detection(make: Make) -> None:
    for batch in flat(make({})):
        assert batch.task is Task.DETECTION and batch.text is None and batch.references is None
        check_targets(batch)
        for image, target in zip(batch.images, batch.targets, strict=True):
            assert not target.classes.any()
            blue = (image[2] - image[0]) > 1.5
            for mask in target.masks:
                assert max(agreement(mask, reddest(image)), agreement(mask, blue)) > 0.8


def test_boxes_with_categories(make: Make) -> None:
    classes = set()
    for batch in flat(make({"index": "boxes/train", "categories": True})):
        check_targets(batch, masks=False)
        classes |= {int(each) for target in batch.targets for each in target.classes}
    assert classes == {0, 1}


@pytest.mark.parametrize("task", ["ris", "rvos"])
def test_words_stay_true_of_the_picture(make: Make, tokenizer: TextTokenizer, task: str) -> None:
    """The red object is on the side that the text says, flipped or not; "bright" is left alone."""
    ids = {word: tokenizer([word])[0][0, 1].item() for word in ("left", "right", "bright")}
    sides, bright = [], 0
    uncropped = {"augment": SMALL.model_copy(update={"crop": 0.0})}
    for batch in flat(make({"index": "ris/train", "task": task}, data=uncropped, end_step=12)):
        assert batch.references is None and batch.text is not None
        check_targets(batch)
        for image, target, padding, tokens in zip(
            batch.images, batch.targets, batch.padding, batch.text.ids, strict=True
        ):
            assert agreement(target.masks[0], reddest(image)) > 0.8
            says_left, says_right = (ids[word] in tokens for word in ("left", "right"))
            assert says_left != says_right
            assert says_left == (target.boxes[0, 0] < 0.5)
            sides.append(says_left)
            bright += ids["bright"] in tokens
            assert not padding[0, 0]
    assert {True, False} == set(sides)
    assert bright


def test_few_shot_supports_show_the_class(make: Make, root: Path) -> None:
    for batch in flat(make({"index": "fss/train", "shots": 2})):
        assert batch.task is Task.FSS and batch.text is None and batch.references is not None
        check_targets(batch)
        images, masks = batch.references.images, batch.references.masks
        assert images.shape[:2] == masks.shape[:2] == batch.references.padding.shape[:2] == (2, 2)
        assert not any(side % 32 for side in images.shape[-2:])
        assert not (masks & batch.references.padding).any()
        for image, mask in zip(images.flatten(0, 1), masks.flatten(0, 1), strict=True):
            assert agreement(mask, reddest(image)) > 0.8


def test_a_query_is_not_its_own_support(make: Make) -> None:
    still = SMALL.model_copy(update={"crop": 0.0, "flip": 0.0, "short_sides": (48,)})
    for batch in flat(make({"index": "fss/train", "shots": 2}, data={"augment": still})):
        assert batch.references is not None
        for query, supports in zip(batch.images, batch.references.images, strict=True):
            shown = [query, *supports]
            assert not any(torch.equal(a, b) for a, b in combinations(shown, 2))


def test_clips_follow_one_object_of_both_frames(make: Make) -> None:
    colours = set()
    for batch in flat(make({"index": "vos/train"}, end_step=16)):
        assert batch.task is Task.VOS and batch.text is None and batch.references is not None
        check_targets(batch)
        assert batch.references.images.shape[:2] == (2, 1)
        for image, target, earlier, mask in zip(
            batch.images, batch.targets, batch.references.images[:, 0], batch.references.masks[:, 0], strict=True
        ):
            assert len(target.boxes) == 1
            red = agreement(target.masks[0], reddest(image)) > 0.7
            assert red == (agreement(mask, reddest(earlier)) > 0.7)
            colours.add(red)
    assert colours == {True, False}


def test_still_images_become_clips(make: Make) -> None:
    different = 0
    for batch in flat(make({"task": "vos"})):
        assert batch.task is Task.VOS and batch.references is not None
        check_targets(batch)
        for image, other in zip(batch.images, batch.references.images[:, 0], strict=True):
            different += image.shape != other.shape or not torch.equal(image, other)
    assert different > 4


@pytest.mark.parametrize("index", ["rvos/train", "film/train"])
def test_referring_clips(make: Make, index: str) -> None:
    text_only = {True: 0, False: 0}
    for batch in flat(make({"index": index, "text_only": 0.5}, end_step=8)):
        assert batch.task is Task.RVOS and batch.text is not None
        assert batch.text.ids.shape == batch.text.valid.shape and len(batch.text.ids) == 2
        check_targets(batch)
        text_only[batch.references is None] += 1
        for image, target in zip(batch.images, batch.targets, strict=True):
            assert agreement(target.masks[0], reddest(image)) > 0.7
    assert min(text_only.values()) >= 3


def test_text_only_defaults(make: Make) -> None:
    loader = make({"index": "rvos/train"}, {"index": "ris/train", "task": "rvos"})
    assert [source.text_only for source in loader.sources] == [0.4, 1.0]
    assert [source.share for source in loader.sources] == [0.5, 0.5]


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_do_not_matter(make: Make, workers: int) -> None:
    alone = flat(make(*MIX, end_step=5))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    several = flat(make(*MIX, end_step=5, data={"workers": workers}))
    assert torch.equal(before, torch.get_rng_state())  # the model's random numbers are its own
    assert len(alone) == len(several) == 10
    assert len({batch.task for batch in alone}) >= 4
    assert all(same(a, b) for a, b in zip(alone, several, strict=True))


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_and_accumulation_see_the_same_global_batch(make: Make, world_size: int) -> None:
    options = {"micro_batches_per_step": 4, "end_step": 3}
    whole = list(make(*MIX, **options))
    ranks = [list(make(*MIX, **options, rank=rank, world_size=world_size)) for rank in range(world_size)]
    for step, batches in enumerate(whole):
        dealt = [rank[step][micro] for micro in range(4 // world_size) for rank in ranks]
        assert all(same(a, b) for a, b in zip(batches, dealt, strict=True))


def test_resuming_is_setting_the_step(make: Make) -> None:
    whole = list(make(*MIX, end_step=6))
    loader = make(*MIX, start_step=3, end_step=6)
    resumed = list(loader)
    assert loader.step == 6
    assert all(same(a, b) for a, b in zip(flat(whole[3:]), flat(resumed), strict=True))


def test_iterating_again_continues(make: Make) -> None:
    whole = list(make(*MIX, end_step=4))
    loader = make(*MIX, end_step=4, data={"workers": 1})
    for batches in loader:
        assert all(same(a, b) for a, b in zip(whole[loader.step - 1], batches, strict=True))
        if loader.step == 2:
            break
    rest = list(loader)
    assert len(rest) == 2
    assert all(same(a, b) for a, b in zip(flat(whole[2:]), flat(rest), strict=True))


def test_an_unreadable_sample_is_replaced_and_told(tmp_path: Path, make: Make) -> None:
    toy.images(tmp_path, Task.RIS, toy.scenes(8), "ris")
    (tmp_path / "media/ris/3.png").write_bytes(b"no picture")
    (tmp_path / "media/ris/5.png").unlink()
    told: dict[int, list[str]] = {}
    batches: dict[int, list[Batch]] = {}
    for workers in (0, 2):
        told[workers] = []
        loader = make(
            {"index": "ris/train"},
            data={"workers": workers},
            root=tmp_path,
            micro_batches_per_step=4,
            end_step=3,
            on_skip=told[workers].append,
        )
        batches[workers] = flat(loader)
        assert loader.skipped == len(told[workers])
        assert all(len(batch) == 2 for batch in batches[workers])
        assert not {"ris/train:3", "ris/train:5"} & {name for batch in batches[workers] for name in batch.ids}
    assert told[0] == told[2]
    assert {line.split(": ")[0] for line in told[0]} == {"ris/train:3", "ris/train:5"}
    assert any("3.png: is not an image" in line for line in told[0])
    assert any("5.png: no such file" in line for line in told[0])
    assert all(same(a, b) for a, b in zip(batches[0], batches[2], strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_readable_is_an_error(tmp_path: Path, make: Make, workers: int) -> None:
    toy.clips(tmp_path, Task.VOS, 3, "vos", as_file=True)
    for file in (tmp_path / "media/vos").iterdir():
        file.write_bytes(file.read_bytes()[:40])
    loader = make({"index": "vos/train"}, root=tmp_path, data={"workers": workers})
    with pytest.raises(UniRefError, match=r"^vos/train: none of the last samples drawn can be used: .*mp4: is not a"):
        next(iter(loader))
    assert loader.skipped == 16


FORGOTTEN = """
import sys
import time
from pathlib import Path
from uniref.data.train.loader import LoadingStoppedError, TrainLoader
from uniref.recipe.data import DataConfig, SourceConfig

config = DataConfig(sources=(SourceConfig(index="det/train"),), workers=1)
loader = TrainLoader(config, Path(sys.argv[1]), seed=0, micro_batches_per_step=1, micro_batch_size=1)
steps = iter(loader)
next(steps)
sys.forgotten = loader._running
raise SystemExit(7)
"""


@pytest.mark.slow
def test_a_loader_that_is_never_closed_does_not_keep_its_process(root: Path) -> None:
    """Workers ignore the signal by which Python ends them."""
    done = subprocess.run([sys.executable, "-c", FORGOTTEN, str(root)], check=False, timeout=120)
    assert done.returncode == 7


WITH_A_CHILD_OF_ITS_OWN = """
import multiprocessing, signal, sys, time
from pathlib import Path

def own(told):
    def end(*_):
        told.write_text("ended by Python, with time to tidy up")
        raise SystemExit
    signal.signal(signal.SIGTERM, end)
    told.with_suffix(".ready").touch()
    while True:
        time.sleep(0.05)

if __name__ == "__main__":
    told = Path(sys.argv[2])
    child = multiprocessing.get_context("spawn").Process(target=own, args=(told,), daemon=True)
    child.start()
    while not told.with_suffix(".ready").exists():
        time.sleep(0.05)
    from uniref.data.train.loader import LoadingStoppedError, TrainLoader
    from uniref.recipe.data import DataConfig, SourceConfig

    config = DataConfig(sources=(SourceConfig(index="det/train"),), workers=1)
    loader = TrainLoader(config, Path(sys.argv[1]), seed=0, micro_batches_per_step=1, micro_batch_size=1)
    next(iter(loader))
    sys.forgotten = loader._running
    raise SystemExit(7)
"""


@pytest.mark.slow
def test_a_program_that_uses_the_loader_keeps_its_own_processes(root: Path, tmp_path: Path) -> None:
    """At exit the loader ends its own workers alone: another daemonic child gets Python's SIGTERM, not a kill."""
    script, told = tmp_path / "program.py", tmp_path / "told"
    script.write_text(WITH_A_CHILD_OF_ITS_OWN)
    done = subprocess.run([sys.executable, str(script), str(root), str(told)], check=False, timeout=120)
    assert done.returncode == 7
    assert told.read_text() == "ended by Python, with time to tidy up"


@pytest.mark.slow
def test_a_picture_of_another_size_than_indexed_is_skipped(tmp_path: Path, make: Make) -> None:
    toy.images(tmp_path, Task.RIS, toy.scenes(4), "ris")
    wrong = toy.Scene((30, 30), True, 0).image
    toy.Image.fromarray(wrong).save(tmp_path / "media/ris/1.png")
    told: list[str] = []
    list(make({"index": "ris/train"}, root=tmp_path, on_skip=told.append))
    assert told and all("1.png: frame 0 is 30 x 30, the index says 64 x 48" in line for line in told)


def test_what_was_looked_for_is_named(tmp_path: Path, make: Make) -> None:
    with pytest.raises(UniRefError, match=r"index/nowhere/train: is not an index"):
        make({"index": "nowhere/train"})
    with IndexWriter(
        tmp_path / "index/empty/train", dataset="empty", split="train", task=Task.RIS, roots={"media": tmp_path}
    ):
        pass
    with pytest.raises(UniRefError, match=r"index/empty/train: holds no samples"):
        make({"index": "empty/train"}, root=tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"index": "det/train", "task": "rvos"}, r"det/train: is prepared for detection and cannot serve rvos"),
        ({"index": "boxes/train", "task": "vos"}, r"boxes/train: has boxes but no masks, which vos needs"),
        ({"index": "vos/train", "categories": True}, r"vos/train: its index has no categories"),
    ],
)
def test_a_source_that_does_not_fit_its_task(make: Make, source: dict[str, Any], message: str) -> None:
    with pytest.raises(UniRefError, match=message):
        make(source)


def test_text_without_a_tokenizer(make: Make) -> None:
    with pytest.raises(UsageError, match=r"ris/train: has expressions, but the model has no text encoder"):
        make({"index": "ris/train"}, tokenizer=None)


def test_a_step_that_cannot_be_shared(make: Make) -> None:
    with pytest.raises(UsageError, match="cannot be shared by 3 processes"):
        make(rank=0, world_size=3)


def test_an_object_lost_to_a_crop_is_drawn_again(tmp_path: Path, make: Make) -> None:
    toy.images(tmp_path, Task.RIS, toy.scenes(6, scale=4), "ris")
    tight = SMALL.model_copy(update={"crop": 1.0, "crop_short_sides": (190,), "crop_sides": (90, 120)})
    loader = make({"index": "ris/train"}, root=tmp_path, data={"augment": tight})
    for batch in flat(loader):
        check_targets(batch)
    assert loader.redrawn > 0
    assert loader.skipped == 0


@pytest.mark.parametrize("task", ["ris", "rvos"])
def test_ordinals_forbid_the_crop(tmp_path: Path, make: Make, task: str) -> None:
    """The picture keeps its shape where the text counts objects out."""
    folder = tmp_path / "media"
    folder.mkdir()
    scene = toy.Scene((48, 96), True, 0)
    toy.Image.fromarray(scene.image).save(folder / "a.png")
    with IndexWriter(
        tmp_path / "index/count/train", dataset="count", split="train", task=Task.RIS, roots={"media": folder}
    ) as w:
        w.add_media(name="a", kind="image", root="media", path="a.png", width=96, height=48)
        row = w.add_object(source_id=1)
        toy.annotate(w, 0, scene.masks["red"])
        w.add_sample(objects=[row], expressions=[w.add_expression("2nd thing", source_id="0")])
    crop = SMALL.model_copy(update={"crop": 1.0, "short_sides": (48,)})
    for batch in flat(make({"index": "count/train", "task": task}, root=tmp_path, data={"augment": crop})):
        assert batch.images.shape[-2:] == (64, 96)
        assert (~batch.padding).sum().item() == 2 * 48 * 96


def test_class_aware_sampling_favours_rare_classes(tmp_path: Path, make: Make) -> None:
    """Image weight = sum over its classes of 1 / images with that class: 1/4 for the common class, 1 for the rare."""
    folder = tmp_path / "media"
    folder.mkdir()
    with IndexWriter(
        tmp_path / "index/o/train",
        dataset="o",
        split="train",
        task=Task.DETECTION,
        roots={"media": folder},
        categories={1: "common", 2: "rare"},
    ) as w:
        for number, categories in enumerate([[1], [1, 1], [1], [1], [2]]):
            w.add_media(name=str(number), kind="image", root="media", path=f"{number}.png", width=9, height=9)
            boxes = np.array([[1, 1, 5, 5]] * len(categories), np.float32)
            rows = w.add_boxes(np.array(categories, np.int32), boxes, np.arange(len(categories)))
            w.add_sample(objects=rows)
    loader = make({"index": "o/train", "class_aware": True}, root=tmp_path)
    rows = [row for micro_batch in map(loader.sampler.micro_batch, range(1000)) for row in micro_batch.rows]
    np.testing.assert_allclose(np.bincount(rows, minlength=5) / 2000, [0.125] * 4 + [0.5], atol=0.04)


def test_a_union_of_objects_is_one_target(tmp_path: Path, make: Make) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    scene = toy.Scene(toy.LANDSCAPE, True, 0)
    toy.Image.fromarray(scene.image).save(folder / "a.png")
    with IndexWriter(
        tmp_path / "index/both/train", dataset="both", split="train", task=Task.RVOS, roots={"media": folder}
    ) as w:
        w.add_media(name="a", kind="image", root="media", path="a.png", width=64, height=48)
        rows = []
        for mask in scene.masks.values():
            rows.append(w.add_object(source_id=1))
            toy.annotate(w, 0, mask)
        w.add_sample(objects=rows, expressions=[w.add_expression("both things", source_id="0")])
    still = SMALL.model_copy(update={"crop": 0.0, "short_sides": (48,), "flip": 0.0})
    batch = next(iter(make({"index": "both/train"}, root=tmp_path, data={"augment": still})))[0]
    both = scene.masks["red"] | scene.masks["blue"]
    np.testing.assert_array_equal(batch.targets[0].masks[0, :48, :64].numpy(), both)


@pytest.mark.skipif(multiprocessing.get_start_method() != "fork", reason="the worker has to see the broken function")
def test_shared_memory_that_is_full_ends_the_training(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Batch) -> None:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(Batch, "share_memory", full)
    with pytest.raises(UniRefError, match=r"of shared memory in /dev/shm\?\); set fewer `data.workers`"):
        flat(make({"index": "det/train"}, data={"workers": 1}))


def test_batches_of_workers_are_in_shared_memory(make: Make) -> None:
    assert all(tensor.is_shared() for batch in flat(make(data={"workers": 1})) for tensor in tensors(batch))


def _workers() -> list[int]:
    return [process.pid for process in multiprocessing.active_children() if process.pid is not None]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that is waited for")
def test_a_stuck_worker_ends_the_wait_or_a_request_to_stop_does(make: Make, root: Path, tmp_path: Path) -> None:
    """Every image is a pipe that nobody writes to: the worker waits in the middle of opening a file."""
    shutil.copytree(root, tmp_path / "data")
    for image in [*(tmp_path / "data").rglob("*.jpg"), *(tmp_path / "data").rglob("*.png")]:
        image.unlink()
        os.mkfifo(image)
    for options, error in (
        ({"patience": 3.0}, pytest.raises(UniRefError, match="no data loader worker delivered a batch for 3 seconds")),
        ({"stop_requested": lambda: True}, pytest.raises(LoadingStoppedError)),
    ):
        loader = make({"index": "det/train"}, data={"workers": 1}, root=tmp_path / "data", **options)
        with error:
            next(iter(loader))
        for worker in _workers():
            os.kill(worker, signal.SIGKILL)
        loader.close()


@pytest.mark.slow
def test_a_killed_worker_is_noticed_at_the_next_wait(make: Make) -> None:
    """Not by an exception in whatever the program does at that moment."""
    loader = make({"index": "det/train"}, data={"workers": 1, "prefetch": 1})
    steps = iter(loader)
    next(steps)
    for worker in _workers():
        os.kill(worker, signal.SIGKILL)
    time.sleep(1)
    with pytest.raises(UniRefError, match="a data loader worker died"):
        for _ in range(10):
            next(steps)


def test_expressions_without_a_target_are_left_out(tmp_path: Path, make: Make) -> None:
    toy.images(tmp_path, Task.RIS, toy.scenes(8), "ris")
    folder = tmp_path / "index/some/train"
    source = Index.open(tmp_path / "index/ris/train")
    with IndexWriter(
        folder, dataset="some", split="train", task=Task.RIS, roots={"media": tmp_path / "media/ris"}
    ) as writer:
        for sample in source:
            media, track = source.media(sample.media), source.annotations(sample.objects[0])
            size = {"width": media.width, "height": media.height}
            writer.add_media(name=media.name, kind="image", root="media", path=f"{media.name}.png", **size)
            objects = []
            if sample.row % 2:
                objects = [writer.add_object(source_id=1)]
                writer.add_annotation(0, track.boxes[0], track.counts[0], track.areas[0])
            text = writer.add_expression("the red thing", source_id=media.name)
            writer.add_sample(objects=objects, expressions=[text], no_target=not objects)
    loader = make({"index": "some/train"}, root=tmp_path, end_step=8)
    assert (len(loader.sources[0]), loader.sources[0].without_target) == (4, 4)
    batches = flat(loader)
    assert {int(name.rpartition(":")[2]) % 2 for batch in batches for name in batch.ids} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_stopped_worker_ends_the_wait(make: Make, seed: int) -> None:
    """Stopped at any moment, also while it hands a batch over, where receiving has no time limit of its own."""
    asked = []
    loader = make(
        data={"workers": 1, "prefetch": 1}, seed=seed, end_step=10_000, patience=4.0, stop_requested=lambda: bool(asked)
    )
    steps = iter(loader)
    next(steps)
    [worker] = multiprocessing.active_children()
    time.sleep(0.005 * seed)
    os.kill(int(worker.pid or 0), signal.SIGSTOP)
    began = time.monotonic()
    if seed == 2:
        asked.append(1)
    with pytest.raises((UniRefError, LoadingStoppedError), match=None if asked else "delivered a batch for 4 seconds"):
        for _ in steps:
            assert time.monotonic() < began + 30
    assert time.monotonic() < began + 30
    assert not worker.is_alive()


def test_a_worker_that_cannot_be_killed_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk hangs inside the kernel: the run ends nevertheless, and saves its state."""
    monkeypatch.setattr("uniref.data.train.loader._LEFT_BEHIND", 0.1)
    monkeypatch.setattr("uniref.data.train.loader._GRACE", 0.1)
    never = threading.Event()
    receiver = _Receiver(iter(never.wait, True))  # type: ignore[arg-type]  # waits for a batch for ever
    assert receiver.get(0.05) is None
    receiver.end()
    never.set()
