"""What the page says and keeps where something is not found, not possible, or damaged, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.labeling.browser import SIZE
from tests.labeling.clips import runs, write_clip
from tests.labeling.served import HEIGHT, WIDTH, Served, make_frames, serve

READY = "() => document.documentElement?.dataset.ready"
IDLE = "() => document.getElementById('progress').hidden"


def open_page(browser: Any, served: Served) -> Any:
    page = browser.new_context(viewport=SIZE).new_page()
    page.goto(served.server.url)
    page.wait_for_function(READY)
    return page


def message(page: Any, words: str) -> Any:
    """Wait for a line that holds words; returns its element."""
    page.wait_for_function(
        f"() => document.getElementById('message-text').textContent.includes({words!r})", timeout=60_000
    )
    return page.locator("#message")


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    opened = open_page(browser, served)
    yield opened
    opened.context.close()


def test_nothing_to_segment_is_no_warning(page: Any) -> None:
    page.keyboard.press("s")
    assert "good" in message(page, "There is no object yet").get_attribute("class")


def test_the_line_of_an_object_without_prompts_is_whole(page: Any) -> None:
    line = page.locator(".object .prompt").first
    assert "no prompt yet" in line.inner_text()
    assert line.evaluate("(each) => each.scrollWidth <= each.clientWidth")


def test_an_example_that_cannot_be_used_leaves_no_object(page: Any, served: Served, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "cup.png")
    Image.new("L", (50, 50), 255).save(tmp_path / "mask.png")
    before = [each["id"] for each in served.ask("/api/state").json["objects"]]
    page.click("#example")
    page.set_input_files("#example-image", tmp_path / "cup.png")
    page.set_input_files("#example-mask", tmp_path / "mask.png")
    page.click("#example-dialog button[value=start]")
    message(page, "mask")
    page.wait_for_function(f"() => document.querySelectorAll('.object').length === {len(before)}")
    assert [each["id"] for each in served.ask("/api/state").json["objects"]] == before


def test_the_export_button_says_why_it_is_disabled(page: Any) -> None:
    page.keyboard.press("x")
    while page.locator("#formats input:checked").count():
        page.locator("#formats input:checked").first.uncheck()
    assert page.is_disabled("#export-start")
    assert page.get_attribute("#export-start", "title") == "Choose a format first"
    page.check("#formats input[value=masks]")
    assert page.is_enabled("#export-start")
    assert page.get_attribute("#export-start", "title") == ""


def test_caps_lock_changes_no_key(page: Any, served: Served) -> None:
    """With it, a browser sends small letters with Shift and capital ones without."""

    def press(key: str, shift: bool) -> None:
        page.evaluate(
            "([key, shiftKey]) => document.body.dispatchEvent("
            "new KeyboardEvent('keydown', {key, shiftKey, ctrlKey: true, bubbles: true}))",
            [key, shift],
        )

    assert served.post("/api/objects").status in (200, 201)
    page.wait_for_function("() => document.querySelectorAll('.object').length === 2")
    press("Z", False)
    message(page, "Undone")
    page.wait_for_function("() => !document.getElementById('redo').disabled")
    press("z", True)
    message(page, "Done again")


def test_an_export_with_a_used_name_says_so_in_the_dialog(page: Any, served: Served) -> None:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:30, 5:25] = True
    assert served.post("/api/objects/1/mask", {"frame": 0, "rle": runs(mask)}).status == 200
    page.keyboard.press("x")
    page.uncheck("#formats input[value=overlay]")
    page.fill("#export-name", "once")
    page.click("#export-start")
    page.wait_for_selector("#exports b")
    assert page.is_hidden("#export-error")
    page.wait_for_selector("#export-start:enabled")
    page.fill("#export-name", "once")
    page.click("#export-start")
    page.wait_for_selector("#export-error:not([hidden])")
    assert "exists already" in page.inner_text("#export-error")
    assert page.input_value("#export-name") == "once"
    page.fill("#export-name", "twice")
    assert page.is_hidden("#export-error")


def test_flaws_of_the_video_are_told_until_dismissed(browser: Any, checkpoint: Path, tmp_path: Path) -> None:
    frames = make_frames(tmp_path / "frames")
    Image.new("RGB", (100, 40)).save(frames / "00003.png")
    with serve(frames, tmp_path / "project", checkpoint) as served:
        page = open_page(browser, served)
        page.keyboard.press("End")
        page.wait_for_selector("#notes:not([hidden])")
        assert "differ in size" in page.inner_text("#notes-list")
        page.click("#notes-close")
        page.reload()
        page.wait_for_function(READY)
        assert page.is_hidden("#notes")
        page.context.close()


@pytest.mark.slow
def test_points_that_find_nothing_stay_until_they_are_dropped(browser: Any, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", 3)
    with serve(clip, tmp_path / "project", Path("small")) as served:
        page = open_page(browser, served)
        sent: list[Any] = []
        page.on("request", lambda each: each.url.endswith("/region") and sent.append(each.post_data_json["points"]))
        page.wait_for_timeout(500)  # until the frame and its masks are loaded
        box = page.locator("#overlay").bounding_box()

        def click(x: float, button: str = "left") -> None:
            page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * 0.1, button=button)

        # what does not belong to it comes second
        page.keyboard.press("k")
        click(0.5, "right")
        assert "good" in message(page, "Click on the object first").get_attribute("class")
        assert served.ask("/api/state").json["objects"] == []

        # the sky is no object; points add up, those that are clicked while others are looked for too
        click(0.5)
        click(0.3)
        message(page, "at the 2 points: not found in this frame")
        assert [len(points) for points in sent] == [1, 2]

        # dropped with the object that was made for them
        page.wait_for_function(IDLE)
        page.keyboard.press("Escape")
        page.wait_for_selector(".object", state="detached")
        assert served.ask("/api/state").json["objects"] == []
        page.context.close()
