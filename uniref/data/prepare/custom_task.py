"""What the samples of a user's own data are."""

from __future__ import annotations

from uniref.core.errors import UsageError
from uniref.core.tasks import Task
from uniref.data.prepare.job import Job

_WANTED = {
    Task.DETECTION: "pictures that show an object",
    Task.RIS: "phrases for pictures (phrases.csv, or `expressions` in the JSON)",
    Task.FSS: "classes for pictures (classes.csv, or COCO JSON)",
    Task.VOS: "clips that show an object",
    Task.RVOS: "phrases for clips (phrases.csv, or `expressions` in the JSON)",
}
"""What a sample needs."""
_OF_PICTURES = (Task.DETECTION, Task.RIS, Task.FSS)


def choose_task(job: Job, default: Task) -> Task:
    """The task that the user chose, else the default.

    Raises:
        UsageError: A task of clips for pictures, or the other way.
    """
    task = Task(job.options["task"]) if job.options.get("task") else default
    if (task in _OF_PICTURES) != (default in _OF_PICTURES):
        kind = "pictures" if default in _OF_PICTURES else "clips"
        raise UsageError(f"--task {task.value}: {job.dataset.name}/{job.split} holds {kind}")
    job.wanted = _WANTED[task]
    return task
