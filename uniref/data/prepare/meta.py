"""`{"videos": {<name>: {...}}}`: how YouTube-VOS, LVOS, MeViS and their kin describe videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uniref.data.prepare.job import BadRecord, Job


def read_videos(job: Job, path: Path, *fields: str) -> dict[str, dict[str, Any]]:
    """Videos of such a file by name, with these fields; a video that lacks one or has another kind is a bad record.

    Args:
        job: What is prepared.
        path: The file.
        fields: `objects` and `expressions` (mappings of mappings), `frames` (names without extension).
    """
    data = job.read_json(path)
    videos = data.get("videos") if isinstance(data, dict) else None
    if not isinstance(videos, dict) or not videos:
        job.bad(path, "has no `videos`")
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, video in videos.items():
        with job.record(f"{path}: video {name}"):
            if name in (".", "..") or "/" in name or "\\" in name:
                raise BadRecord("its name is no folder name")
            found[name] = {field: _checked(field, video[field]) for field in fields}
    return found


def text_of(value: Any) -> str:
    """An expression. Raises BadRecord where it is no text."""
    if not isinstance(value, str):
        raise BadRecord(f"{value!r} is no expression")
    return value


def _checked(field: str, value: Any) -> Any:
    if field == "frames":
        if not isinstance(value, list) or not value or not all(isinstance(x, str) and "/" not in x for x in value):
            raise BadRecord("its frames are no list of frame names")
    elif not isinstance(value, dict) or not all(isinstance(x, dict) for x in value.values()):
        raise BadRecord(f"its {field} are no mapping of ids to records")
    return value
