"""Programs that end while a video is half read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STREET = Path(__file__).parents[2] / "examples/street.mp4"

HALF_READ = """
import sys
from pathlib import Path
from uniref.media.video_read import VideoFile
video = VideoFile(Path(sys.argv[1]), fast=False)
frames = video.frames()
print(next(frames).index)
"""


def test_a_program_ends_with_a_video_half_read() -> None:
    done = subprocess.run([sys.executable, "-c", HALF_READ, str(STREET)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
