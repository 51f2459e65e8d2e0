"""The catalogue of data sets: what the modules of `uniref.data.prepare.datasets` declare, found by their names."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from uniref.core.errors import UsageError
from uniref.data.prepare import datasets
from uniref.data.prepare.dataset import DataSet, Option


@functools.cache
def data_sets() -> dict[str, DataSet]:
    """Every data set by its keyword, in alphabetical order; a user's own (`custom`) comes last.

    Raises:
        ValueError: Two declare one keyword, or different options of one name.
    """
    # every module of the folder declares some
    names = sorted(module.name for module in pkgutil.iter_modules(datasets.__path__))
    modules = [importlib.import_module(f"{datasets.__name__}.{name}") for name in names]
    entries = [entry for module in modules for entry in module.DATASETS]
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


def find_data_set(name: str) -> DataSet:
    """A data set by its keyword. Raises UsageError."""
    if name not in data_sets():
        raise UsageError(f"{name}: unknown data set; there are {', '.join(data_sets())}")
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
