"""Trains the bundled model further for some minutes, on a machine without a network (`recipes/small-gpu.sh`).

    python -m benchmarks.small_gpu pack FILE.tar [--source FOLDER ...] [--wheels FOLDER]
    python -m benchmarks.small_gpu train MINUTES OUT [--sources FOLDER] [--device cuda] [--tiny]

`pack` writes one tar file: the packages, recipes and benchmarks, the wheels, and in `scene-sources/` the images that
scenes of `synthetic-named` are made of (the emoji that are used, photographs at the size at which they are read).
`train` makes scenes with all cores in a fifth of the time, measures the time of a step, chooses the number of steps and
the milestones of the learning rate for what is left, and trains. OUT gets `small/` (float16 weights), `metrics.jsonl`,
`report.html`, and `plan.json` with what was measured and chosen. Without `scene-sources/` all scenes are drawn ones.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from uniref_scenes.named.packages import find_objects, search_folders
from uniref_scenes.named.photos import find_photos

CODE = Path(__file__).parents[1]
PARTS = ("uniref", "uniref_cli", "uniref_scenes", "benchmarks", "recipes", "pyproject.toml", "README.md", "LICENSE")
"""Of the repository, what goes into the tar file."""
SOURCES = "scene-sources"
LIMIT = 60_000_000
"""Bytes of the tar file."""
_PHOTO_SIDE = 1280  # pixels of the longer side that scenes use of a photograph
_STAGE = "further"  # of recipes/small-gpu.yaml
_SCENES_SHARE, _RESERVE = 0.2, 30.0  # of the time; seconds for the last checkpoint and its conversion
_MILESTONES = (0.65, 0.88)  # of the steps
_TRIAL_STEPS, _TRIAL_LOG = 30, 10


def main() -> None:
    """Pack, or train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("file", type=Path)
    packing.add_argument("--source", type=Path, action="append", default=[], help="as of prepare-data synthetic-named")
    packing.add_argument("--wheels", type=Path, help="folder of wheels that the other machine may lack")
    training = commands.add_parser("train")
    training.add_argument("minutes", type=float)
    training.add_argument("out", type=Path)
    training.add_argument("--sources", type=Path, default=CODE / SOURCES)
    training.add_argument("--device", default="auto")
    training.add_argument("--tiny", action="store_true", help="few scenes and steps, on any device")
    options = parser.parse_args()
    if options.command == "pack":
        pack(options.file, options.source, options.wheels)
    else:
        train(options.minutes, options.out, options.sources, options.device, options.tiny)


# --- packing ----------------------------------------------------------------------------------------------------------


def pack(file: Path, sources: Sequence[Path], wheels: Path | None) -> None:
    """Write the tar file.

    Args:
        file: Replaced if it exists.
        sources: Folders and .tgz archives of registry packages; empty: scenes will all be drawn ones.
        wheels: Folder of wheels; None: the other machine lacks nothing.
    """
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(file, "w") as tar:
        for part in PARTS:
            tar.add(CODE / part, part, filter=_without_caches)
        if wheels is not None:
            tar.add(wheels, "wheels")
        if sources:
            folder = Path(temporary) / SOURCES
            reduce_sources(list(unpacked(sources, Path(temporary))), folder)
            tar.add(folder, SOURCES)
    size = file.stat().st_size
    print(f"{file}: {size / 1e6:.1f} MB")
    if size > LIMIT:
        sys.exit(f"{file}: is larger than {LIMIT / 1e6:.0f} MB; leave out sources or wheels")


