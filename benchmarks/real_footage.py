"""Scores on a few real images and videos, whose ground truth is a colour rule or a drawn polygon.

    apt-get download opencv-doc && dpkg-deb -x opencv-doc*.deb REAL      # Debian 12, 96 MB, Apache-2.0 and BSD-3
    pip download --no-deps imgaug && unzip imgaug*.whl 'imgaug/quokka*' -d REAL
    python -m benchmarks.real_footage --folder REAL --checkpoint DIR [--pictures OUT]

Prints one Markdown row per prompt: a hand that turns an orange box (every fifth of 150 frames, ground truth by hue), a
hand that tilts a dark cup (two drawn polygons, exact to about 3 pixels), sweets of four colours (ground truth by hue;
the best IoU with a sweet of the colour and, as the error, with one of another colour), a quokka (its annotated
polygon). --pictures writes the predicted masks, drawn onto the images.
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

from uniref.core.types import BoolMask, UInt8Image
from uniref.evaluation.metrics.masks import score_masks
from uniref.inference.predictor import Predictor
from uniref.media.source import MediaSource, Selection

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
    parser.add_argument("--pictures", type=Path, help="folder for images with the predicted masks")
    options = parser.parse_args()
    predictor = Predictor.from_pretrained(options.checkpoint)
    print("| footage | prompt | score |\n| --- | --- | --- |")
    for name, reference, score, drawn in rows(predictor, options.folder):
        print(f"| {name} | {reference} | {score} |", flush=True)
        if options.pictures:
            options.pictures.mkdir(parents=True, exist_ok=True)
            drawn.save(options.pictures / f"{name}-{reference}.png".replace(" ", "-"))


def rows(predictor: Predictor, folder: Path) -> Iterator[tuple[str, str, str, Image.Image]]:
    """Name of the footage, prompt, score, and an image with the predicted mask."""
    # a video whose object has a colour
    box = dict(_frames(_find(folder, "box.mp4.gz"), range(0, 150, 5)))
    ground_truth = {number: _orange(frame) for number, frame in box.items()}
    prompts: dict[str, str | BoolMask] = {
        "the orange box": "the orange box",
        "mask of the first frame": ground_truth[0],
    }
    for prompt, reference in prompts.items():
        predicted = _follow(predictor, list(box.values()), reference)
        scores = [score_masks(a, b).mean for a, b in zip(predicted, ground_truth.values(), strict=True)]
        yield "box", prompt, f"J&F {np.mean(scores):.3f}", _drawn(box[100], predicted[20])

    # a video with two annotated frames
    cup = dict(_frames(_find(folder, "cup.mp4.gz"), range(0, 75, 5)))
    annotated = {
        number: _polygon([float(each) for each in corners.replace(",", " ").split()], cup[0].shape[:2])
        for number, corners in _CUP.items()
    }
    prompts = {"the black cup": "the black cup", "mask of the first frame": annotated[0]}
    for prompt, reference in prompts.items():
        predicted = _follow(predictor, list(cup.values()), reference)
        score = np.mean([score_masks(predicted[number // 5], annotated[number]).mean for number in annotated])
        yield "cup", prompt, f"J&F {score:.3f}", _drawn(cup[70], predicted[14])

    # an image with many objects of a few colours
    sweets = np.asarray(Image.open(_find(folder, "smarties.png")).convert("RGB"))
    blobs = {colour: _blobs(sweets, *hues) for colour, hues in _HUES.items()}
    for colour in _HUES:
        mask = _segment(predictor, sweets, f"a {colour} candy")
        own = max(_iou(mask, blob) for blob in blobs[colour])
        other = max(_iou(mask, blob) for name in blobs if name != colour for blob in blobs[name])
        yield "sweets", f"a {colour} candy", f"IoU {own:.3f}, another colour {other:.3f}", _drawn(sweets, mask)

    # an annotated image
    quokka = np.asarray(Image.open(_find(folder, "quokka.jpg")).convert("RGB"))
    notes = json.loads(_find(folder, "quokka_annotations.json").read_text())
    points = notes["polygons"][0]["keypoints"]
    ground_truth_mask = _polygon([point[axis] for point in points for axis in ("x", "y")], quokka.shape[:2])
    mask = _segment(predictor, quokka, "the animal")
    yield "quokka", "the animal", f"IoU {_iou(mask, ground_truth_mask):.3f}", _drawn(quokka, mask)


def _follow(predictor: Predictor, frames: Sequence[UInt8Image], reference: str | BoolMask) -> list[BoolMask]:
    short, long = predictor.config.sides or (480, 1333)
    text, masks = (reference, None) if isinstance(reference, str) else (None, {0: {1: reference}})
    predicted = predictor.segment_video(frames, text, masks=masks, short_side=short, long_side=long)
    return [frame.labels == 1 for frame in predicted]


def _segment(predictor: Predictor, image: UInt8Image, text: str) -> BoolMask:
    short, long = predictor.config.sides or (480, 1333)
    return predictor.segment_image(image, text=text, short_side=short, long_side=long).mask


def _find(folder: Path, name: str) -> Path:
    files = sorted(folder.rglob(name))
    if not files:
        raise SystemExit(f"{folder}: holds no {name}; fetch it as the head of this file says")
    return files[0]


def _frames(path: Path, indices: Iterable[int]) -> Iterator[tuple[int, UInt8Image]]:
    """Frames of a compressed video."""
    chosen = set(indices)
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(gzip.decompress(path.read_bytes()))
        file.flush()
        for frame in MediaSource(Path(file.name)).frames(Selection(end=str(max(chosen) + 1))):
            if frame.index in chosen:
                yield frame.index, frame.image


def _hue(image: UInt8Image) -> tuple[npt.NDArray[np.float64], BoolMask]:
    """Hue in degrees [H, W], and where the colour is vivid enough for it."""
    hue, saturation, value = np.moveaxis(np.asarray(Image.fromarray(image).convert("HSV"), np.float64), -1, 0)
    return hue * 360 / 256, (saturation > 100) & (value > 60)


def _orange(image: UInt8Image) -> BoolMask:
    """The convex hull of the largest orange object."""
    hue, vivid = _hue(image)
    bright = vivid & (image.max(-1) > 120)
    closed = ndimage.binary_closing(bright & (hue > 24) & (hue < 58), iterations=6)
    points = np.argwhere(_largest(ndimage.binary_opening(closed, iterations=6)))[:, ::-1]
    return _polygon(points[ConvexHull(points).vertices].flatten().tolist(), image.shape[:2])


def _largest(mask: BoolMask) -> BoolMask:
    parts, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, parts, range(1, count + 1))
    return np.asarray(ndimage.binary_fill_holes(parts == 1 + int(np.argmax(sizes))), np.bool_)


def _blobs(image: UInt8Image, low: float, high: float) -> list[BoolMask]:
    hue, vivid = _hue(image)
    inside = (hue > low) & (hue < high) if low < high else (hue > low) | (hue < high)
    parts, count = ndimage.label(ndimage.binary_opening(vivid & inside, iterations=2))
    blobs = [np.asarray(ndimage.binary_fill_holes(parts == number), np.bool_) for number in range(1, count + 1)]
    return [blob for blob in blobs if blob.sum() > 600]


def _polygon(corners: Sequence[float], size: tuple[int, ...]) -> BoolMask:
    """The inside of corners x, y, x, y, ..."""
    drawing = Image.new("1", (size[1], size[0]))
    ImageDraw.Draw(drawing).polygon(list(corners), fill=1)
    return np.asarray(drawing, np.bool_)


def _iou(a: BoolMask, b: BoolMask) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _drawn(image: UInt8Image, mask: BoolMask) -> Image.Image:
    """The image with the mask tinted."""
    out = image.astype(np.float64)
    out[mask] = 0.45 * out[mask] + 0.55 * np.array([255, 0, 128])
    return Image.fromarray(out.astype(np.uint8))


if __name__ == "__main__":
    main()
