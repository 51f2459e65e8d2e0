"""The page about a batch: parsed, and opened in a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from PIL import Image

from uniref.inference.batch_page import FailedInput, write_batch_page
from uniref.inference.result_folders import result_folders

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
HOSTILE = '<img src=x onerror="alert(1)">&amp; </script><script>alert(2)</script>'


def make_result(out: Path, name: str, frames: int = 30, texts: tuple[str, ...] = ("the dog",), **changes: Any) -> Path:
    """A folder as `predict` leaves it."""
    folder = out / name
    folder.mkdir(parents=True)
    present = [index % 3 != 0 for index in range(frames)]
    objects = {
        str(number): {
            "kind": "text",
            "text": text,
            "present": number == 1,
            "frames_present": sum(present) if number == 1 else 0,
            "frames_predicted": frames,
            "mean_score": 0.75,
            "best_score": 0.9,
        }
        for number, text in enumerate(texts, start=1)
    }
    series = {"present": [float(each) for each in present], "score": [0.5, None] + [0.7] * (frames - 2)}
    summary = {
        "input": f"/data/{name}.mp4",
        "kind": "video" if frames > 1 else "image",
        "complete": True,
        "size": {"height": 48, "width": 64},
        "frames": {"written": frames, "first": 0, "last": frames - 1, "damaged": 0},
        "objects": objects,
        "seconds": {"total": 1.5, "model": 1.0},
        "outputs": ["masks", "overlay.mp4", "preview.jpg"],
        "request": {"input": f"/data/{name}.mp4"},
    }
    if frames > 1:
        summary["timeline"] = {"frames_per_bin": 1, "objects": dict.fromkeys(objects, series)}
    (folder / "summary.json").write_text(json.dumps(summary | changes))
    Image.new("RGB", (708, 132), (90, 120, 160)).save(folder / "preview.jpg")
    return folder


class Page(HTMLParser):
    """Rows of the table, with their cells' texts, and all addresses."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.rows: list[dict[str, str | None]] = []
        self.cells: list[list[str]] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._cell = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(values[key]) for key in ("src", "href") if key in values]
        if tag == "tr" and "data-input" in values:
            self.rows.append(values)
            self.cells.append([])
        elif tag == "td":
            self.cells[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag != "td"

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.cells[-1][-1] += data


def write(out: Path, names: tuple[str, ...] = (), failed: tuple[FailedInput, ...] = ()) -> Page:
    said: list[str] = []
    path = write_batch_page(out, names, failed, said.append)
    assert path == out / "index.html"
    assert said == []
    return Page(path)


def test_a_row_per_input(tmp_path: Path) -> None:
    make_result(tmp_path, "clip 10")
    make_result(tmp_path, "clip 2", texts=("the dog", "a zebra"))
    make_result(tmp_path, ".hidden", frames=1)
    make_result(tmp_path, "stopped.partial", complete=False)
    (tmp_path / ".clip.partial-host-123").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    page = write(tmp_path, failed=(FailedInput("bad", "/data/bad.mp4", "bad.mp4: is damaged"),))
    found = {row["data-input"]: row["data-status"] for row in page.rows}
    assert found == {
        "bad": "failed",
        ".hidden": "done",
        "clip 2": "not found",
        "clip 10": "done",
        "stopped.partial": "stopped",
    }
    cells = {
        str(row["data-input"]): " ".join(" ".join(each).split())
        for row, each in zip(page.rows, page.cells, strict=True)
    }
    assert "bad.mp4: is damaged" in cells["bad"]
    assert "the dog20 of 300.75" in cells["clip 2"]
    assert "a zebranot found0.75" in cells["clip 2"]
    assert "image, 64 x 48" in cells[".hidden"]
    # all addresses are relative and lead somewhere, so that the page works wherever the folder is
    (tmp_path / "clip 2" / "masks").mkdir()
    for address in page.addresses:
        assert address.startswith("./")
        assert (tmp_path / unquote(address)).parent.is_dir()
    assert "./clip%202/preview.jpg" in page.addresses
    assert "link" not in page.tags
    assert page.tags.count("path") == 2 * 4  # a chart per object of a video


def test_names_and_texts_cannot_break_out(tmp_path: Path) -> None:
    name = HOSTILE.replace("/", "_")
    make_result(tmp_path, name, texts=(HOSTILE, "a\u202eb\x1b[31m"))
    make_result(tmp_path, "javascript:alert(1)")
    page = write(tmp_path, failed=(FailedInput(HOSTILE, HOSTILE, HOSTILE),))
    assert page.tags.count("script") == 3  # the failures, the counts and ours
    assert page.tags.count("img") == 2
    assert {row["data-input"] for row in page.rows} == {name, HOSTILE, "javascript:alert(1)"}
    assert all(address.startswith("./") for address in page.addresses)
    assert "\x1b" not in (tmp_path / "index.html").read_text()


def test_failures_of_other_processes_stay_until_they_are_done(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    make_result(tmp_path, "c")
    write(tmp_path, names, (FailedInput("a", "a.mp4", "damaged </script>"),))
    page = write(tmp_path, names, (FailedInput("b", "b.mp4", "gone"),))  # another part of the same run
    assert [row["data-input"] for row in page.rows] == ["a", "b", "c"]
    make_result(tmp_path, "a")  # a rerun
    assert [row["data-status"] for row in write(tmp_path, names, ()).rows] == ["failed", "done", "done"]
    assert [row["data-input"] for row in write(tmp_path, ("c",), ()).rows] == ["a", "c"]  # a run without b


def test_a_page_of_somebody_else_stays(tmp_path: Path) -> None:
    make_result(tmp_path, "a")
    said: list[str] = []
    for content in ("<html>my own page</html>", ""):
        (tmp_path / "index.html").write_text(content)
        assert write_batch_page(tmp_path, (), (), said.append) is None
        assert (tmp_path / "index.html").read_text() == content
    assert len(said) == 2
    assert "uniref did not write" in said[0]
    (tmp_path / "index.html").unlink()
    (tmp_path / "index.html").mkdir()
    assert write_batch_page(tmp_path, (), (), said.append) is None


def test_folders_of_older_versions_are_shown(tmp_path: Path) -> None:
    make_result(tmp_path, "old", objects={"1": {"kind": "mask", "frames_present": 3, "mean_score": None}}, timeline={})
    make_result(tmp_path, "odd", objects=[])
    make_result(tmp_path, "text", summary=1)
    (tmp_path / "text" / "summary.json").write_text("{")
    page = write(tmp_path)
    assert {row["data-input"]: row["data-status"] for row in page.rows} == {"old": "done", "odd": "failed"}


def test_a_thousand_inputs(tmp_path: Path) -> None:
    for index in range(1000):
        make_result(tmp_path, f"clip-{index}", frames=3, texts=tuple(f"thing {n}" for n in range(1, 13)))
    page = write(tmp_path)
    assert len(page.rows) == 1000
    assert "and 4 more" in " ".join(page.cells[0])
    assert (tmp_path / "index.html").stat().st_size < 6_000_000
    assert sum(1 for _ in result_folders(tmp_path)) == 1000


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_in_a_browser(tmp_path: Path) -> None:
    """Rows are sorted and filtered, nothing is wider than the window, nothing of a name is run."""
    make_result(tmp_path, "clip 10", frames=40, texts=("the dog", HOSTILE))
    make_result(tmp_path, "clip 2", frames=5, seconds={"total": 9, "model": 1})
    make_result(tmp_path, "x" * 150, frames=1)
    write(tmp_path, failed=(FailedInput("bad", HOSTILE, HOSTILE),))
    script = """<script>
    window.alert = () => { window.run = true };
    addEventListener("load", () => {
      const shown = () => [...document.querySelectorAll("tbody tr:not([hidden])")];
      const names = () => shown().map(row => row.dataset.input.slice(0, 7));
      const click = key => document.querySelector(`button[data-key=${key}]`).click();
      const say = text => { filter.value = text; filter.dispatchEvent(new Event("input")) };
      const seen = { wide: document.documentElement.scrollWidth > innerWidth };
      seen.pictures = [...document.images].filter(each => each.naturalWidth === 708).length;
      click("input"); seen.input = names(); click("input"); seen.back = names();
      click("seconds"); seen.seconds = names();
      say("clip dog"); seen.filtered = names(); seen.counts = counts.textContent; say("");
      seen.all = names().length; seen.run = window.run === true;
      document.body.innerHTML = `<pre>${btoa(JSON.stringify(seen))}</pre>`;
    });
    </script>"""
    page = tmp_path / "index.html"
    page.write_text(page.read_text().replace("</body>", script + "</body>"))
    assert BROWSER is not None
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,720", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<pre>([^<]+)</pre>", done.stdout)
    assert found is not None
    seen = json.loads(base64.b64decode(found[1]))
    assert seen == {
        "wide": False,
        "pictures": 3,
        "input": ["bad", "clip 2", "clip 10", "xxxxxxx"],
        "back": ["xxxxxxx", "clip 10", "clip 2", "bad"],
        "seconds": ["clip 2", "xxxxxxx", "clip 10", "bad"],
        "filtered": ["clip 2", "clip 10"],
        "counts": "2 of 4 inputs: 2 done, 1 failed, 1 not found",
        "all": 4,
        "run": False,
    }
