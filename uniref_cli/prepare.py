"""`uniref prepare-data DATASET`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from uniref.core.errors import UsageError
from uniref_cli.arguments import OUTPUT, Command, Quiet, takes_arguments
from uniref_cli.console import Console

if TYPE_CHECKING:
    from uniref.data.prepare.dataset import DataSet, Option
    from uniref.data.prepare.run import Prepared

_MOST_CLASSES = 8  # named in the summary
_MOST_BAD = 20  # bad records that are reported one by one
_FILES, _WHAT, _CHECK = "Files", "What to prepare", "Checks"
_OF_DATA_SETS = "Options of single data sets"

EPILOG = """
**Examples**

    uniref prepare-data --list

    uniref prepare-data davis17 --download --preview 12

    uniref prepare-data refcoco --source refcoco.zip --source coco --split val

    uniref prepare-data mose --source /mnt/mose --workers 16

    uniref prepare-data custom --source my-data --export my-data.json
"""


class PrepareDataCommand(Command):
    """`prepare-data` with the options that single data sets declare (`DataSet.options`).

    The data sets are imported when the command is used, so that `uniref --help` answers at once. Values of their
    options are in `context.obj`, by name.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters of `prepare_data`, then the declared ones."""
        self.params += [param for param in declared_options() if param not in self.params]
        return super().get_params(ctx)

    def invoke(self, ctx: Any) -> Any:
        """Run `prepare_data`, which does not know the declared options by name."""
        ctx.obj = {param.name: ctx.params.pop(param.name) for param in declared_options()}
        return super().invoke(ctx)


@functools.cache
def declared_options() -> tuple[Any, ...]:
    """Parameters of the command line for the options that data sets declare, each once."""
    from uniref.data.prepare.catalog import data_set_options

    signature = inspect.Signature(
        [
            inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for option, names in data_set_options().items()
            for kind in [_annotation(option, names)]
        ]
    )

    def declared() -> None:
        """Carries the signature that Typer reads."""

    declared.__signature__ = signature  # type: ignore[attr-defined]
    declared.__annotations__ = {name: each.annotation for name, each in signature.parameters.items()}
    app = typer.Typer(add_completion=False)
    app.command()(declared)
    return tuple(typer.main.get_command(app).params)


def _annotation(option: Option, names: Sequence[str]) -> Any:
    """What Typer needs to know about an option of single data sets."""
    value: Any = Literal[option.choices] if option.choices else option.type
    settings = typer.Option(
        *([f"--{option.name}"] if option.type is bool else []),  # no --no-...
        help=f"{', '.join(names)}: {option.help[0].lower()}{option.help[1:]}",
        min=option.minimum,
        max=option.maximum,
        rich_help_panel=_OF_DATA_SETS,
    )
    return Annotated[value | None, settings]


@dataclass(frozen=True)
class PrepareArguments:
    """Arguments of `uniref prepare-data`; the options of single data sets are in `context.obj`."""

    context: typer.Context
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", show_default=False, help="See --list.")] = None
    list_all: Annotated[
        bool,
        typer.Option("--list", help="Show every data set: task, splits, size, papers, licence, what is prepared."),
    ] = False
    root: Annotated[Path, typer.Option(help="Folder of all indexes and fetched media.", rich_help_panel=_FILES)] = Path(
        "data"
    )
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder, archive, annotation file or address; repeat for several. Folders stay where they are.",
            rich_help_panel=_FILES,
        ),
    ] = None
    download: Annotated[
        bool,
        typer.Option(
            "--download/--no-download", help="Fetch what has a public address and is missing.", rich_help_panel=_FILES
        ),
    ] = False
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; repeat for several.", rich_help_panel=_WHAT)
    ] = None
    subset: Annotated[
        int | None, typer.Option(help="Only the first N images or videos of a split.", rich_help_panel=_WHAT)
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Prepare finished splits again.", rich_help_panel=_WHAT)
    ] = False
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. [default: all cores]", rich_help_panel=_WHAT)
    ] = None
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Check what is prepared: checksums, counts, and that every image can be decoded.",
            rich_help_panel=_CHECK,
        ),
    ] = False
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out bad records and list them.", rich_help_panel=_CHECK)
    ] = False
    accept_counts: Annotated[
        bool,
        typer.Option("--accept-counts", help="Accept counts that differ from the published.", rich_help_panel=_CHECK),
    ] = False
    preview: Annotated[
        int,
        typer.Option(min=0, help="Draw N samples of each split into a PNG beside its index.", rich_help_panel=OUTPUT),
    ] = 0
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write one split as COCO JSON (images) or YouTube-VIS JSON (videos).", rich_help_panel=OUTPUT
        ),
    ] = None
    write_template: Annotated[
        bool,
        typer.Option(
            "--write-template",
            help="custom: write a phrases.csv to fill in, one line per object, where it is read from.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    quiet: Quiet = False
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line per split.", rich_help_panel=OUTPUT)] = (
        False
    )


@takes_arguments
def prepare_data(arguments: PrepareArguments) -> None:
    """Turn a data set's published files into the index that training and evaluation read.

    Images stay where they are; the index (masks, boxes, expressions) goes to ROOT/index/DATASET/SPLIT. Finished
    splits are kept, so that a second run with the same options costs nothing. Nothing is fetched without --download
    or an address in --source.
    """
    console = Console(quiet=arguments.quiet, json_lines=arguments.as_json)
    if arguments.list_all:
        _list(console, arguments.root)
        return
    if arguments.dataset is None:
        raise UsageError("which data set? name one, or see --list")
    if arguments.export is not None and not arguments.overwrite:
        _check_export(arguments.export)
    # check again, or prepare
    done = _verify(console, arguments) if arguments.verify else _prepare(console, arguments)
    # outputs besides the index
    if arguments.write_template:
        from uniref.data.prepare.formats.tables import write_templates

        for path in write_templates([prepared.index for prepared in done], arguments.source or ()):
            console.say(f"{path}: a template; fill in or change its phrases, then prepare again with --overwrite")
    if arguments.preview:
        _preview(console, done, arguments.preview)
    if arguments.export is not None:
        _export(console, done, arguments.export)
    if any(prepared.form for prepared in done):
        _suggest_training(console, done, arguments.root)


def _prepare(console: Console, arguments: PrepareArguments) -> list[Prepared]:
    """Make the index of every requested split, and report each as soon as it is done."""
    from uniref.core.parallel import usable_cores
    from uniref.data.prepare import run

    assert arguments.dataset is not None
    request = run.Request(
        dataset=arguments.dataset,
        root=arguments.root,
        sources=arguments.source or (),
        splits=arguments.split or (),
        workers=arguments.workers or usable_cores(),
        download=arguments.download,
        subset=arguments.subset,
        skip_bad=arguments.skip_bad,
        accept_counts=arguments.accept_counts,
        overwrite=arguments.overwrite,
        options=arguments.context.obj,
    )
    return run.prepare(
        request, console.progress, lambda prepared: _report(console, prepared, _state(prepared)), console.warn
    )


def _verify(console: Console, arguments: PrepareArguments) -> list[Prepared]:
    """Check prepared splits against their checksums, the published counts and the media files."""
    from uniref.core.parallel import usable_cores
    from uniref.data.prepare import run
    from uniref.data.prepare.catalog import data_sets

    name = arguments.dataset
    assert name is not None
    if name in data_sets() and data_sets()[name].is_custom:
        name = arguments.context.obj["name"] or name
    splits, workers = arguments.split or (), arguments.workers or usable_cores()
    done = run.verify(arguments.root, name, splits, console.progress, workers)
    for prepared in done:
        _report(console, prepared, "as it was written")
    return done


def _state(prepared: Prepared) -> str:
    return "prepared" if prepared.fresh else "already prepared, kept (--overwrite makes it again)"


def _report(console: Console, prepared: Prepared, state: str) -> None:
    from uniref.data.prepare.run import SKIPPED

    manifest = prepared.index.manifest
    # counts, and what was understood
    counts = ", ".join(f"{rows:,} {name}" for name, rows in manifest.counts.items() if rows)
    console.say(f"{manifest.name}: {state} ({counts}) in {prepared.folder}")
    if prepared.form:
        console.say(f"  read as {prepared.form}: {_summary(prepared)}")
    if prepared.fresh and prepared.terms:
        console.say(f"  terms: {prepared.terms}")
    # what was left out, and what to know
    for reason, count in manifest.dropped.items():
        console.say(f"  left out: {count:,} x {reason}")
    for note in prepared.notes:
        console.warn(f"{manifest.name}: {note}")
    for line in prepared.bad[:_MOST_BAD]:
        console.warn(f"left out: {line}")
    if len(prepared.bad) > _MOST_BAD:
        more = len(prepared.bad) - _MOST_BAD
        console.warn(f"left out: {more:,} more, all listed in {prepared.folder / SKIPPED}")
    # the same as JSON
    console.result(
        {
            "dataset": manifest.dataset,
            "split": manifest.split,
            "task": manifest.task.value,
            "folder": str(prepared.folder),
            "fresh": prepared.fresh,
            "form": prepared.form,
            "counts": manifest.counts,
            "masks": manifest.masks,
            "dropped": manifest.dropped,
            "notes": list(prepared.notes),
            "bad": list(prepared.bad),
        }
    )


def _summary(prepared: Prepared) -> str:
    """What was read from a user's own data, on one line."""
    from uniref.core.tasks import Task

    index = prepared.index
    counts, categories = index.manifest.counts, index.manifest.categories
    used = sorted(set(index.object_column("category").tolist()) & set(categories))
    kind = "videos" if index.manifest.task.is_video else "images"
    classes = f"{len(used)} {'class' if len(used) == 1 else 'classes'}" + (
        f" ({_few([categories[number] for number in used])})" if used else ""
    )
    parts = [f"{counts['media']:,} {kind}", f"{counts['objects']:,} objects", f"{counts['expressions']:,} phrases"]
    kind_of_sample = {Task.DETECTION: "objects", Task.FSS: "classes"}.get(
        index.manifest.task, index.manifest.task.value
    )
    return f"{', '.join(parts)}, {classes}; {counts['samples']:,} samples ({kind_of_sample})"


