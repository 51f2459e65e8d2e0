"""Everything to be measured on a CUDA card, in one run of under four minutes; correctness first, then speed.

    benchmarks/gpu.sh [OUT] [--tiny]        installs what is missing, then runs this
    python -m benchmarks.gpu OUT [--tiny] [--device cuda] [--seconds 230]

Prints a short table; OUT gets it as `table.md`, every number as `results.json` (rewritten after each section, so that
an interrupted run keeps what it measured), and `profile-*.txt`. A section that fails is reported and does not stop the
others; the exit code is 1 if a section failed or a result is out of its bounds. `--tiny` runs every section with a tiny
model on any device, which proves that the script works, not that a card is fast.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.memory import TINY
from benchmarks.released_way import ReleasedWay
from benchmarks.train_step import random_batch
from benchmarks.videos import moving_disks
from benchmarks.weights import random_checkpoint
from uniref import Predictor
from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.engine.distributed import World
from uniref.engine.optim import TrainState
from uniref.engine.stage_model import freeze
from uniref.engine.trainer import train_step
from uniref.kernels.cuda import TritonDeformableAttention
from uniref.model.build import build_model
from uniref.model.uniref import UniRef
from uniref.ops.ms_deform_attn import ms_deform_attn
from uniref.recipe.load import load_recipe
from uniref.recipe.model import ModelConfig
from uniref.recipe.recipe import StageConfig

TEXT = "the red disk on the left"
EQUAL_PIXELS = 0.999
"""Float32 on the card against float32 on the CPU: the bound of the comparison with the released system's results."""
KERNEL_ERROR = {torch.float32: 5e-6, torch.bfloat16: 1e-2, torch.float16: 2e-3}
"""Of deformable attention against float64, relative to the largest value."""


@dataclass
class Run:
    """Options of the run and what has been measured so far."""

    out: Path
    device: torch.device
    tiny: bool
    until: float
    """Monotonic time at which no further measurement begins."""
    results: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a CUDA card."""
        return self.device.type == "cuda"

    @property
    def models(self) -> dict[str, ModelConfig]:
        """What is measured, by name."""
        if self.tiny:
            return {"tiny": ModelConfig.model_validate(TINY)}
        models = {name: recipe_stage(name).model for name in ("r50", "swinl")}
        return {name: model for name, model in models.items() if isinstance(model, ModelConfig)}

    def late(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() >= self.until

    def note(self, line: str) -> None:
        """A line of the table."""
        print(line, flush=True)
        self.lines.append(line)

    def check(self, name: str, fine: bool) -> str:
        """ "ok", or "WRONG" and the run fails."""
        if not fine:
            self.failed.append(name)
        return "ok" if fine else "WRONG"

    def save(self) -> None:
        """Write everything measured so far."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "results.json").write_text(json.dumps(self.results, indent=1) + "\n", "utf-8")
        (self.out / "table.md").write_text("\n".join(self.lines) + "\n", "utf-8")


def recipe_stage(name: str) -> StageConfig:
    """The first stage of image-level training of a shipped recipe."""
    stages = load_recipe(Path(__file__).parents[1] / "recipes" / f"{name}.yaml").stages
    return stages.get("image-a") or next(iter(stages.values()))


# --- sections ---------------------------------------------------------------------------------------------------------


