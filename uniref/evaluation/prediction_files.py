"""Predictions as files: PNG masks, folders of videos, JSON lines of images, COCO results files.

A model's predictions and those of another tool have the same layout: what evaluation servers take for videos,
`<name>.png` or JSON lines for images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.core.errors import UniRefError
from uniref.core.files import is_folder
from uniref.core.json_files import read_json, read_json_lines
from uniref.core.tasks import Task
from uniref.core.types import BoolMask, LabelMap
from uniref.evaluation.dataset import EvalDataset, EvalItem
from uniref.media.image import ImageProblem, open_image
from uniref.media.mask import write_labels

VOID = 255
"""Value of pixels that do not count in label maps."""

MOST_PROPOSALS = 20
"""Ids in a predicted video of DAVIS's unsupervised protocol."""

ImagePrediction = dict[str, Any] | Path | None
"""A prediction for an image: a record of a JSON line (see predict.py), a PNG mask, or none."""

_LARGEST = 1 << 33  # bytes of a COCO results file
_ANNOTATORS = ("valid_", "refdavis-val-", "")
"""Prefixes of the folders of Ref-DAVIS17's annotators."""
_MODES = {"P": "a palette PNG", "L": "an 8-bit grey PNG", "1": "a black and white PNG"}


# Masks


class BadMask(UniRefError):
    """A mask file cannot be used; the message does not name it."""


def write_png(path: Path, values: BoolMask | LabelMap) -> None:
    """Write a mask, bool [H, W], as an 8-bit grey PNG of 0 and 255, or a label map as a palette PNG."""
    if values.dtype == np.bool_:
        Image.fromarray(values.astype(np.uint8) * 255).save(path, format="PNG")
    else:
        write_labels(path, values.astype(np.uint8))


def read_values(
    file: Path | IO[bytes], size: tuple[int, int], modes: tuple[str, ...] = ("P", "L", "1")
) -> npt.NDArray[np.uint8]:
    """Pixel values of a mask file, uint8 [H, W]: palette indices or grey values.

    Args:
        file: The file, or its open content.
        size: (H, W) that it must have.
        modes: Accepted image modes, as Pillow names them.

    Raises:
        BadMask: Damaged, of another kind or of another size.
    """
    try:
        with open_image(file) as image:
            if image.format != "PNG":
                raise BadMask(f"is a {image.format} file, not a PNG")
            if image.mode not in modes:
                raise BadMask(f"is a {image.mode} image, not {' or '.join(_MODES[mode] for mode in modes)}")
            if image.size != (size[1], size[0]):
                raise BadMask(f"is {image.width} x {image.height}, the frame {size[1]} x {size[0]}")
            return np.asarray(image).astype(np.uint8)
    except ImageProblem as problem:
        raise BadMask(str(problem)) from None


def read_ids(path: Path, size: tuple[int, int], ids: frozenset[int]) -> LabelMap:
    """A predicted label map, uint8 [H, W].

    Args:
        path: The file.
        size: (H, W) that it must have.
        ids: Object ids of the video.

    Raises:
        BadMask: As `read_values`, or it shows an id that the video does not have.
    """
    labels = read_values(path, size)
    if unknown := sorted(set(_values(labels)) - ids - {0}):
        listed = ", ".join(map(str, sorted(ids)))
        raise BadMask(f"shows object {unknown[0]}; the objects here are {listed}")
    return labels


def read_proposals(path: Path, size: tuple[int, int]) -> LabelMap:
    """A predicted label map whose ids are proposals without an order, uint8 [H, W] (DAVIS, unsupervised protocol).

    Raises:
        BadMask: As `read_values`, or it shows an id over 20, with which the official evaluator stops.
    """
    labels = read_values(path, size)
    if (largest := int(labels.max(initial=0))) > MOST_PROPOSALS:
        raise BadMask(f"shows object {largest}; the evaluator of DAVIS takes at most {MOST_PROPOSALS} per video")
    return labels


def read_binary(path: Path, size: tuple[int, int]) -> BoolMask:
    """A predicted mask of one object, bool [H, W]: every value but 0.

    Raises:
        BadMask: As `read_values`, or it holds several ids.
    """
    values = read_values(path, size)
    distinct = _values(values)
    if len(distinct) > 2 or (len(distinct) == 2 and distinct[0] != 0):
        raise BadMask(f"holds the values {', '.join(map(str, distinct[:4]))}; a mask is 0 and one other value")
    return values != 0


def _values(values: npt.NDArray[np.uint8]) -> list[int]:
    """The distinct values of an array, ascending."""
    return [int(value) for value in np.flatnonzero(np.bincount(values.ravel(), minlength=256))]


# Videos: a folder of PNG masks per item


def find_folder(item: EvalItem, root: Path) -> Path:
    """The folder of a video item's masks below `root`; its published name where there is none."""
    for spelling in _spellings(item):
        if is_folder(root / spelling):
            return root / spelling
    return root / item.name


def _spellings(item: EvalItem) -> Iterator[str]:
    """Folders in which the masks of an item may be, the published one first."""
    yield item.name
    if item.name.startswith("Annotations/"):
        yield item.name.removeprefix("Annotations/")
    published = f"valid_{item.sample.group}/"
    if item.name.startswith(published):
        rest = item.name.removeprefix(published)
        yield from (f"{prefix}{item.sample.group}/{rest}" for prefix in _ANNOTATORS[1:])


def no_folder(path: Path, kind: str) -> str:
    """Says that a path is no folder, and what to do with a file."""
    if not path.is_file():
        return f"{path}: no such {kind}"
    how = "unpack it, and name the folder" if path.suffix.lower() == ".zip" else "name the folder that holds it"
    return f"{path}: is a file; {how}"


