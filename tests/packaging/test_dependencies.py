"""Every third-party import is declared in pyproject.toml, and what is declared is imported."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]
SHIPPED = [name for name in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"] if not name.endswith("*")]
OWN = {*SHIPPED, "benchmarks", "examples", "scripts", "tests"}

# import names of packages that need not be installed where the tests run
OPTIONAL_IMPORTS = {"flash_attn": "flash-attn", "faster_coco_eval": "faster-coco-eval", "griffe": "griffelib"}

STANDARD = sys.stdlib_module_names | {"tomllib"}  # since Python 3.11

# PyTorch's builds for CUDA bring it, in the one version that they work with
BROUGHT_BY_TORCH = {"triton"}

# the extras, besides the dependencies, that the files of a folder may import
EXTRAS = {
    "uniref": ("7z", "coco", "flash", "label", "supervision", "wandb"),
    "tests": ("test",),
    "examples": ("test",),
    "scripts": ("docs",),
}

# modules that belong to an extra as a whole; others import them where they use them
MODULES_OF_EXTRAS = {"uniref.labeling.routes": "label", "uniref.labeling.server": "label"}


class Import(NamedTuple):
    """One imported top-level name."""

    file: Path
    line: int
    name: str
    at_module_level: bool


@functools.cache
def imports(folder: str) -> list[Import]:
    """The third-party imports of all Python files under a folder, those within functions included."""
    result = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node, in_function in nodes(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            else:
                continue
            for name in {module.split(".")[0] for module in modules} - OWN - BROUGHT_BY_TORCH - STANDARD:
                result.append(Import(path.relative_to(ROOT), node.lineno, name, not in_function))
    return result


def nodes(parent: ast.AST, late: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes of a syntax tree, each with whether it does not run at import: in a function, or for type checkers."""
    for node in ast.iter_child_nodes(parent):
        yield node, late
        for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        yield from nodes(node, late or for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(import_name: str) -> set[str]:
    """The distributions that provide an import name."""
    known = PROVIDERS.get(import_name) or [OPTIONAL_IMPORTS.get(import_name, import_name)]
    return {normalised(name) for name in known}


def names(requirements: list[str]) -> set[str]:
    """The distributions of a list of requirements; `uniref[test]` stands for that extra's."""
    result = set()
    for requirement in requirements:
        match = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement)
        assert match, requirement
        if match[1] == PROJECT["name"]:
            for extra in match[2].split(","):
                result |= names(PROJECT["optional-dependencies"][extra])
        else:
            result.add(normalised(match[1]))
    return result


PROVIDERS = packages_distributions()
RUNTIME = names(PROJECT["dependencies"])


def allowed(folder: str) -> set[str]:
    return RUNTIME.union(*(names(PROJECT["optional-dependencies"][extra]) for extra in EXTRAS.get(folder, ())))


@pytest.mark.parametrize("folder", sorted(OWN))
def test_every_import_is_declared(folder: str) -> None:
    undeclared = [
        f"{item.file}:{item.line}: {item.name}"
        for item in imports(folder)
        if not distributions(item.name) & allowed(folder)
    ]
    assert undeclared == []


def test_packages_of_extras_are_imported_where_they_are_used() -> None:
    too_early = [
        f"{item.file}:{item.line}: {item.name}"
        for folder in SHIPPED
        for item in imports(folder)
        if item.at_module_level and not distributions(item.name) & (RUNTIME | of_extra(module_name(item.file)))
    ]
    assert too_early == []


def test_modules_of_extras_are_imported_where_they_are_used() -> None:
    too_early = [
        f"{path.relative_to(ROOT)}: {node.module}"
        for folder in SHIPPED
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node, late in nodes(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and not late
        if node.module in MODULES_OF_EXTRAS and module_name(path.relative_to(ROOT)) not in MODULES_OF_EXTRAS
    ]
    assert too_early == []


def module_name(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def of_extra(module: str) -> set[str]:
    """The distributions of the extra that a module belongs to."""
    extra = MODULES_OF_EXTRAS.get(module)
    return names(PROJECT["optional-dependencies"][extra]) if extra else set()


def test_every_dependency_is_imported_by_the_package() -> None:
    imported = {name for folder in SHIPPED for item in imports(folder) for name in distributions(item.name)}
    # PyTorch's SummaryWriter imports it
    assert RUNTIME - imported == {"tensorboard"}


def test_every_version_has_a_lower_bound() -> None:
    unbounded = [
        requirement
        for requirements in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for requirement in requirements
        if not re.search(r">=|==|\[", requirement)
    ]
    assert unbounded == []
