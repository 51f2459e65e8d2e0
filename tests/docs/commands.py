"""The commands that the documents show, in their blocks of shell lines and in the code of their sentences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "recipes/README.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_BLOCK = re.compile(r"(?:<!-- needs: (?P<needs>[^>]+?) -->\n+)?^```sh\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`(uniref [a-z-]+ [^`\n]+)`(?!`)")
_SEPARATORS = ("&&", "||", "|", ";", ">", "do")


@dataclass(frozen=True)
class Shown:
    """A command of a document."""

    place: str
    """Page and line."""
    words: tuple[str, ...]
    needs: str | None
    """What the marker before its block says that running it needs, or None."""

    @property
    def arguments(self) -> list[str] | None:
        """The arguments of `uniref`, however it is started; None for another program."""
        for position, word in enumerate(self.words):
            if word == "uniref_cli.app" or (word.rpartition("/")[2] == "uniref" and word[-1] != "/"):
                rest = self.words[position + 1 :]
                return [word for word in rest if word != "..." and not word.startswith("$")]
            if position == 0 and word in ("pip", "git", "ls", "docker"):
                return None
        return None


def shown_in_blocks(page: Path) -> Iterator[Shown]:
    """Every command of the page's shell blocks."""
    text = page.read_text("utf-8")
    for block in _BLOCK.finditer(text):
        first = text.count("\n", 0, block.start("lines")) + 1
        lines = block["lines"].splitlines()
        while lines:
            # a command continued on the next lines is one
            taken = next(count for count, line in enumerate(lines, 1) if not line.endswith("\\"))
            whole = " ".join(line.removesuffix("\\") for line in lines[:taken])
            for words in _commands(whole):
                yield Shown(f"{page.relative_to(ROOT)}:{first}", words, block["needs"])
            del lines[:taken]
            first += taken


def shown_in_sentences(page: Path) -> Iterator[Shown]:
    """Every `uniref ...` in the page's sentences and tables; some are only the part of a command that is spoken of."""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        for match in _INLINE.finditer(line):
            for words in _commands(match[1]):
                yield Shown(f"{page.relative_to(ROOT)}:{number}", words, "a context")


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    """The commands of a line, without settings of the environment."""
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "&&"]:
        if word in _SEPARATORS or word.endswith(";"):
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words:
                yield tuple(words)
            words = []
        else:
            words.append(word)
