"""docs/labeling.md has the keys of the page."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "uniref" / "labeling" / "static"


def test_every_key_of_the_page_is_described() -> None:
    page = (ROOT / "docs" / "labeling.md").read_text("utf-8")
    described = set(re.findall(r"^\| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE))
    keys = re.findall(r'about: "([^"]+)"', (STATIC / "keys.js").read_text("utf-8"))
    tools = re.findall(r'name: "([^"]+)", key: "([^"]+)"', (STATIC / "tools.js").read_text("utf-8"))
    assert len(keys) > 20 and len(tools) > 3
    assert [about for about in keys if about not in described] == []
    assert [name for name, key in tools if f"| {key} | {name} |" not in page] == []
