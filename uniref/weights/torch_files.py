"""PyTorch's files (`torch.save`) as data: the archive of today and the stream of pickles before PyTorch 1.6."""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uniref.core.pickles import PickleProblem, load_plain
from uniref.weights.stand_ins import TORCH_CALLS, Array, DType, Storage, TensorView, storage

STREAM_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""The number 0x1950a86a20f9469cfc6c, which begins a stream."""
_LARGEST_PICKLE = 1 << 28  # bytes of `data.pkl`, which holds names and shapes
_LOCAL_HEADER = 30
_BLOCK = 1 << 24


class TorchScriptProblem(PickleProblem):
    """The file is a program."""


def read_archive(path: Path) -> Any:
    """The content of an archive; tensors are mapped from the file, and every checksum is compared.

    Raises:
        PickleProblem: Damaged, or holding anything but data.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as problem:
        raise PickleProblem(str(problem)) from None
    prefix = next((name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")), None)
    if prefix is None:
        raise PickleProblem("it has no data.pkl")
    if any(name.startswith((f"{prefix}code/", f"{prefix}constants.pkl")) for name in entries):
        raise TorchScriptProblem("a TorchScript program")
    content = _map(path)
    order = entries.get(f"{prefix}byteorder")
    if order is not None and bytes(_entry(content, order)) != b"little":
        raise PickleProblem("its numbers are big-endian")
    about = entries[f"{prefix}data.pkl"]
    if about.file_size > _LARGEST_PICKLE:
        raise PickleProblem(f"its data.pkl has {about.file_size:,} bytes")
    value, _ = load_plain(bytes(_entry(content, about)), 0, TORCH_CALLS, storage)

    def values(place: Storage) -> Tensor:
        info = entries.get(f"{prefix}data/{place.key}")
        if info is None:
            raise PickleProblem(f"the values of storage {place.key!r:.40} are missing")
        return _tensor(_entry(content, info), place)

    return _resolved(value, values)


def read_stream(path: Path) -> Any:
    """The content of a stream of pickles; tensors are mapped from the file.

    Raises:
        PickleProblem: Damaged, or holding anything but data.
    """
    content = _map(path)
    at = 0
    for _ in range(3):  # the magic number, the protocol, sizes of the machine's types
        system, at = load_plain(content, at)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleProblem("its numbers are big-endian")
    value, at = load_plain(content, at, TORCH_CALLS, storage)
    keys, at = load_plain(content, at)
    if not isinstance(keys, list) or not all(type(key) is str for key in keys):
        raise PickleProblem("it has no list of storages")
    known: dict[str, Storage] = {}
    _resolved(value, lambda place: _remember(known, place))
    places: dict[str, memoryview] = {}
    whole = memoryview(content)
    for key in keys:
        if key not in known or at + 8 > len(content):
            raise PickleProblem("it ends in the middle")
        count = struct.unpack_from("<q", content, at)[0]
        end = at + 8 + count * known[key].dtype.itemsize
        if count != known[key].count or end > len(content):
            raise PickleProblem("it ends in the middle")
        places[key], at = whole[at + 8 : end], end

    def values(place: Storage) -> Tensor:
        if place.key not in places:
            raise PickleProblem(f"the values of storage {place.key!r:.40} are missing")
        return _tensor(places[place.key], place)

    return _resolved(value, values)


def _remember(known: dict[str, Storage], place: Storage) -> Tensor:
    if known.setdefault(place.key, place) != place:
        raise PickleProblem("a storage has two types")
    return torch.empty(place.count, dtype=place.dtype, device="meta")


def _map(path: Path) -> mmap.mmap:
    """The file in memory, read when it is used; changes stay private (tensors have to be writable)."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _entry(content: mmap.mmap, info: zipfile.ZipInfo) -> memoryview:
    """The bytes of an entry, which PyTorch stores without compression. Raises PickleProblem."""
    start = info.header_offset
    header = content[start : start + _LOCAL_HEADER]
    if len(header) < _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise PickleProblem("an entry is not where the archive says")
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise PickleProblem("it was packed again by another program")
    start += _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:30]))
    end = start + info.file_size
    if end > len(content):
        raise PickleProblem("it ends in the middle")
    found = memoryview(content)[start:end]
    checksum = 0
    for at in range(0, len(found), _BLOCK):
        checksum = zlib.crc32(found[at : at + _BLOCK], checksum)
    if checksum != info.CRC:
        raise PickleProblem(f"the checksum of {info.filename!r:.80} is wrong")
    return found


def _tensor(data: memoryview, place: Storage) -> Tensor:
    """The values of a storage, [count]. Raises PickleProblem where there are not as many."""
    if len(data) != place.count * place.dtype.itemsize:
        raise PickleProblem(f"storage {place.key!r:.40} has {len(data):,} bytes for {place.count:,} values")
    if not place.count:
        return torch.empty(0, dtype=place.dtype)
    if place.dtype is torch.bool:  # any other byte than 0 and 1 is no value
        return torch.frombuffer(data, dtype=torch.uint8).ne(0)
    if np.frombuffer(data, np.uint8).ctypes.data % place.dtype.itemsize:  # streams are not aligned
        return torch.frombuffer(bytearray(data), dtype=place.dtype)
    return torch.frombuffer(data, dtype=place.dtype)


def _resolved(value: Any, values: Callable[[Storage], Tensor]) -> Any:
    """The content with tensors for their records. Nesting is bounded already."""
    loaded: dict[Storage, Tensor] = {}

    def resolve(part: Any) -> Any:
        if isinstance(part, TensorView):
            if part.storage not in loaded:
                loaded[part.storage] = values(part.storage)
            return part.tensor(loaded[part.storage])
        if isinstance(part, Storage):
            if part not in loaded:
                loaded[part] = values(part)
            return loaded[part]
        if type(part) is dict:
            return {key: resolve(entry) for key, entry in part.items()}
        if type(part) in (list, tuple):
            return type(part)(resolve(entry) for entry in part)
        return plain_array(part)

    return resolve(value)


def plain_array(part: Any) -> Any:
    """A NumPy array for its record; anything else as it is. Raises PickleProblem for a record without content."""
    if isinstance(part, Array):
        if part.value is None:
            raise PickleProblem("an array has no content")
        return part.value
    return str(part.kind) if isinstance(part, DType) else part
