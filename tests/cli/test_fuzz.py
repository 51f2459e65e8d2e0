"""Damaged files of every kind: one line or a warning, never a traceback, never a file under a final name."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from uniref.media.ffmpeg import run_ffmpeg
from uniref_cli.app import run

MakeVideo = Callable[..., Path]


def damage(data: bytes, rng: random.Random) -> bytes:
    kind = rng.choice(["cut", "flip", "swap", "zeros", "front"])
    if kind == "cut":
        return data[: rng.randrange(len(data))]
    if kind == "front":
        return data[rng.randrange(1, min(64, len(data))) :]
    out = bytearray(data)
    if kind == "flip":
        for _ in range(rng.choice([1, 20, 400])):
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    elif kind == "zeros":
        at = rng.randrange(len(out))
        end = min(at + rng.randrange(1, 2000), len(out))
        out[at:end] = bytes(end - at)  # in place: what follows does not move
    else:
        half = len(out) // 2
        out = out[half:] + out[:half]
    return bytes(out)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".gif", ".png", ".jpg"])
@pytest.mark.parametrize("seed", range(6))
def test_damaged_media(
    suffix: str, seed: int, make_video: MakeVideo, checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    intact = make_video(frames=12)
    original = tmp_path / f"original{suffix}"
    still = ["-frames:v", "1"] if suffix in (".png", ".jpg") else []
    assert run_ffmpeg(["-y", "-i", str(intact), *still, str(original)])[0] == 0
    rng = random.Random(f"{suffix}{seed}")  # noqa: S311 - repeatable, not secret
    broken = tmp_path / f"broken{rng.choice([suffix, '.mp4', '.png', ''])}"
    broken.write_bytes(damage(original.read_bytes(), rng))
    capfd.readouterr()
    out = tmp_path / "out"
    request = ["predict", str(broken), "--text", "dog", "--checkpoint", str(checkpoint), "--out", str(out)]
    code = run([*request, "--short-side", "48", "--save", "masks,overlay"])
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    assert "UNIREF_DEBUG" not in errors, errors  # an error that nobody thought of
    assert code in (0, 1)
    if code == 1:
        assert errors.startswith("uniref: error: ")
        assert "broken" in errors
        assert not out.exists() or list(out.iterdir()) == []
    else:
        assert (out / "broken" / "summary.json").is_file()
