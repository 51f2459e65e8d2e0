"""The catalogue of data sets: what the modules of `uniref.data.prepare.datasets` declare, found by their names, and
what other installed packages declare as entry points of the group `uniref.datasets` (a `DataSet` each)."""

from __future__ import annotations

import difflib
import functools
import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points

from uniref.core.errors import UsageError
from uniref.core.files import first_line
from uniref.data.prepare import datasets
from uniref.data.prepare.dataset import DataSet, Option

GROUP = "uniref.datasets"
"""Of entry points."""


@functools.cache
def data_sets() -> dict[str, DataSet]:
    """Every data set by its keyword, in alphabetical order; a user's own (`custom`) comes last.

    Raises:
        ValueError: Two declare one keyword, or different options of one name.
        UsageError: What another package declares cannot be imported, or is not a data set.
    """
    # every module of the folder declares some
    names = sorted(module.name for module in pkgutil.iter_modules(datasets.__path__))
    modules = [importlib.import_module(f"{datasets.__name__}.{name}") for name in names]
    entries = [entry for module in modules for entry in module.DATASETS]
    entries += [_of_package(entry.name, entry.value, entry.load) for entry in entry_points(group=GROUP)]
    entries.sort(key=lambda entry: (entry.is_custom, entry.name))

    # keywords and options are unambiguous
    known: dict[str, Option] = {}
    for entry in entries:
        for option in entry.options:
            if known.setdefault(option.name, option) != option:
                raise ValueError(f"{entry.name}: --{option.name} is declared differently by another data set")
    catalog = {entry.name: entry for entry in entries}
    if len(catalog) < len(entries):
        raise ValueError(f"two data sets have one name: {', '.join(entry.name for entry in entries)}")
    return catalog


def _of_package(name: str, where: str, load: Callable[[], object]) -> DataSet:
    """A data set of another package."""
    try:
        entry = load()
    except Exception as error:  # of code that is not ours
        raise UsageError(f"data set {name} ({where}): {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(entry, DataSet):
        raise UsageError(f"data set {name} ({where}): is not a DataSet, but {type(entry).__name__}")
    return entry


def find_data_set(name: str) -> DataSet:
    """A data set by its keyword. Raises UsageError."""
    if name not in data_sets():
        near = difflib.get_close_matches(name, list(data_sets()), n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"{name}: unknown data set; {meant}there are {', '.join(data_sets())}")
    return data_sets()[name]


def data_set_options() -> dict[Option, list[str]]:
    """Options for single data sets, with the keywords of those that take them."""
    takers: dict[Option, list[str]] = {}
    for entry in data_sets().values():
        for option in entry.options:
            takers.setdefault(option, []).append(entry.name)
    return takers


def other_folders(dataset: str) -> frozenset[str]:
    """Names (lower case) of folders that hold other data sets than this one."""
    own_entry = data_sets()[dataset]
    if own_entry.is_custom:
        return frozenset()  # its folders have any names
    published = [entry for entry in data_sets().values() if not entry.is_custom]
    names = {name for entry in published for name in (entry.group, *entry.folders) if name}
    return frozenset(names - {own_entry.group, *own_entry.folders})
