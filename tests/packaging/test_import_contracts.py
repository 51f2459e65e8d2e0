"""The layers of the packages, as `[tool.importlinter]` in pyproject.toml states them."""

from __future__ import annotations

from pathlib import Path

import pytest


def test_contracts_are_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    cli = pytest.importorskip("importlinter.cli", reason="import-linter is part of the dev extra")
    monkeypatch.chdir(Path(__file__).parents[2])
    assert cli.lint_imports(no_cache=True) == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out
