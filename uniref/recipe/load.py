"""Loading recipe files into a validated `Recipe`: `extends`, `defaults`, overrides, and errors with file and line."""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from uniref.core.errors import UsageError
from uniref.core.files import is_file
from uniref.core.json_files import MAX_DEPTH
from uniref.recipe.language import moved_key
from uniref.recipe.model import FAMILIES, written_path
from uniref.recipe.recipe import Recipe
from uniref.recipe.yaml_tree import Node, location_of, merge, parse, parse_file, plain, with_value

_SHOWN = 3  # errors in one message


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe file, resolved.

    The file is merged over the files that `extends` names (one or a list, relative to this one), and every stage over
    `defaults`. Both merge key by key; lists are replaced.

    Args:
        path: A YAML file.
        overrides: `a.b.c=value`, applied after `extends` and before `defaults`; values are YAML, `*` is every key.

    Raises:
        UsageError: A file cannot be read, or the recipe is wrong; names file, line, key and the nearest valid name.
    """
    tree = _extended(path, ())
    if not isinstance(tree.value, dict):
        raise UsageError(f"{tree.location}: a recipe is a mapping (key: value)")
    for text in overrides:
        tree = _overridden(tree, text)
    return validate(_with_defaults(tree))


def _extended(path: Path, chain: tuple[Path, ...]) -> Node:
    # the file itself
    real = path.resolve()
    if real in chain:
        way = " -> ".join(each.name for each in (*chain[chain.index(real) :], real))
        raise UsageError(f"{path}: extends itself ({way})")
    tree = parse_file(path)
    if not isinstance(tree.value, dict) or "extends" not in tree.value:
        return tree
    # merged over the files that it extends
    content = dict(tree.value)
    extends = content.pop("extends")
    names = extends.value if isinstance(extends.value, list) else [extends]
    base = Node({}, tree.location)
    for name in names:
        if not isinstance(name.value, str):
            raise UsageError(f"{name.location}: extends: name a file, or a list of files")
        file = path.parent / name.value
        if not is_file(file):
            raise UsageError(f"{name.location}: extends: no such file: {str(file)[:255]}")
        base = merge(base, _extended(file, (*chain, real)))
    return merge(base, Node(content, tree.location))


def _overridden(tree: Node, text: str) -> Node:
    key, sign, value = text.partition("=")
    path = key.strip().split(".")
    if not sign or not all(path) or len(path) > MAX_DEPTH:
        raise UsageError(f"--set {text[:80]}: write --set key.of.the.recipe=value")
    location = f"--set {text}"
    stages = tree.value.get("stages")
    available = [*stages.value] if stages is not None and isinstance(stages.value, dict) else []
    if available and path[0] == "stages" and len(path) > 2 and path[1] not in ("*", *available):
        raise UsageError(f"{location}: the recipe has no stage {path[1]}{_suggestion(path[1], available)}")
    parsed = parse(value, location) if value.strip() else Node(None, location)
    return with_value(tree, path, Node(parsed.value, location))


def _with_defaults(tree: Node) -> Node:
    """Every stage merged over `defaults`."""
    content = dict(tree.value)
    defaults, stages = content.pop("defaults", None), content.get("stages")
    if defaults is None or stages is None or not isinstance(stages.value, dict):
        return Node(content, tree.location)
    if not isinstance(defaults.value, dict):
        raise UsageError(f"{defaults.location}: defaults: has to be a mapping of what stages share")
    merged = {name: merge(defaults, stage) for name, stage in stages.value.items()}
    return Node(content | {"stages": Node(merged, stages.location)}, tree.location)


def validate(tree: Node) -> Recipe:
    """The typed recipe of a resolved tree. Raises UsageError as `load_recipe` does."""
    try:
        # in JSON mode, lists become tuples and strings enums, but "1" is not a number and `true` is not 1
        return Recipe.model_validate_json(json.dumps(plain(tree)), strict=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # of an entry that is wrong and the list that lacks it, the entry is reported
        longer = [each["loc"] for each in errors]
        errors = [e for e in errors if not any(loc[: len(e["loc"])] == e["loc"] != loc for loc in longer)]
        # an error in `defaults` is repeated in every stage; one of them is enough
        once = {(location_of(tree, written_path(e["loc"])), e["type"], e["loc"][-1:]): e for e in reversed(errors)}
        messages = [_describe_error(tree, each) for each in reversed(once.values())]
        more = f"; and {len(messages) - _SHOWN} more" if len(messages) > _SHOWN else ""
        raise UsageError("; ".join(messages[:_SHOWN]) + more) from None


def _describe_error(tree: Node, error: Any) -> str:
    path = written_path(error["loc"])
    key = ".".join(str(part) for part in path)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        moved = moved_key(path)
        message = (
            f"has moved to {moved}"
            if moved
            else "unknown key" + _suggestion(str(path[-1]), _fields(Recipe, error["loc"][:-1]))
        )
    elif error["type"] == "missing":
        message = "is missing"
    elif error["type"] in ("enum", "literal_error"):
        message = f"{error['input']!r} is not a valid value; use {error['ctx']['expected']}"
    elif isinstance(error["input"], str | int | float | bool):
        message = f"{message[0].lower()}{message[1:]} (is {error['input']!r})"
    return f"{location_of(tree, path)}: {key + ': ' if key else ''}{message}"


def _suggestion(name: str, available: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, available, 1, 0.5)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; expected one of {', '.join(available)}" if available else ""


def _fields(kind: Any, path: Sequence[str | int]) -> tuple[str, ...]:
    """Names of the fields at a path below a type; () where it leads to no model."""
    for part in path:
        if _is_union(kind) and part in FAMILIES:
            kind = FAMILIES[str(part)]
            continue
        kind = _model_of(kind)
        if _is_model(kind):
            field = kind.model_fields.get(str(part))
            kind = field.annotation if field else None
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        elif typing.get_origin(kind) is tuple:
            kind = typing.get_args(kind)[0]
        else:
            return ()
    kind = _model_of(kind)
    return tuple(kind.model_fields) if _is_model(kind) else ()


def _is_model(kind: Any) -> bool:
    # in Python 3.10, `dict[str, X]` is an instance of type
    return typing.get_origin(kind) is None and isinstance(kind, type) and issubclass(kind, BaseModel)


def _model_of(kind: Any) -> Any:
    """`X` of `X | None`."""
    if _is_union(kind):
        return next(each for each in typing.get_args(kind) if each is not type(None))
    return kind


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)
