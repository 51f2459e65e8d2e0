"""Reading weight files of any origin without executing anything that they contain."""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from uniref.core.errors import CheckpointError, UniRefError
from uniref.core.files import reading
from uniref.core.json_files import parse_json
from uniref.core.pickles import ForbiddenName, PickleProblem, load_plain
from uniref.weights.rename import check_finite
from uniref.weights.stand_ins import NUMPY_CALLS
from uniref.weights.torch_files import STREAM_MAGIC, TorchScriptProblem, plain_array, read_archive, read_stream

_WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state")
_PREFIX = "module."
_LARGEST_HEADER = 100 << 20  # bytes; safetensors' own limit
_SAFETENSORS_TYPES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


def read_weights(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """Named tensors of a checkpoint file.

    Understands PyTorch files, detectron2 pickles of NumPy arrays, and safetensors, by content.

    Args:
        path: The file.

    Returns:
        Name -> CPU tensor, and the training iteration where the file names one.

    Raises:
        CheckpointError: Missing, damaged, holding anything but data, without named tensors, or with infinities or NaN.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name the checkpoint file inside it")
    if path.exists() and not path.is_file():  # reading a pipe would block
        raise CheckpointError(f"{path}: is not a regular file")
    with reading(path, CheckpointError, "download it again"):
        with path.open("rb") as file:
            head = file.read(32)
        if not head:
            raise CheckpointError(f"{path}: is empty")
        content = read_safetensors(path) if _is_safetensors(head) else read_pickled(path)
        return _named_tensors(path, content)


def read_pickled(path: Path, advice: str = "download it again") -> Any:
    """The content of a PyTorch file or a pickle: containers, texts, numbers, tensors (CPU) and NumPy arrays.

    Args:
        path: The file.
        advice: What to do where it is damaged.

    Raises:
        CheckpointError: Missing, damaged, or holding anything but data.
    """
    with reading(path, CheckpointError, advice):
        # recognise the kind of file by its first bytes
        with path.open("rb") as file:
            head = file.read(32)
        try:
            if head[:2] == b"PK":
                return read_archive(path)
            if STREAM_MAGIC in head:
                return read_stream(path)
            if head[:1] not in (b"\x80", b"(", b"}", b"]", b"c"):
                raise CheckpointError(
                    f"{path}: is not a checkpoint (neither a PyTorch file, a pickle nor safetensors); {advice}"
                )
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                value, _ = load_plain(data, 0, NUMPY_CALLS)
            return _with_arrays(value)
        # anything but data is refused
        except ForbiddenName as name:
            raise _refusal(path, str(name)) from None
        except TorchScriptProblem as problem:
            raise _refusal(path, str(problem)) from None
        except PickleProblem as problem:
            raise CheckpointError(f"{path}: damaged or not a checkpoint ({problem}); {advice}") from None


def _with_arrays(value: Any) -> Any:
    if type(value) is dict:
        return {key: _with_arrays(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_with_arrays(part) for part in value)
    return plain_array(value)


def _is_safetensors(head: bytes) -> bool:
    """By its first bytes: the length of a header, which begins with a brace."""
    if head[8:9] == b"{":
        return True
    return len(head) == 8 and head[:2] != b"PK" and head[:1] not in (b"\x80", b"(", b"}", b"]", b"c")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        CheckpointError: Missing, damaged, or of a number type that models do not have (float8).
    """
    with reading(path, CheckpointError, "download it again"):
        for name, about in read_header(path).items():
            dtype, shape, (first, last) = about["dtype"], about["shape"], about["data_offsets"]
            if dtype not in _SAFETENSORS_TYPES:
                raise CheckpointError(
                    f"{path}: {name!r:.80} is stored as {dtype!s:.20}; weights are float32, float16 or bfloat16"
                )
            if math.prod(shape) * _SAFETENSORS_TYPES[dtype] != last - first:
                raise CheckpointError(f"{path}: damaged safetensors file (the size of {name!r:.80})")
        return load_file(path)


def read_header(path: Path) -> dict[str, Any]:
    """Name -> `dtype`, `shape` and `data_offsets` of the tensors of a safetensors file, checked against its size.

    Raises:
        CheckpointError: Missing or damaged.
    """
    problem = CheckpointError(f"{path}: damaged safetensors file (its header); download it again")
    # the header, bounded by the size of the file
    with reading(path, CheckpointError), path.open("rb") as file:
        size, start = path.stat().st_size, file.read(8)
        if len(start) < 8 or not 2 <= struct.unpack("<Q", start)[0] <= min(_LARGEST_HEADER, size - 8):
            raise problem
        length = struct.unpack("<Q", start)[0]
        try:
            header = parse_json(file.read(length).decode("utf-8"), str(path), CheckpointError)
        except (UnicodeDecodeError, UniRefError):
            raise problem from None
    # every entry: types, shape, and offsets inside of the file
    if not isinstance(header, dict):
        raise problem
    header.pop("__metadata__", None)
    for about in header.values():
        if not isinstance(about, dict) or not {"dtype", "shape", "data_offsets"} <= about.keys():
            raise problem
        shape, offsets = about["shape"], about["data_offsets"]
        if not isinstance(about["dtype"], str):
            raise problem
        whole = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2 and len(shape) <= 16
        if not whole or not all(type(x) is int and 0 <= x < 1 << 48 for x in (*shape, *offsets)):
            raise problem
        if not offsets[0] <= offsets[1] <= size - 8 - length:
            raise problem
    return header


def _refusal(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: refused: it asks to run {name}, which is code and not weights; do not use this file"
    )


def _named_tensors(path: Path, content: Any) -> tuple[dict[str, Tensor], int | None]:
    """Find the name -> tensor table inside a checkpoint's nested dictionaries."""
    # unwrap the dictionaries of training frameworks
    iteration = None
    for _ in range(3):
        if not isinstance(content, dict):
            break
        if isinstance(content.get("iteration"), int):
            iteration = content["iteration"]
        inner = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path}: holds no table of named tensors; is it a model checkpoint?")
    # every entry has to be a tensor with a name
    tensors = {}
    for name, value in content.items():
        tensor = _as_tensor(value)
        if tensor is None or not isinstance(name, str):
            raise CheckpointError(f"{path}: entry {name!r:.80} is a {type(value).__name__}, not a tensor")
        tensors[name] = tensor
    # finite values, without the prefix of DistributedDataParallel
    check_finite(tensors, str(path))
    if all(name.startswith(_PREFIX) for name in tensors):
        tensors = {name[len(_PREFIX) :]: tensor for name, tensor in tensors.items()}
    return tensors, iteration


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.generic | int | float):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fib":
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(value))
    return None
