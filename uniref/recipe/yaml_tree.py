"""YAML as a tree whose nodes know their file and line, so that error messages can name them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from uniref.core.errors import UsageError
from uniref.core.files import first_line, read_text
from uniref.core.json_files import MAX_DEPTH


@dataclass(frozen=True)
class Node:
    """A value and where it was written."""

    value: Any
    """A scalar, a list[Node] or a dict[str, Node]."""
    location: str
    """`recipes/r50.yaml:12`, or the option that set it."""


class _Loader(yaml.SafeLoader):
    """Composes YAML's core types: `1e-4` is a number, `on` is a text, and there are no aliases."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as in the class it replaces

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As YAML's, but without aliases (use `extends` to share) and with bounded nesting."""
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not supported; share with `extends`", mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, f"it is nested more than {MAX_DEPTH} deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_LARGEST = 1 << 22  # bytes
_LONGEST_NUMBER = 40  # digits
_NUMBER_STARTS = list("-+.0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9][0-9_]*$"), _NUMBER_STARTS)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    _NUMBER_STARTS,
)


def parse(text: str, source: str) -> Node:
    """One YAML document.

    Args:
        text: The document; empty = an empty mapping.
        source: Its name in messages.

    Raises:
        UsageError: Not YAML, a repeated key, a key that is not a string, an alias or an unknown tag; names the line.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{source}{line}: not readable as YAML: {error.problem}") from None
    except RecursionError:
        raise UsageError(f"{source}: not readable as YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{source}: not readable as YAML: {first_line(error)}") from None
    return Node({}, f"{source}:1") if root is None else _node(root, source)


def parse_file(path: Path) -> Node:
    """`parse` of a file's content."""
    return parse(read_text(path, UsageError, _LARGEST), str(path))


def _node(node: yaml.Node, source: str) -> Node:
    location = f"{source}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key, at = key_node.value, f"{source}:{key_node.start_mark.line + 1}"
            if not isinstance(key, str):
                raise UsageError(f"{at}: a key has to be a plain word")
            if key in mapping:
                raise UsageError(f"{at}: {key}: is given twice (first at {mapping[key].location})")
            value = _node(value_node, source)
            mapping[key] = Node(value.value, at)  # an error is about the key's line, also where the value starts later
        return Node(mapping, location)
    if isinstance(node, yaml.SequenceNode):
        return Node([_node(each, source) for each in node.value], location)
    return Node(_scalar(node, location), location)


def _scalar(node: yaml.Node, location: str) -> Any:
    kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
    if any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        raise UsageError(f"{location}: holds half a surrogate pair (\\ud800 to \\udfff), which is not a character")
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        if len(text) > _LONGEST_NUMBER:
            raise UsageError(f"{location}: a number of {len(text):,} digits is not read")
        return _number(int, text, location)
    if kind == "float":
        return _number(float, text, location)
    raise UsageError(f"{location}: {node.tag}: unknown tag; write a plain value")


def _number(kind: type[int] | type[float], text: str, location: str) -> int | float:
    try:
        return kind(text.replace("_", ""))
    except ValueError:
        raise UsageError(f"{location}: {text[:40]!r} is not a number") from None


def merge(base: Node, over: Node) -> Node:
    """`over` merged into `base`: mappings key by key; everything else (lists too) is replaced."""
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)):
        return over
    merged = dict(base.value)
    for key, value in over.value.items():
        merged[key] = merge(merged[key], value) if key in merged else value
    return Node(merged, over.location)


def plain(node: Node) -> Any:
    """The value without locations: dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain(value) for value in node.value]
    return node.value


def location_of(node: Node, path: Sequence[str | int]) -> str:
    """Location of the value at `path`, or of its nearest parent that exists."""
    for part in path:
        child = _child(node, part)
        if child is None:
            break
        node = child
    return node.location


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, dict):
        return node.value.get(str(part))
    if isinstance(node.value, list) and str(part).isdecimal() and int(part) < len(node.value):
        return node.value[int(part)]
    return None


def with_value(node: Node, path: Sequence[str], value: Node) -> Node:
    """The tree with another value at `path`; `*` in a path means every key of a mapping or entry of a list.

    Raises:
        UsageError: The path leads through an entry that a list does not have.
    """
    if not path:
        return value
    first, *rest = path
    if isinstance(node.value, list):
        keys = range(len(node.value)) if first == "*" else [_entry(node, first, value)]
        entries = list(node.value)
        for key in keys:
            entries[key] = with_value(entries[key], rest, value)
        return Node(entries, node.location)
    mapping = dict(node.value) if isinstance(node.value, dict) else {}
    for name in list(_matching(mapping, first)):
        mapping[name] = with_value(mapping.get(name, Node(None, value.location)), rest, value)
    return Node(mapping, node.location)


def _matching(mapping: dict[str, Node], name: str) -> Iterator[str]:
    if name == "*":
        yield from mapping
    else:
        yield name


def _entry(node: Node, text: str, value: Node) -> int:
    if not text.isdecimal() or int(text) >= len(node.value):
        raise UsageError(
            f"{value.location}: {text!r} is not a valid entry of the list at {node.location} (0..{len(node.value) - 1})"
        )
    return int(text)
