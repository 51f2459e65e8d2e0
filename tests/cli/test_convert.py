import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.weights.official import official_state, small_config
from uniref_cli.app import run


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("released") / "image-joint.pth"
    torch.save({"model": official_state(small_config())[0]}, path)
    return path


def test_tells_what_it_found(released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", str(released), str(tmp_path / "out")]) == 0
    assert "UniRef++ joint model" in capsys.readouterr().out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]


def test_json_line(released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", str(released), str(tmp_path / "out"), "--json", "--dtype", "float16"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["dtype"] == "float16"
    assert record["tensors"] > 100


def test_failure_is_one_line_and_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pth").write_bytes(b"nothing")
    assert run(["convert", str(tmp_path / "a.pth"), str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "a.pth" in captured.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.slow
def test_an_interruption_leaves_nothing(released: Path, tmp_path: Path, signum: int, code: int) -> None:
    """The process is stopped while it writes: a hook makes the write wait for the signal."""
    hook = (
        "import sys, time, uniref.weights.conversion as c\n"
        "def slow(folder, *rest):\n"
        "    (folder / 'model.safetensors').write_bytes(b'half'); print('writing', flush=True); time.sleep(60)\n"
        "c.save_checkpoint = slow\n"
        "from uniref_cli.app import main\n"
        f"sys.argv = ['uniref', 'convert', {str(released)!r}, {str(tmp_path / 'out')!r}]\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hook], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    time.sleep(0.2)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
