"""Reading files of `torch.save` as data: the zip archive, and the stream of pickles of before PyTorch 1.6."""

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
    # the entries of the archive
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
    # the pickle of names and shapes
    content = _map(path)
    order = entries.get(f"{prefix}byteorder")
    if order is not None and bytes(_entry(content, order)) != b"little":
        raise PickleProblem("its numbers are big-endian")
    pickle_info = entries[f"{prefix}data.pkl"]
    if pickle_info.file_size > _LARGEST_PICKLE:
        raise PickleProblem(f"its data.pkl has {pickle_info.file_size:,} bytes")
    value, _ = load_plain(bytes(_entry(content, pickle_info)), 0, TORCH_CALLS, storage)

    # the values, one entry per storage
    def values(stored: Storage) -> Tensor:
        info = entries.get(f"{prefix}data/{stored.key}")
        if info is None:
            raise PickleProblem(f"the values of storage {stored.key!r:.40} are missing")
        return _tensor(_entry(content, info), stored)

    return _resolved(value, values)


def read_stream(path: Path) -> Any:
    """The content of a stream of pickles; tensors are mapped from the file.

    Raises:
        PickleProblem: Damaged, or holding anything but data.
    """
    # the header
    content = _map(path)
    at = 0
    for _ in range(3):  # the magic number, the protocol, sizes of the machine's types
        system, at = load_plain(content, at)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise PickleProblem("its numbers are big-endian")
    # the pickle of names and shapes, and the keys of its storages
    value, at = load_plain(content, at, TORCH_CALLS, storage)
    keys, at = load_plain(content, at)
    if not isinstance(keys, list) or not all(type(key) is str for key in keys):
        raise PickleProblem("it has no list of storages")
    storages: dict[str, Storage] = {}
    _resolved(value, lambda stored: _register(storages, stored))
    # the values, storage by storage
    data_of: dict[str, memoryview] = {}
    whole = memoryview(content)
    for key in keys:
        if key not in storages or at + 8 > len(content):
            raise PickleProblem("it ends in the middle")
        count = struct.unpack_from("<q", content, at)[0]
        end = at + 8 + count * storages[key].dtype.itemsize
        if count != storages[key].count or end > len(content):
            raise PickleProblem("it ends in the middle")
        data_of[key], at = whole[at + 8 : end], end

    def values(stored: Storage) -> Tensor:
        if stored.key not in data_of:
            raise PickleProblem(f"the values of storage {stored.key!r:.40} are missing")
        return _tensor(data_of[stored.key], stored)

    return _resolved(value, values)


def _register(storages: dict[str, Storage], stored: Storage) -> Tensor:
    if storages.setdefault(stored.key, stored) != stored:
        raise PickleProblem("a storage has two types")
    return torch.empty(stored.count, dtype=stored.dtype, device="meta")


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
    data = memoryview(content)[start:end]
    checksum = 0
    for at in range(0, len(data), _BLOCK):
        checksum = zlib.crc32(data[at : at + _BLOCK], checksum)
    if checksum != info.CRC:
        raise PickleProblem(f"the checksum of {info.filename!r:.80} is wrong")
    return data


def _tensor(data: memoryview, stored: Storage) -> Tensor:
    """The values of a storage, [count]. Raises PickleProblem where there are not as many."""
    if len(data) != stored.count * stored.dtype.itemsize:
        raise PickleProblem(f"storage {stored.key!r:.40} has {len(data):,} bytes for {stored.count:,} values")
    if not stored.count:
        return torch.empty(0, dtype=stored.dtype)
    if stored.dtype is torch.bool:  # any other byte than 0 and 1 is invalid
        return torch.frombuffer(data, dtype=torch.uint8).ne(0)
    if np.frombuffer(data, np.uint8).ctypes.data % stored.dtype.itemsize:  # streams are not aligned
        return torch.frombuffer(bytearray(data), dtype=stored.dtype)
    return torch.frombuffer(data, dtype=stored.dtype)


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
