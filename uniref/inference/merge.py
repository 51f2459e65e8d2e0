"""Several objects' probabilities to one label map (SPEC section 7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def merge_labels(probabilities: Tensor, ids: Sequence[int]) -> Tensor:
    """Most probable of background and objects at every pixel; background = product of (1 - p).

    Args:
        probabilities: Float [N, H, W].
        ids: The objects' ids, 1..255, one per row. Of exactly equal probabilities the background's wins, then the
            lowest id's.

    Returns:
        uint8 [H, W]; 0 = background.
    """
    # the product in the order of the rows, since rounding depends on it; argmax takes the first of equal values
    background = (1 - probabilities).prod(0, keepdim=True)
    by_id = sorted(range(len(ids)), key=lambda row: ids[row])
    winner = torch.cat([background, probabilities[by_id]]).argmax(0)
    table = torch.tensor([0, *(ids[row] for row in by_id)], dtype=torch.uint8, device=probabilities.device)
    return table[winner]
