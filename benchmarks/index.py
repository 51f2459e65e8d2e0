"""The data index at Objects365's scale: `python -m benchmarks.index [--images 1800000] [--keep FOLDER]`.

Writes 1.8 million images with 15 boxes each through the ordinary writer, then measures in fresh processes: seconds and
resident memory to open it, microseconds per random sample, and the memory that each of eight readers adds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

_BOXES = 15
_SAMPLES = 20_000


def write(folder: Path, images: int) -> float:
    """Write the index; returns seconds."""
    from uniref.core.tasks import Task
    from uniref.data.index import IndexWriter

    start = time.perf_counter()
    generator = np.random.default_rng(0)
    roots = {"boxes": Path(folder)}
    with IndexWriter(folder, dataset="synthetic", split="train", task=Task.DETECTION, roots=roots) as writer:
        for image in range(images):
            corner = generator.random((_BOXES, 2), np.float32) * 300
            boxes = np.concatenate([corner, corner + 50], axis=1)
            writer.add_media(
                name=f"objects365_v2_{image:08d}",
                kind="image",
                root="boxes",
                path=f"patch{image % 51}/objects365_v2_{image:08d}.jpg",
                width=640,
                height=480,
                source_id=image,
            )
            ids = np.arange(image * _BOXES, (image + 1) * _BOXES, dtype=np.int64)
            rows = writer.add_boxes(generator.integers(1, 366, _BOXES, np.int32), boxes, ids)
            writer.add_sample(objects=rows)
    return time.perf_counter() - start


def read(folder: Path, seed: int, answers: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    """Open the index and read random samples; reports times and memory in MB."""
    from uniref.data.index import Index

    start = time.perf_counter()
    index = Index.open(folder)
    opened = time.perf_counter() - start
    resident = resident_memory()
    rows = np.random.default_rng(seed).integers(0, len(index), _SAMPLES)
    start = time.perf_counter()
    for row in rows.tolist():
        sample = index.sample(row)
        index.media(sample.media)
        for obj in sample.objects[:1]:
            index.annotations(obj)
    each = (time.perf_counter() - start) / _SAMPLES
    answers.put((opened, resident, each, resident_memory(), anonymous_memory()))


def resident_memory() -> float:
    """Megabytes of this process that are in main memory, pages of mapped files included."""
    return _memory("Rss")


def anonymous_memory() -> float:
    """Megabytes of this process that are not part of a mapped file: the cost of one more reader."""
    return _memory("Anonymous")


def _memory(name: str) -> float:
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6


def measure(folder: Path, readers: int) -> list[tuple[float, ...]]:
    """The report of each of several simultaneous readers."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=read, args=(folder, seed, answers)) for seed in range(readers)]
    for process in processes:
        process.start()
    reports = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    return reports


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_800_000)
    parser.add_argument("--keep", type=Path, help="folder to write to and keep; read again if it exists")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "index"
        if not folder.exists():
            seconds = write(folder, options.images)
            print(f"written: {options.images:,} images, {options.images * _BOXES:,} boxes in {seconds:.0f} s")
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"on disk: {size / 1e9:.2f} GB")
        ((opened, resident, each, rss, own),) = measure(folder, 1)
        print(f"open: {opened * 1e3:.0f} ms, {resident:.0f} MB resident (Python and its packages included)")
        print(
            f"random sample: {each * 1e6:.0f} us; after {_SAMPLES:,}: {own:.0f} MB, "
            f"and {rss - own:.0f} MB of mapped file"
        )
        many = measure(folder, 8)
        most = max(values[4] for values in many)
        print(f"8 readers at once: {most:.0f} MB each at most beside the mapped file, whose pages they share")


if __name__ == "__main__":
    main()
