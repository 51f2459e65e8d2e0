"""Finding a sample's folder among predictions (or truth) that another tool wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.data.index import Sample
from uniref.evaluation.benchmark import Benchmark

_ANNOTATORS = ("valid_", "refdavis-val-", "")
"""How the folders of Ref-DAVIS17's annotators are called."""


def spellings(benchmark: Benchmark, sample: Sample) -> Iterator[str]:
    """Folders in which a sample's masks may lie, the published layout first."""
    folder = benchmark.sample_folder(sample)
    yield folder
    if folder.startswith("Annotations/"):
        yield folder.removeprefix("Annotations/")
    if "{group}" in benchmark.protocol.layout:
        for prefix in _ANNOTATORS:
            yield folder.replace(f"valid_{sample.group}/", f"{prefix}{sample.group}/", 1)


def find_folder(benchmark: Benchmark, sample: Sample, root: Path) -> Path:
    """The folder of a sample's masks below `root`; the published place where there is none."""
    for spelling in spellings(benchmark, sample):
        if (root / spelling).is_dir():
            return root / spelling
    return root / benchmark.sample_folder(sample)


def check_root(benchmark: Benchmark, root: Path) -> None:
    """Raise UniRefError unless at least one sample of a clip benchmark has a folder below `root`."""
    if not root.is_dir():
        raise UniRefError(f"{root}: no such folder")
    samples = [sample for unit in range(len(benchmark.units)) for sample in benchmark.samples(unit)]
    if samples and not any(find_folder(benchmark, sample, root).is_dir() for sample in samples):
        expected = root / benchmark.sample_folder(samples[0])
        raise UniRefError(f"{root}: holds nothing of {benchmark.data}; expected folders such as {expected}")