def environment(run: Run) -> None:
    """Versions and hardware."""
    found: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("triton", "flash_attn"):
        try:
            found[name] = __import__(name).__version__
        except (ImportError, OSError):
            found[name] = None
    if run.on_gpu:
        card = torch.cuda.get_device_properties(run.device)
        found |= {
            "card": card.name,
            "memory_gb": round(card.total_memory / 2**30, 1),
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    found["threads"] = torch.get_num_threads()
    run.results["environment"] = found
    run.note(", ".join(f"{key} {value}" for key, value in found.items() if value is not None))
    run.note("")


def deformable_attention(run: Run) -> None:
    """The kernel for this device against the plain function in float64, and both their times."""
    sample = ms_deform_attn
    if run.on_gpu or os.environ.get("TRITON_INTERPRET") == "1":
        from uniref.kernels.triton_deformable import triton_ms_deform_attn

        sample = triton_ms_deform_attn
    sizes = [(5, 7), (3, 4), (1, 1)] if run.tiny else [(100, 134), (50, 67), (25, 34), (13, 17)]
    tokens, batch, dim, points = sum(h * w for h, w in sizes), 2, 32, 4
    heads = 1 if run.tiny else 8
    shape = (batch, 20 if run.tiny else tokens, heads, len(sizes), points)
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(batch, tokens, heads, dim, generator=generator)
    locations = torch.rand(*shape, 2, generator=generator) * 1.2 - 0.1
    weights = torch.rand(shape, generator=generator)
    rows = {}
    run.note("| deformable attention | error of output, gradients (float64) | | kernel ms | grid_sample ms |")
    run.note("| --- | --- | --- | --- | --- |")
    for dtype, bound in KERNEL_ERROR.items():
        inputs = [t.to(run.device).requires_grad_() for t in (value.to(dtype), locations, weights)]
        # the reference sees what the kernel sees, on the same device
        exact = [t.detach().double().requires_grad_() for t in inputs]
        grad = torch.randn(shape[0], shape[1], heads * dim, generator=generator).to(run.device, dtype)

        def both_ways(function: Callable[..., Tensor], tensors: list[Tensor], grad: Tensor = grad) -> list[Tensor]:
            out = function(tensors[0], sizes, tensors[1], tensors[2])
            return [out, *torch.autograd.grad(out, tensors, grad.to(out.dtype))]

        pairs = zip(both_ways(sample, inputs), both_ways(ms_deform_attn, exact), strict=True)
        errors = [float(((a.double() - b).abs().max() / b.abs().max()).detach()) for a, b in pairs]
        kernel = seconds_of(run, partial(both_ways, sample, inputs))
        plain = seconds_of(run, partial(both_ways, ms_deform_attn, inputs))
        name = str(dtype).removeprefix("torch.")
        # a rounded position on the edge between two pixels has another slope: gradients of positions, by their mean
        fine = run.check(f"deformable attention in {name}", max(errors[:2] + errors[3:]) < bound)
        rows[name] = {"errors": errors, "kernel_s": kernel, "plain_s": plain}
        run.note(
            f"| {name} | {' '.join(f'{e:.1e}' for e in errors)} | {fine} | {kernel * 1e3:.2f} | {plain * 1e3:.2f} |"
        )
    run.results["deformable_attention"] = rows
    run.note("")


def agreement(run: Run) -> None:
    """Float32 on the device against float32 on the CPU; mixed precision against float32 on the device."""
    rows: dict[str, Any] = {}
    run.note("| agreement | task | equal pixels / mask IoU | largest difference of scores | |")
    run.note("| --- | --- | --- | --- | --- |")
    name, config = next(iter(run.models.items()))
    frames, masks = moving_disks(3, *((64, 96) if run.tiny else (256, 352)), objects=2)
    cpu, own = (Predictor(random_checkpoint(config), device=d, dtype="float32") for d in ("cpu", str(run.device)))
    for task in ("RIS", "RVOS", "VOS"):
        expected, got = (predict(p, task, frames, masks) for p in (cpu, own))
        equal = float(np.mean([(a[0] == b[0]).mean() for a, b in zip(expected, got, strict=True)]))
        score = max(abs(a[1] - b[1]) for a, b in zip(expected, got, strict=True))
        fine = run.check(f"float32 {task}", equal >= EQUAL_PIXELS)
        rows[f"float32 {task}"] = {"equal_pixels": equal, "score": score}
        run.note(f"| {name}, float32, CPU | {task} | {equal:.5f} | {score:.1e} | {fine} |")
    # trained weights: with random ones a video drifts from a single pixel
    exact = Predictor.from_pretrained("small", device=str(run.device), dtype="float32")
    mixed = Predictor.from_pretrained("small", device=str(run.device), dtype="bfloat16")
    street, first = street_video(2 if run.tiny else 16)
    for task in ("text", "mask"):
        overlap = []
        given = {"text": "the red car"} if task == "text" else {"masks": {0: first}}
        for a, b in zip(exact.segment_video(street, **given), mixed.segment_video(street, **given), strict=True):
            overlap += [mask_iou(a.masks[n], b.masks[n]) for n in a.masks]
        mean = float(np.mean(overlap))
        fine = run.check(f"bfloat16 by {task}", mean > 0.9)
        rows[f"bfloat16 {task}"] = {"iou": mean}
        run.note(f"| small, bfloat16 | street.mp4 by {task} | {mean:.4f} | | {fine} |")
    run.results["agreement"] = rows
    run.note("")


def goldens(run: Run) -> None:
    """The released system's outputs, computed on this device by the project's own tests."""
    folder = Path(__file__).parents[2] / "shared" / "golden"
    folder = Path(os.environ.get("UNIREF_GOLDEN", folder)).resolve()
    if run.tiny or not (folder / "ris.npz").is_file():
        run.note("goldens: left out (needs ../shared/golden, and not --tiny)")
        run.note("")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/golden/test_golden.py"]
    command += ["-k", "image_by_text and r50 or image_by_support or video_by"]
    done = subprocess.run(  # noqa: S603 - ourselves
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=max(20.0, run.until - time.monotonic()),
        cwd=Path(__file__).parents[1],
        env=os.environ | {"UNIREF_GOLDEN": str(folder), "UNIREF_DEVICE": str(run.device), "PYTHONPATH": "."},
    )
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-200:]
    (run.out / "goldens.txt").write_text(done.stdout + done.stderr, "utf-8")
    run.results["goldens"] = {"line": last, "code": done.returncode}
    run.note(f"goldens in float32 on {run.device}: {last} {run.check('goldens', done.returncode == 0)}")
    run.note("")