def _few(names: list[str]) -> str:
    return ", ".join(names[:_MOST_CLASSES]) + (
        f" and {len(names) - _MOST_CLASSES} more" if len(names) > _MOST_CLASSES else ""
    )


def _suggest_training(console: Console, done: list[Prepared], root: Path) -> None:
    """Print the command that trains on a user's own data."""
    from uniref.core.tasks import Task

    names = {prepared.index.manifest.split: prepared.index.manifest.name for prepared in done}
    dataset = done[0].index.manifest.dataset
    if "train" not in names and not (root / "index" / dataset / "train").is_dir():
        console.say(f"no training split is prepared; evaluate with: uniref eval --data {next(iter(names.values()))}")
        return
    other = next((split for split in ("val", "test") if (root / "index" / dataset / split).is_dir()), None)
    evaluation = "evaluation=null" if other is None else f"evaluation.data=[{dataset}/{other}]"
    own = f"{dataset}/train"
    command = _train_command("custom", root, f"data.sources=[{{index: {own}}}]", evaluation)
    console.say(f"train on it: {command} --download")
    # the bundled model, for whoever has no GPU; it learns from expressions
    if all(prepared.index.manifest.task is Task.RIS for prepared in done):
        command = _train_command("small", root, f"data.sources=[{{index: {own}, language: {{phrases: 3}}}}]")
        console.say(f"or, on a CPU in minutes, the bundled model: {command}")


