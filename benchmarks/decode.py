"""Decoding a video: frames per second and peak memory of the package's reader, of decord alone and of ffmpeg's pipe.

    python -m benchmarks.decode [VIDEO] [--seconds 20 --height 1080 --width 1920] [--rounds 3]

Without a video, a plain H.264 mp4 of moving noise is made. Every way runs in a process of its own, in turns; the best
of the rounds counts. Opening the file is part of the time. Memory is that of the Python process; ffmpeg, where it runs
beside it, holds about 30 frames more.
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

WAYS = {
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
{way}
start, count = time.perf_counter(), 0
for frame in read(sys.argv[1]): count += 1
seconds = time.perf_counter() - start
print(json.dumps([count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000]))
"""


def make_clip(path: Path, seconds: float, height: int, width: int) -> Path:
    """A plain H.264 mp4 with B-frames, as cameras and editors write it."""
    noise = f"testsrc2=s={width}x{height}:r=24:d={seconds},noise=alls=8:allf=t,format=yuv420p"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "lavfi", "-i", noise]
    subprocess.run([*command, "-c:v", "libx264", "-preset", "veryfast", str(path)], check=True)  # noqa: S603 - ours
    return path


def measure(way: str, clip: Path, height: int, width: int) -> tuple[int, float, float]:
    """Frames, seconds and peak megabytes of one way to read a clip."""
    command = [sys.executable, "-c", CHILD.format(way=WAYS[way]), str(clip), str(width), str(height)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    count, seconds, megabytes = json.loads(done.stdout)
    return int(count), float(seconds), float(megabytes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--height", type=int, default=1080)
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        clip = options.video or make_clip(Path(name) / "clip.mp4", options.seconds, options.height, options.width)
        results: dict[str, list[tuple[int, float, float]]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way, done in results.items():
                done.append(measure(way, clip, options.height, options.width))
    reference = max(max(n / s for n, s, _ in results[way]) for way in ("decord", "ffmpeg's pipe"))
    print(f"{os.cpu_count()} cores")
    for way, done in results.items():
        rate = max(n / s for n, s, _ in done)
        memory = max(megabytes for _, _, megabytes in done)
        print(f"{way:<18} {done[0][0]:>6} frames {rate:>8.1f} frames/s {rate / reference:>6.2f}x {memory:>6.0f} MB")


if __name__ == "__main__":
    main()
