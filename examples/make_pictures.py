"""Runs the README's example commands with the bundled model and keeps what they drew in docs/pictures/.

python examples/make_pictures.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
PICTURES = HERE.parent / "docs" / "pictures"
COMMANDS = {
    "street": ["street.mp4", "--text", "the red car"],
    "street-cars": ["street.mp4", "--text", "the red car", "--text", "the blue car", "--text", "the yellow car"],
    "street-mask": ["street.mp4", "--mask", "street-masks/00000.png"],
    "street-all": ["street.mp4", "--text", "car", "--all"],
    "table": ["table.jpg", "--text", "the blue cup", "--text", "the green apple"],
    "shelf": ["shelf.jpg", "--support", "cup-1.jpg=cup-1-mask.png", "--support", "cup-2.jpg=cup-2-mask.png"],
}
"""Picture -> arguments of `uniref predict`, in this folder."""
_FRAME = 28  # of a clip, shown as a picture


def main() -> None:
    """Write every picture."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in COMMANDS.items():
            out = Path(folder) / name
            subprocess.run(  # noqa: S603
                [sys.executable, "-m", "uniref_cli.app", "predict", *arguments, "--out", str(out)], cwd=HERE, check=True
            )
            done = out / Path(arguments[0]).stem
            if (done / "overlay.png").exists():
                Image.open(done / "overlay.png").save(PICTURES / f"{name}.png", optimize=True)
                continue
            frames = iio.imread(done / "overlay.mp4")
            Image.fromarray(frames[_FRAME]).save(PICTURES / f"{name}.png", optimize=True)
            if name == "street":
                _animate(frames)


def _animate(frames: np.ndarray) -> None:
    """Every second frame as a GIF with one palette, uint8 [T, H, W, 3]."""
    palette = Image.fromarray(np.concatenate(frames[::12])).quantize(96)
    pictures = [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames[::2]]
    pictures[0].save(PICTURES / "street.gif", save_all=True, append_images=pictures[1:], duration=166, loop=0)


if __name__ == "__main__":
    main()
