"""Agreement within the tolerances that make sense between two computations in float32."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

SCORE = 1e-3
DEVICE = os.environ.get("UNIREF_DEVICE", "cpu")
"""On which the public interface computes; `benchmarks/gpu.sh` sets it."""


def close(actual: Tensor, expected: np.ndarray, tolerance: float) -> None:
    """Mean deviation relative to the expected mean absolute value; infinities must stand in the same places."""
    wanted = torch.as_tensor(expected)
    assert actual.shape == wanted.shape
    finite = torch.isfinite(wanted)
    assert torch.equal(torch.isfinite(actual), finite)
    deviation = (actual - wanted)[finite].abs()
    assert float(deviation.max() / wanted[finite].abs().mean()) < 10 * tolerance
    assert float(deviation.mean() / wanted[finite].abs().mean()) < tolerance


def same_pixels(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert (actual == expected).mean() >= 0.995
