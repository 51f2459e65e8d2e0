"""The report of a training shows what strangers wrote as text."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from uniref.engine.report import write_report
from uniref.recipe.load import load_recipe

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_everything_is_escaped(tmp_path: Path) -> None:
    recipe = load_recipe(Path("recipes/debug.yaml"), [f"description={json.dumps(EVIL)}"])
    out = tmp_path / "a<b>"
    (out / "detect" / "pictures" / "step-00000004").mkdir(parents=True)
    terms = {EVIL: 1.0, f"{EVIL}/x": 0.5}
    records: list[dict[str, Any]] = [{"kind": "train", "step": n, "loss": 1.0, "terms": terms} for n in range(1, 4)]
    records.append({"kind": "evaluation", "step": 3, "results": {EVIL: {EVIL: 0.5}}})
    (out / "detect" / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    about = PngInfo()
    about.add_text("Description", EVIL)
    for folder in out.rglob("step-*"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "a.png", pnginfo=about)
    page = write_report(out, recipe).read_text("utf-8")
    found = _Tags(page).tags
    assert "script" not in {tag for tag, _ in found}
    assert all(str(attributes.get("src", "data:")).startswith("data:") for _, attributes in found)
    assert not any(name.startswith("on") for _, attributes in found for name in attributes)


def test_numbers_have_four_digits(tmp_path: Path) -> None:
    recipe = load_recipe(Path("recipes/debug.yaml"))
    (tmp_path / "detect").mkdir()
    records: list[dict[str, Any]] = [{"kind": "train", "step": 2, "loss": 1.0, "terms": {}, "memory_gb": 1.23456}]
    results = {"davis17/val": {"J&F": 0.123456}}, {"davis17/val": {"J&F": 0.5}}
    records += [{"kind": "evaluation", "step": step, "results": each} for step, each in enumerate(results, start=1)]
    (tmp_path / "detect" / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    page = write_report(tmp_path, recipe).read_text("utf-8")
    for shown in ("1.2346", "0.1235", "0.5000"):
        assert f">{shown}<" in page
