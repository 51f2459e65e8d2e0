"""`report.html` of a training: curves, results, sample predictions, recipe, environment."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from uniref.core import html
from uniref.core.json_files import read_json_lines
from uniref.core.reading import reading
from uniref.engine.monitor import METRICS
from uniref.media.open_image import open_image
from uniref.recipe.recipe import Recipe

_PACKAGES = ("uniref", "torch", "timm", "transformers", "numpy")
_POINTS = 400  # of a curve


def write_report(out: Path, recipe: Recipe) -> Path:
    """Write `report.html` about what a run's folder holds; returns its path. Raises UniRefError."""
    path = out / "report.html"
    parts = [html.paragraph(recipe.description)] if recipe.description else []
    for name in recipe.stages:
        if (out / name / METRICS).is_file():
            with reading(out / name / METRICS):
                parts += _stage(out / name, name)
    parts += [html.heading("Environment"), html.table(("", ""), _environment())]
    content = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    parts += [html.heading("Recipe"), html.preformatted(content)]
    html.write(path, html.page(f"Training {out.name}", parts))
    return path


def _stage(folder: Path, name: str) -> Iterator[str]:
    records = [record for _, record in read_json_lines(folder / METRICS) if isinstance(record, dict)]
    training = _thinned([record for record in records if record.get("kind") == "train"])
    yield html.heading(f"Stage {name}")
    if not training:
        return
    yield html.curves("loss", {"loss": _points(training, "loss")})
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
    yield html.curves("loss by term", terms)
    yield html.curves("loss by task", tasks)
    yield html.curves("learning rate", {"base": _points(training, "learning_rate")})
    yield html.curves("gradient norm", {"before clipping": _points(training, "gradient_norm")})
    yield html.curves(
        "seconds a step",
        {"all": _points(training, "seconds_per_step"), "waiting for data": _points(training, "data_seconds")},
    )
    last = training[-1]
    facts = ("step", "bad_steps", "overflows", "skipped_samples", "redrawn_samples", "memory_gb", "samples_per_second")
    yield html.table(("at the end", ""), [(key.replace("_", " "), last.get(key)) for key in facts])
    yield from _evaluations([record for record in records if record["kind"] == "evaluation"])
    yield from _pictures(folder / "pictures")


def _evaluations(records: list[dict[str, Any]]) -> Iterator[str]:
    if not records:
        return
    series: dict[str, dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for data, values in record["results"].items():
            for metric, value in values.items():
                series[data][metric].append((record["step"], value))
    for data, metrics in series.items():
        yield html.heading(data, 3)
        yield html.curves(data, dict(list(metrics.items())[:6]))
        yield html.table(
            ("metric", "first", "last", "highest"),
            [(metric, line[0][1], line[-1][1], max(value for _, value in line)) for metric, line in metrics.items()],
        )


def _pictures(folder: Path) -> Iterator[str]:
    """The pictures of the last evaluation: reference or truth beside the prediction."""
    steps = sorted(folder.glob("step-*"))
    if not steps:
        return
    yield html.heading(f"Predictions at step {int(steps[-1].name.removeprefix('step-'))}", 3)
    for path in sorted(steps[-1].glob("*.png")):
        with open_image(path) as image:
            yield html.picture(np.asarray(image.convert("RGB")), image.info.get("Description", path.stem))


def _thinned(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step = max(1, len(records) // _POINTS)
    return records[::step] + ([records[-1]] if records and (len(records) - 1) % step else [])


def _points(records: list[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    return [(record["step"], record[key]) for record in records if record.get(key) is not None]


def _environment() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        yield name, metadata.version(name)
    yield "python", platform.python_version()
    yield "system", f"{platform.system()} {platform.machine()}"
    if torch.cuda.is_available():
        yield "GPU", f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    else:
        yield "threads", str(torch.get_num_threads())
