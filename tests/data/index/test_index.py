"""Writing and reading the index."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from uniref.core import rle
from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.index import GIVEN, TRUTH, Index, IndexWriter, SourceFile
from uniref.data.index import schema as index_schema


def square(y: int, x: int) -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[y : y + 4, x : x + 6] = True
    return mask


def write(folder: Path, images: Path, videos: int = 3) -> None:
    with IndexWriter(
        folder,
        dataset="toy",
        split="train",
        task=Task.RVOS,
        roots={"frames": images},
        categories={3: "cat"},
        sources=[SourceFile(name="toy.json", size=7)],
        options={"subset": 3},
    ) as w:
        for video in range(videos):
            w.add_media(
                name=f"v{video}",
                kind="frames",
                root="frames",
                path=f"v{video}",
                frames=[f"{5 * t:05d}.jpg" for t in range(4)],
                width=30,
                height=20,
                source_id=video + 10,
                complete=False,
            )
            rows = []
            for number in (1, 2):
                rows.append(
                    w.add_object(source_id=number, category=3, given_frame=number, score_range=(1, 3), seen=True)
                )
                for t in range(number, 4):
                    mask = square(t, number * 8)
                    counts = rle.encode(mask)
                    role = TRUTH | (GIVEN if t == number else 0)
                    w.add_annotation(t, rle.box(counts, 20, 30), counts, float(mask.sum()), role)
            e = w.add_expression(f"the cat {video}, left", source_id=str(video), annotator=1)
            w.add_sample(objects=rows, expressions=[e], category=3, group=2)
        w.drop("empty mask", 2)
        w.notes.append("a note")


def test_everything_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "index/toy/train", tmp_path / "frames")
    index = Index.open(tmp_path / "index/toy/train")
    assert len(index) == 3
    assert index.manifest.counts == {"media": 3, "objects": 6, "annotations": 15, "expressions": 3, "samples": 3}
    assert index.manifest.roots == {"frames": "../../../frames"}
    assert (index.manifest.task, index.manifest.masks, index.manifest.dropped) == (Task.RVOS, 15, {"empty mask": 2})
    assert index.manifest.categories == {3: "cat"}
    sample = index.sample(1)
    assert (sample.id, sample.media, sample.objects, sample.expressions) == ("toy/train:1", 1, (2, 3), (1,))
    assert (sample.category, sample.group) == (3, 2)
    media = index.media(1)
    assert (media.name, media.kind, media.width, media.height, media.length) == ("v1", "frames", 30, 20, 4)
    assert (media.source_id, media.complete, media.objects) == (11, False, range(2, 4))
    assert media.frame_path(2).resolve() == (tmp_path / "frames/v1/00010.jpg").resolve()
    with pytest.raises(IndexError):
        media.frame_path(4)
    thing = index.object(3)
    assert (thing.media, thing.source_id, thing.given_frame, thing.score_range, thing.seen) == (1, 2, 2, (1, 3), True)
    places = index.annotations(3)
    assert places.frames.tolist() == [2, 3]
    assert places.roles.tolist() == [TRUTH | GIVEN, TRUTH]
    assert places.boxes[0].tolist() == [16, 2, 22, 6]
    assert places.at(3) == 1
    assert places.at(0) is None
    np.testing.assert_array_equal(places.mask(1), square(3, 16))
    assert index.expression(1).text == "the cat 1, left"
    assert index.media_sizes().tolist() == [[20, 30]] * 3
    assert index.sample_column("media").tolist() == [0, 1, 2]
    index.verify()


def test_rows_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("writer", "reader"):
        monkeypatch.setattr(f"uniref.data.index.{module}.ROWS", 4)
    with IndexWriter(tmp_path / "i", dataset="d", split="s", task=Task.DETECTION, roots={"r": tmp_path}) as w:
        for image in range(5):
            w.add_media(name=str(image), kind="image", root="r", path=f"{image}.jpg", width=9, height=9)
            boxes = np.arange(12, dtype=np.float32).reshape(3, 4) + image
            rows = w.add_boxes(np.arange(3, dtype=np.int32), boxes, np.arange(3, dtype=np.int64) + 100 * image)
            assert rows == range(3 * image, 3 * image + 3)
            w.add_sample(objects=rows)
    index = Index.open(tmp_path / "i")
    assert index.object_column("source_id").tolist() == [100 * i + j for i in range(5) for j in range(3)]
    for image in range(5):
        for place, row in enumerate(index.sample(image).objects):
            assert index.object(row).category == place
            annotations = index.annotations(row)
            assert annotations.boxes.tolist() == [[4 * place + c + image for c in range(4)]]
            assert annotations.mask(0) is None
            assert annotations.rle(0) is None


def test_an_annotation_range_may_cross_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("writer", "reader"):
        monkeypatch.setattr(f"uniref.data.index.{module}.ROWS", 4)
    write(tmp_path / "i", tmp_path)
    index = Index.open(tmp_path / "i")
    for row in range(6):
        first = 1 + row % 2
        assert index.annotations(row).frames.tolist() == list(range(first, 4))
        np.testing.assert_array_equal(index.annotations(row).mask(0), square(first, 8 * first))


def test_empty_index(tmp_path: Path) -> None:
    with IndexWriter(tmp_path / "i", dataset="d", split="s", task=Task.RIS, roots={}):
        pass
    index = Index.open(tmp_path / "i")
    assert len(index) == 0
    assert index.sample_column("media").tolist() == []
    with pytest.raises(IndexError):
        index.sample(0)


def test_moving_data_together_and_apart(tmp_path: Path) -> None:
    write(tmp_path / "a/index", tmp_path / "a/frames")
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = Index.open(tmp_path / "b/index")
    assert moved.media(0).path.resolve() == (tmp_path / "b/frames/v0").resolve()
    assert Index.open(tmp_path / "b/index", {"frames": Path("/far")}).media(0).path == Path("/far/v0")


def test_the_folder_of_indices_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk/deep").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    (tmp_path / "work/data").symlink_to(tmp_path / "disk/deep")
    (tmp_path / "work/frames/v0").mkdir(parents=True)
    write(tmp_path / "work/data/index", tmp_path / "work/frames")
    assert Index.open(tmp_path / "work/data/index").media(0).path.is_dir()
    assert Index.open(tmp_path / "disk/deep/index").media(0).path.is_dir()
    (tmp_path / "work/data/media").symlink_to(tmp_path / "work/frames")  # a link that moves with the index is kept
    write(tmp_path / "work/data/index", tmp_path / "work/data/media")
    assert Index.open(tmp_path / "work/data/index").manifest.roots == {"frames": "../media"}


def test_failure_leaves_nothing_or_the_old_one(tmp_path: Path) -> None:
    def fail() -> None:
        with IndexWriter(tmp_path / "i", dataset="d", split="s", task=Task.RIS, roots={}):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "i", tmp_path)
    with pytest.raises(RuntimeError):
        fail()
    assert len(Index.open(tmp_path / "i")) == 3


@pytest.mark.parametrize("path", ["/etc/passwd", "../up.jpg", "a\\b.jpg"])
def test_paths_stay_within_their_root(tmp_path: Path, path: str) -> None:
    with (
        pytest.raises(UniRefError, match="relative"),
        IndexWriter(tmp_path / "i", dataset="d", split="s", task=Task.RIS, roots={"r": tmp_path}) as w,
    ):
        w.add_media(name="x", kind="image", root="r", path=path, width=1, height=1)


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(UniRefError, match=r"is not an index .*prepare-data"):
        Index.open(tmp_path)
    write(tmp_path / "i", tmp_path)
    table = tmp_path / "i/objects.arrow"
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UniRefError, match=r"objects\.arrow"):
        Index.open(tmp_path / "i")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    table.write_bytes(bytes(flipped))
    with pytest.raises(UniRefError, match=r"objects\.arrow"):
        Index.open(tmp_path / "i").verify()
    table.write_bytes(whole)
    manifest = tmp_path / "i/manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(UniRefError, match="format 99"):
        Index.open(tmp_path / "i")
    manifest.write_text(text.replace('"task": "rvos"', '"task": "juggling"'))
    with pytest.raises(UniRefError, match="task"):
        Index.open(tmp_path / "i")


def _texts(index: Index) -> list[str]:
    return [index.expression(row).text for row in range(len(index))]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes(tmp_path: Path, method: str) -> None:
    write(tmp_path / "i", tmp_path)
    index = Index.open(tmp_path / "i")
    here = _texts(index)
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_texts, (index,)) == here
    assert _texts(pickle.loads(pickle.dumps(index))) == here  # noqa: S301 - our own


def test_the_format_is_versioned() -> None:
    """Whoever changes a column must raise FORMAT and this number with it; added ones that read as 0 are `ADDED`."""
    columns = {name: index_schema.arrow_schema(name) for name in index_schema.TABLES}
    added = sum(map(len, index_schema.ADDED.values()))
    assert (index_schema.FORMAT, sum(len(c) for c in columns.values()) - added) == (1, 35)


def test_an_index_of_before_a_column_was_added(tmp_path: Path) -> None:
    import pyarrow as pa

    write(tmp_path / "index", tmp_path)
    path = tmp_path / "index/samples.arrow"
    table = pa.ipc.open_file(path).read_all()
    assert table.column_names[-1] == "no_target"
    for names in (table.column_names[:-1], table.column_names[:-2]):
        path.unlink()
        with pa.ipc.new_file(path, table.select(names).schema) as file:
            file.write_table(table.select(names))
        if len(names) == len(table.column_names) - 1:
            index = Index.open(tmp_path / "index")
            assert not any(sample.no_target for sample in index)
            assert index.sample_column("no_target").tolist() == [0, 0, 0]
        else:  # other columns have to be there
            with pytest.raises(UniRefError, match=r"samples\.arrow: does not fit its manifest"):
                Index.open(tmp_path / "index")


def test_pyarrow_is_imported_with_the_first_table(tmp_path: Path) -> None:
    write(tmp_path / "index", tmp_path)
    code = (
        "import sys, uniref.data.index as i; print('pyarrow' in sys.modules); "
        f"i.Index.open({str(tmp_path / 'index')!r}); print('pyarrow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
