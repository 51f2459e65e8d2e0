"""Videos to measure with: coloured disks that move over noise."""

from __future__ import annotations

import numpy as np


def moving_disks(
    count: int, height: int, width: int, objects: int = 1
) -> tuple[list[np.ndarray], dict[int, np.ndarray]]:
    """Frames uint8 [H, W, 3], and object id -> bool [H, W] in the first frame."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 190, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    ground = coarse.repeat(16, 0).repeat(16, 1)[:height, :width]
    ys, xs = np.mgrid[:height, :width]
    colours = ((210, 40, 40), (40, 80, 210), (60, 190, 60))
    frames, masks = [], {}
    for index in range(count):
        frame = ground.copy()
        for number in range(1, objects + 1):
            x = width * number / (objects + 1) + 4 * index * (-1) ** number
            y = height * (0.35 + 0.15 * (number % 2)) + 2 * index
            disk = (ys - y) ** 2 + (xs - x) ** 2 < (height / 7) ** 2
            frame[disk] = colours[(number - 1) % len(colours)]
            if index == 0:
                masks[number] = disk
        frames.append(frame)
    return frames, masks
