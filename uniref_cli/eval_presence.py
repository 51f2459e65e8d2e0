"""`uniref eval --calibrate`: the threshold from which on an object of a text counts as present."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from uniref.core.errors import UniRefError, UsageError
from uniref_cli.console import Console
from uniref_cli.eval import EvalArguments
from uniref_cli.process_rank import local_device


def check_calibration(arguments: EvalArguments) -> None:
    """Raise UsageError for options that do not go with --calibrate, and for a checkpoint that is not the user's."""
    from uniref.weights.catalog import is_bundled

    name = arguments.checkpoint
    if name is None:
        raise UsageError("--calibrate: name the checkpoint with --checkpoint")
    others = {
        "--predictions": arguments.predictions,
        "--truth": arguments.truth,
        "--check-submission": arguments.check_submission,
        "--submission": arguments.submission,
        "--gpus": arguments.gpus,
        "--shard": arguments.shard,
    }
    if given := [option for option, value in others.items() if value]:
        raise UsageError(f"--calibrate: leave out {given[0]}; only the threshold is measured, by one process")
    if is_bundled(name) or not Path(name).is_dir():
        raise UsageError(
            f"--calibrate: {name} is not a folder of yours, and its config.json is to be changed; copy the checkpoint "
            "and name the copy"
        )


def calibrate(arguments: EvalArguments, data: Sequence[str], folder: Path, console: Console) -> None:
    """Measure the threshold, print what thresholds do, and store it in the checkpoint's `config.json`.

    Raises:
        UniRefError: The data or the checkpoint cannot be used, or the folder cannot be written.
    """
    from uniref.evaluation.dataset import open_dataset
    from uniref.evaluation.presence import choose_threshold, measure_presence
    from uniref.inference.predictor import Predictor
    from uniref.weights.checkpoint_config import CONFIG, read_config, write_config

    if len(data) != 1:
        raise UsageError("--calibrate: takes one split; name it with --data")
    # the data, at the size that the model is made for
    dataset, config = open_dataset(arguments.root, data[0], limit=arguments.limit), read_config(folder)
    default = config.resize or dataset.protocol.sides
    sides = (arguments.short_side or default[0], arguments.long_side or default[1])
    dataset = replace(dataset, protocol=replace(dataset.protocol, sides=(sides[0], max(sides))))
    if not os.access(folder / CONFIG, os.W_OK):
        raise UniRefError(f"{folder / CONFIG}: cannot be written; copy the checkpoint and name the copy")
    # measure, and choose
    predictor = Predictor.from_pretrained(folder, local_device(arguments.device, os.environ), arguments.precision)
    scores = measure_presence(predictor, dataset, console.progress)
    presence = choose_threshold(scores, dataset.data, arguments.false_alarms)
    # say, and store
    console.say(
        f"{dataset.data}: {presence.present} phrases of objects in the image, {presence.absent} of absent objects"
    )
    console.say("threshold   precision   recall   absent answered")
    for point in presence.curve:
        precision = "     -" if point.precision is None else f"{point.precision:6.3f}"
        mark = "  <- " + presence.rule if point.threshold == presence.threshold else ""
        numbers = (
            f"     {point.threshold:.2f}      {precision}   {point.recall:.3f}             {point.false_alarms:.3f}"
        )
        console.say(numbers + mark)
    write_config(folder, config.model_copy(update={"presence": presence}))
    console.say(
        f"-> {folder / CONFIG}: 'uniref predict' finds a text where its score is above {presence.threshold:.2f}"
    )
    console.result({"checkpoint": str(folder)} | presence.model_dump(mode="json"))
