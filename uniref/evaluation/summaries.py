"""From scores of single expressions and objects to a data set's numbers. All values are fractions, 0..1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from uniref.evaluation.metrics.images import few_shot, referring
from uniref.evaluation.metrics.tracks import deviation, jitter, statistics
from uniref.evaluation.score_clips import Track
from uniref.evaluation.score_images import Item

Numbers = dict[str, float]

SIZES = (("small", 0.01), ("medium", 0.1), ("large", 1.0))
"""Objects by the share of the image that they cover, at most this much (in a video: on average where visible)."""


def size_of(share: float) -> str:
    """`small`, `medium` or `large`."""
    return next((name for name, limit in SIZES if share <= limit), SIZES[-1][0])


def referring_numbers(items: Sequence[Item]) -> Numbers:
    """RefCOCO's measures, and mIoU by size of the object."""
    return referring([i.overlap for i in items], [i.box_iou for i in items]) | _by_size(items) | _absent_items(items)


def few_shot_numbers(items: Sequence[Item]) -> Numbers:
    """FSS-1000's measures, and mean IoU of images by size of the object."""
    return few_shot([i.overlap for i in items], [i.category for i in items]) | _by_size(items)


def _by_size(items: Sequence[Item]) -> Numbers:
    out = {}
    for name, _ in SIZES:
        if part := [i.overlap.iou for i in items if i.truth and size_of(i.share) == name]:
            out[f"mIoU {name}"] = fmean(part)
    return out


def _absent_items(items: Sequence[Item]) -> Numbers:
    absent = [item for item in items if not item.truth]
    return {"no-object accuracy": fmean(not item.predicted for item in absent)} if absent else {}


IMAGE_SUMMARIES: dict[str, Callable[[Sequence[Item]], Numbers]] = {
    "referring": referring_numbers,
    "few-shot": few_shot_numbers,
}


def object_numbers(tracks: Sequence[Track]) -> Numbers:
    """J, F, their recall and decay: means over all objects (or expressions) of the split, as DAVIS has them."""
    regions = [statistics(track.region) for track in tracks]
    boundaries = [statistics(track.boundary) for track in tracks]
    j, f = fmean(s.mean for s in regions), fmean(s.mean for s in boundaries)
    out = {"J&F": (j + f) / 2, "J": j, "F": f}
    for name, part in (("J", regions), ("F", boundaries)):
        out[f"{name} recall"] = fmean(s.recall for s in part)
        out[f"{name} decay"] = fmean(s.decay for s in part)
    return out | extra_numbers(tracks)


def category_numbers(tracks: Sequence[Track]) -> Numbers:
    """YouTube-VOS: J and F of seen and unseen categories, G = mean of the four."""
    out: Numbers = {}
    for name, wanted in (("seen", True), ("unseen", False)):
        if part := [track for track in tracks if track.seen is wanted]:
            out[f"J {name}"] = fmean(statistics(t.region).mean for t in part)
            out[f"F {name}"] = fmean(statistics(t.boundary).mean for t in part)
    overall = {"G": fmean(out.values())} if len(out) == 4 else {}
    return overall | out | object_numbers(tracks)


def video_numbers(tracks: Sequence[Track]) -> Numbers:
    """LVOS: J, F and V over objects of seen and of unseen videos; overall = mean of the two."""
    parts: list[Numbers] = []
    named: Numbers = {}
    for name, wanted in (("seen", True), ("unseen", False)):
        if part := [track for track in tracks if track.seen is wanted]:
            j, f = (fmean(statistics(v).mean for v in values) for values in _columns(part))
            parts.append({"J&F": (j + f) / 2, "J": j, "F": f, "V": _deviation(part)})
            named |= {f"{measure} {name}": value for measure, value in parts[-1].items()}
    if len(parts) < 2:  # a subset, or another split: no mean of two to take
        return object_numbers(tracks) | named
    overall = {measure: fmean(part[measure] for part in parts) for measure in parts[0]}
    return overall | named | {k: v for k, v in object_numbers(tracks).items() if k not in overall}


def _columns(tracks: Sequence[Track]) -> tuple[list[list[float]], list[list[float]]]:
    return [t.region for t in tracks], [t.boundary for t in tracks]


def caveat(summary: str, tracks: Sequence[Track]) -> str | None:
    """Why the published headline cannot be given, where it is a mean over seen and unseen ones and either lacks."""
    kinds = {"categories": "categories", "videos": "videos"}
    found = {track.seen for track in tracks}
    if summary not in kinds or found >= {True, False}:
        return None
    if found == {None}:
        how = "; prepare the train split too" if summary == "categories" else ""
        return f"which {kinds[summary]} were seen in training is not known{how}: J&F is the mean over all objects"
    which = "seen" if True in found else "unseen"
    return f"only {which} {kinds[summary]} are here: J&F is the mean over all objects, not the published mean of both"


def assigned_numbers(tracks: Sequence[Track]) -> Numbers:
    """Ref-DAVIS17: each annotator's run by optimal assignment, averaged; and by direct matching of ids."""
    best = [t for t in tracks if t.matched == "best"]
    groups = {g: [t for t in best if t.group == g] for g in sorted({t.group for t in best})}
    runs = {group: object_numbers(part) for group, part in groups.items()}
    shared = [name for name in next(iter(runs.values())) if all(name in run for run in runs.values())]
    out = {name: fmean(run[name] for run in runs.values()) for name in shared}
    out |= {f"J&F annotator {group}": run["J&F"] for group, run in runs.items()}
    direct = [object_numbers([t for t in tracks if t.matched == "direct" and t.group == group]) for group in groups]
    return out | {f"{name} direct": fmean(run[name] for run in direct) for name in ("J&F", "J", "F")}


def extra_numbers(tracks: Sequence[Track]) -> Numbers:
    """What the published protocols lack: stability, frames without the object, results by size."""
    out = {"V": _deviation(tracks), "jitter": fmean(jitter(t.region, t.boundary) for t in tracks)}
    frames = [pair for t in tracks if t.complete for pair in zip(t.truth, t.predicted, strict=True)]
    absent = [not predicted for truth, predicted in frames if not truth]
    if absent:
        out["no-object accuracy"] = fmean(absent)
        out["presence accuracy"] = fmean((truth > 0) == (predicted > 0) for truth, predicted in frames)
    for name, _ in SIZES:
        if part := [t for t in tracks if t.share and size_of(t.share) == name]:
            out[f"J&F {name}"] = fmean(t.score for t in part)
    return out


def _deviation(tracks: Sequence[Track]) -> float:
    return fmean(deviation(t.region, t.boundary) for t in tracks)


CLIP_SUMMARIES: dict[str, Callable[[Sequence[Track]], Numbers]] = {
    "objects": object_numbers,
    "categories": category_numbers,
    "videos": video_numbers,
    "assigned": assigned_numbers,
}
