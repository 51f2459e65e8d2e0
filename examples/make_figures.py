"""Draws the figures of ARCHITECTURE.md into docs/figures/: packages, the way of one frame, the way of one sample.

python examples/make_figures.py

Boxes bring their own light ground and dark text, arrows are grey: the figures can be read on light and on dark pages.
The layers of the packages are those that import-linter checks.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs/figures"
Kind = Literal["file", "step", "reference", "result"]
_FILLS = {"file": "#d6e6f5", "step": "#d5ede4", "reference": "#fae6c3", "result": "#e6def4"}
_EDGES = {"file": "#6f9cc6", "step": "#5fa58a", "reference": "#cf9f45", "result": "#9781c2"}
_ARROW = "#848d97"
_STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif;font-size:14px;"
    "fill:#16212e;text-anchor:middle}"
    ".title{font-weight:600}"
    ".code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:11.5px;"
    "fill:#3b4856}"
    f".note{{font-size:12px;fill:{_ARROW}}}"
    f".arrow{{stroke:{_ARROW};stroke-width:1.8;fill:none;marker-end:url(#tip)}}"
)
_TIP = (
    '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    f'<path d="M0,0 L8,4 L0,8 z" fill="{_ARROW}"/></marker>'
)
DESCRIPTIONS = {
    "core": "batches, tasks, errors, files, devices",
    "ops": "attention, deformable sampling",
    "recipe": "typed configuration, free of torch",
    "media": "images, masks, videos",
    "model": "the network's equations",
    "data": "fetch, prepare, index, train",
    "losses": "matching, loss terms",
    "kernels": "faster modules, swapped in",
    "weights": "checkpoints, conversion",
    "inference": "predictor, tracker, outputs",
    "evaluation": "protocols, metrics, submissions",
    "extensions": "hooks into training",
    "engine": "training",
    "labeling": "point, look and correct",
    "uniref_cli": "one file per command",
    "version": "",
}


@dataclass(frozen=True)
class Box:
    """A rectangle with a title and lines of code or text below it; positions in pixels."""

    x: float
    y: float
    width: float
    kind: Kind
    title: str
    lines: tuple[str, ...] = ()

    @property
    def height(self) -> float:
        """In pixels."""
        return 32 + 17 * len(self.lines)

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> float:
        """Of the width."""
        return self.x + self.width / 2

    def svg(self) -> str:
        """The box as SVG elements."""
        parts = [
            f'<rect x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" rx="7" '
            f'fill="{_FILLS[self.kind]}" stroke="{_EDGES[self.kind]}" stroke-width="1.3"/>',
            f'<text class="title" x="{self.middle:g}" y="{self.y + 21:g}">{escape(self.title)}</text>',
        ]
        for row, line in enumerate(self.lines):
            parts.append(f'<text class="code" x="{self.middle:g}" y="{self.y + 39 + 17 * row:g}">{escape(line)}</text>')
        return "\n".join(parts)


def arrow(*points: tuple[float, float]) -> str:
    """A line with a tip at its last point."""
    return f'<path class="arrow" d="M{" L".join(f"{x:g},{y:g}" for x, y in points)}"/>'


def note(x: float, y: float, text: str) -> str:
    """Small grey text, centred at x."""
    return f'<text class="note" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def figure(title: str, width: float, height: float, parts: list[str]) -> str:
    """A complete SVG file."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img">\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n'
        f"<defs>{_TIP}</defs>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def column(x: float, width: float, top: float, boxes: list[tuple[Kind, str, tuple[str, ...]]]) -> list[Box]:
    """Boxes below each other."""
    placed: list[Box] = []
    for kind, title, lines in boxes:
        placed.append(Box(x, placed[-1].bottom + 26 if placed else top, width, kind, title, lines))
    return placed


def chain(boxes: list[Box]) -> list[str]:
    """The boxes of a column, with arrows from each to the next."""
    return [box.svg() for box in boxes] + [
        arrow((upper.middle, upper.bottom), (lower.middle, lower.y - 2))
        for upper, lower in zip(boxes, boxes[1:], strict=False)
    ]


