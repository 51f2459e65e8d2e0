"""The example in docs/synthetic-data.md runs and does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/synthetic-data.md"


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(example, {})  # noqa: S102 - our own page
    names = {path.name for path in (tmp_path / "my-scenes").iterdir()}
    assert names == {"images", "masks", "phrases.csv", "classes.csv"}
