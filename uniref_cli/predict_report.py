"""What `uniref predict` says about the objects of an input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def object_report(summary: dict[str, Any]) -> str:
    """Every object of a summary, with the number of frames in which it is, on one line."""
    frames = summary["frames"]["written"]
    return ", ".join(
        f"{number} ({_described(about)}): {_found(about, summary['options'], frames)}"
        for number, about in summary["objects"].items()
    )


def absent_objects(summary: dict[str, Any]) -> Iterator[str]:
    """A line per object of a summary that was not found."""
    for number, about in summary["objects"].items():
        if not about["present"]:
            yield f"object {number} ({_described(about)}): {_found(about, summary['options'], 0)}"


def _described(about: dict[str, Any]) -> str:
    """What an object is, on the line of a report."""
    if "text" not in about:
        return str(about["kind"])
    instance = f" #{about['instance']}" if "instance" in about else ""
    return f'"{about["text"]}"{instance}'


def _found(about: dict[str, Any], options: dict[str, Any], frames: int) -> str:
    """In how many of the frames an object was found, or that it was not, with its best score."""
    if about["present"]:
        return f"{about['frames_present']} of {frames}"
    if about["kind"] in ("box", "point"):
        return f"not found (nothing fits the {about['kind']})"
    best = about["best_score"]
    threshold = options["score_threshold" if about["kind"] == "mask" else "start_threshold"]
    if best is None:
        return "not found"
    if best > threshold:
        return f"not found (best score {best:.2f}, but no pixel in its mask)"
    return f"not found (best score {best:.2f}, threshold {threshold:.2f})"
