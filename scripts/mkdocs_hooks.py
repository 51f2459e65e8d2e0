"""What the site takes from the repository outside docs/.

Some pages have their only copy elsewhere (`PAGES`), where readers of the repository look for them. They become pages of
the site, and links between any two files of the repository stay links: to a page where the file is one, else to a copy
of the file. A link whose text is the name of a file has the page's title instead.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "architecture.md": "ARCHITECTURE.md",
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "recipes.md": "recipes/README.md",
}
"""Pages of the site, and the files that they are."""
COPIES = "repository"
"""Folder of the site for copies of linked files that are no pages."""
_NAMED = re.compile(r"\[`?[\w./-]+\.md`?\](?=\(([^\s)#]+\.md))")
_LINK = re.compile(r"(\]\(|<img [^>]*src=\")([^\s)\"]+)")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files, **_: Any) -> str:
    """Turn links between files of the repository into links between pages."""
    here = page.file.src_uri
    folder = posixpath.dirname(PAGES.get(here, f"docs/{here}"))
    pages = {source: target for target, source in PAGES.items()}

    def linked(match: re.Match[str]) -> str:
        path, sign, anchor = match[2].partition("#")
        if not path or ":" in path:
            return match[0]
        target = posixpath.normpath(posixpath.join(folder, path))
        if target in pages:
            uri = pages[target]
        elif target.startswith("docs/"):
            uri = target.removeprefix("docs/")
        elif (ROOT / target).is_file() and not target.endswith(".md"):
            uri = f"{COPIES}/{target}"
            if files.get_file_from_path(uri) is None:
                files.append(File.generated(config, uri, abs_src_path=str(ROOT / target)))
        else:
            return match[0]  # which mkdocs reports
        return match[1] + posixpath.relpath(uri, posixpath.dirname(here) or ".") + sign + anchor

    def titled(match: re.Match[str]) -> str:
        file = ROOT / posixpath.normpath(posixpath.join(folder, match[1]))
        title = re.search(r"^# (.+)$", file.read_text("utf-8"), re.MULTILINE) if file.is_file() else None
        return f"[{title[1]}]" if title else match[0]

    markdown = _NAMED.sub(titled, markdown)
    # code is left alone
    parts = re.split(r"(^```.*?^```|`[^`\n]+`)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("`") else _LINK.sub(linked, part) for part in parts)
