"""Running the ffmpeg program that imageio-ffmpeg brings."""

from __future__ import annotations

import subprocess

import imageio_ffmpeg

_LONGEST = 600  # seconds for a task that only copies packets


def run_ffmpeg(arguments: list[str]) -> tuple[int, str]:
    """Run ffmpeg to its end.

    Returns:
        Exit code (1 where it could not run) and everything it printed.
    """
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", *arguments]
    try:
        # in a session of its own, Ctrl-C on the terminal reaches us alone
        done = subprocess.run(  # noqa: S603 - no shell
            command, capture_output=True, timeout=_LONGEST, check=False, start_new_session=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def first_line(error: BaseException | str) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
