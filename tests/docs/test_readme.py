"""The README's Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_python_example(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(example, {})  # noqa: S102 - our own page
    image, *frames = capsys.readouterr().out.splitlines()
    assert image.startswith("(240, 320) 0.")
    assert [int(frame.split()[0]) for frame in frames] == [0, 1, 2, 3, 4]
