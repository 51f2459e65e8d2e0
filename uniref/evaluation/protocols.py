"""The evaluation protocol of each data set: the one that its file declares, else that of its task."""

from __future__ import annotations

from uniref.core.tasks import Task
from uniref.data.prepare.catalog import data_sets
from uniref.data.protocol import OF_TASK, Protocol

__all__ = ["Protocol", "protocol_of"]


def protocol_of(dataset: str, task: Task) -> Protocol:
    """The protocol of a data set.

    Args:
        dataset: Its name in the index.
        task: What the samples of the split are.

    Returns:
        The data set's own (`DataSet.protocol`), or the general one of the task where it declares none for that task.
    """
    entry = data_sets().get(dataset)
    own = entry.protocol if entry is not None else None
    return own if own is not None and own.task == task else OF_TASK[task]