def _without_caches(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in entry.name else entry


def unpacked(sources: Sequence[Path], temporary: Path) -> Iterator[Path]:
    """Folders as they are; archives unpacked into folders of their own."""
    for number, source in enumerate(sources):
        if source.is_dir():
            yield source
            continue
        folder = temporary / f"archive-{number}"
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
        yield folder


def reduce_sources(bases: Sequence[Path], folder: Path) -> None:
    """Copy the images and names that training scenes are made of.

    Args:
        bases: Folders with the packages.
        folder: Made; `--source FOLDER` reads it.

    Raises:
        SceneError: A package is missing.
    """
    folders = search_folders(bases)
    objects = find_objects(folders, "emoji", folder)
    for images in ("assets", "en"):
        (folder / "objects" / images).mkdir(parents=True)
    for image in objects.images:
        shutil.copy(image.path, folder / "objects" / "assets" / image.path.name)
    for name in ("data.json", "messages.json"):
        shutil.copy(objects.names_file.with_name(name), folder / "objects" / "en" / name)
    photos = folder / "usr" / "share" / "backgrounds"
    photos.mkdir(parents=True)
    for photo in find_photos(folders):
        if photo.division == "train":
            image = Image.open(photo.path).convert("RGB")
            image.thumbnail((_PHOTO_SIDE, _PHOTO_SIDE), Image.Resampling.BOX)
            image.save(photos / f"{photo.path.stem}.jpg", quality=88)


# --- training ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What was measured, and chosen for it."""

    scenes: dict[str, int]
    """Training images per data set."""
    seconds_per_step: float
    steps: int
    milestones: tuple[int, ...]


def plan_steps(seconds: float, seconds_per_step: float) -> tuple[int, tuple[int, ...]]:
    """Steps that fit into a time, at least 10, and the steps at which the learning rate falls."""
    steps = max(10, int(seconds / seconds_per_step))
    return steps, tuple(round(share * steps) for share in _MILESTONES)


def seconds_per_step(metrics: Path) -> float:
    """Of the last logged steps: the first ones compile kernels and fill queues."""
    lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
    return float([line["seconds_per_step"] for line in lines if line["kind"] == "train"][-1])


def train(minutes: float, out: Path, sources: Path, device: str, tiny: bool) -> None:
    """Make scenes, measure, train, and write the results to `out`.

    Args:
        minutes: For all of it.
        out: Folder of the results.
        sources: What named scenes are made of; where it is no folder, scenes are drawn ones.
        device: As of `uniref train`.
        tiny: A few scenes and steps of small batches.
    """
    began = time.monotonic()
    end, out, sources = began + 60 * minutes, out.resolve(), sources.resolve()
    out.mkdir(parents=True, exist_ok=True)
    work = out / "work"  # on the same disk; removed at the end
    data, run = work / "data", work / "run"
    changes = _tiny_changes() if tiny else []
    # scenes: a few to measure the rate, then as many as the time allows
    named = sources.is_dir()
    scenes = make_scenes(data, sources if named else None, began + 60 * minutes * _SCENES_SHARE, tiny)
    if not named:
        changes.append(_drawn_scenes_alone())
    say(f"scenes: {scenes}, {time.monotonic() - began:.0f} s")
    # the time of a step
    recipe = CODE / "recipes" / "small-gpu.yaml"
    options = ["train", str(recipe), "--root", str(data), "--device", device]
    trial_steps = 2 if tiny else _TRIAL_STEPS
    log_every = 1 if tiny else _TRIAL_LOG
    uniref(*options, "--out", str(work / "trial"), *_sets({"steps": trial_steps}, changes, log_every))
    rate = seconds_per_step(work / "trial" / _STAGE / "metrics.jsonl")
    # the training, which ends by itself; if it is late, it is stopped with its state saved
    steps, milestones = plan_steps(end - _RESERVE - time.monotonic(), rate)
    if tiny:
        steps, milestones = 3, (1, 2)
    (out / "plan.json").write_text(json.dumps(asdict(Plan(scenes, rate, steps, milestones)), indent=1) + "\n", "utf-8")
    say(f"{rate:.3f} s per step: {steps} steps, milestones {list(milestones)}")
    chosen = {"steps": steps, "optim.schedule.milestones": list(milestones)}
    late = None if tiny else end - _RESERVE / 2
    uniref(*options, "--out", str(run), *_sets(chosen, changes, log_every), until=late)
    # results
    weights = run / _STAGE / "final"
    if not weights.is_dir():
        weights = max((run / _STAGE / "checkpoints").glob("step-*"))
    uniref("convert", str(weights), str(out / "small"), "--dtype", "float16", "--overwrite")
    shutil.copy(run / _STAGE / "metrics.jsonl", out / "metrics.jsonl")
    if (run / "report.html").exists():
        shutil.copy(run / "report.html", out / "report.html")
    shutil.rmtree(work)
    say(f"{out}: weights in {out / 'small'}, {time.monotonic() - began:.0f} s in all")


def make_scenes(data: Path, sources: Path | None, until: float, tiny: bool) -> dict[str, int]:
    """Prepare every split that the recipe trains on; the number of scenes follows from the time of the first ones.

    Args:
        data: Data root.
        sources: Of named scenes; None: drawn ones alone.
        until: Monotonic time at which all of them should be made.
        tiny: A few, whatever the time.

    Returns:
        Training images per data set; clips are a twentieth of that.
    """
    sets = {"synthetic": []} if sources is None else {"synthetic": [], "synthetic-named": ["--source", str(sources)]}
    first = 24 if tiny else 400
    counts = {}
    for number, (name, source) in enumerate(sets.items()):
        # its share of the time: what is left, divided by the data sets left
        own = (until - time.monotonic()) / (len(sets) - number)
        began = time.monotonic()
        count = first
        prepare(data, name, first, source)
        if not tiny:
            seconds = time.monotonic() - began
            # a clip of eight frames costs eight images, and there is one per twenty images
            count = max(first, int(first * own / seconds))
            prepare(data, name, count, source)
        counts[name] = count
    return counts


def prepare(data: Path, name: str, count: int, source: Sequence[str]) -> None:
    """Make and index the scenes of a data set; those that exist already are kept."""
    splits = [word for task in ("ris", "rvos", "vos", "fss") for word in ("--split", f"train-{task}")]
    sizes = ["--images", str(count), "--clips", str(max(8, count // 20)), "--size", "256", "--seed", "101"]
    uniref("prepare-data", name, "--root", str(data), *sizes, *splits, *source, "--overwrite", "--quiet")


def _sets(stage: dict[str, object], changes: Sequence[str], log_every: int) -> list[str]:
    """`--set` options: values of the stage, further changes, and how often to log."""
    values = [f"stages.{_STAGE}.{key}={json.dumps(value)}" for key, value in stage.items()]
    values += [*changes, f"run.log_every={log_every}"]
    return [word for value in values for word in ("--set", value)]


def _tiny_changes() -> list[str]:
    values = {"global_batch": 2, "micro_batch": 2, "data.workers": 0}
    return [f"stages.{_STAGE}.{key}={value}" for key, value in values.items()]


def _drawn_scenes_alone() -> str:
    sources = [
        {"index": "synthetic/train-ris", "ratio": 8, "language": {"phrases": 5, "absent": 0.2}},
        {"index": "synthetic/train-rvos", "ratio": 1},
        {"index": "synthetic/train-vos", "ratio": 1},
        {"index": "synthetic/train-fss", "ratio": 0.5},
    ]
    return f"stages.{_STAGE}.data.sources={json.dumps(sources)}"


def uniref(*arguments: str, until: float | None = None) -> None:
    """Run a command of uniref in a process of its own; asked to stop at the time `until`.

    Raises:
        SystemExit: It failed.
    """
    path = os.pathsep.join([str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "uniref_cli.app", *arguments]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, cwd=CODE)  # noqa: S603 - ourselves
    timeout = None if until is None else max(1.0, until - time.monotonic())
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout)
    stopped = process.poll() is None
    if stopped:
        process.send_signal(signal.SIGTERM)
        process.wait()
    if process.returncode and not stopped:
        sys.exit(f"uniref {arguments[0]}: failed with code {process.returncode}")


def say(line: str) -> None:
    """A line of progress."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
