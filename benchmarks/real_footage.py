"""Scores on a few real pictures and clips, whose truth is a colour rule or a drawn polygon.

    apt-get download opencv-doc && dpkg-deb -x opencv-doc*.deb REAL      # Debian 12, 96 MB, Apache-2.0 and BSD-3
    pip download --no-deps imgaug && unzip imgaug*.whl 'imgaug/quokka*' -d REAL
    python -m benchmarks.real_footage --folder REAL --checkpoint DIR [--pictures OUT]

A Markdown line each: a hand that turns an orange box (every fifth of 150 frames, truth by hue), a hand that tilts a
dark cup (two drawn polygons, about 3 pixels exact), sweets of four colours (truth by hue; the best of those of the
colour, and, as the error, the best of any other colour), a quokka (its annotated polygon). With --pictures, what was
found.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull

from uniref.evaluation.metrics.masks import score_masks
from uniref.inference.predictor import Predictor
from uniref.media.source import MediaSource, Selection

Picture = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

# corners x, y of the cup in frames 0 and 70, in pixels of the 640 x 480 frame; fingers are left out
_CUP = {
    0: "307 127, 412 124, 415 161, 405 165, 404 212, 371 227, 354 250, 371 265, 404 254, 404 372, 386 381, 340 381,"
    "320 375, 314 163, 307 160",
    70: "109 172, 136 195, 133 209, 189 239, 169 272, 148 310, 163 336, 189 330, 222 287, 250 290, 303 325, 310 345,"
    "295 378, 265 408, 242 408, 61 287, 26 262",
}
_HUES = {"red": (345, 9), "orange": (12, 45), "green": (90, 160), "blue": (200, 250)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of what was found")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint)
    print("| footage | reference | score |\n| --- | --- | --- |")
    for name, reference, score, picture in rows(predictor, options.folder):
        print(f"| {name} | {reference} | {score} |", flush=True)
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            picture.save(options.pictures / f"{name}-{reference}.png".replace(" ", "-"))


def rows(predictor: Predictor, folder: Path) -> Iterator[tuple[str, str, str, Image.Image]]:
    """Footage, reference, score and what was found."""
    box = dict(_frames(_find(folder, "box.mp4.gz"), range(0, 150, 5)))
    truth = {number: _orange(frame) for number, frame in box.items()}
    ways: dict[str, str | Mask] = {"the orange box": "the orange box", "mask of the first frame": truth[0]}
    for way, reference in ways.items():
        found = _follow(predictor, list(box.values()), reference)
        scores = [score_masks(a, b).mean for a, b in zip(found, truth.values(), strict=True)]
        yield "box", way, f"J&F {np.mean(scores):.3f}", _drawn(box[100], found[20])

    cup = dict(_frames(_find(folder, "cup.mp4.gz"), range(0, 75, 5)))
    known = {
        number: _polygon([float(each) for each in corners.replace(",", " ").split()], cup[0].shape[:2])
        for number, corners in _CUP.items()
    }
    ways = {"the black cup": "the black cup", "mask of the first frame": known[0]}
    for way, reference in ways.items():
        found = _follow(predictor, list(cup.values()), reference)
        score = np.mean([score_masks(found[number // 5], known[number]).mean for number in known])
        yield "cup", way, f"J&F {score:.3f}", _drawn(cup[70], found[14])

    sweets = np.asarray(Image.open(_find(folder, "smarties.png")).convert("RGB"))
    blobs = {colour: _blobs(sweets, *hues) for colour, hues in _HUES.items()}
    for colour in _HUES:
        mask = _found(predictor, sweets, f"a {colour} candy")
        own = max(_iou(mask, blob) for blob in blobs[colour])
        other = max(_iou(mask, blob) for name in blobs if name != colour for blob in blobs[name])
        yield "sweets", f"a {colour} candy", f"IoU {own:.3f}, another colour {other:.3f}", _drawn(sweets, mask)

    quokka = np.asarray(Image.open(_find(folder, "quokka.jpg")).convert("RGB"))
    notes = json.loads(_find(folder, "quokka_annotations.json").read_text())
    points = notes["polygons"][0]["keypoints"]
    truth_mask = _polygon([point[axis] for point in points for axis in ("x", "y")], quokka.shape[:2])
    mask = _found(predictor, quokka, "the animal")
    yield "quokka", "the animal", f"IoU {_iou(mask, truth_mask):.3f}", _drawn(quokka, mask)


def _follow(predictor: Predictor, frames: Sequence[Picture], reference: str | Mask) -> list[Mask]:
    short, long = predictor.config.sides or (480, 1333)
    text, masks = (reference, None) if isinstance(reference, str) else (None, {0: {1: reference}})
    found = predictor.segment_video(frames, text, masks=masks, short_side=short, long_side=long)
    return [frame.labels == 1 for frame in found]


def _found(predictor: Predictor, picture: Picture, text: str) -> Mask:
    short, long = predictor.config.sides or (480, 1333)
    return predictor.segment_image(picture, text=text, short_side=short, long_side=long).mask


def _find(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if not found:
        raise SystemExit(f"{folder}: holds no {name}; fetch it as the head of this file says")
    return found[0]


def _frames(path: Path, wanted: Iterable[int]) -> Iterator[tuple[int, Picture]]:
    """Frames of a compressed video."""
    chosen = set(wanted)
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(gzip.decompress(path.read_bytes()))
        file.flush()
        for frame in MediaSource(Path(file.name)).frames(Selection(end=str(max(chosen) + 1))):
            if frame.index in chosen:
                yield frame.index, frame.image


def _hue(picture: Picture) -> tuple[npt.NDArray[np.float64], Mask]:
    """Degrees, and where they mean something."""
    hue, saturation, value = np.moveaxis(np.asarray(Image.fromarray(picture).convert("HSV"), np.float64), -1, 0)
    return hue * 360 / 256, (saturation > 100) & (value > 60)


def _orange(picture: Picture) -> Mask:
    """The convex hull of the largest orange thing."""
    hue, vivid = _hue(picture)
    bright = vivid & (picture.max(-1) > 120)
    closed = ndimage.binary_closing(bright & (hue > 24) & (hue < 58), iterations=6)
    points = np.argwhere(_largest(ndimage.binary_opening(closed, iterations=6)))[:, ::-1]
    return _polygon(points[ConvexHull(points).vertices].flatten().tolist(), picture.shape[:2])


def _largest(mask: Mask) -> Mask:
    parts, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, parts, range(1, count + 1))
    return np.asarray(ndimage.binary_fill_holes(parts == 1 + int(np.argmax(sizes))), np.bool_)


def _blobs(picture: Picture, low: float, high: float) -> list[Mask]:
    hue, vivid = _hue(picture)
    inside = (hue > low) & (hue < high) if low < high else (hue > low) | (hue < high)
    parts, count = ndimage.label(ndimage.binary_opening(vivid & inside, iterations=2))
    found = [np.asarray(ndimage.binary_fill_holes(parts == number), np.bool_) for number in range(1, count + 1)]
    return [blob for blob in found if blob.sum() > 600]


def _polygon(corners: Sequence[float], size: tuple[int, ...]) -> Mask:
    """The inside of corners x, y, x, y, ..."""
    canvas = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(canvas).polygon(list(corners), fill=1)
    return np.asarray(canvas, np.bool_)


def _iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _drawn(picture: Picture, mask: Mask) -> Image.Image:
    """Tinted where the mask is."""
    out = picture.astype(np.float64)
    out[mask] = 0.45 * out[mask] + 0.55 * np.array([255, 0, 128])
    return Image.fromarray(out.astype(np.uint8))


if __name__ == "__main__":
    main()
