"""`report.html` of a training: curves, results, sample predictions, recipe, environment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from uniref.core import html
from uniref.core.environment import hardware, versions
from uniref.core.files import reading
from uniref.core.json_files import read_json_lines
from uniref.engine.reporter import METRICS
from uniref.media.image import open_image
from uniref.recipe.recipe import Recipe

_POINTS = 400  # of a curve


def write_report(out: Path, recipe: Recipe) -> Path:
    """Write `report.html` of a run's folder; returns its path. Raises UniRefError."""
    path = out / "report.html"
    stages = []
    for name in recipe.stages:
        if (out / name / METRICS).is_file():
            with reading(out / name / METRICS):
                stages.append(_stage(out / name, name))
    page = html.render(
        "training.html",
        title=f"Training {out.name}",
        description=recipe.description,
        stages=stages,
        environment=list((versions("numpy") | hardware()).items()),
        recipe=yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False),
    )
    html.write(path, page)
    return path


def _stage(folder: Path, name: str) -> dict[str, Any]:
    """The template's values for a stage."""
    records = [record for _, record in read_json_lines(folder / METRICS) if isinstance(record, dict)]
    training = _thinned([record for record in records if record.get("kind") == "train"])
    if not training:
        return {"name": name, "charts": [], "facts": [], "evaluations": [], "pictures": None}
    # losses by term and by task
    terms: dict[str, list[tuple[float, float]]] = defaultdict(list)
    tasks: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for record in training:
        of_task: dict[str, float] = defaultdict(float)
        for key, value in record["terms"].items():
            task, slash, _ = key.partition("/")
            if slash:
                of_task[task] += value
            else:
                terms[key.removeprefix("loss_")].append((record["step"], value))
        for task, value in of_task.items():
            tasks[task].append((record["step"], value))
    # curves, and the last values
    charts = [
        html.Curves.of("loss", {"loss": _points(training, "loss")}),
        html.Curves.of("loss by term", terms),
        html.Curves.of("loss by task", tasks),
        html.Curves.of("learning rate", {"base": _points(training, "learning_rate")}),
        html.Curves.of("gradient norm", {"before clipping": _points(training, "gradient_norm")}),
        html.Curves.of(
            "seconds per step",
            {"all": _points(training, "seconds_per_step"), "waiting for data": _points(training, "data_seconds")},
        ),
    ]
    last = training[-1]
    facts = ("step", "bad_steps", "overflows", "skipped_samples", "redrawn_samples", "memory_gb", "samples_per_second")
    return {
        "name": name,
        "charts": [chart for chart in charts if chart is not None],
        "facts": [(key.replace("_", " "), _shown(last.get(key))) for key in facts],
        "evaluations": list(_evaluations([record for record in records if record.get("kind") == "evaluation"])),
        "pictures": _pictures(folder / "pictures"),
    }


def _evaluations(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    series: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for data, values in record["results"].items():
            for metric, value in values.items():
                series[data][metric].append((record["step"], value))
    for data, metrics in series.items():
        chart = html.Curves.of(data, dict(list(metrics.items())[:6]))
        if chart is None:
            continue
        rows = [
            (metric, _shown(line[0][1]), _shown(line[-1][1]), _shown(max(value for _, value in line)))
            for metric, line in metrics.items()
        ]
        yield {"data": data, "chart": chart, "rows": rows}


def _pictures(folder: Path) -> dict[str, Any] | None:
    """The images of the last evaluation: reference, ground truth and prediction."""
    steps = sorted(folder.glob("step-*"))
    if not steps:
        return None
    shown = []
    for path in sorted(steps[-1].glob("*.png")):
        with open_image(path) as image:
            address = html.image_data_url(np.asarray(image.convert("RGB")))
            shown.append({"address": address, "caption": str(image.info.get("Description", path.stem))})
    return {"step": int(steps[-1].name.removeprefix("step-")), "shown": shown}


def _shown(value: object) -> str:
    """A cell of a table; floats have four decimals."""
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _thinned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step = max(1, len(records) // _POINTS)
    return records[::step] + ([records[-1]] if records and (len(records) - 1) % step else [])


def _points(records: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(record["step"], record[key]) for record in records if record.get(key) is not None]