def prediction(run: Run) -> None:
    """Frames per second and peak memory by task, beside the released procedure on the same device in float32."""
    rows: dict[str, Any] = {}
    size, large = ((64, 96), (80, 112)) if run.tiny else ((480, 854), (800, 1088))
    count = 3 if run.tiny else 12
    run.note("| predict | task | frames/s | released procedure | ratio | peak GB |")
    run.note("| --- | --- | --- | --- | --- | --- |")
    for name, config in run.models.items():
        predictor = Predictor(random_checkpoint(config), device=str(run.device), dtype="auto", own=True)
        loaded = random_checkpoint(config)
        assert loaded.tokenizer is not None
        assert isinstance(loaded.model, UniRef)
        old = ReleasedWay(loaded.model.to(run.device), loaded.tokenizer)
        for task, objects in (("RIS", 1), ("RVOS", 1), ("VOS", 1), ("VOS", 3), ("VOS", 10)):
            if run.late():
                run.note(f"| {name} | {task} {objects} | out of time | | | |")
                continue
            frames, masks = moving_disks(count, *(large if task == "RIS" else size), objects=objects)
            reset_peak(run)
            rate = rate_of(predict(predictor, task, frames, masks))
            memory = peak_gb(run)
            slow = None
            if name != "swinl" and objects <= 3 and not run.late():
                slow = rate_of(released(old, task, frames[:4], masks))
            ratio = f"{rate / slow:.1f}x" if slow else ""
            if task == "RIS" and not run.late():
                stream = predictor.segment_images(frames, TEXT, short_side=None)
                began = time.perf_counter()
                together = len(list(stream)) / (time.perf_counter() - began)
                rows[f"{name} RIS, batches"] = {
                    "frames_per_second": together,
                    "released": None,
                    "peak_gb": peak_gb(run),
                }
                run.note(f"| {name} | RIS, segment_images | {together:.2f} | | | {peak_gb(run):.2f} |")
            label = task if task != "VOS" else f"VOS, {objects} object{'s' if objects > 1 else ''}"
            rows[f"{name} {label}"] = {"frames_per_second": rate, "released": slow, "peak_gb": memory}
            run.note(f"| {name} | {label} | {rate:.2f} | {f'{slow:.2f}' if slow else ''} | {ratio} | {memory:.2f} |")
        if (
            name != "swinl" and not run.tiny and not run.late()
        ):  # compiling takes longer than all that a tiny run proves
            frames, masks = moving_disks(count, *size, objects=1)
            predictor = Predictor(
                random_checkpoint(config), device=str(run.device), dtype="auto", own=True, compiled=True
            )
            rate = rate_of(predict(predictor, "VOS", frames, masks))
            rows[f"{name} VOS, 1 object, compiled"] = {
                "frames_per_second": rate,
                "released": None,
                "peak_gb": peak_gb(run),
            }
            run.note(f"| {name} | VOS, 1 object, --compile | {rate:.2f} | | | |")
    run.results["prediction"] = rows
    run.note("")


