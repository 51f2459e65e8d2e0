"""The label page as a user works with it: real browser, real server, the bundled model, `examples/street.mp4`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.labeling.browser import SIZE
from tests.labeling.served import Served, serve
from uniref.media.ffmpeg import run_ffmpeg
from uniref.media.mask import read_mask
from uniref_cli.app import run as uniref

EXAMPLES = Path(__file__).parents[2] / "examples"
FRAMES, WIDTH, HEIGHT = 9, 384, 216  # of the clip; the known masks are those of frames 0 and 8
RED, BLUE, YELLOW = 6, 5, 4  # in the known masks
GIVEN = "!document.getElementById('clear').hidden"  # is the selected object's mask a given one?
MARGIN = 14  # around the frame, see view.js
Mask = npt.NDArray[np.bool_]


class User:
    """Someone in front of the page, who notices errors and requests that leave the machine."""

    def __init__(self, browser: Any, served: Served, **options: Any) -> None:
        self.served = served
        self.page = browser.new_context(viewport=SIZE, **options).new_page()
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.problems.append(message.text))
        self.page.on("request", self._check_host)
        self.page.on("response", lambda answer: answer.status >= 400 and self.problems.append(answer.url))
        self.page.goto(served.server.url)
        self.wait("document.documentElement?.dataset.ready")

    def _check_host(self, request: Any) -> None:
        if not request.url.startswith((f"http://127.0.0.1:{self.served.port}/", "data:", "blob:")):
            self.problems.append(f"asked for {request.url}")

    def wait(self, expression: str) -> None:
        self.page.wait_for_function(f"() => {expression}", timeout=60_000)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, key: str, text: str) -> None:
        """Press a key that focuses an input, type into it, and send it."""
        self.press(key)
        self.page.keyboard.type(text)
        self.press("Enter")

    def go(self, frame: int) -> None:
        self.type("g", str(frame))
        self.wait(
            f"document.getElementById('time').textContent && document.getElementById('strip').ariaValueNow == '{frame}'"
        )
        self.page.wait_for_timeout(300)  # until its masks are loaded

    def screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a pixel of the video is in the window; the frame is fitted."""
        box = self.page.locator("#overlay").bounding_box()
        scale = min((box["width"] - 2 * MARGIN) / WIDTH, (box["height"] - 2 * MARGIN) / HEIGHT)
        left = box["x"] + (box["width"] - WIDTH * scale) / 2
        top = box["y"] + (box["height"] - HEIGHT * scale) / 2
        return left + x * scale, top + y * scale

    def drag(self, *points: tuple[float, float]) -> None:
        """Along points of the video, with the button down."""
        for i, point in enumerate(points):
            self.page.mouse.move(*self.screen(*point), steps=3)
            if i == 0:
                self.page.mouse.down()
        self.page.mouse.up()

    def segment(self) -> None:
        """Segment what is out of date, to the end."""
        self.press("s")
        self.wait("document.getElementById('run-label').textContent === 'Stop'")
        self.wait("document.getElementById('run-label').textContent === 'Segment'")

    def seen(self, colour: str) -> Mask:
        """Where the canvas shows a colour, bool [H, W]: at the middle of every pixel of the video."""
        box = self.page.locator("#frame").bounding_box()
        (left, top), (right, _) = self.screen(0, 0), self.screen(1, 0)
        body = """([left, top, scale, columns, rows, wanted]) => {
          const canvas = document.getElementById("frame");
          const {data, width} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const shows = (x, y) => {
            const at = 4 * (Math.round(top + (y + 0.5) * scale) * width + Math.round(left + (x + 0.5) * scale));
            return wanted.every((value, i) => Math.abs(data[at + i] - value) <= 3) ? "1" : "0";
          };
          return Array.from({length: columns * rows}, (_, i) => shows(i % columns, Math.floor(i / columns))).join("");
        }"""
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        shown = self.page.evaluate(body, [left - box["x"], top - box["y"], right - left, WIDTH, HEIGHT, wanted])
        return np.reshape([each == "1" for each in shown], (HEIGHT, WIDTH))

    @property
    def state(self) -> Any:
        return self.served.ask("/api/state").json

    def mask(self, number: int, frame: int) -> Mask:
        """An object's mask as the server has it."""
        for mask in self.served.ask(f"/api/frames/{frame}/masks").json["masks"]:
            if mask["object"] == number:
                flat = np.repeat(np.arange(len(mask["rle"]["counts"])) % 2, mask["rle"]["counts"])
                return flat.reshape(WIDTH, HEIGHT).T.astype(bool)
        return np.zeros((HEIGHT, WIDTH), bool)

    def masks(self, number: int) -> Mask:
        return np.stack([self.mask(number, frame) for frame in range(FRAMES)])


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


