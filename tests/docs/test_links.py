"""Links between the repository's documents lead to files and headings that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:img|source|a)\b[^>]*?(?:src|srcset|href)=\"([^\"]+)\"")
# what the site makes of files outside docs/
SITE_PAGES = {
    "architecture.md": "ARCHITECTURE.md",
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "recipes.md": "recipes/README.md",
}


def pages() -> list[Path]:
    """Every document of the repository."""
    return [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "recipes/README.md",
        ROOT / "benchmarks/README.md",
    ]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as code hosts make them, and those that are written out."""
    found: dict[str, int] = {}
    text = page.read_text("utf-8")
    written = set(re.findall(r"<a id=\"([^\"]+)\">", text))
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        found[words] = found.get(words, -1) + 1
        written.add(f"{words}-{found[words]}" if found[words] else words)
    return written


def links(page: Path) -> Iterator[str]:
    """Targets of a page's links to files and headings of the repository."""
    for match in _LINK.finditer(_FENCE.sub("", page.read_text("utf-8"))):
        target = match[1] or match[2]
        if "://" not in target and not target.startswith("mailto:"):
            yield target


def broken(page: Path, target: str) -> str:
    """Why a link leads nowhere; empty if it does not."""
    path, _, anchor = target.partition("#")
    file = (page.parent / path) if path else page
    if not file.exists() and page.parent == ROOT / "docs" and path in SITE_PAGES:
        file = ROOT / SITE_PAGES[path]
    if not file.exists():
        return f"{page.relative_to(ROOT)}: {target}: no such file"
    if anchor and file.suffix == ".md" and anchor not in anchors(file):
        return f"{page.relative_to(ROOT)}: {target}: no such heading"
    return ""


def test_every_link_leads_somewhere() -> None:
    checked = [(page, target) for page in pages() for target in links(page)]
    assert len(checked) > 80
    assert [why for page, target in checked if (why := broken(page, target))] == []


def test_a_broken_link_is_noticed() -> None:
    page = ROOT / "README.md"
    assert broken(page, "docs/no-such-page.md").endswith("no such file")
    assert broken(page, "docs/objects.md#no-such-heading").endswith("no such heading")
    assert broken(page, "docs/objects.md#boxes-and-points") == ""