def frame_figure() -> str:
    """The way of one frame: from the file to the written mask, which is a reference of the next frame."""
    way = column(
        8,
        290,
        8,
        [
            ("file", "video, image, camera, stream", ()),
            ("step", "decode", ("MediaSource.frames", "uint8 RGB [H, W, 3] and its time")),
            ("step", "resize, pad, backbone", ("InferenceModel.encode", "feature maps, once per frame")),
            ("step", "UniFusion", ("ReferringModel.fuse", "every reference adds its own term")),
            ("step", "encoder and decoder", ("DeformableTransformer.forward", "a score and a box per query")),
            ("step", "mask of the best query", ("UniRef.segment", "dynamic convolutions")),
            ("step", "all objects of the frame", ("VideoTracker.step", "merge_labels: uint8 [H, W]")),
            ("result", "masks, overlay, annotations", ("MaskSink.write",)),
        ],
    )
    text = Box(352, way[1].y, 200, "reference", "text", ("text_references", "tokens of BERT"))
    words = ("mask_references", "frame and mask, encoded")
    mask = Box(352, way[2].y + 30, 200, "reference", "mask of this object", words)
    fusion, last = way[3], way[6]
    gather = fusion.y + fusion.height / 2
    parts = [*chain(way), text.svg(), mask.svg()]
    # references into the fusion
    parts.append(arrow((552, text.y + 33), (568, text.y + 33), (568, gather), (300, gather)))
    parts.append(arrow((mask.middle, mask.bottom), (mask.middle, gather - 2)))
    # the loop
    parts.append(arrow((298, last.y + 33), (330, last.y + 33), (330, mask.y + 33), (350, mask.y + 33)))
    parts.append(note(452, last.y + 20, "first and previous mask are"))
    parts.append(note(452, last.y + 37, "references of the next frame"))
    return figure("The way of one frame", 580, way[-1].bottom + 8, parts)


def sample_figure() -> str:
    """The way of one training sample: from the index to the updated weights."""
    way = column(
        8,
        290,
        8,
        [
            ("file", "index", ("Index", "memory-mapped rows; images stay files")),
            ("step", "which samples", ("BatchSampler", "a function of seed and step")),
            ("step", "decode, draw frames, augment", ("MicroBatchDataset, TrainLoader", "in worker processes")),
            ("step", "one padded batch", ("collate_drawn", "images, references, targets")),
            ("step", "model", ("LossModule.forward", "queries of every decoder layer")),
            ("step", "which query learns which object", ("sim_ota, hungarian",)),
            ("step", "compare", ("Criterion", "class, box and mask terms, weighted")),
            ("step", "backward, clip, AdamW", ("train_step", "after all micro batches of the step")),
            ("result", "checkpoint", ("Checkpointer.save",)),
        ],
    )
    side = [
        Box(352, way[3].y - 8, 200, "reference", "references", ("texts; or frames with masks",)),
        Box(352, way[5].y, 200, "reference", "targets", ("classes, boxes, masks",)),
    ]
    parts = chain(way) + [box.svg() for box in side]
    batch, model, matching, compare, update = way[3:8]
    out = batch.y + 46
    # a batch's two halves
    parts.append(arrow((298, side[0].y + 24), (350, side[0].y + 24)))
    parts.append(arrow((452, side[0].bottom), (452, model.y + 33), (300, model.y + 33)))
    above = side[1].y - 16
    parts.append(arrow((298, out + 12), (330, out + 12), (330, above), (400, above), (400, side[1].y - 2)))
    parts.append(arrow((352, matching.y + 24), (300, matching.y + 24)))
    parts.append(arrow((452, side[1].bottom), (452, compare.y + 33), (300, compare.y + 33)))
    # the next step
    loop = update.y + 33
    parts.append(arrow((298, loop), (568, loop), (568, way[1].y + 33), (300, way[1].y + 33)))
    parts.append(note(452, loop - 8, "next step"))
    return figure("The way of one training sample", 580, way[-1].bottom + 8, parts)


def packages_figure() -> str:
    """The packages of uniref in layers: each imports only from those below its own."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers" and each["containers"] == ["uniref"])
    rows = [["uniref_cli"]] + [layer.replace(":", "|").split("|") for layer in layers]
    parts, y = [], 8.0
    for row in rows:
        names = [name.strip() for name in row if name.strip() != "version"]
        if not names:
            continue
        gap = 10
        width = (564 - gap * (len(names) - 1)) / len(names)
        for place, name in enumerate(names):
            kind: Kind = "result" if name == "uniref_cli" else "file" if name == "core" else "step"
            words = DESCRIPTIONS[name]
            lines = (words,) if len(names) < 3 else tuple(_halves(words))
            parts.append(Box(8 + place * (width + gap), y, width, kind, name, lines).svg())
        y += Box(0, 0, 0, "step", "", ("",) * (1 if len(names) < 3 else 2)).height + 12
    parts.append(note(290, y + 10, "A package imports only from the rows below its own."))
    return figure("The packages of uniref", 580, y + 22, parts)


def _halves(words: str) -> list[str]:
    """One description on two lines."""
    parts = words.split(", ")
    half = (len(parts) + 1) // 2
    second = ", ".join(parts[half:])
    return [", ".join(parts[:half]) + ("," if second else ""), second]


def drawn() -> dict[str, str]:
    """Every figure, by its file name."""
    return {"packages.svg": packages_figure(), "frame.svg": frame_figure(), "sample.svg": sample_figure()}


if __name__ == "__main__":
    FIGURES.mkdir(parents=True, exist_ok=True)
    for _name, _text in drawn().items():
        (FIGURES / _name).write_text(_text, encoding="utf-8")
