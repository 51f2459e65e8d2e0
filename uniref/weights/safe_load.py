"""Reads weight files of any origin without executing anything they contain."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from uniref.core.errors import CheckpointError

_PICKLE_GLOBALS = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),  # how protocol 2 spells bytes
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}
_WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state")
_PREFIX = "module."


def read_weights(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """Named tensors of a checkpoint file.

    Understands PyTorch files (`weights_only`), detectron2 pickles of NumPy arrays, and safetensors, by content.

    Args:
        path: The file.

    Returns:
        Name -> CPU tensor, and the training iteration where the file names one.

    Raises:
        CheckpointError: Missing, damaged, holding anything but data, or without named tensors.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path}: is a folder; name the checkpoint file inside it")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if not head:
        raise CheckpointError(f"{path}: is empty")
    if head[8:9] == b"{":
        return _named_tensors(path, _read_safetensors(path))
    content = _read_pickle(path) if _is_plain_pickle(path, head) else _read_torch(path)
    return _named_tensors(path, content)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged safetensors file ({error})") from None


def _read_torch(path: Path) -> Any:
    """A PyTorch file; memory-mapped where its format allows."""
    errors: list[str] = []
    for mmap in (True, False):
        try:
            with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_scalar_globals()):
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
        except pickle.UnpicklingError as error:
            found = re.search(r"GLOBAL ([\w.]+)", str(error))
            if found is None:
                errors.append("it is not a PyTorch file")
                continue
            raise _refusal(path, found[1]) from None
        # torch reports damage with whatever its readers raise
        except (RuntimeError, EOFError, ValueError, LookupError, OSError, AttributeError, TypeError) as error:
            if "TorchScript" in str(error):
                raise _refusal(path, "a TorchScript program") from None
            errors.append(str(error).splitlines()[0] if str(error) else type(error).__name__)
    raise CheckpointError(f"{path}: damaged or not a checkpoint ({errors[-1]}); download it again")


def _numpy_scalar_globals() -> list[Any]:
    """What a NumPy number in a training log needs to be read; none of it runs code of the file."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)]
    return [np.dtype, scalar, (scalar, "numpy.core.multiarray.scalar"), *kinds]


class _DataUnpickler(pickle._Unpickler):
    """Rebuilds containers, numbers, strings and NumPy arrays; refuses every other global.

    The pure Python unpickler is used because a hostile stream can at worst raise in it.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PICKLE_GLOBALS:
            raise _ForbiddenGlobalError(f"{module}.{name}")
        return super().find_class(module, name)


class _ForbiddenGlobalError(Exception):
    """A pickle names something that is not data."""


def _is_plain_pickle(path: Path, head: bytes) -> bool:
    """A pickle that is neither a PyTorch archive (a zip) nor PyTorch's older stream of pickles."""
    if head[:2] == b"PK":
        return False
    old_torch_magic = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
    return head[:1] in (b"\x80", b"(", b"}", b"]", b"c") and old_torch_magic not in head


def _read_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        return _load_data(path, file)


def _load_data(path: Path, file: BinaryIO) -> Any:
    try:
        return _DataUnpickler(file, encoding="latin1").load()
    except _ForbiddenGlobalError as error:
        raise _refusal(path, str(error)) from None
    except Exception as error:  # noqa: BLE001 - a damaged stream can raise anything
        raise CheckpointError(f"{path}: damaged pickle ({type(error).__name__})") from None


def _refusal(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: refused: it asks to run {name}, which is code and not weights; do not use this file"
    )


def _named_tensors(path: Path, content: Any) -> tuple[dict[str, Tensor], int | None]:
    """Find the name -> tensor table inside a checkpoint's nested dictionaries."""
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
    tensors = {}
    for name, value in content.items():
        tensor = _as_tensor(value)
        if tensor is None or not isinstance(name, str):
            raise CheckpointError(f"{path}: entry {name!r} is a {type(value).__name__}, not a tensor")
        tensors[name] = tensor
    if all(name.startswith(_PREFIX) for name in tensors):
        tensors = {name[len(_PREFIX) :]: tensor for name, tensor in tensors.items()}
    return tensors, iteration


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.generic | int | float):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(value))
    return None
