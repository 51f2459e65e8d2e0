"""Backgrounds without a horizon: patterns from random numbers, float32 RGB [H, W, 3], 0..255."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from uniref_scenes.types import Float32Array, Rng


def muted(rng: Rng, low: float = 0.25, high: float = 0.95) -> Float32Array:
    """A colour of moderate saturation, float32 [3] 0..255."""
    rgb = colorsys.hsv_to_rgb(float(rng.random()), float(rng.uniform(0.02, 0.5)), float(rng.uniform(low, high)))
    return np.array(rgb, np.float32) * 255


def smooth_noise(rng: Rng, h: int, w: int, cells: int, octaves: int = 3) -> Float32Array:
    """Value noise, float32 [h, w] 0..1."""
    total, weight = np.zeros((h, w), np.float32), 0.0
    for octave in range(octaves):
        n = min(cells * 2**octave, max(h, w))
        grid = Image.fromarray(rng.random((n + 1, n + 1)).astype(np.float32), mode="F")
        total += np.asarray(grid.resize((w, h), Image.Resampling.BICUBIC)) * 0.5**octave
        weight += 0.5**octave
    return (total / weight).clip(0, 1)


def _mix(a: Float32Array, b: Float32Array, t: Float32Array) -> Float32Array:
    """From colour a (t = 0) to colour b (t = 1); t [h, w]."""
    return a + (b - a) * t[..., None]


def _axes(h: int, w: int) -> tuple[Float32Array, Float32Array]:
    """y and x of every pixel, in units of the longer side, [h, w] each."""
    unit = max(h, w)
    return np.mgrid[:h, :w].astype(np.float32)[0] / unit, np.mgrid[:h, :w].astype(np.float32)[1] / unit


def _gradient(rng: Rng, h: int, w: int) -> Float32Array:
    y, x = _axes(h, w)
    if rng.random() < 0.5:
        a = rng.uniform(0, 2 * np.pi)
        t = (x - 0.5) * np.cos(a) + (y - 0.5) * np.sin(a) + 0.5
    else:
        t = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8)) * 1.3
    return _mix(muted(rng), muted(rng), t.clip(0, 1).astype(np.float32))


def _noise(rng: Rng, h: int, w: int) -> Float32Array:
    t = smooth_noise(rng, h, w, int(rng.integers(2, 7)), int(rng.integers(2, 6)))
    return _mix(muted(rng), muted(rng), ((t - 0.5) * 2 + 0.5).clip(0, 1))


def _voronoi(rng: Rng, h: int, w: int) -> Float32Array:
    y, x = _axes(h, w)
    points = rng.random((int(rng.integers(8, 30)), 2)).astype(np.float32)
    distance = np.stack([(x - px) ** 2 + (y - py) ** 2 for px, py in points])
    base = muted(rng)
    colours = np.stack([(base + rng.normal(0, 28, 3)).clip(0, 255) for _ in points]).astype(np.float32)
    return colours[distance.argmin(0)]


def _stripes(rng: Rng, h: int, w: int) -> Float32Array:
    y, x = _axes(h, w)
    a = rng.uniform(0, np.pi)
    phase = (x * np.cos(a) + y * np.sin(a)) * rng.uniform(3, 12) + rng.random()
    if rng.random() < 0.3:
        phase += 0.4 * np.sin(2 * np.pi * 1.5 * (y * np.cos(a) - x * np.sin(a)))
    base = muted(rng)
    return _mix(base, (base * rng.uniform(0.65, 0.9)).astype(np.float32), (phase % 1 < 0.5).astype(np.float32))


def _checker(rng: Rng, h: int, w: int) -> Float32Array:
    y, x = _axes(h, w)
    n = rng.uniform(4, 12)
    on = ((x * n + rng.random()) % 1 < 0.5) ^ ((y * n + rng.random()) % 1 < 0.5)
    base = muted(rng, 0.4)
    return _mix(base, (base * rng.uniform(0.7, 0.92)).astype(np.float32), on.astype(np.float32))


def _bricks(rng: Rng, h: int, w: int) -> Float32Array:
    y, x = _axes(h, w)
    rows = rng.uniform(8, 16)
    row = np.floor(y * rows)
    u = x * rows / 2.2 + 0.5 * (row % 2)
    joint = ((y * rows) % 1 < 0.1) | (u % 1 < 0.05)
    tone = np.random.default_rng(int(rng.integers(1 << 30))).random((64, 64)).astype(np.float32)
    shade = tone[row.astype(int) % 64, np.floor(u).astype(int) % 64]
    base = muted(rng, 0.35, 0.8)
    wall = _mix((base * 0.85).astype(np.float32), base, shade)
    return np.where(joint[..., None], (base * 0.5 + 100).clip(0, 235).astype(np.float32), wall)


def _planks(rng: Rng, h: int, w: int) -> Float32Array:
    y, _ = _axes(h, w)
    n = rng.uniform(4, 9)
    grain = smooth_noise(rng, h, w, 3, 5)
    lines = (np.sin(y * n * 9 + grain * 9) * 0.5 + 0.5) * 0.12
    plank = np.floor(y * n)
    base = np.array([rng.uniform(130, 200), rng.uniform(95, 140), rng.uniform(60, 100)], np.float32)
    tone = 0.85 + 0.15 * np.sin(plank * 12.9) - lines - 0.3 * ((y * n) % 1 < 0.04)
    return (base * tone[..., None]).astype(np.float32)


def _dots(rng: Rng, h: int, w: int) -> Float32Array:
    y, x = _axes(h, w)
    n = rng.uniform(6, 16)
    on = np.hypot((x * n) % 1 - 0.5, (y * n) % 1 - 0.5) < rng.uniform(0.15, 0.32)
    base = muted(rng, 0.4)
    return _mix(base, (base * rng.uniform(0.7, 0.9)).astype(np.float32), on.astype(np.float32))


def _waves(rng: Rng, h: int, w: int) -> Float32Array:
    y, x = _axes(h, w)
    t = np.sin(2 * np.pi * (y * rng.uniform(3, 8) + 0.3 * np.sin(2 * np.pi * x * rng.uniform(1, 4)))) * 0.5 + 0.5
    base = muted(rng)
    return _mix(base, (base * rng.uniform(0.6, 0.9)).astype(np.float32), t.astype(np.float32))


PATTERNS: Mapping[str, Callable[[Rng, int, int], Float32Array]] = {
    "gradient": _gradient,
    "noise": _noise,
    "voronoi": _voronoi,
    "stripes": _stripes,
    "checker": _checker,
    "bricks": _bricks,
    "planks": _planks,
    "dots": _dots,
    "waves": _waves,
}
"""Painters by kind: (random numbers, height, width) to pixels."""
