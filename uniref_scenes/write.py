"""Scenes as files, in the form of a plain folder of own data (docs/custom-data.md).

images/000000.jpg         masks/000000.png          an image and its label map; values are object numbers from 1
videos/000000/00000.jpg   masks/000000/00000.png    the same for every frame of a video
phrases.csv               file,object,phrase,kind   one row per expression
classes.csv               file,object,class         one row per object

`uniref prepare-data custom --source FOLDER` reads it. `write_media` and `write_record` write one scene alone, for
programs that write scenes on several processes and keep a record of each beside it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from uniref_scenes.bank import DRAWN_BANK, ObjectBank
from uniref_scenes.files import read_json, write_label_map, write_text
from uniref_scenes.scene import Scene, SceneOptions, make_scene

_JPEG_QUALITY = 92


@dataclass(frozen=True)
class SceneRecord:
    """What the images and label maps of a scene do not show."""

    name: str
    height: int
    width: int
    objects: tuple[str, ...]
    """Nouns; object k has the value k + 1 in the label maps."""
    expressions: tuple[tuple[str, str, int], ...]
    """(text, kind, position of the object that it refers to)."""
    absent: tuple[str, ...] | None = ()
    """Expressions that refer to nothing in the scene; None in records of versions that had none."""

    @classmethod
    def of(cls, name: str, scene: Scene) -> SceneRecord:
        """The record of a scene."""
        height, width = scene.labels[0].shape
        nouns = tuple(obj.noun.name for obj in scene.objects)
        expressions = tuple((e.text, e.kind, e.target) for e in scene.expressions if e.target is not None)
        absent = tuple(e.text for e in scene.expressions if e.target is None)
        return cls(name, height, width, nouns, expressions, absent)


def scene_name(number: int) -> str:
    """The name of a scene's files."""
    return f"{number:06d}"


def frame_path(folder: Path, kind: str, name: str, frame: int, num_frames: int) -> Path:
    """File of a frame.

    Args:
        folder: Where the scenes lie.
        kind: Its folder there: `masks` for a label map, anything else for an image.
        name: The scene.
        frame: Position of the frame.
        num_frames: Frames of the scene; 1 for an image.
    """
    suffix = ".png" if kind == "masks" else ".jpg"
    return folder / kind / (f"{name}{suffix}" if num_frames == 1 else f"{name}/{frame:05d}{suffix}")


def write_media(folder: Path, name: str, scene: Scene, images: str = "images") -> None:
    """Write a scene's frames as JPEG files below `folder/images`, and its label maps as PNG files."""
    num_frames = len(scene.frames)
    for frame, (image, labels) in enumerate(zip(scene.frames, scene.labels, strict=True)):
        for kind in (images, "masks"):
            path = frame_path(folder, kind, name, frame, num_frames)
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "masks":
                write_label_map(path, labels)
            else:
                Image.fromarray(image).save(path, quality=_JPEG_QUALITY)


def write_record(folder: Path, record: SceneRecord) -> None:
    """Write `folder/scenes/NAME.json`; written last, it says that the scene is complete."""
    content = {
        "height": record.height,
        "width": record.width,
        "objects": record.objects,
        "expressions": record.expressions,
        "absent": record.absent,
    }
    write_text(record_path(folder, record.name), json.dumps(content))


def record_path(folder: Path, name: str) -> Path:
    """File of a scene's record."""
    return folder / "scenes" / f"{name}.json"


def read_record(folder: Path, name: str) -> SceneRecord:
    """The record that `write_record` wrote. Raises SceneError."""
    content = read_json(record_path(folder, name), "delete it and prepare the data set again")
    expressions = tuple((text, kind, target) for text, kind, target in content["expressions"])
    absent = tuple(content["absent"]) if "absent" in content else None
    return SceneRecord(name, content["height"], content["width"], tuple(content["objects"]), expressions, absent)


def write_scenes(
    folder: Path, set_name: str, count: int, options: SceneOptions, bank: ObjectBank = DRAWN_BANK
) -> list[SceneRecord]:
    """Make the first `count` scenes of a set and write them as a plain folder of own data.

    Args:
        folder: Made if it does not exist; files of the same name are replaced.
        set_name: One of the bank's sets.
        count: Scenes.
        options: As of `make_scene`.
        bank: What scenes are made of.

    Returns:
        One record per scene.
    """
    # images and label maps, then the tables of all of them
    records = []
    for number in range(count):
        scene = make_scene(set_name, number, options, bank)
        write_media(folder, scene_name(number), scene, "images" if options.frames == 1 else "videos")
        records.append(SceneRecord.of(scene_name(number), scene))
    write_tables(folder, records)
    return records


def write_tables(folder: Path, records: Iterable[SceneRecord]) -> None:
    """Write `phrases.csv` and `classes.csv` of some scenes; expressions that refer to nothing are left out."""
    phrases, classes = [("file", "object", "phrase", "kind")], [("file", "object", "class")]
    for record in records:
        phrases += [(record.name, str(target + 1), text, kind) for text, kind, target in record.expressions]
        classes += [(record.name, str(number), noun) for number, noun in enumerate(record.objects, start=1)]
    for name, rows in (("phrases.csv", phrases), ("classes.csv", classes)):
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        write_text(folder / name, buffer.getvalue())
