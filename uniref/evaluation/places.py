"""Finding a clip's folder among predictions (or truth) that another tool wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from uniref.core.errors import UniRefError
from uniref.core.files import is_folder
from uniref.evaluation.benchmark import Benchmark, Case

_ANNOTATORS = ("valid_", "refdavis-val-", "")
"""How the folders of Ref-DAVIS17's annotators are called."""


def spellings(case: Case) -> Iterator[str]:
    """Folders in which a case's masks may lie, the published one first."""
    yield case.name
    if case.name.startswith("Annotations/"):
        yield case.name.removeprefix("Annotations/")
    published = f"valid_{case.sample.group}/"
    if case.name.startswith(published):
        rest = case.name.removeprefix(published)
        yield from (f"{prefix}{case.sample.group}/{rest}" for prefix in _ANNOTATORS[1:])


def find_folder(case: Case, root: Path) -> Path:
    """The folder of a case's masks below `root`; the published place where there is none."""
    for spelling in spellings(case):
        if is_folder(root / spelling):
            return root / spelling
    return root / case.name


def check_root(benchmark: Benchmark, root: Path) -> None:
    """Raise UniRefError unless at least one case of a clip benchmark has a folder below `root`."""
    if not root.is_dir():
        raise UniRefError(f"{root}: no such folder")
    cases = [case for unit in range(len(benchmark.units)) for case in benchmark.cases(unit)]
    if not any(find_folder(case, root).is_dir() for case in cases):
        raise UniRefError(f"{root}: holds nothing of {benchmark.data}; expected folders such as {root / cases[0].name}")


def strangers(benchmark: Benchmark, root: Path) -> list[str]:
    """Folders and files below `root` that belong to no case; those inside the cases' own folders are not looked at."""
    own = {find_folder(case, root) for unit in range(len(benchmark.units)) for case in benchmark.cases(unit)}
    parents = {parent for folder in own for parent in folder.parents}
    found = []

    def look(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            if path in own:
                continue
            if path in parents and path.is_dir():
                look(path)
            else:
                found.append(path.relative_to(root).as_posix())

    look(root)
    return found