def _train_command(recipe: str, root: Path, *values: str) -> str:
    """The command line of a fine-tuning recipe with values of its stage."""
    import shlex

    options = [part for value in values for part in ("--set", f"stages.finetune.{value}")]
    return shlex.join(["uniref", "train", f"recipes/finetune-{recipe}.yaml", "--root", str(root), *options])


def _preview(console: Console, done: list[Prepared], count: int) -> None:
    from uniref.data.prepare.outputs import write_preview

    for prepared in done:
        path = prepared.folder.with_name(f"{prepared.folder.name}-preview.png")
        write_preview(prepared.index, path, count)
        console.say(f"{prepared.index.manifest.name}: {min(count, len(prepared.index))} samples drawn in {path}")


def _check_export(path: Path) -> None:
    """Refuse to replace a file that is not an export, before anything is prepared."""
    if path.exists():
        from uniref.data.prepare.outputs import is_export

        if not is_export(path):
            raise UsageError(f"{path}: exists and is not an export of uniref; name another file or pass --overwrite")


def _export(console: Console, done: list[Prepared], path: Path) -> None:
    from uniref.data.prepare.outputs import export_json

    if len(done) != 1:
        raise UsageError("--export writes one split; choose it with --split")
    kind = export_json(done[0].index, path)
    console.say(f"{done[0].index.manifest.name}: exported as {kind} to {path}")


def _list(console: Console, root: Path) -> None:
    from uniref.data.prepare.catalog import data_sets

    for entry in [*data_sets().values(), *_named_by_users(root)]:
        folder = root / "index" / entry.name
        ready = [name for name in entry.splits if (folder / name / "manifest.json").exists()]
        # for people
        console.say(f"{entry.name}: {entry.title}")
        console.say(f"    task       {entry.task.value}")
        console.say(f"    splits     {', '.join(entry.default_splits or entry.splits)}")
        console.say(f"    size       {entry.size}")
        if entry.papers:
            console.say(f"    papers     {', '.join(entry.papers)}")
        console.say(f"    licence    {entry.licence}")
        if entry.group:
            console.say(f"    files      {entry.files}")
        if entry.layout:
            console.say(f"    layout     {entry.layout}")
        console.say(f"    {'get it' if entry.group else 'read  '}     {_how_to_get(entry)}")
        console.say(f"    prepared   {', '.join(ready) or 'nothing'}")
        # for scripts
        console.result(
            {
                "dataset": entry.name,
                "title": entry.title,
                "task": entry.task.value,
                "splits": list(entry.splits),
                "size": entry.size,
                "papers": list(entry.papers),
                "licence": entry.licence,
                "page": entry.page,
                "download": bool(entry.downloads),
                "files": entry.files,
                "layout": entry.layout,
                "prepared": ready,
            }
        )


def _how_to_get(entry: DataSet) -> str:
    return f"--download, or by hand from {entry.page}" if entry.downloads else entry.page


def _named_by_users(root: Path) -> list[DataSet]:
    """The custom data sets that have a name of their own."""
    from uniref.data.prepare.catalog import data_sets

    custom = data_sets()["custom"]
    folders = sorted((root / "index").glob("*/*/manifest.json"))
    names = dict.fromkeys(path.parts[-3] for path in folders if not path.parts[-2].startswith("."))
    return [replace(custom, name=name) for name in names if name not in data_sets()]
