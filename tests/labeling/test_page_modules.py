"""The page's modules that compute, run in a real browser and compared with NumPy and pycocotools."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pycocotools import mask as coco

import uniref.labeling
from uniref.core import rle

STATIC = Path(uniref.labeling.__file__).parent / "static"
Mask = npt.NDArray[np.uint8]
Evaluate = Callable[..., Any]

# of what a test sends and gets: a mask as a nested list
HELPERS = """
const toMask = (rows) => ({width: rows[0].length, height: rows.length, data: Uint8Array.from(rows.flat())});
const toRows = ({width, height, data}) =>
  Array.from({length: height}, (_, y) => [...data.subarray(y * width, (y + 1) * width)]);
const [rle, contour, paint, tracks, loader] = await Promise.all(
  ["rle", "contour", "paint", "tracks", "loader"].map((name) => import(`/${name}.js`)));
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def evaluate(browser: Any) -> Iterator[Evaluate]:
    """Runs the body of a JavaScript function of `argument` with the page's modules at hand."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(STATIC)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/icon.svg")
    page.goto(f"http://127.0.0.1:{server.server_port}/rle.js")
    yield lambda body, argument=None: page.evaluate(f"async (argument) => {{ {HELPERS} {body} }}", argument)
    page.close()
    server.shutdown()
    server.server_close()


def masks() -> list[Mask]:
    """Empty, full, one pixel, stripes, blobs, noise; first and last pixels of either value."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:37, :53]
    blob = ((x - 20) ** 2 + (y - 18) ** 2 < 150) & ((x - 22) ** 2 + (y - 18) ** 2 > 30)
    corner = np.zeros((5, 4), np.uint8)
    corner[0, 0] = corner[-1, -1] = 1
    return [
        np.zeros((3, 5), np.uint8),
        np.ones((3, 5), np.uint8),
        np.ones((1, 1), np.uint8),
        corner,
        np.tile(np.array([[0, 1]], np.uint8), (6, 4)),
        blob.astype(np.uint8),
        (rng.random((37, 53)) < 0.5).astype(np.uint8),
    ]


def runs(mask: Mask) -> dict[str, Any]:
    return {"size": list(mask.shape), "counts": rle.to_runs(mask.astype(bool))}


@pytest.mark.parametrize("mask", masks(), ids=lambda mask: f"{mask.shape}-{int(mask.sum())}")
def test_run_lengths_are_those_of_coco(evaluate: Evaluate, mask: Mask) -> None:
    counts = evaluate("return rle.encode(toMask(argument))", mask.tolist())
    assert counts == runs(mask)
    height, width = mask.shape
    assert np.array_equal(coco.decode(coco.frPyObjects(counts, height, width)), mask)
    decoded, area = evaluate("return [toRows(rle.decode(argument)), rle.area(argument)]", counts)
    assert np.array_equal(decoded, mask)
    assert area == mask.sum()


def test_run_lengths_of_another_size_are_refused(evaluate: Evaluate) -> None:
    body = "try { rle.decode(argument); return null } catch (error) { return error.message }"
    assert "11 pixels" in evaluate(body, {"size": [3, 4], "counts": [5, 6]})


@pytest.mark.parametrize("mask", masks(), ids=lambda mask: f"{mask.shape}-{int(mask.sum())}")
def test_bounds_are_tight(evaluate: Evaluate, mask: Mask) -> None:
    box = evaluate("return rle.bounds(toMask(argument))", mask.tolist())
    if not mask.any():
        assert box is None
        return
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    assert box == {"x0": columns[0], "y0": rows[0], "x1": columns[-1] + 1, "y1": rows[-1] + 1}


@pytest.mark.parametrize("mask", masks(), ids=lambda mask: f"{mask.shape}-{int(mask.sum())}")
def test_outlines_enclose_exactly_the_pixels(evaluate: Evaluate, mask: Mask) -> None:
    lines = evaluate("return contour.contours(toMask(argument))", mask.tolist())
    edges = [np.reshape(line, (-1, 2)) for line in lines]
    assert np.array_equal(inside(edges, *mask.shape), mask)


@pytest.mark.parametrize("value", [0, 1])
def test_polygons_fill_the_pixels_whose_centres_are_inside(evaluate: Evaluate, value: int) -> None:
    star = [[3.2, 30.1], [25.7, -4.0], [48.9, 30.4], [1.1, 8.3], [60.2, 9.9]]
    before = np.full((37, 53), 1 - value, np.uint8)
    body = "const mask = toMask(argument[0]); paint.fillPolygon(mask, argument[1], argument[2]); return toRows(mask)"
    painted = evaluate(body, [before.tolist(), star, value])
    expected = np.where(inside([np.array(star)], 37, 53), value, 1 - value)
    assert np.array_equal(painted, expected)
    assert (expected == value).sum() > 200


