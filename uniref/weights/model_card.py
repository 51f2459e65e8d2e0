"""The model card that goes with a checkpoint onto the Hugging Face hub."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from uniref.core.errors import UniRefError, UsageError
from uniref.core.json_files import read_json

MARK = "<!-- written by uniref convert; a card without this line is left as it is -->"
_TASKS = {
    "text": ("referring-expression-segmentation", 'text: `--text "the red car"`'),
    "mask": ("video-object-segmentation", "a mask of the first frame: `--mask first.png`"),
    "support": ("few-shot-segmentation", "example images: `--support cat.jpg=cat.png`"),
    "detection": ("object-detection", "no reference: all objects"),
}
Record = Mapping[str, Any]


def read_results(path: Path) -> list[Record]:
    """Records of a `results.json` of `uniref eval`.

    Raises:
        UniRefError: It cannot be read, or is not such a file.
    """
    content = read_json(path)
    records = content.get("benchmarks") if isinstance(content, dict) else content
    if not isinstance(records, list) or not all(
        isinstance(r, dict) and isinstance(r.get("numbers"), dict) for r in records
    ):
        raise UniRefError(f"{path}: is not a results.json of 'uniref eval'")
    return records


def model_card(
    repository: str, title: str, tasks: Sequence[str], licence: str, source: Record, results: Sequence[Record]
) -> str:
    """Markdown with the hub's metadata.

    Args:
        repository: `owner/name`.
        title: Description of the model.
        tasks: Of `text`, `mask`, `support`, `detection`.
        licence: The hub's name of a licence (`apache-2.0`, `mit`, `other`).
        source: Of the checkpoint's config.json: where its weights come from.
        results: Records of results.json.

    Raises:
        UsageError: The licence is not a single word.
    """
    if not licence.replace("-", "").replace(".", "").isalnum():
        raise UsageError(f"--licence {licence!r}: give the hub's name of it, for example apache-2.0, mit or other")
    # metadata for the hub
    name = repository.rpartition("/")[2]
    metadata: dict[str, Any] = {
        "license": licence.lower(),
        "library_name": "uniref",
        "pipeline_tag": "image-segmentation",
        "tags": ["uniref", "segmentation", *(_TASKS[task][0] for task in tasks)],
    }
    if scored := [_scores(record) for record in results if _numbers(record)]:
        metadata["model-index"] = [{"name": name, "results": scored}]
    front = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True).rstrip()
    # text for readers
    lines = [
        *("---", front, "---", MARK, "", f"# {name}", ""),
        f"{title}, for uniref: segments the object that a text, a mask or examples refer to, in images and videos "
        "([UniRef++](https://arxiv.org/abs/2312.15715)).",
        *("", "Refer to it by:", ""),
        *(f"- {_TASKS[task][1]}" for task in tasks),
        *("", "```sh", f'uniref predict video.mp4 --text "the red car" --checkpoint {repository} --download', "```"),
        *("", "```python", "from uniref import Predictor", ""),
        *(f'predictor = Predictor.from_pretrained("{repository}")', "```"),
    ]
    if results:
        lines += [
            "",
            "## Results",
            "",
            "Measured with `uniref eval`.",
            "",
            "| data | metric | % |",
            "| --- | --- | --- |",
        ]
        lines += [row for record in results for row in _rows(record)]
    if source:
        lines += ["", "## Where the weights come from", ""]
        lines += [f"- {_cell(key)}: `{_cell(value)}`" for key, value in source.items()]
    return "\n".join(lines) + "\n"


def _rows(record: Record) -> list[str]:
    whole = "" if record.get("complete", True) else " (incomplete)"
    data = f"{_cell(record.get('name', ''))}{whole}"
    return [f"| {data} | {_cell(metric)} | {100 * value:.1f} |" for metric, value in _numbers(record)]


def _numbers(record: Record) -> list[tuple[str, float]]:
    """Metrics of a record and their values in 0..1, as far as they are numbers."""
    return [(k, float(v)) for k, v in record["numbers"].items() if isinstance(v, int | float) and math.isfinite(v)]


def _scores(record: Record) -> dict[str, Any]:
    """An entry of the hub's `model-index`."""
    task = str(record.get("protocol", {}).get("task", "")) if isinstance(record.get("protocol"), dict) else ""
    data = str(record.get("data") or record.get("name") or "")
    return {
        "task": {"type": "image-segmentation", "name": task or "segmentation"},
        "dataset": {"name": data, "type": data.partition("/")[0] or data, "split": data.partition("/")[2] or "val"},
        "metrics": [
            {"type": metric, "name": metric, "value": round(100 * value, 2)} for metric, value in _numbers(record)
        ],
    }


def _cell(value: Any) -> str:
    """A value for a table cell or code: on one line, with `|` and backticks escaped."""
    return " ".join(str(value).replace("|", "\\|").replace("`", "'").split())
