"""Renaming tensors by rules, and checks that names and shapes are exactly those that a model needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from uniref.core.errors import CheckpointError


@dataclass(frozen=True)
class Rule:
    """A rule for tensor names."""

    pattern: str
    """Regular expression that must match the whole name."""
    target: str | Callable[[re.Match[str]], str] | None
    """New name (`\\1` refers to groups) or a function of the match; None = the tensor is known to be redundant."""


def rename(tensors: Mapping[str, Tensor], rules: Iterable[Rule], source: str) -> dict[str, Tensor]:
    """Rename every tensor by the first rule that matches.

    Args:
        tensors: Foreign name -> tensor.
        rules: In order of precedence.
        source: Name of the file in messages.

    Returns:
        New name -> tensor, without the redundant ones.

    Raises:
        CheckpointError: No rule matches a name; lists them.
    """
    compiled = [(re.compile(rule.pattern), rule.target) for rule in rules]
    renamed: dict[str, Tensor] = {}
    unknown = []
    for name, tensor in tensors.items():
        for pattern, target in compiled:
            match = pattern.fullmatch(name)
            if match is None:
                continue
            if target is not None:
                renamed[match.expand(target) if isinstance(target, str) else target(match)] = tensor
            break
        else:
            unknown.append(name)
    if unknown:
        raise CheckpointError(f"{source}: unknown tensors: {listing(unknown)}")
    return renamed


def check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str) -> None:
    """Compare names and shapes with those that the model needs.

    Raises:
        CheckpointError: Lists missing, unknown and misshapen names.
    """
    problems = []
    if missing := [name for name in expected if name not in tensors]:
        problems.append(f"missing tensors: {listing(missing)}")
    if unknown := [name for name in tensors if name not in expected]:
        problems.append(f"unknown tensors: {listing(unknown)}")
    misshapen = [
        f"{name} is {tuple(tensor.shape)}, not {tuple(expected[name].shape)}"
        for name, tensor in tensors.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    if misshapen:
        problems.append(f"misshapen tensors: {listing(misshapen)}")
    if problems:
        raise CheckpointError(f"{source}: {'; '.join(problems)}")


def check_finite(tensors: Mapping[str, Tensor], source: str) -> None:
    """Raise `CheckpointError` naming tensors that hold infinities or NaNs."""
    bad = [name for name, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
    if bad:
        raise CheckpointError(f"{source}: tensors with infinities or NaN: {listing(bad)}")


def listing(names: Iterable[str], limit: int = 8) -> str:
    """Up to `limit` names and how many more there are, on one line."""
    names = list(names)
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