@pytest.mark.parametrize("radius", [0.5, 1, 3.5])
def test_strokes_paint_the_pixels_near_the_line(evaluate: Evaluate, radius: float) -> None:
    start, end = (4.3, 5.6), (40.2, 29.9)
    body = (
        "const mask = rle.emptyMask(53, 37);"
        "const box = paint.paintLine(mask, ...argument, 1);"
        "const other = rle.bounds(mask); return [toRows(mask), box, other]"
    )
    painted, box, seen = evaluate(body, [*start, *end, radius])
    y, x = np.mgrid[:37, :53] + 0.5
    direction = np.subtract(end, start)
    along = np.clip(((x - start[0]) * direction[0] + (y - start[1]) * direction[1]) / (direction**2).sum(), 0, 1)
    distance = np.hypot(x - start[0] - along * direction[0], y - start[1] - along * direction[1])
    expected = distance <= radius
    expected[int(start[1]), int(start[0])] = expected[int(end[1]), int(end[0])] = True
    assert np.array_equal(np.array(painted, bool), expected)
    assert box["x0"] <= seen["x0"] and box["y0"] <= seen["y0"] and box["x1"] >= seen["x1"] and box["y1"] >= seen["y1"]


def test_a_stroke_outside_changes_nothing(evaluate: Evaluate) -> None:
    body = "const mask = rle.emptyMask(8, 6); return [paint.paintLine(mask, -9, -9, -20, 3, 4, 1), rle.bounds(mask)]"
    assert evaluate(body) == [None, None]


def test_the_timeline_takes_changes_over(evaluate: Evaluate) -> None:
    first = {
        "revision": 4,
        "full": True,
        "removed": [],
        "objects": {
            "1": {
                "frames": [0, 1, 2, 3],
                "scores": [None, 0.9, 0.3, 0.8],
                "areas": [5, 5, 0, 4],
                "given": [True, False, False, False],
            }
        },
    }
    given = {"frames": [2], "scores": [0.95], "areas": [6], "given": [True]}
    second = {"revision": 6, "full": False, "removed": [[1, 3, 9]], "objects": {"1": given}}
    body = """
      const all = new tracks.Tracks(6);
      const before = all.apply(argument[0]), weak = all.nextWeak(1, 0);
      const changed = all.apply(argument[1]), track = all.get(1);
      return {before, weak, changed: [...changed].sort(), revision: all.revision, given: [...track.given],
        areas: [...track.area], known: [...track.score].map((score) => !Number.isNaN(score)),
        next: all.nextGiven(1, 0, 1), previous: all.nextGiven(1, 0, -1)};
    """
    assert evaluate(body, [first, second]) == {
        "before": "all",
        "weak": 2,
        "changed": [2, 3],
        "revision": 6,
        "given": [1, 0, 1, 0, 0, 0],
        "areas": [5, 5, 6, 0, 0, 0],
        "known": [True, True, True, False, False, False],
        "next": 2,
        "previous": None,
    }


def test_scrubbing_loads_few_frames_and_the_last_one(evaluate: Evaluate) -> None:
    """Ten thousand wishes in a row, each answered after a while: few are sent, at most three at a time."""
    body = """
      const sent = [], loaded = []; let running = 0, most = 0;
      const frames = new loader.Loader(async (i) => {
        sent.push(i); most = Math.max(most, ++running);
        await new Promise((done) => setTimeout(done, 5));
        running--; return {i};
      }, {capacity: 10, slots: 3, onLoad: (i) => loaded.push(i)});
      for (let i = 0; i < 10000; i++) {
        frames.want([i]);
        if (i % 1000 === 0) await new Promise((done) => setTimeout(done, 6));
      }
      while (!frames.get(9999)) await new Promise((done) => setTimeout(done, 5));
      return {sent: sent.length, most, last: loaded.at(-1)};
    """
    result = evaluate(body)
    assert result["sent"] <= 40
    assert result["most"] == 3
    assert result["last"] == 9999


def test_what_changed_while_it_was_loaded_is_loaded_again(evaluate: Evaluate) -> None:
    body = """
      let version = 0; const dropped = [];
      const frames = new loader.Loader(async () => {
        const value = ++version; await new Promise((done) => setTimeout(done, 5)); return value;
      }, {capacity: 4, slots: 1, onLoad: () => {}, drop: (value) => dropped.push(value)});
      frames.want([7]);
      frames.invalidate([7]);
      while (!frames.get(7)) await new Promise((done) => setTimeout(done, 5));
      const first = frames.get(7);
      frames.invalidate("all");
      const stale = frames.get(7), fresh = frames.fresh(7);
      frames.want([7]);
      while (!frames.fresh(7)) await new Promise((done) => setTimeout(done, 5));
      return {first, stale, fresh, second: frames.get(7), dropped};
    """
    assert evaluate(body) == {"first": 2, "stale": 2, "fresh": False, "second": 3, "dropped": [1, 2]}


def inside(lines: list[npt.NDArray[np.float64]], height: int, width: int) -> Mask:
    """Pixels whose centres are inside by the even-odd rule."""
    y, x = np.mgrid[:height, :width] + 0.5
    crossed = np.zeros((height, width), bool)
    for line in lines:
        for (ax, ay), (bx, by) in zip(line, np.roll(line, -1, 0), strict=True):
            if ay == by:
                continue
            at = ax + (y - ay) / (by - ay) * (bx - ax)
            crossed ^= ((ay <= y) != (by <= y)) & (at > x)
    return crossed.astype(np.uint8)
