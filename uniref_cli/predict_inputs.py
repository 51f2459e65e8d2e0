"""The inputs of `uniref predict`: files, folders, globs, lists and prompts files, one record each."""

from __future__ import annotations

import glob
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import Field, PrivateAttr, StrictBool, ValidationError, ValidationInfo, field_validator

from uniref.core.addresses import is_address, shown
from uniref.core.errors import MediaError, UniRefError, UsageError
from uniref.core.files import decode_text, exists, read_text, reading, split_pair
from uniref.core.json_files import read_json, read_json_lines
from uniref.recipe.base import Strict
from uniref.recipe.yaml_tree import parse_file, plain

_LONGEST_LIST = 1 << 26  # bytes
_GLOB = frozenset("*?[")
_REASONS = {
    "tuple_type": "expected a text or a list of texts",
    "string_type": "expected a text",
    "bool_parsing": "expected true or false",
    "model_type": 'expected a record, as in {"input": "clip.mp4", "text": "the dog"}',
}
"""What is wrong with a value, by pydantic's type of error, where its own message needs programmers."""


class PredictInput(Strict):
    """One input and its own options. Also the form of a record in a prompts file."""

    input: str
    name: str = ""
    """Folder under --out; by default the input's stem."""
    text: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    support: tuple[str, ...] = ()
    box: tuple[str, ...] = ()
    point: tuple[str, ...] = ()
    all_instances: StrictBool | None = Field(None, alias="all")
    start: str | None = None
    end: str | None = None
    stride: int | None = Field(None, ge=1, le=1 << 40)
    propagate: StrictBool | None = None
    two_pass: StrictBool | None = None
    both_ways: StrictBool | None = None
    score_threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    _origin: str = PrivateAttr("")

    @property
    def label(self) -> str:
        """The input for messages: an address without its passwords."""
        return "standard input" if self.input == "-" else shown(self.input) if is_address(self.input) else self.input

    @property
    def origin(self) -> str:
        """Where it was written, for messages: `jobs.jsonl: line 3`; empty for an input of the command line."""
        return self._origin

    @field_validator("text", "mask", "support", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return () if value is None else (value,) if isinstance(value, str) else value

    @field_validator("box", "point", mode="before")
    @classmethod
    def _numbers_or_text(cls, value: Any) -> Any:
        """Also `[x, y]`, or a list of such lists."""
        if value is None:
            return ()
        entries = [value] if isinstance(value, str) or _is_numbers(value) else value
        if not isinstance(entries, list | tuple):
            return value
        return tuple(",".join(str(n) for n in entry) if _is_numbers(entry) else entry for entry in entries)

    @field_validator("start", "end", mode="before")
    @classmethod
    def _number_or_time(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str):
            from uniref.media.source import parse_position  # loads a decoder of videos

            parse_position(info.field_name or "", value)
        return value

    @field_validator("stride", "score_threshold", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("expected a number")
        return value

    @field_validator("input")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("is empty; name a file or folder")
        return value

    @field_validator("input", "name", "text", "mask", "support", "box", "point")
    @classmethod
    def _no_nul(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if any("\0" in each for each in ((value,) if isinstance(value, str) else value)):
            raise ValueError("holds a NUL character")
        return value


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(type(n) in (int, float) for n in value)


def expand(arguments: Sequence[str]) -> list[PredictInput]:
    """Inputs of the command line, each once.

    Args:
        arguments: Paths, addresses, numbers of cameras, globs (for shells that do not expand them), `@FILE` with one
            path per line, `-` for such a list or an encoded video on stdin.

    Raises:
        UsageError: A glob matches nothing, or a list is empty.
        UniRefError: A list cannot be read.
    """
    inputs: list[PredictInput] = []
    for argument in arguments:
        if argument == "-" and _stdin_is_video():
            inputs.append(PredictInput(input=argument))
        elif argument == "-":
            inputs += _listed(_standard_input().splitlines(), "standard input")
        elif argument.startswith("@") and not Path(argument).exists():  # a file may be called so
            inputs += _listed(read_text(Path(argument[1:])).splitlines(), argument[1:])
        elif _GLOB & set(argument) and not is_address(argument) and not Path(argument).exists():
            paths = sorted(glob.glob(argument, recursive=True))
            if not paths:
                raise UsageError(f"{argument}: matches no file")
            inputs += [PredictInput(input=path) for path in paths]
        elif not argument.strip():
            raise UsageError("INPUT '': is empty; name a file or folder")
        else:
            inputs.append(PredictInput(input=argument))
    # each input once, however its path is written
    first: dict[str, PredictInput] = {}
    for each in inputs:
        first.setdefault(_same(each.input), each)
    return list(first.values())


def _same(path: str) -> str:
    """Equal for two ways of writing a path: `a.mp4` and `./a.mp4`. A link is another input than what it leads to."""
    if path == "-" or path.isdecimal() or is_address(path):
        return path
    return str(Path(os.path.realpath(Path(path).parent), Path(path).name))


def _standard_input() -> str:
    """The text on standard input. Raises UniRefError where it is no text, or too long."""
    with reading("standard input"):
        data = sys.stdin.buffer.read(_LONGEST_LIST + 1)
        if len(data) > _LONGEST_LIST:
            raise UniRefError(f"standard input: is longer than {_LONGEST_LIST:,} bytes; list fewer paths")
        return decode_text(data)


def _refuse_address(text: str, prefix: str = "") -> None:
    """Raise UsageError for an address in place of a path; it may hold a password."""
    if is_address(text):
        raise UsageError(f"{prefix}{shown(text)}: is an address; only inputs on the command line are fetched")


def _stdin_is_video() -> bool:
    """Whether standard input holds an encoded video rather than text, by its first bytes, which are not used up."""
    with reading("standard input"):
        head = cast(io.BufferedReader, sys.stdin.buffer).peek(1)[:512]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        return False
    return head.startswith(b"YUV4MPEG2") or any(byte < 32 and byte not in b"\t\n\r" for byte in head)


def _as_path(text: str) -> str:
    """A path of a list, which is no camera and no stream whatever it is called."""
    return f"./{text}" if text == "-" or text.isdecimal() else text


def _listed(lines: Iterable[str], name: str) -> list[PredictInput]:
    with reading(name):
        paths = [line.strip() for line in lines]
    if any("\0" in path for path in paths):
        raise UniRefError(f"{name}: holds NUL characters; it is not a list of paths")
    for path in paths:
        _refuse_address(path, f"{name}: ")
    inputs = [PredictInput(input=_as_path(path)) for path in paths if path and not path.startswith("#")]
    if not inputs:
        raise UsageError(f"{name}: lists no inputs")
    return inputs


def check_only_input(inputs: Sequence[PredictInput], report: Callable[[dict[str, Any]], None]) -> None:
    """Raise MediaError where the only input is a file that does not exist: a mistyped name is told before PyTorch is
    loaded, which takes seconds.

    Args:
        inputs: All inputs; of several, each is checked when its turn comes.
        report: Takes the record of --json about it.
    """
    if len(inputs) != 1:
        return
    [only] = inputs
    if only.input == "-" or only.input.isdecimal() or is_address(only.input) or exists(Path(only.input)):
        return
    reason = f"{only.label}: no such file or folder"
    report(
        {"input": only.label, "status": "failed", "error": reason} | ({"record": only.origin} if only.origin else {})
    )
    raise MediaError(f"{only.origin}: {reason}" if only.origin else reason)


def read_prompts(path: Path) -> list[PredictInput]:
    """Inputs of a prompts file: YAML or JSON (a list of records), or JSONL (one record per line).

    Paths inside are relative to the file.

    Raises:
        UniRefError: The file cannot be read, or a record is wrong; names the record and the key.
    """
    records = _parse(path)
    if not records:
        raise UniRefError(f"{path}: holds no records")
    inputs = []
    for position, record in records:
        try:
            each = PredictInput.model_validate(record)
        except UsageError as error:
            raise UsageError(f"{path}: {position}: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "record"
            if first["type"] == "extra_forbidden":
                keys = ", ".join(about.alias or name for name, about in PredictInput.model_fields.items())
                raise UniRefError(f"{path}: {position}: {key:.80}: unknown key; expected one of {keys}") from None
            reason = _REASONS.get(first["type"], first["msg"].removeprefix("Value error, "))
            raise UniRefError(f"{path}: {position}: {key}: {reason}") from None
        for text in (each.input, *each.mask, *each.support):
            _refuse_address(text, f"{path}: {position}: ")
        each = _relative_to(each, path.parent)
        each._origin = f"{path}: {position}"
        inputs.append(each)
    return inputs


def _parse(path: Path) -> list[tuple[str, Any]]:
    """(position, record) of every record."""
    kind = path.suffix.lower()
    if kind == ".jsonl":
        return [(f"line {number}", record) for number, record in read_json_lines(path)]
    content = read_json(path) if kind == ".json" else plain(parse_file(path))
    if not isinstance(content, list):
        raise UniRefError(f"{path}: expected a list of records, each with 'input' and 'text', 'mask' or 'support'")
    return [(f"record {number}", record) for number, record in enumerate(content, start=1)]


def _relative_to(each: PredictInput, folder: Path) -> PredictInput:
    def resolve(path: str) -> str:
        return _as_path(str(folder / path))

    def mask(entry: str) -> str:
        frame, separator, file = entry.partition(":")
        return f"{frame}:{resolve(file)}" if separator and frame.isdecimal() else resolve(entry)

    def support(pair: str) -> str:
        names = split_pair(pair, folder)
        return "=".join(resolve(name) for name in names) if names else pair

    return each.model_copy(
        update={
            "input": resolve(each.input),
            "mask": tuple(mask(entry) for entry in each.mask),
            "support": tuple(support(pair) for pair in each.support),
        }
    )


def name_outputs(inputs: Sequence[PredictInput]) -> list[str]:
    """A folder name for every input: its own name, else the input's stem, made distinct where several coincide.

    Raises:
        UsageError: Two records ask for the same name, or a name is not a plain folder name.
    """
    explicit = [each.name for each in inputs if each.name]
    counts = Counter(explicit)
    for each in inputs:
        place = f"{each.origin}: name {each.name!r}" if each.origin else f"name {each.name!r}"
        if each.name and (Path(each.name).name != each.name or each.name in (".", "..")):
            raise UsageError(f"{place}: must be a plain folder name")
        if counts[each.name] > 1:
            raise UsageError(f"{place}: is used by two records")
    stems = Counter(_named_like(each).stem for each in inputs if not each.name)
    shared = {stem for stem, count in stems.items() if count > 1}  # what is alone keeps its name if others join
    names: list[str] = []
    for each in inputs:
        names.append(each.name or _fresh_name(_named_like(each), {*explicit, *names, *shared}))
    return names


def _named_like(each: PredictInput) -> Path:
    """The file that an input's results are named after: itself, or what a stream would be called."""
    from uniref.media.stream_input import stream_name  # loads ffmpeg

    return Path(stream_name(each.input) or each.input)


def _fresh_name(path: Path, taken: set[str]) -> str:
    """The stem, the whole name, or the name with its folder's: the first that is free; else a numbered stem."""
    resolved = path.resolve()
    stem = (path.stem if path.name not in ("", "..") else resolved.name) or "input"
    candidates = [stem, path.name, f"{resolved.parent.name}_{resolved.name}"]
    free = [candidate for candidate in candidates if candidate and candidate not in taken]
    if free:
        return free[0]
    number = 2
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"
