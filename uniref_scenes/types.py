"""Type aliases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rng = np.random.Generator
RGB = tuple[int, int, int]
"""sRGB, 0..255."""
UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
