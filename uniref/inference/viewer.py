"""A window that shows frames while they are predicted."""

from __future__ import annotations

import contextlib

from PIL import Image

from uniref.core.errors import UsageError
from uniref.core.types import UInt8Image

_LARGEST = (1280, 720)
_KEYS = ("<Escape>", "q", "Q")


class Viewer:
    """A window of Tk; q, Escape or its own button close it.

    Args:
        title: Of the window.

    Raises:
        UsageError: This Python has no Tk, or there is no display.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ImportError:
            raise UsageError(
                "--show: this Python has no Tk; install it (python3-tk, python-tk), or leave --show out"
            ) from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as problem:
            raise UsageError(f"--show: no window can be opened ({problem}); leave --show out") from None
        self._tkinter = tkinter
        self._root.title(title)
        self._root.protocol("WM_DELETE_WINDOW", self.close)
        for key in _KEYS:
            self._root.bind(key, lambda event: self.close())
        self._label = tkinter.Label(self._root, borderwidth=0)
        self._label.pack()
        self.closed = False
        """Whether it was closed."""

    def show(self, image: UInt8Image) -> None:
        """Show a frame, uint8 RGB [H, W, 3]; without effect once the window is closed."""
        if self.closed:
            return
        # of the screen's size at most, as a PPM, which Tk reads by itself
        picture = Image.fromarray(image)
        picture.thumbnail(_LARGEST)
        header = f"P6 {picture.width} {picture.height} 255\n".encode()
        try:
            photo = self._tkinter.PhotoImage(data=header + picture.tobytes(), format="PPM")
            self._label.configure(image=photo)
            self._photo = photo  # Tk does not keep it
            self._root.update()
        except self._tkinter.TclError:  # the display has gone
            self.closed = True

    def close(self) -> None:
        """Close the window."""
        self.closed = True
        with contextlib.suppress(self._tkinter.TclError):
            self._root.destroy()
