"""Numbers of videos with several kinds of expressions: ReVOS, Long-RVOS, and expressions that refer to nothing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from uniref.data.protocol import LONG_TYPES, REASONING_TYPES
from uniref.evaluation.metrics.videos import pixel_accuracy, statistics, temporal_overlap
from uniref.evaluation.track_scores import TrackScore

Numbers = dict[str, float]
"""Metric -> value, 0..1, the headline first."""


def reasoning_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """ReVOS: J, F, A and R of expressions that refer and of those that need reasoning; overall = mean of the two.

    As in the published evaluator, an expression's values are rounded to hundredths of a percent.
    """
    # each kind of expression
    kinds: dict[str, Numbers] = {}
    for group, kind in enumerate(REASONING_TYPES[:2]):
        if part := [_reasoning_values(track) for track in tracks if track.group == group]:
            means = {metric: fmean(values[metric] for values in part) for metric in part[0]}
            kinds[kind] = {"J&F": (means["J"] + means["F"]) / 2} | means
    # their mean, and what means nothing
    out: Numbers = {}
    if kinds:
        out = {metric: fmean(numbers[metric] for numbers in kinds.values()) for metric in next(iter(kinds.values()))}
    out |= {f"{metric} {kind}": value for kind, numbers in kinds.items() for metric, value in numbers.items()}
    return out | target_numbers(tracks)


def _reasoning_values(track: TrackScore) -> Numbers:
    values = {"J": statistics(track.region).mean, "F": statistics(track.boundary).mean}
    if track.foreground:
        of_frame = dict(zip(track.counted, track.foreground, strict=True))
        foreground = [of_frame[frame] for frame in track.frames]
        shares = (track.ground_truth_share, track.predicted_share, track.region, foreground)
        for name, white in (("", 1), (" as published", 255)):
            found = pixel_accuracy(*shares, pixels=track.pixels, white=white)
            values |= {f"A{name}": found.accuracy, f"R{name}": found.robustness}
    if track.absent:  # the evaluator gives an expression 0 if one of its masks is missing
        return dict.fromkeys(values, 0.0)
    return {metric: float(np.round(100 * value, 2)) / 100 for metric, value in values.items()}


def long_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """Long-RVOS: J, F, tIoU and vIoU over all expressions, and over those of each kind."""
    values = [_long_values(track) for track in tracks]
    out = _long_means(values)
    for group, kind in enumerate(LONG_TYPES):
        if part := [each for each, track in zip(values, tracks, strict=True) if track.group == group]:
            out |= {f"{metric} {kind}": value for metric, value in _long_means(part).items()}
    return out


def _long_values(track: TrackScore) -> Numbers:
    temporal, volume = temporal_overlap(track.ground_truth_share, track.predicted_share, track.region)
    if len(track.absent) == len(track.frames):  # without any prediction everything is 0, even where nothing is visible
        temporal = volume = 0.0
    j, f = statistics(track.region).mean, statistics(track.boundary).mean
    return {"J": j, "F": f, "tIoU": temporal, "vIoU": volume}


def _long_means(values: Sequence[Numbers]) -> Numbers:
    means = {metric: fmean(each[metric] for each in values) for metric in values[0]}
    return {"J&F": (means["J"] + means["F"]) / 2} | means


def target_numbers(tracks: Sequence[TrackScore]) -> Numbers:
    """N-acc and T-acc as in gRefCOCO, where some expressions refer to nothing: a video without a predicted pixel says
    that there is no target, unless masks are missing."""
    absent = [not any(track.predicted_share) and not track.absent for track in tracks if track.no_target]
    answered = [any(track.predicted_share) for track in tracks if not track.no_target]
    if not absent:
        return {}
    return {"N-acc": fmean(absent)} | ({"T-acc": fmean(answered)} if answered else {})


def missing_kind(tracks: Sequence[TrackScore]) -> str | None:
    """Why ReVOS's headline is not the published mean of two kinds of expressions; None where it is."""
    present = {track.group for track in tracks}
    kinds = [kind for group, kind in enumerate(REASONING_TYPES[:2]) if group in present]
    if len(kinds) == 2:
        return None
    return f"only {kinds[0] if kinds else REASONING_TYPES[2]} expressions are here: J&F is not the mean of both kinds"
