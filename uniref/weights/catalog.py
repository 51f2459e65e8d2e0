"""The catalogue of published weights (address, size, digest, licence), and the checkpoints bundled with the package.

Sizes and digests are given where they could be checked against published records; None = not published.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

Kind = Literal["model", "backbone", "sam", "text", "file"]
"""A trained model, initial backbone or SAM (to be converted), a text encoder's folder, or a file that recipes read."""

_ZOO = "https://github.com/FoundationVision/UniRef#model-zoo"
_ZOO_TERMS = (
    "the repository names no other licence for the weights; the data sets it was trained on have terms of "
    "their own, some for research only"
)
_IMAGENET = "trained on ImageNet, whose images may be used for research only"
_SAM = "https://github.com/facebookresearch/segment-anything#model-checkpoints"
_SAM_TERMS = "trained on SA-1B, whose images are under the SA-1B data set research licence"
_META = "https://dl.fbaipublicfiles.com/segment_anything"
_TORCHVISION = "https://docs.pytorch.org/vision/stable/models.html"
_FROM_RECORDS = "public records"
_FROM_NAME = "the file's own name (8 digits) and public records"
_FROM_HUB = "the hub"


@dataclass(frozen=True)
class Weights:
    """One entry of the catalogue."""

    name: str
    """Name on the command line: `video-joint-r50`."""
    title: str
    kind: Kind
    address: str
    """Address of the file; of a hub repository: `https://huggingface.co/owner/name/tree/COMMIT`."""
    file: str
    """Name of the file in the cache, by which evaluation recognises released checkpoints."""
    licence: str
    terms: str
    """Terms of the training data."""
    page: str
    """Web page about it."""
    tasks: tuple[str, ...] = ()
    """Tasks of a model: `text`, `mask`, `support`, `detection`; empty for initial weights."""
    size: int | None = None
    """Bytes of the file, where published."""
    about: int = 0
    """Bytes of its tensors, where the size is not published; training state makes a file larger."""
    sha256: str | None = None
    """Digest of the file (of a text encoder: of model.safetensors); None = not published."""
    sha256_from: str = ""
    """Where the digest is published."""
    zoo: str = ""
    """Name in the published tables of scores: `video-joint R50`."""
    checked: str = ""
    """What was tested with this package."""

    @property
    def megabytes(self) -> str:
        """Its size as text: `375 MB`, `about 768 MB`."""
        size = self.size or self.about
        text = f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.0f} MB"
        return text if self.size else f"about {text}"

    @property
    def scores(self) -> Mapping[str, tuple[str, float]]:
        """Data set -> (measure, percent), as published, on validation splits."""
        from uniref.weights.published import scores_of

        return scores_of(self.zoo) if self.zoo else {}

    def describe(self) -> str:
        """One line: title, size and terms."""
        return f"{self.title}, {self.megabytes}, {self.licence} ({self.terms})"


def _released(name: str, title: str, drive: str, about: int, tasks: tuple[str, ...], zoo: str = "") -> Weights:
    stage, _, backbone = name.rpartition("-")
    return Weights(
        name=name,
        title=f"UniRef++ {title}",
        kind="model",
        address=f"https://drive.google.com/file/d/{drive}/view",
        file=f"{stage}_{backbone}.pth",
        licence="MIT",
        terms=_ZOO_TERMS,
        page=_ZOO,
        tasks=tasks,
        about=about,
        zoo=zoo,
        checked="layout, on pseudo-random weights of the same names and shapes; we had no access to the file itself",
    )


def _sam(size: str, name: str, count: int, digest: str) -> Weights:
    return Weights(
        name=f"sam-vit-{size}",
        title=f"SAM ViT-{size.upper()}, to train UniFusion in",
        kind="sam",
        address=f"{_META}/{name}.pth",
        file=f"{name}.pth",
        licence="Apache-2.0",
        terms=_SAM_TERMS,
        page=_SAM,
        size=count,
        sha256=digest,
        sha256_from=_FROM_RECORDS,
        checked="layout, on pseudo-random weights of the same names and shapes",
    )


def _torchvision(name: str, title: str, kind: Kind, file: str, count: int, digest: str) -> Weights:
    return Weights(
        name=name,
        title=title,
        kind=kind,
        address=f"https://download.pytorch.org/models/{file}",
        file=file,
        licence="BSD-3-Clause",
        terms=_IMAGENET,
        page=_TORCHVISION,
        size=count,
        sha256=digest,
        sha256_from=_FROM_NAME,
        checked="layout, on pseudo-random weights of the same names and shapes",
    )


