"""The Python example of docs/quickstart.md runs and finds the objects."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/quickstart.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(example, {})  # noqa: S102 - our own page
    image, *frames = capsys.readouterr().out.splitlines()
    pixels, score = image.split()
    assert int(pixels) > 1000
    assert float(score) > 0.7
    assert [int(frame.split()[0]) for frame in frames] == [0, 1, 2, 3, 4]
    assert all(int(frame.split()[1]) > 100 for frame in frames)
