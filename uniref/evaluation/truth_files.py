"""The masks of `--truth`: named as predictions are, or label maps by object id for texts in videos."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.files import exists, is_folder
from uniref.core.json_files import read_json
from uniref.evaluation.dataset import EvalDataset, EvalItem
from uniref.evaluation.prediction_files import find_folder

_EXPRESSIONS = ("meta_expressions.json", "meta_expressions/valid/meta_expressions.json")
_LEVELS = 3  # folders above --truth in which the expressions may be
_LARGEST = 1 << 30  # bytes of the expressions


def find_truth(dataset: EvalDataset, item: EvalItem, root: Path) -> Path:
    """The folder of an item's ground-truth masks below `root`; its published name where there is none."""
    folder = find_folder(item, root)
    return folder if folder.is_dir() else find_label_maps(dataset, item, root) or folder


def find_label_maps(dataset: EvalDataset, item: EvalItem, root: Path) -> Path | None:
    """The folder of the label maps of an expression's video, where `root` has no masks of the expression itself."""
    if not dataset.one_mask or is_folder(find_folder(item, root)):
        return None
    video = item.name.rpartition("/")[0]
    for name in (video, video.removeprefix("Annotations/")):
        if is_folder(root / name) and any((root / name).glob("*.png")):
            return root / name
    return None


def check_truth_root(dataset: EvalDataset, root: Path) -> None:
    """Raise UniRefError unless at least one item of a video data set has its truth below `root`."""
    if not root.is_dir():
        raise UniRefError(f"{root}: no such folder")
    items = dataset.all_items()
    if not any(find_truth(dataset, item, root).is_dir() for item in items):
        raise UniRefError(f"{root}: holds nothing of {dataset.data}; expected folders such as {root / items[0].name}")


def object_ids(dataset: EvalDataset, item: EvalItem, root: Path) -> list[int]:
    """Ids of an expression's objects in label maps: the index's, else the `obj_id` of published expressions.

    Raises:
        UniRefError: Nothing says which object the expression means.
    """
    if item.sample.objects:
        return [dataset.index.object(row).source_id for row in item.sample.objects]
    video = dataset.index.media(item.sample.media).name
    expression = dataset.index.expression(item.expressions[0]).source_id
    found = _published_ids(root).get((video, expression))
    if found is None:
        raise UniRefError(
            f"{root}: has label maps of {video}, but nothing says which object expression {expression} means; put the "
            "meta_expressions.json that has obj_id beside them, or a folder of masks per expression"
        )
    return found


@lru_cache(maxsize=4)
def _published_ids(root: Path) -> dict[tuple[str, str], list[int]]:
    """Object ids by (video, expression) of the first file of expressions at or above `root` that has any."""
    folders = (root, *root.resolve().parents[:_LEVELS])
    for path in (folder / name for folder in folders for name in _EXPRESSIONS):
        data = read_json(path, largest=_LARGEST) if exists(path) else {}
        try:
            ids = {
                (str(video), str(number)): _ids(expression["obj_id"])
                for video, record in data.get("videos", {}).items()
                for number, expression in record["expressions"].items()
                if "obj_id" in expression
            }
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UniRefError(f"{path}: does not hold expressions with obj_id") from None
        if ids:
            return ids
    return {}


def _ids(value: Any) -> list[int]:
    return [int(number) for number in (value if isinstance(value, list) else [value])]
