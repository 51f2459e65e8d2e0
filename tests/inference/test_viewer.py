"""The window of `--show`, where there is a display."""

import numpy as np
import pytest

from uniref.core.errors import UsageError
from uniref.inference.viewer import Viewer


def test_a_window_shows_frames_until_it_is_closed() -> None:
    try:
        viewer = Viewer("uniref")
    except UsageError as problem:
        pytest.skip(str(problem))
    viewer.show(np.zeros((100, 2000, 3), np.uint8))
    assert (viewer._label.winfo_width(), viewer._label.winfo_height()) == (1280, 64)
    viewer._root.focus_force()
    viewer._root.update()
    viewer._root.event_generate("<Key-q>")
    assert viewer.closed
    viewer.show(np.zeros((10, 10, 3), np.uint8))  # without effect
