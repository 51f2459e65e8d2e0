"""Weight files of strangers: read as PyTorch and NumPy read them, or refused; nothing in them runs."""

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from uniref.core.errors import CheckpointError
from uniref.weights.safe_load import read_pickled, read_weights

X = torch.arange(12.0).reshape(3, 4)
TENSORS = {
    "transposed": X.t(),
    "part": X[1:, 2:],
    "bfloat16": X.bfloat16(),
    "half": X.half(),
    "double": X.double(),
    "bool": X > 4,
    "int16": X.to(torch.int16),
    "uint8": X.to(torch.uint8),
    "parameter": torch.nn.Parameter(X),
    "scalar": torch.tensor(3),
    "empty": torch.empty(0, 3),
}


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_those_of_pytorch(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model": TENSORS, "iteration": 7}, path, _use_new_zipfile_serialization=zipped)
    expected = torch.load(path, weights_only=True)["model"]
    found, iteration = read_weights(path)
    assert iteration == 7
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("zipped", [True, False])
def test_other_content_comes_back(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    state = {"state": {0: {"x": torch.ones(2)}}, "betas": (0.9, 0.999), "none": None, "name": "adam", "size": X.shape}
    torch.save(state | {"number": np.float64(2.5)}, path, _use_new_zipfile_serialization=zipped)
    found = read_pickled(path)
    assert torch.equal(found["state"][0]["x"], torch.ones(2))
    assert (found["betas"], found["none"], found["name"], found["size"]) == ((0.9, 0.999), None, "adam", (3, 4))
    assert found["number"] == 2.5


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_are_those_of_numpy(protocol: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {kind: rng.integers(0, 100, (2, 3)).astype(kind) for kind in ("f4", "f8", ">f4", "i8", ">i2", "u1", "f2")}
    arrays |= {"order": np.asfortranarray(rng.random((3, 2))), "bool": rng.random(4) > 0.5, "none": np.zeros((0, 2))}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"model": arrays}, protocol))
    found, _ = read_weights(tmp_path / "a.pkl")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name].numpy(), array, err_msg=name)


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def _object_array() -> bytes:
    """An array of objects whose type says that it holds none: its bytes would be taken for pointers."""
    kind = _global("numpy", "dtype") + _text("O8") + b"\x89\x88\x87R(K\x03" + _text("|")
    kind += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = b"B" + struct.pack("<I", 8) + struct.pack("<Q", 0x4141414141414141)
    array = _global("numpy.core.multiarray", "_reconstruct") + _global("numpy", "ndarray") + b"K\x00\x85"
    return array + b"B\x01\0\0\0b\x87R(K\x01(K\x01t" + kind + b"\x89" + data + b"tb"


def _archive(path: Path, data: bytes, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/byteorder", b"little")
        for name, content in files.items():
            archive.writestr(f"a/data/{name}", content)
    return path


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_object_array() + b".", "arrays of type 'O8' are not read"),
        (_global("numpy", "ndarray") + _object_array() + b"\x85R.", "O8"),
        (_global("numpy", "dtype") + _text("f4") + b"\x85R(K\x03" + _text("|") + b"K\x3ftb.", "holds no table"),
        (_global("numpy", "ndarray") + b"K\x01\x85R.", "calls an object that is not a function"),
        (b")q\0" + (b"(" + b"h\0" * 10 + b"tq\0") * 12 + b"}h\0Ns.", "a key of a dictionary is a tuple"),
        (_global("builtins", "eval") + _text("1") + b"\x85R.", r"refused: it asks to run builtins\.eval"),
        (_global("torch.serialization", "load") + b".", r"refused: it asks to run torch\.serialization\.load"),
    ],
)
def test_crafted_pickles_are_refused(zipped: bool, body: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    data = b"\x80\x02" + body
    if zipped:
        _archive(path, data)
    else:
        path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


def _view(
    shape: tuple[int, ...], stride: tuple[int, ...], offset: int, count: int = 4, kind: str = "FloatStorage"
) -> bytes:
    """A pickle of one tensor over a storage."""
    key = b"(" + _text("storage") + _global("torch", kind) + _text("0") + _text("cpu") + _number(count) + b"tQ"
    call = _global("torch._utils", "_rebuild_tensor_v2") + b"(" + key + _number(offset)
    call += _tuple(shape) + _tuple(stride) + b"\x89}tR"
    return b"\x80\x02}" + _text("w") + call + b"s."


def _number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(_number, values)) + b"t"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_view((2, 2), (2, 1), 0), None),
        (_view((2, 2), (2, 1), 1), "reaches beyond its 4 values"),
        (_view((1 << 40,), (1,), 0), "reaches beyond"),
        (_view((1 << 40,), (0,), 0), "reaches beyond"),
        (_view((2,), (1,), -1), "reaches beyond"),
        (_view((-2,), (1,), 0), "not a size"),
        (_view((2, 2), (1,), 0), "another number of sizes"),
        (_view((4,), (1,), 0, count=1 << 40), "has 16 bytes for"),
        (_view((4,), (1,), 0, kind="QInt8Storage"), "QInt8Storage"),
        (_view((2,), (1,), 0, count=2, kind="DoubleStorage"), None),
    ],
)
def test_tensors_stay_inside_their_file(data: bytes, message: str | None, tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.pth", data, **{"0": np.arange(4, dtype="<f4").tobytes()})
    if message is None:
        assert read_weights(path)[0]["w"].numel() in (2, 4)
        return
    with pytest.raises(CheckpointError, match=message):
        read_weights(path)


def test_a_changed_byte_of_an_archive_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(1000)}, path)
    data = bytearray(path.read_bytes())
    at = data.index(np.ones(4, "<f4").tobytes()) + 400
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"checksum of .* is wrong"):
        read_weights(path)


def test_an_archive_that_was_packed_again_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(4)}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(CheckpointError, match="packed again"):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    save_file({"good": torch.ones(2), "bad": torch.tensor([1.0, value])}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"infinities or NaN: bad$"):
        read_weights(tmp_path / "a.safetensors")


def _header(**about: Any) -> bytes:
    text = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | about}).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x10\0\0\0\0\0\0\0", "damaged safetensors"),
        (_header(shape=[1 << 40, 1 << 40]), "damaged safetensors"),
        (_header(shape=[1 << 62, 4]), "damaged safetensors"),
        (_header(shape=[-2]), "damaged safetensors"),
        (_header(shape="x"), "damaged safetensors"),
        (_header(data_offsets=[0, 1 << 40]), "damaged safetensors"),
        (_header(data_offsets=[8, 0]), "damaged safetensors"),
        (_header(dtype="F8_E4M3", shape=[8]), "is stored as F8_E4M3"),
        (_header(dtype=["F32"]), "damaged safetensors"),
        (struct.pack("<Q", 1 << 62) + b"{" * 20, "damaged safetensors"),
        (struct.pack("<Q", 300) + b'{"a":' * 60 + b" " * 100, "damaged safetensors"),
    ],
)
def test_damaged_safetensors_are_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_eight_bit_tensors_are_told(zipped: bool, tmp_path: Path) -> None:
    tensor: Tensor = X.to(torch.float8_e4m3fn)
    torch.save({"w": tensor}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="8-bit"):
        read_weights(tmp_path / "a.pth")
