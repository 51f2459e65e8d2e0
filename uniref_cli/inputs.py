"""The inputs of `uniref predict`: files, folders, globs, lists and prompt files, one record each."""

from __future__ import annotations

import glob
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from uniref.core.addresses import is_address, shown
from uniref.core.errors import UniRefError, UsageError

_GLOB = frozenset("*?[")


class Job(BaseModel):
    """One input and what is particular to it. Also the form of a record in a prompts file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str
    name: str = ""
    """Folder under --out; by default the input's stem."""
    text: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()
    support: tuple[str, ...] = ()
    start: str | None = None
    end: str | None = None
    stride: int | None = None
    propagate: bool | None = None
    score_threshold: float | None = None

    @field_validator("text", "mask", "support", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("start", "end", mode="before")
    @classmethod
    def _number_or_time(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def expand(arguments: Sequence[str]) -> list[Job]:
    """Jobs of the command line's inputs.

    Args:
        arguments: Paths, globs (for shells that do not expand them), `@FILE` with a path a line, `-` for stdin.

    Raises:
        UsageError: A glob matches nothing, or a list is empty.
        UniRefError: A list cannot be read.
    """
    jobs: list[Job] = []
    for argument in arguments:
        if is_address(argument):
            raise UsageError(f"{shown(argument)}: is an address; download it first, nothing is fetched here")
        if argument == "-":
            jobs += _listed(sys.stdin, "-")
        elif argument.startswith("@") and not Path(argument).exists():  # a file may be called so
            try:
                lines = Path(argument[1:]).read_text("utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise UniRefError(f"{argument[1:]}: cannot be read ({_reason(error)})") from None
            jobs += _listed(lines, argument[1:])
        elif _GLOB & set(argument) and not Path(argument).exists():
            found = sorted(glob.glob(argument, recursive=True))
            if not found:
                raise UsageError(f"{argument}: matches no file")
            jobs += [Job(input=path) for path in found]
        else:
            jobs.append(Job(input=argument))
    return list(dict.fromkeys(jobs))  # each input once


def _listed(lines: Iterable[str], name: str) -> list[Job]:
    paths = [line.strip() for line in lines]
    jobs = [Job(input=path) for path in paths if path and not path.startswith("#")]
    if not jobs:
        raise UsageError(f"{name}: lists no inputs")
    return jobs


def read_prompts(path: Path) -> list[Job]:
    """Jobs of a prompts file: YAML or JSON (a list of records), or JSONL (a record a line).

    Paths inside are relative to the file.

    Raises:
        UniRefError: The file cannot be read, or a record is wrong; names the record and the key.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UniRefError(f"{path}: cannot be read ({_reason(error)})") from None
    records = _parse(path, text)
    if not records:
        raise UniRefError(f"{path}: holds no records")
    jobs = []
    for place, record in records:
        try:
            job = Job.model_validate(record)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "record"
            if first["type"] == "extra_forbidden":
                raise UniRefError(f"{path}: {place}: {key}: is no key; use {', '.join(Job.model_fields)}") from None
            raise UniRefError(f"{path}: {place}: {key}: {first['msg'].removeprefix('Value error, ')}") from None
        jobs.append(_relative_to(job, path.parent))
    return jobs


def _parse(path: Path, text: str) -> list[tuple[str, Any]]:
    """(where, record) for every record."""
    if path.suffix.lower() == ".jsonl":
        records = []
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                try:
                    records.append((f"line {number}", json.loads(line)))
                except ValueError as error:
                    raise UniRefError(f"{path}: line {number}: not JSON ({error})") from None
        return records
    import yaml

    try:
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise UniRefError(f"{path}: cannot be parsed ({' '.join(str(error).split())})") from None
    if not isinstance(content, list):
        raise UniRefError(f"{path}: expected a list of records, each with 'input' and 'text', 'mask' or 'support'")
    return [(f"record {number}", record) for number, record in enumerate(content, start=1)]


def _relative_to(job: Job, folder: Path) -> Job:
    def place(path: str) -> str:
        return str(folder / path)

    def mask(entry: str) -> str:
        frame, separator, file = entry.partition(":")
        return f"{frame}:{place(file)}" if separator and frame.isdigit() else place(entry)

    return job.model_copy(
        update={
            "input": place(job.input),
            "mask": tuple(mask(entry) for entry in job.mask),
            "support": tuple("=".join(place(part) for part in pair.split("=")) for pair in job.support),
        }
    )


def name_outputs(jobs: Sequence[Job]) -> list[str]:
    """A folder name for every job: its own name, else the input's stem, made distinct where several coincide.

    Raises:
        UsageError: Two records ask for the same name, or a name is no plain folder name.
    """
    explicit = [job.name for job in jobs if job.name]
    for name in explicit:
        if Path(name).name != name or name in (".", ".."):
            raise UsageError(f"name {name!r}: must be a plain folder name")
        if explicit.count(name) > 1:
            raise UsageError(f"name {name!r}: is used by two records")
    stems = Counter(Path(job.input).stem for job in jobs if not job.name)
    shared = {stem for stem, count in stems.items() if count > 1}  # what is alone keeps its name if others join
    names: list[str] = []
    for job in jobs:
        names.append(job.name or _fresh_name(Path(job.input), {*explicit, *names, *shared}))
    return names


def _fresh_name(path: Path, taken: set[str]) -> str:
    """The stem, the whole name, or the name with its folder's: the first that is free; else a numbered stem."""
    resolved = path.resolve()
    stem = path.stem or resolved.name or "input"
    candidates = [stem, path.name, f"{resolved.parent.name}_{resolved.name}"]
    free = [candidate for candidate in candidates if candidate and candidate not in taken]
    if free:
        return free[0]
    number = 2
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "not UTF-8 text"