def training(run: Run) -> None:
    """Step time, samples per second and peak memory in mixed precision, with the switches on and off."""
    rows: dict[str, Any] = {}
    run.note("| train | switches | s/step | samples/s | peak GB |")
    run.note("| --- | --- | --- | --- | --- |")
    ways: list[tuple[str, dict[str, bool], bool]] = [
        ("none", {}, True),
        ("grid_sample in place of the kernel", {}, False),
        ("activation_checkpointing", {"activation_checkpointing": True}, True),
        ("channels_last", {"channels_last": True}, True),
    ]
    if not run.tiny:
        ways.append(("compile", {"compile": True}, True))  # takes longer than all that a tiny run proves
    for name, config in run.models.items():
        for way, switches, kernel in ways:
            if run.late():
                run.note(f"| {name} | {way} | out of time | | |")
                continue
            # a tiny batch of the recipe's kind: everything but sizes is the recipe's
            stage = recipe_stage("r50" if run.tiny else name)
            stage = stage.model_copy(update={"model": config, "micro_batch": 2, "global_batch": 2, **switches})
            seconds, memory = step_seconds(run, stage, kernel)
            rows[f"{name} {way}"] = {"s": seconds, "peak_gb": memory}
            run.note(f"| {name} | {way} | {seconds:.3f} | {2 / seconds:.2f} | {memory:.1f} |")
    run.results["training"] = rows
    run.note("")


def profiles(run: Run) -> None:
    """Parts of a frame and of a step, and how often a step waits for the device."""
    name, config = next(iter(run.models.items()))
    frames, masks = moving_disks(4, *((64, 96) if run.tiny else (480, 854)), objects=1)
    predictor = Predictor(random_checkpoint(config), device=str(run.device), dtype="auto", own=True)
    predict(predictor, "VOS", frames, masks)  # warms up
    profile(run, "frame", lambda: predict(predictor, "VOS", frames, masks))
    stage = recipe_stage("r50").model_copy(update={"model": config, "micro_batch": 2, "global_batch": 2})
    state, batch = train_state(run, stage, kernel=True)
    train_step(state, [batch], 0)
    profile(run, "step", lambda: train_step(state, [batch], 1))
    if run.on_gpu:
        waits = host_waits(lambda: train_step(state, [batch], 2))
        run.results["waits_per_step"] = waits
        run.note(f"{name}: host waits per training step: {sum(waits.values())} ({', '.join(map(str, waits))})")
    run.note(f"profiles: {run.out / 'profile-frame.txt'}, {run.out / 'profile-step.txt'}")


# --- measuring --------------------------------------------------------------------------------------------------------


def synchronize(run: Run) -> None:
    """Wait until the device has done everything it was told."""
    if run.on_gpu:
        torch.cuda.synchronize(run.device)


def reset_peak(run: Run) -> None:
    """Begin to record the device's peak memory anew."""
    if run.on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(run.device)


