"""Label maps to run lengths: `python -m benchmarks.masks [--videos 24] [--frames 60]`.

Frames per second of the package's converter on all cores, against a plain loop over one process with pycocotools, on
the same 480 x 854 palette PNGs, in one run; the masks of both are compared.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from uniref.core.parallel import ordered_map, usable_cores
from uniref.data.prepare.videos import LabelledVideo, VideoFiles, read_labelled_video
from uniref.media.mask import PALETTE

_HEIGHT, _WIDTH, _OBJECTS = 480, 854, 4


def draw(folder: Path, videos: int, frames: int) -> list[VideoFiles]:
    """Videos of moving ellipses; the images are small JPEGs of the right size."""
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH]
    files = []
    for number in range(videos):
        video = VideoFiles(f"{number:03d}", folder / f"images/{number:03d}", folder / f"masks/{number:03d}")
        video.frames.mkdir(parents=True)
        (video.labels or folder).mkdir(parents=True)
        for frame in range(frames):
            labels = np.zeros((_HEIGHT, _WIDTH), np.uint8)
            for label in range(1, _OBJECTS + 1):
                y, x = 60 + 90 * label + 10 * np.sin(frame / 5 + number), 100 * label + 4 * frame
                wobble = 1 + 0.15 * np.sin(np.arctan2(rows - y, columns - x) * 9)
                labels[np.hypot((rows - y) / 60, (columns - x) / 90) < wobble] = label
            image = Image.fromarray(labels)
            image.putpalette(PALETTE.tobytes())
            image.save((video.labels or folder) / f"{frame:05d}.png")
            Image.new("RGB", (_WIDTH, _HEIGHT)).save(video.frames / f"{frame:05d}.jpg")
        files.append(video)
    return files


def plain(files: list[VideoFiles]) -> dict[tuple[str, int, int], bytes]:
    """The obvious loop."""
    counts = {}
    for video in files:
        for frame, path in enumerate(sorted((video.labels or video.frames).glob("*.png"))):
            labels = np.array(Image.open(path))
            for number in np.unique(labels):
                if number in (0, 255):
                    continue
                record = coco.encode(np.asfortranarray((labels == number).astype(np.uint8)))
                coco.area(record), coco.toBbox(record)
                counts[video.name, int(number), frame] = record["counts"]
    return counts


def packaged(files: list[VideoFiles], workers: int) -> dict[tuple[str, int, int], bytes]:
    """What `uniref prepare-data` does, checks of the images included."""
    counts = {}
    labelled: list[LabelledVideo] = list(ordered_map(read_labelled_video, files, workers))
    for video in labelled:
        for number, track in video.tracks.items():
            for frame, region in track.items():
                counts[video.name, number, frame] = region.counts
    return counts


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--frames", type=int, default=60)
    options = parser.parse_args()
    workers = usable_cores()
    with tempfile.TemporaryDirectory() as folder:
        files = draw(Path(folder), options.videos, options.frames)
        count = options.videos * options.frames
        start = time.perf_counter()
        theirs = plain(files)
        slow = time.perf_counter() - start
        start = time.perf_counter()
        ours = packaged(files, workers)
        fast = time.perf_counter() - start
    assert ours == theirs
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    print(f"plain loop, 1 process:      {count / slow:6.0f} frames/s")
    print(f"uniref, {workers} processes:        {count / fast:6.0f} frames/s   {slow / fast:.2f}x")
    print(f"equal run lengths: {len(ours):,}; peak of a worker {peak:.0f} MB")


if __name__ == "__main__":
    main()
