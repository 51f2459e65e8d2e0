"""The page's controls in a real browser: sizes, names for screen readers, keys, and a server that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.labeling.browser import SIZE
from tests.labeling.served import Served, make_frames, serve

READY = "() => document.documentElement?.dataset.ready"


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    """The page of a video of six frames, with one object and a tiny model."""
    context = browser.new_context(viewport=SIZE)
    opened = context.new_page()
    opened.goto(served.server.url)
    opened.wait_for_function(READY)
    yield opened
    context.close()


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_everything_fits(page: Any, size: tuple[int, int]) -> None:
    width, height = size
    page.set_viewport_size({"width": width, "height": height})
    body = """() => [...document.querySelectorAll("button, input, canvas")]
      .filter((each) => each.checkVisibility() && !each.closest("dialog"))
      .map((each) => [each.id || each.className, each.getBoundingClientRect()])
      .filter(([, box]) => box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight)
      .map(([name]) => name)"""
    assert page.evaluate(body) == []
    assert page.locator("#frame").bounding_box()["height"] > height / 2


def test_every_control_has_a_name(page: Any) -> None:
    body = """() => [...document.querySelectorAll("button, input, canvas[role]")]
      .filter((each) => !each.ariaLabel && !each.labels?.length && !each.textContent.trim())
      .map((each) => each.outerHTML)"""
    assert page.evaluate(body) == []


def test_keys_choose_tools_and_frames_but_not_while_typing(page: Any) -> None:
    def tool() -> str:
        return str(page.get_attribute(".tools [aria-checked=true]", "id"))

    for key, name in (("e", "eraser"), ("p", "polygon"), ("r", "box"), ("k", "points"), ("v", "pan"), ("b", "brush")):
        page.keyboard.press(key)
        assert tool() == f"tool-{name}"
    for key, frame in (("ArrowRight", 1), ("End", 5), ("ArrowLeft", 4), ("Shift+ArrowLeft", 0)):
        page.keyboard.press(key)
        assert page.input_value("#frame-number") == str(frame)
    page.keyboard.press("t")
    page.keyboard.type("a brown pony")
    assert page.input_value("#text") == "a brown pony"
    assert tool() == "tool-brush"
    page.keyboard.press("Escape")
    page.keyboard.press("]")
    assert page.text_content("#brush-value") == "3 px"
    page.keyboard.press("?")
    assert page.is_visible("#help-dialog")
    assert page.locator("#key-columns dl div").count() > 30
    page.keyboard.press("Escape")
    assert not page.is_visible("#help-dialog")


def test_light_and_dark(page: Any) -> None:
    def ground() -> int:
        colour = page.evaluate("() => getComputedStyle(document.querySelector('.side')).backgroundColor")
        return int(colour.split("(")[1].split(",")[0])

    page.emulate_media(color_scheme="dark")
    assert ground() < 60
    page.emulate_media(color_scheme="light")
    assert ground() > 200
    page.click("#theme")  # light
    page.click("#theme")  # dark, whatever the system has
    assert ground() < 60
    page.reload()
    page.wait_for_function(READY)
    assert ground() < 60


def test_an_error_is_one_line_that_can_be_dismissed(page: Any) -> None:
    page.keyboard.press("n")
    page.keyboard.press("Shift+S")
    page.wait_for_selector("#message:not([hidden])")
    assert "\n" not in page.inner_text("#message-text").strip()
    page.click("#message-close")
    assert not page.is_visible("#message")


def test_a_server_that_is_gone_is_told(browser: Any, checkpoint: Path, tmp_path: Path) -> None:
    context = browser.new_context(viewport=SIZE)
    opened = context.new_page()
    with serve(make_frames(tmp_path / "frames"), tmp_path / "project", checkpoint) as served:
        opened.goto(served.server.url)
        opened.wait_for_function(READY)
        port = served.port
    opened.wait_for_selector("#message:not([hidden])")
    assert "still running" in opened.inner_text("#message-text")
    # started again, it has another token; the address that it prints makes the old page work again
    with serve(tmp_path / "frames", tmp_path / "project", checkpoint, port) as served:
        opened.wait_for_function("() => document.getElementById('message-text').textContent.includes('started again')")
        assert opened.is_hidden("#progress")
        context.new_page().goto(served.server.url)
        opened.wait_for_selector("#message", state="hidden")
    context.close()