def check_video_root(dataset: EvalDataset, root: Path) -> None:
    """Raise UniRefError unless at least one item of a video data set has a folder below `root`."""
    if not root.is_dir():
        raise UniRefError(no_folder(root, "folder"))
    items = dataset.all_items()
    if not any(find_folder(item, root).is_dir() for item in items):
        raise UniRefError(f"{root}: holds nothing of {dataset.data}; expected folders such as {root / items[0].name}")


def unexpected_files(dataset: EvalDataset, root: Path) -> list[str]:
    """Folders and files below `root` that are of no item; the items' own folders are not searched."""
    own = {find_folder(item, root) for item in dataset.all_items()}
    parents = {parent for folder in own for parent in folder.parents}
    out = []

    def search(folder: Path) -> None:
        for path in sorted(folder.iterdir()):
            if path in own:
                continue
            if path in parents and path.is_dir():
                search(path)
            else:
                out.append(path.relative_to(root).as_posix())

    search(root)
    return out


# Images: JSON lines of a shard, or files of another tool


def block_path(folder: Path, shard: int) -> Path:
    """The file of the records of a shard of images."""
    return folder / f"{shard:05d}.jsonl"


def read_block(dataset: EvalDataset, folder: Path, shard: int) -> list[ImagePrediction]:
    """A model's predictions for the items of a shard, in their order.

    Raises:
        UniRefError: Damaged, or of other items.
    """
    path = block_path(folder, shard)
    records = [record for _, record in _lines(path)]
    if [record.get("key") for record in records] != [item.name for item in dataset.items(shard)]:
        raise UniRefError(f"{path}: does not hold the predictions that it should; run again with --overwrite")
    return list(records)


def foreign_predictions(dataset: EvalDataset, source: Path) -> Mapping[str, dict[str, Any] | Path]:
    """Predictions of another tool by the names of their items.

    Args:
        dataset: Data of images.
        source: Detection: a COCO results file (`.json`). Otherwise a folder with `<name>.png` masks, or `.jsonl` files
            of records with `key` and COCO run lengths (`size`, `counts`).

    Raises:
        UniRefError: None of these.
    """
    if dataset.protocol.task == Task.DETECTION:
        return _coco_results(dataset, source)
    if not source.is_dir():
        raise UniRefError(no_folder(source, "folder of predictions"))
    predictions: dict[str, dict[str, Any] | Path] = {}

    def add(key: str, prediction: dict[str, Any] | Path, where: str) -> None:
        if key in predictions:
            raise UniRefError(f"{where}: is a second prediction for {key}")
        predictions[key] = prediction

    # run lengths
    for path in sorted(source.rglob("*.jsonl")):
        for number, record in _lines(path):
            where = f"{path}: line {number}"
            if not {"key", "size", "counts"} <= record.keys():
                raise UniRefError(f"{where}: needs key, size and counts")
            if not _is_size(record["size"]) or not isinstance(record["counts"], str):
                raise UniRefError(f"{where}: size is [height, width], counts compressed COCO run lengths (text)")
            if not isinstance(record.get("no_target", False), bool):
                raise UniRefError(f"{where}: no_target: must be true or false")
            add(str(record["key"]), record, where)
    # PNG masks
    for path in sorted(source.rglob("*.png")):
        add(path.relative_to(source).with_suffix("").as_posix(), path, str(path))
    if upper := next(iter(sorted(source.rglob("*.PNG"))), None):
        raise UniRefError(f"{upper}: names of masks end in .png; rename it, and all like it")
    if not predictions:
        raise UniRefError(f"{source}: holds no predictions (<name>.png or .jsonl) for {dataset.data}")
    return predictions


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(number) is int and number > 0 for number in value)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a file with the numbers of their lines. Raises UniRefError."""
    for number, record in read_json_lines(path):
        if not isinstance(record, dict):
            raise UniRefError(f"{path}: line {number}: must be a JSON object")
        yield number, record


def _coco_results(dataset: EvalDataset, source: Path) -> dict[str, dict[str, Any] | Path]:
    """Boxes by the item of their image; those of unknown images under the image's number."""
    path = source / "detections.json" if source.is_dir() else source
    # COCO's numbers of images and categories
    classes = {number: position for position, number in enumerate(sorted(dataset.index.manifest.categories))}
    names = {dataset.index.media(item.sample.media).source_id: item.name for item in dataset.all_items()}
    results = read_json(path, largest=_LARGEST)
    if not isinstance(results, list):
        raise UniRefError(f"{path}: is not a valid COCO results file, which is a list of boxes")
    # boxes by image
    predictions: dict[str, dict[str, Any] | Path] = {}
    for position, result in enumerate(results):
        try:
            image, category = int(result["image_id"]), int(result["category_id"])
            x, y, width, height = (float(value) for value in result["bbox"])
            score = float(result["score"])
        except (ValueError, TypeError, KeyError, OverflowError):
            needs = "image_id, category_id, bbox of four numbers, and score"
            raise UniRefError(f"{path}: result {position}: needs {needs}") from None
        if category not in classes:
            raise UniRefError(f"{path}: result {position}: {dataset.data} has no category {category}")
        record = predictions.setdefault(names.get(image, str(image)), {"boxes": [], "scores": [], "classes": []})
        assert isinstance(record, dict)
        record["boxes"].append([x, y, x + width, y + height])
        record["scores"].append(score)
        record["classes"].append(classes[category])
    return predictions
