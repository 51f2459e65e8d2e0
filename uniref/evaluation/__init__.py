"""Evaluation by the published protocols: predictions, metrics, results and reports.

`evaluate` scores a model in memory; it loads on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uniref.evaluation.evaluator import evaluate

__all__ = ["evaluate"]


def __getattr__(name: str) -> Any:
    if name == "evaluate":
        from uniref.evaluation.evaluator import evaluate

        return evaluate
    raise AttributeError(f"module 'uniref.evaluation' has no attribute {name!r}")
