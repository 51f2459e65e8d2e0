"""Decoding a video: frames per second and peak memory of the package's reader, of decord alone and of ffmpeg's pipe.

    python -m benchmarks.decode [VIDEO] [--seconds 20 --height 1080 --width 1920] [--rounds 3]

Without a video, a plain H.264 mp4 of moving noise is made. Every reader has a process of its own, in turns; the best
of the rounds counts. The time includes opening the file. Memory is that of the Python process; ffmpeg, where it runs as
a second process, holds about 30 frames more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import imageio_ffmpeg

READERS = {
    "uniref": "from uniref.media.video_read import VideoFile\ndef read(path): return VideoFile(Path(path)).frames()\n",
    "uniref, by ffmpeg": "from uniref.media import video_read\n"
    "video_read.why_not_decord = lambda info: 'measured'\n"
    "def read(path): return video_read.VideoFile(Path(path)).frames()\n",
    "decord": "import decord\n"
    "def read(path):\n"
    "    reader = decord.VideoReader(path, num_threads=0)\n"
    "    return (reader.next().asnumpy() for _ in range(len(reader)))\n",
    "ffmpeg's pipe": "import subprocess, imageio_ffmpeg\n"
    "def read(path):\n"
    "    command = [imageio_ffmpeg.get_ffmpeg_exe(), '-v', 'error', '-i', path, '-pix_fmt', 'rgb24']\n"
    "    command += ['-f', 'rawvideo', '-']\n"
    "    width, height = map(int, __import__('sys').argv[2:4])\n"
    "    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:\n"
    "        while len(data := child.stdout.read(width * height * 3)): yield data\n",
}
CHILD = """
import json, resource, sys, time
from pathlib import Path
import numpy
{reader}
start, count = time.perf_counter(), 0
for frame in read(sys.argv[1]): count += 1
seconds = time.perf_counter() - start
print(json.dumps([count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000]))
"""


def make_video(path: Path, seconds: float, height: int, width: int) -> Path:
    """A plain H.264 mp4 with B-frames, as cameras and editors write it."""
    noise = f"testsrc2=s={width}x{height}:r=24:d={seconds},noise=alls=8:allf=t,format=yuv420p"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", noise]
    subprocess.run([*command, "-c:v", "libx264", "-preset", "veryfast", str(path)], check=True)  # noqa: S603 - ours
    return path


def measure(reader: str, video: Path, height: int, width: int) -> tuple[int, float, float]:
    """Frames, seconds and peak megabytes of one reader."""
    command = [sys.executable, "-c", CHILD.format(reader=READERS[reader]), str(video), str(width), str(height)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    count, seconds, megabytes = json.loads(done.stdout)
    return int(count), float(seconds), float(megabytes)


def main() -> None:
    """Measure and print one line per reader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        video = options.video or make_video(Path(name) / "video.mp4", options.seconds, options.height, options.width)
        results: dict[str, list[tuple[int, float, float]]] = {reader: [] for reader in READERS}
        for _ in range(options.rounds):
            for reader, done in results.items():
                done.append(measure(reader, video, options.height, options.width))
    reference = max(max(n / s for n, s, _ in results[reader]) for reader in ("decord", "ffmpeg's pipe"))
    print(f"{os.cpu_count()} cores")
    for reader, done in results.items():
        rate = max(n / s for n, s, _ in done)
        memory = max(megabytes for _, _, megabytes in done)
        print(f"{reader:<18} {done[0][0]:>6} frames {rate:>8.1f} frames/s {rate / reference:>6.2f}x {memory:>6.0f} MB")


if __name__ == "__main__":
    main()
