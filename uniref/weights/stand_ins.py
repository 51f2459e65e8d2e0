"""Stand-ins for the functions that pickles of weights name; they build arrays and tensor records from checked data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from uniref.core.pickles import Calls, PickleProblem, Record

_MOST_DIMENSIONS = 16
_KINDS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
_NAMES = {np.dtype(kind).name: kind for kind in _KINDS} | {kind: kind for kind in _KINDS} | {"?": "b1"}
_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
STORAGE_TYPES = {f"torch.{name}": dtype for name, dtype in _STORAGES.items()}
"""Names of PyTorch's typed storages -> type of their values."""


def sizes(value: Any) -> tuple[int, ...]:
    """A shape or strides, checked. Raises PickleProblem."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > _MOST_DIMENSIONS:
        raise PickleProblem(f"a shape is not a list of up to {_MOST_DIMENSIONS} sizes")
    if not all(type(size) is int and 0 <= size < 1 << 48 for size in value):
        raise PickleProblem("a shape holds a value that is not a size")
    return tuple(value)


# NumPy


@dataclass
class DType(Record):
    """`numpy.dtype(kind)`: a plain number type by its name."""

    kind: str
    order: str = "<"

    def set_state(self, state: Any) -> None:
        """Take the byte order from the state; flags and sizes follow from the kind."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""
        if order not in ("<", ">", "|", "="):
            raise PickleProblem("a number type has no byte order")
        self.order = ">" if order == ">" else "<"

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's own."""
        return np.dtype(self.order + self.kind)

    def array(self, data: Any, shape: Sequence[int], order: str) -> npt.NDArray[Any]:
        """An array over bytes of exactly the right number. Raises PickleProblem."""
        if isinstance(data, str):  # a byte string of Python 2
            data = data.encode("latin-1")
        size = math.prod(shape) * self.dtype.itemsize
        if not isinstance(data, bytes) or len(data) != size:
            have = len(data) if isinstance(data, bytes) else 0
            raise PickleProblem(f"an array of shape {tuple(shape)} has {have:,} bytes, not {size:,}")
        array = np.frombuffer(data, self.dtype).reshape(shape, order="F" if order == "F" else "C")
        return array.astype(self.dtype.newbyteorder("="))


class Array(Record):
    """`numpy.core.multiarray._reconstruct(...)`: an array whose state follows."""

    def __init__(self) -> None:
        self.value: npt.NDArray[Any] | None = None

    def set_state(self, state: Any) -> None:
        """(version, shape, dtype, is Fortran-ordered, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], DType):
            raise PickleProblem("the state of an array has another form")
        _, shape, dtype, fortran, data = state
        self.value = dtype.array(data, sizes(shape), "F" if fortran is True else "C")


def _dtype(kind: Any, *options: Any) -> DType:
    if not isinstance(kind, str) or kind.lstrip("<>=|") not in _NAMES:
        raise PickleProblem(f"arrays of type {kind!r:.40} are not read")
    return DType(_NAMES[kind.lstrip("<>=|")], ">" if kind.startswith(">") else "<")


def _reconstruct(*arguments: Any) -> Array:
    return Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> npt.NDArray[Any]:
    if not isinstance(dtype, DType):
        raise PickleProblem("an array has no number type")
    return dtype.array(data, sizes(shape), "F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any) -> Any:
    return _from_buffer(data, dtype, ()).item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """`_codecs.encode`: how protocol 2 spells bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise PickleProblem("bytes are spelled in an unknown way")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    """`bytes()`: how old protocols spell none."""
    return b""


def _items(pairs: Any = ()) -> dict[Any, Any]:
    """`OrderedDict(...)`, `Counter(...)`."""
    pairs = pairs.items() if type(pairs) is dict else pairs
    if not isinstance(pairs, list | tuple | type({}.items())):
        raise PickleProblem("a dictionary is made of something else than pairs")
    items = {}
    for key, value in pairs:
        if type(key) not in (str, int):
            raise PickleProblem(f"a key of a dictionary is a {type(key).__name__}, not a text or a whole number")
        items[key] = value
    return items


_MULTIARRAY = {"_reconstruct": _reconstruct, "scalar": _scalar}
NUMPY_CALLS: Calls = {
    "collections.OrderedDict": _items,
    "collections.Counter": _items,
    "_codecs.encode": _encode,
    "builtins.bytes": _no_bytes,
    "__builtin__.bytes": _no_bytes,
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    **{f"numpy.{core}.multiarray.{name}": call for core in ("core", "_core") for name, call in _MULTIARRAY.items()},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
"""Names in pickles of NumPy arrays, and their stand-ins."""


# PyTorch


@dataclass(frozen=True)
class Storage:
    """A run of values that is stored outside of the pickle."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class TensorView:
    """A tensor as a view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def tensor(self, values: Tensor) -> Tensor:
        """The tensor over its storage's values [count]."""
        return torch.as_strided(values, self.shape, self.stride, self.offset)


def storage(key: Any) -> Storage:
    """A storage by its persistent id: ("storage", type, key, location, number of values[, view]).

    Raises:
        PickleProblem: It is something else, or of a type that is not read.
    """
    if not isinstance(key, tuple) or not 5 <= len(key) <= 6 or key[0] != "storage":
        raise PickleProblem("it refers to an object outside of the file")
    _, kind, name, _, count, *view = key
    if kind not in STORAGE_TYPES:
        raise PickleProblem("tensors of 8-bit floating-point and other new types are not read")
    if type(name) is not str or type(count) is not int or not 0 <= count < 1 << 48:
        raise PickleProblem("a storage has no name or no size")
    if view and view[0] is not None:
        raise PickleProblem("a storage is a part of another one, as only PyTorch before 0.4 wrote it")
    return Storage(name, STORAGE_TYPES[kind], count)


def _tensor(stored: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> TensorView:
    if not isinstance(stored, Storage) or type(offset) is not int:
        raise PickleProblem("a tensor has no storage")
    view = TensorView(stored, offset, sizes(shape), sizes(stride))
    if len(view.shape) != len(view.stride):
        raise PickleProblem("a tensor has another number of sizes than of strides")
    last = offset + sum((size - 1) * step for size, step in zip(view.shape, view.stride, strict=True))
    values = math.prod(list(view.shape))
    # strides of 0 would let a small file ask for any amount of memory
    if offset < 0 or values > stored.count or (values and last >= stored.count):
        raise PickleProblem(f"a tensor of shape {view.shape} reaches beyond its {stored.count:,} values")
    return view


def _parameter(data: Any, *more: Any) -> TensorView:
    if not isinstance(data, TensorView):
        raise PickleProblem("a parameter is not a tensor")
    return data


def _refuse(kind: str) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        raise PickleProblem(f"{kind} are not read")

    return call


def _shape(values: Any = ()) -> tuple[int, ...]:
    return sizes(values)


def _device(*names: Any) -> str:
    return "cpu"


TORCH_CALLS: Calls = {
    **NUMPY_CALLS,
    **dict.fromkeys(STORAGE_TYPES),
    **{
        f"torch.{name}": None
        for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
    },
    "torch.storage.UntypedStorage": None,
    "torch.UntypedStorage": None,
    "torch.Size": _shape,
    "torch.device": _device,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _refuse("tensors of 8-bit floating-point and other new types"),
    "torch._utils._rebuild_qtensor": _refuse("quantised tensors"),
    "torch._utils._rebuild_sparse_tensor": _refuse("sparse tensors"),
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
"""Names in PyTorch's files, and their stand-ins."""
