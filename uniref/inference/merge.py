"""Several objects' probabilities to one label map (SPEC section 7)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def merge_labels(probabilities: Tensor, ids: Sequence[int]) -> Tensor:
    """Most probable of background and objects at every pixel; background = product of (1 - p).

    Args:
        probabilities: Float [N, H, W].
        ids: The objects' ids, 1..255, in the order of the rows (the earlier one wins a tie).

    Returns:
        uint8 [H, W]; 0 = background.
    """
    background = (1 - probabilities).prod(0, keepdim=True)
    winner = torch.cat([background, probabilities]).argmax(0)
    table = torch.tensor([0, *ids], dtype=torch.uint8, device=probabilities.device)
    return table[winner]
