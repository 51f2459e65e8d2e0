"""Array types that the whole package uses."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt8Image = npt.NDArray[np.uint8]
"""RGB, uint8 [H, W, 3], values 0..255."""
BoolMask = npt.NDArray[np.bool_]
"""Bool [H, W], True = the object."""
LabelMap = npt.NDArray[np.uint8]
"""Object ids, uint8 [H, W], 0 = background."""
