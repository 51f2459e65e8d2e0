"""Tiny data sets of every task, drawn and indexed: two coloured rectangles, one left and one right of the middle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from uniref.core import rle
from uniref.core.tasks import Task
from uniref.data.index import IndexWriter
from uniref.media.video_write import VideoWriter

Size = tuple[int, int]
LANDSCAPE, PORTRAIT = (48, 64), (64, 48)
COLOURS = {"red": (220, 40, 40), "blue": (40, 60, 220)}


class Scene:
    """A picture of a red and a blue rectangle on grey noise; `red_left` says which one is left."""

    def __init__(self, size: Size, red_left: bool, seed: int) -> None:
        height, width = size
        rng = np.random.default_rng(seed)
        self.image = rng.integers(90, 140, (height, width, 3)).astype(np.uint8)
        self.red_left = red_left
        self.masks: dict[str, np.ndarray] = {}
        for colour, left in (("red", red_left), ("blue", not red_left)):
            h, w = rng.integers(height // 5, height // 3), rng.integers(width // 5, width // 3)
            y = rng.integers(1, height - h)
            x = rng.integers(1, width // 2 - w) if left else rng.integers(width // 2 + 1, width - w)
            mask = np.zeros(size, bool)
            mask[y : y + h, x : x + w] = True
            self.image[mask] = COLOURS[colour]
            self.masks[colour] = mask

    def side(self, colour: str) -> str:
        return "left" if (colour == "red") == self.red_left else "right"


def scenes(count: int, portrait: int = 0, scale: int = 1) -> list[Scene]:
    """Landscape pictures, the last `portrait` ones upright."""
    sizes = [LANDSCAPE] * (count - portrait) + [PORTRAIT] * portrait
    return [Scene((h * scale, w * scale), seed % 2 == 0, seed) for seed, (h, w) in enumerate(sizes)]


def images(
    root: Path,
    task: Task,
    pictures: Sequence[Scene],
    name: str = "toy",
    masks: bool = True,
    per_class: int = 3,
    more_categories: Mapping[int, str] | None = None,
    expressions: Sequence[Sequence[str]] | None = None,
    blue_expressions: Sequence[Sequence[str]] | None = None,
) -> str:
    """Index still images for DETECTION, RIS (one sample an image, the red object; own `text:kind` expressions if
    given, and another sample where there are some of the blue one) or FSS; returns `dataset/split`."""
    folder = root / "media" / name
    folder.mkdir(parents=True)
    with IndexWriter(
        root / "index" / name / "train",
        dataset=name,
        split="train",
        task=task,
        roots={"media": folder},
        categories={7: "red", 9: "blue"} | dict(more_categories or {}),
    ) as w:
        for number, scene in enumerate(pictures):
            Image.fromarray(scene.image).save(folder / f"{number}.png")
            height, width = scene.image.shape[:2]
            w.add_media(name=str(number), kind="image", root="media", path=f"{number}.png", width=width, height=height)
            rows = []
            for colour, category in (("red", 7), ("blue", 9)):
                rows.append(w.add_object(source_id=category, category=category))
                annotate(w, 0, scene.masks[colour], masks)
            if task is Task.RIS:
                texts = [f"the {side_word(scene, 'red')} thing", f"bright red thing on the {scene.side('red')}"]
                pairs = [(text, str(number)) for text in texts]
                if expressions is not None:
                    pairs = _pairs(number, expressions[number])
                w.add_sample(objects=rows[:1], expressions=[w.add_expression(text, source_id=id) for text, id in pairs])
                if blue_expressions is not None:
                    pairs = _pairs(number, blue_expressions[number])
                    others = [w.add_expression(text, source_id=id) for text, id in pairs]
                    w.add_sample(objects=rows[1:], expressions=others)
            elif task is Task.FSS:
                w.add_sample(objects=rows[:1], category=number // per_class)
            else:
                w.add_sample(objects=rows)
    return f"{name}/train"


def _pairs(number: int, expressions: Sequence[str]) -> list[tuple[str, str]]:
    """Texts and ids of `text:kind`."""
    return [(text, f"{number}:{kind}") for text, kind in (each.split(":") for each in expressions)]


def side_word(scene: Scene, colour: str) -> str:
    return f"{scene.side(colour)}-most"


def clips(
    root: Path,
    task: Task,
    videos: int,
    name: str = "toyclips",
    frames: int = 6,
    size: Size = LANDSCAPE,
    as_file: bool = False,
    blue_frames: Sequence[int] | None = None,
) -> str:
    """Index clips for VOS (both objects a sample) or RVOS (the red one); objects move right a pixel a frame.

    Args:
        as_file: One video file each instead of a folder of frames.
        blue_frames: Where the blue object is annotated; None = everywhere.
    """
    folder = root / "media" / name
    folder.mkdir(parents=True)
    with IndexWriter(
        root / "index" / name / "train", dataset=name, split="train", task=task, roots={"media": folder}
    ) as w:
        for video in range(videos):
            scene = Scene(size, video % 2 == 0, 100 + video)
            pictures = [np.roll(scene.image, t, axis=1) for t in range(frames)]
            names = [f"{5 * t:05d}.png" for t in range(frames)]
            _write_clip(folder / str(video), pictures, names, as_file)
            w.add_media(
                name=str(video),
                kind="video" if as_file else "frames",
                root="media",
                path=f"{video}.mp4" if as_file else str(video),
                frames=() if as_file else names,
                length=frames,
                width=size[1],
                height=size[0],
            )
            rows = []
            for number, colour in enumerate(COLOURS, start=1):
                rows.append(w.add_object(source_id=number, given_frame=0))
                for t in range(frames) if colour == "red" or blue_frames is None else blue_frames:
                    annotate(w, t, np.roll(scene.masks[colour], t, axis=1))
            if task is Task.RVOS:
                text = w.add_expression(f"the thing on the {scene.side('red')}", source_id="0")
                w.add_sample(objects=rows[:1], expressions=[text])
            else:
                w.add_sample(objects=rows)
    return f"{name}/train"


def annotate(w: IndexWriter, frame: int, mask: np.ndarray, masks: bool = True) -> None:
    """A frame of the last object; only its box where not `masks`."""
    counts = rle.encode(mask)
    w.add_annotation(frame, rle.box(counts, *mask.shape), counts if masks else None, float(mask.sum()))


def _write_clip(path: Path, pictures: Sequence[np.ndarray], names: Sequence[str], as_file: bool) -> None:
    if as_file:
        writer = VideoWriter(path.with_suffix(".mp4"), pictures[0].shape[:2], 25.0)
        for picture in pictures:
            writer.write(picture)
        writer.close()
        return
    path.mkdir()
    for picture, name in zip(pictures, names, strict=True):
        Image.fromarray(picture).save(path / name)