def known(number: int, frame: int) -> Mask:
    return read_mask(EXAMPLES / "street-masks" / f"{frame:05d}.png") == number


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of examples/street.mp4, as they are in it."""
    path = tmp_path_factory.mktemp("clip") / "street.mp4"
    run_ffmpeg(["-i", str(EXAMPLES / "street.mp4"), "-frames:v", str(FRAMES), "-c", "copy", str(path)])
    return path


@pytest.mark.slow
def test_from_a_text_to_corrected_masks(browser: Any, clip: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    with serve(clip, project, Path("small")) as served:
        user = User(browser, served)
        assert user.page.is_visible("#first-steps")
        find_by_text(user)

        # it is followed with the masks of `uniref predict`
        user.segment()
        first = export(user, project, "first")
        assert iou(first[8] == 1, known(RED, 8)) > 0.75
        arguments = ["--text", "the red car", "--save", "masks", "--out", str(tmp_path / "out")]
        assert uniref(["predict", str(clip), *arguments]) == 0
        assert np.array_equal(first, read_masks(tmp_path / "out" / "street" / "masks"))

        correct_in_the_middle(user)
        add_by_box_in_the_middle(user)
        add_by_polygon(user)

        # what is exported is what is known
        user.segment()
        last = export(user, project, "last")
        for number, car in enumerate((RED, BLUE, YELLOW), 1):
            assert min(iou(last[frame] == number, known(car, frame)) for frame in (0, 8)) > 0.7, number

        # a reload goes on where it was
        user.go(5)
        user.page.reload()
        user.wait("document.documentElement?.dataset.ready && document.querySelectorAll('.object').length === 3")
        assert user.page.input_value("#frame-number") == "5"
        assert user.problems == []


def find_by_text(user: User) -> None:
    """A text shows the object on the canvas before anything else is asked for."""
    user.type("t", "the red car")
    user.wait("/[0-9]/.test(document.querySelector('.object .score')?.textContent)")
    user.page.locator("#opacity").fill("100")
    user.press("n")  # the selected object has a white outline
    user.page.wait_for_timeout(300)
    seen = user.seen(user.state["objects"][0]["colour"])
    assert iou(seen, user.mask(1, 0)) > 0.95
    assert iou(user.mask(1, 0), known(RED, 0)) > 0.75
    user.press("1")


def correct_in_the_middle(user: User) -> None:
    """A stroke is taken back, done again, and followed from its frame on; frames before keep their masks."""
    before = user.masks(1)
    user.go(4)
    rows, columns = before[4].nonzero()
    bottom, left = float(rows.max()), float(columns.min())
    user.press("b", "]", "]")
    user.drag((left + 20, bottom - 2), (left + 60, bottom + 1))
    user.wait(GIVEN)
    painted = user.mask(1, 4)
    assert painted.sum() > before[4].sum()
    assert not (before[4] & ~painted).any()
    user.press("Control+z")
    user.wait(f"!({GIVEN})")
    assert np.array_equal(user.mask(1, 4), before[4])
    user.press("Control+Shift+Z")
    user.wait(GIVEN)
    assert np.array_equal(user.mask(1, 4), painted)
    user.segment()
    after = user.masks(1)
    assert np.array_equal(after[:4], before[:4])
    assert np.array_equal(after[4], painted)
    assert (after[5:] != before[5:]).any()


def add_by_box_in_the_middle(user: User) -> None:
    """A second object is followed in both directions, stopped on the way and continued; the first one stays."""
    before = user.masks(1)
    user.go(4)
    user.press("n", "r")
    user.drag((265, 145), (377, 192))
    user.wait(f"document.querySelectorAll('.object').length === 2 && {GIVEN}")
    user.press("s")
    user.wait("document.getElementById('run-label').textContent === 'Stop'")
    user.press("s")
    user.wait("document.getElementById('run-label').textContent === 'Segment'")
    if user.state["objects"][1]["stale_from"] is not None:
        user.segment()
    assert user.masks(2).any((1, 2)).all()
    assert np.array_equal(user.masks(1), before)


def add_by_polygon(user: User) -> None:
    """A third object, by the corners of the yellow car."""
    user.go(0)
    user.press("n", "p")
    for corner in [(94, 138), (104, 138), (111, 124), (137, 124), (146, 136), (156, 140), (154, 147), (95, 147)]:
        user.page.mouse.click(*user.screen(*corner))
    user.press("Enter")
    user.wait(f"document.querySelectorAll('.object').length === 3 && {GIVEN}")
    assert iou(user.mask(3, 0), known(YELLOW, 0)) > 0.7


def export(user: User, project: Path, name: str) -> npt.NDArray[np.uint8]:
    """The masks that the dialog exports, uint8 [T, H, W]."""
    user.press("x")
    user.page.uncheck("#formats input[value=overlay]")
    user.page.fill("#export-name", name)
    user.page.click("#export-start")
    user.wait(f"[...document.querySelectorAll('#exports b')].some((each) => each.textContent === '{name}')")
    user.press("Escape")
    return read_masks(project / "exports" / name / "masks")


def read_masks(folder: Path) -> npt.NDArray[np.uint8]:
    """A clip's PNGs of object numbers, uint8 [T, H, W]."""
    assert [file.name for file in sorted(folder.iterdir())] == [f"{frame:05d}.png" for frame in range(FRAMES)]
    return np.stack([read_mask(folder / f"{frame:05d}.png") for frame in range(FRAMES)])
