"""Peak memory of `uniref predict` on a short and a long video, each in a process of its own.

    python -m benchmarks.memory [--checkpoint DIR] [--height 48 --width 64] [--short 50 --long 5000] [--text --two-pass]

Without a checkpoint, a tiny random model is used: what must not grow is what the pipeline keeps, not what the model
needs. Prints both peaks (resident) and their difference.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from benchmarks.videos import moving_disks
from uniref.media.video_write import VideoWriter
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.recipe.model import ModelConfig
from uniref.weights.checkpoint import save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata

TINY = {
    "hidden_dim": 32,
    "groups": 8,
    "backbone": {"name": "test_resnet"},
    "text": {
        "encoder": {
            "model_type": "bert",
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
        }
    },
    "mask_encoder": {"stem_width": 8, "widths": [8, 16, 16, 32], "depths": [1, 1, 1, 1]},
    "fusion": {"heads": 2, "head_dim": 16},
    "transformer": {"heads": 4, "encoder_layers": 2, "decoder_layers": 2, "ffn_dim": 64, "queries": 20},
    "mask_head": {"widths": [16, 8]},
}

CHILD = """
import resource, sys
from uniref_cli.app import run
code = run(sys.argv[1:])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def tiny_checkpoint(folder: Path) -> Path:
    """A random model of a few megabytes."""
    config = ModelConfig.model_validate(TINY)
    torch.manual_seed(0)
    save_checkpoint(
        folder, UniRef(config).state_dict(), CheckpointMetadata(model=config), TextTokenizer.bert_base_uncased()
    )
    return folder


def write_video(path: Path, frames: int, height: int, width: int) -> None:
    """A video that repeats a few frames."""
    images, _ = moving_disks(20, height, width)
    writer = VideoWriter(path, (height, width), 25)
    for index in range(frames):
        writer.write(images[index % len(images)])
    writer.close()


def peak(video: Path, checkpoint: Path, prompts: list[str], side: int, out: Path) -> float:
    """Peak resident megabytes of the command."""
    arguments = ["predict", str(video), *prompts, "--checkpoint", str(checkpoint), "--out", str(out)]
    arguments += ["--short-side", str(side), "--score-threshold", "0", "--quiet", "--save", "overlay,masks,rle"]
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=True
    )
    code, own = (int(number) for number in done.stdout.split())
    if code:
        raise SystemExit(done.stderr)
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return own / scale


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--height", type=int, default=48)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--short", type=int, default=50)
    parser.add_argument("--long", type=int, default=5000)
    parser.add_argument("--text", action="store_true", help="follow a text instead of two masks")
    parser.add_argument("--two-pass", action="store_true", help="in two passes, both ways")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = options.checkpoint
        if checkpoint is None:
            (folder / "tiny").mkdir()
            checkpoint = tiny_checkpoint(folder / "tiny")
        _, masks = moving_disks(1, options.height, options.width, objects=2)
        Image.fromarray(masks[1].astype("uint8") + 2 * (masks[2] & ~masks[1]).astype("uint8")).save(folder / "m.png")
        prompts = ["--text", "a disk"] if options.text else ["--mask", str(folder / "m.png")]
        prompts += ["--two-pass"] if options.two_pass else []
        peaks = []
        for frames in (options.short, options.long):
            video = folder / f"{frames}.mp4"
            write_video(video, frames, options.height, options.width)
            peaks.append(peak(video, checkpoint, prompts, options.height, folder / "out"))
            print(f"{frames:>6} frames: {peaks[-1]:.0f} MB resident at most", flush=True)
        print(f"difference: {peaks[1] - peaks[0]:.0f} MB")


if __name__ == "__main__":
    main()