def peak_gb(run: Run) -> float:
    """The device's peak memory since `reset_peak`; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(run.device) / 2**30 if run.on_gpu else 0.0


def seconds_of(run: Run, call: Callable[[], object], repeats: int = 5) -> float:
    """Median of the repeats after one to warm up."""
    times = []
    for _ in range(1 if run.tiny else 1 + repeats):
        synchronize(run)
        began = time.perf_counter()
        call()
        synchronize(run)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:] or times)


Timed = list[tuple[np.ndarray, float, float]]
"""Per frame: labels or mask, score, seconds."""


def timed(stream: Iterator[tuple[np.ndarray, float]]) -> Timed:
    """Results of a stream with the seconds each took; they lie in main memory, so that the device has finished."""
    rows, began = [], time.perf_counter()
    for labels, score in stream:
        rows.append((labels, score, time.perf_counter() - began))
        began = time.perf_counter()
    return rows


def rate_of(rows: Timed) -> float:
    """Frames per second by the median after the first two, which warm up."""
    return 1 / statistics.median(seconds for *_, seconds in rows[2:] or rows)


def predict(predictor: Predictor, task: str, frames: list[np.ndarray], masks: dict[int, np.ndarray]) -> Timed:
    """One task over all frames, at their own size."""
    if task == "RIS":
        images = (predictor.segment_image(frame, TEXT, short_side=None) for frame in frames)
        return timed((found.mask, found.score) for found in images)
    given: dict[str, Any] = {"text": TEXT} if task == "RVOS" else {"masks": {0: masks}}
    stream = predictor.segment_video(frames, **given, score_threshold=0.0, short_side=None)
    return timed((found.labels, max(found.scores.values(), default=0.0)) for found in stream)


def released(old: ReleasedWay, task: str, frames: list[np.ndarray], masks: dict[int, np.ndarray]) -> Timed:
    """The same by the released procedure."""
    if task == "RIS":
        return timed((old.image(frame, TEXT), 0.0) for frame in frames)
    stream = old.video_by_text(frames, TEXT, masks[1]) if task == "RVOS" else old.video_by_masks(frames, masks)
    return timed((labels, 0.0) for labels in stream)


def train_state(run: Run, stage: StageConfig, kernel: bool) -> tuple[TrainState, Any]:
    """A model and a batch to train on, both on the device."""
    torch.manual_seed(0)
    model = build_model(stage.model)
    freeze(model, stage)
    state = TrainState(stage, model, World(run.device), seed=0)
    for module in state.model.modules():
        if isinstance(module, TritonDeformableAttention) and not kernel:
            module.sample = ms_deform_attn
    size = (64, 96) if run.tiny else (800, 1088)
    return state, random_batch(Task.RIS, 2, size).to(run.device)


def step_seconds(run: Run, stage: StageConfig, kernel: bool) -> tuple[float, float]:
    """Median seconds of a step and the peak memory in GB."""
    torch.compiler.reset()
    state, batch = train_state(run, stage, kernel)
    reset_peak(run)
    times = []
    for step in range(2 if run.tiny else 8):
        began = time.perf_counter()
        train_step(state, [batch], step)  # ends with a number on the CPU: the device has finished
        times.append(time.perf_counter() - began)
    memory = peak_gb(run)
    del state, batch
    return statistics.median(times[len(times) // 2 :]), memory


def profile(run: Run, name: str, call: Callable[[], object]) -> None:
    """Write the operators that take most of the time to OUT/profile-NAME.txt."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if run.on_gpu else [])]
    with profiler(activities=activities) as recorded:
        call()
        synchronize(run)
    order = "self_cuda_time_total" if run.on_gpu else "self_cpu_time_total"
    table = recorded.key_averages().table(sort_by=order, row_limit=40, max_name_column_width=80)
    (run.out / f"profile-{name}.txt").write_text(table, "utf-8")


def host_waits(call: Callable[[], object]) -> Counter[str]:
    """Places in the code at which the host waited for the device, with how often."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Counter(f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message))


def street_video(count: int) -> tuple[list[np.ndarray], dict[int, np.ndarray]]:
    """The first frames of the example video and the masks of its first frame."""
    import itertools

    from uniref.media.mask import read_mask
    from uniref.media.source import MediaSource, Selection

    examples = Path(__file__).parents[1] / "examples"
    frames = [f.image for f in itertools.islice(MediaSource(examples / "street.mp4").frames(Selection()), count)]
    labels = read_mask(examples / "street-masks" / "00000.png")
    return frames, {int(n): labels == n for n in np.unique(labels) if n}


def mask_iou(a: np.ndarray, b: np.ndarray) -> float:
    """1 where both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


SECTIONS: dict[str, Callable[[Run], None]] = {
    "environment": environment,
    "deformable attention": deformable_attention,
    "agreement": agreement,
    "prediction": prediction,
    "training": training,
    "profiles": profiles,
    "goldens": goldens,
}


def main() -> int:
    """Run every section; 0 if all of them were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("gpu-results"))
    parser.add_argument("--tiny", action="store_true", help="a tiny model: checks the script, on any device")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=230, help="after which no further measurement begins")
    parser.add_argument("--only", help="sections, separated by commas: " + ", ".join(SECTIONS))
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cpu" and not options.tiny:
        parser.error("there is no CUDA device here: --tiny checks the script on a CPU")
    # float32 is float32: TensorFloat-32 would hide errors of the kernels
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    run = Run(options.out, device, options.tiny, time.monotonic() + options.seconds)
    run.out.mkdir(parents=True, exist_ok=True)
    for name, section in SECTIONS.items():
        if options.only and name not in options.only.split(","):
            continue
        if run.late():
            run.note(f"{name}: left out, the time is used up")
            continue
        try:
            section(run)
        except (UniRefError, RuntimeError, ValueError, OSError, ImportError, subprocess.SubprocessError) as error:
            run.failed.append(name)
            run.note(f"{name}: failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        run.save()
    run.note("all results are right" if not run.failed else "WRONG: " + ", ".join(run.failed))
    run.save()
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