def _text(name: str, title: str, repository: str, commit: str, licence: str, count: int, digest: str | None) -> Weights:
    return Weights(
        name=name,
        title=title,
        kind="text",
        address=f"https://huggingface.co/{repository}/tree/{commit}",
        file="",
        licence=licence,
        terms="trained on books and web pages",
        page=f"https://huggingface.co/{repository}",
        size=count,
        sha256=digest,
        sha256_from=_FROM_HUB if digest else "",
        checked="layout, on pseudo-random weights of the same names and shapes",
    )


_IMAGE, _ALL_TASKS = ("text", "support"), ("text", "mask", "support")

_ENTRIES = (
    _released(
        "video-joint-r50",
        "ResNet-50, images and videos",
        "190SV9GU6Pd9FMZQnRrCbgw8lqDYF9_-I",
        768_000_000,
        _ALL_TASKS,
        "video-joint R50",
    ),
    _released(
        "video-joint-swinl",
        "Swin-L, images and videos",
        "1ggkoEo1n2b-3sZDVVw3qFg1kyJQPc1jT",
        1_451_000_000,
        _ALL_TASKS,
        "video-joint Swin-L",
    ),
    _released(
        "image-joint-r50",
        "ResNet-50, images",
        "1RNerEk7nrbFBI9dY5HIK7ErmqKLN40_g",
        768_000_000,
        _IMAGE,
        "image-joint R50",
    ),
    _released(
        "image-joint-swinl",
        "Swin-L, images",
        "1dhCRuSDkw7IjxoUZo1EHDPU_608QHcx_",
        1_451_000_000,
        _IMAGE,
        "image-joint Swin-L",
    ),
    _released(
        "pretrain-r50",
        "ResNet-50, Objects365 pretraining",
        "1cz7xWfk0xBRNMTM7P8Vtb7jT6cBv5fKN",
        207_000_000,
        ("detection",),
    ),
    _released(
        "pretrain-swinl",
        "Swin-L, Objects365 pretraining",
        "1C9tjfR6puq6HUcLSwII74GRQBl-YCuD8",
        890_000_000,
        ("detection",),
    ),
    _sam("b", "sam_vit_b_01ec64", 375_042_383, "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"),
    _sam("l", "sam_vit_l_0b3195", 1_249_524_607, "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"),
    _sam("h", "sam_vit_h_4b8939", 2_564_550_879, "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"),
    _torchvision(
        "resnet50",
        "ResNet-50 of torchvision (ImageNet), a backbone",
        "backbone",
        "resnet50-0676ba61.pth",
        102_530_333,
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    ),
    _torchvision(
        "resnet18",
        "ResNet-18 of torchvision (ImageNet), for the mask encoder",
        "file",
        "resnet18-f37072fd.pth",
        46_830_571,
        "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    ),
    Weights(
        name="swin-l",
        title="Swin-L of the authors (ImageNet-22k, 384 pixels), a backbone",
        kind="backbone",
        address="https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_large_patch4_window12_384_22k.pth",
        file="swin_large_patch4_window12_384_22k.pth",
        licence="MIT",
        terms=_IMAGENET,
        page="https://github.com/microsoft/Swin-Transformer",
        about=916_000_000,
        checked="layout, on pseudo-random weights of the same names and shapes",
    ),
    _text(
        "bert-base-uncased",
        "BERT base, uncased: the text encoder",
        "google-bert/bert-base-uncased",
        "86b5e0934494bd15c9632b12f734a8a67f723594",
        "Apache-2.0",
        440_449_768,
        "68d45e234eb4a928074dfd868cead0219ab85354cc53d20e772753c6bb9169d3",
    ),
    _text(
        "roberta-base",
        "RoBERTa base: another text encoder",
        "FacebookAI/roberta-base",
        "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        "MIT",
        498_818_054,
        None,
    ),
)

CATALOG: Mapping[str, Weights] = {entry.name: entry for entry in _ENTRIES}
"""All entries by name."""


def closest_name(name: str) -> str:
    """The entry whose name is closest to a misspelt one; empty if none is close."""
    near = difflib.get_close_matches(name.lower().replace("_", "-"), [*CATALOG, *_NAMES], n=1, cutoff=0.7)
    return near[0] if near else ""


SMALL = "small"
"""The default of `uniref predict`: trained on synthetic scenes alone, see docs/small-model.md."""

_NAMES = (SMALL,)


def is_bundled(name: str) -> bool:
    """Whether a checkpoint of this name comes with the package."""
    return name in _NAMES


def checkpoint_folder(checkpoint: str | Path) -> Path:
    """The folder of a checkpoint: a bundled one for its bare name, else the path itself.

    A folder that has the name of a bundled checkpoint is named `./small`; as a string, because `Path` drops the dot.
    """
    if not is_bundled(str(checkpoint)):
        return Path(checkpoint)
    return Path(str(resources.files("uniref") / "assets" / str(checkpoint)))
