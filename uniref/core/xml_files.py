"""Reading XML without document types (so without entities), with bounded size and depth; no other module opens XML."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree

from uniref.core.errors import UniRefError
from uniref.core.files import first_line, reading

_LARGEST = 1 << 29  # bytes; CVAT's largest exports have some hundred megabytes
_DEEPEST = 64
_MOST = 20_000_000  # elements
_DECLARED = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)


def read_xml(path: Path, largest: int = _LARGEST) -> ElementTree.Element:
    """The root element of an XML file in UTF-8 (or another encoding that keeps ASCII as it is).

    Args:
        path: The file.
        largest: Bytes that it may have.

    Raises:
        UniRefError: Cannot be read, too large, not XML, nested more than 64 deep, or with a document type: entities
            that are defined there can grow without bound, and annotations need none.
    """
    with reading(path):
        size = path.stat().st_size
        if size > largest:
            raise UniRefError(f"{path}: has {size:,} bytes; at most {largest:,} are read")
        with path.open("rb") as file:
            data = file.read(largest + 1)
        if b"\0" in data[:4096]:
            raise UniRefError(f"{path}: is not XML in UTF-8")
        if _DECLARED.search(data):
            raise UniRefError(f"{path}: declares a document type or an entity, which is not read; remove it")
        try:
            return _parse(path, data)
        except ElementTree.ParseError as problem:
            raise UniRefError(f"{path}: is not valid XML ({first_line(problem)})") from None


def _parse(path: Path, data: bytes) -> ElementTree.Element:
    depth = 0
    root: ElementTree.Element | None = None
    events = ElementTree.iterparse(io.BytesIO(data), events=("start", "end"))  # noqa: S314 - no DOCTYPE
    for count, (event, element) in enumerate(events):
        if root is None:
            root = element
        depth += 1 if event == "start" else -1
        if depth > _DEEPEST or count > 2 * _MOST:
            raise UniRefError(f"{path}: is nested too deeply or has too many elements")
    if root is None:
        raise UniRefError(f"{path}: is empty")
    return root
