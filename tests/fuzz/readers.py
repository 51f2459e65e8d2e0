"""Every reader of files of the package, with a small valid file to damage."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import py7zr
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.data.prepare import build
from tests.tiny import TINY_BERT, tiny_config
from uniref.core.errors import UniRefError
from uniref.core.files import exists
from uniref.core.tasks import Task
from uniref.data.fetch.unpack import ArchiveLimits, unpack
from uniref.data.index import Index, IndexWriter
from uniref.data.index.schema import TRUTH
from uniref.data.prepare.datasets.refcoco import read_refs
from uniref.evaluation.prediction_files import foreign_predictions
from uniref.inference.result_folders import SUMMARY
from uniref.media.ffmpeg import run_ffmpeg
from uniref.media.image import read_image
from uniref.media.mask import read_mask
from uniref.media.source import MediaSource, Selection
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.recipe.load import load_recipe
from uniref.weights.checkpoint import load_checkpoint, save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref.weights.conversion import read_settings
from uniref.weights.convert import convert
from uniref.weights.safe_load import read_pickled, read_weights
from uniref_cli.app import run
from uniref_cli.predict_folders import written_files
from uniref_cli.predict_inputs import expand, read_prompts

Read = Callable[[Path, Path], Any]


@dataclass(frozen=True)
class Reader:
    """One way to read a file."""

    name: str
    make: Callable[[Path], None]
    """Writes a valid input into a folder."""
    file: str
    """The file in it that is damaged."""
    read: Read
    """Called with that folder and an empty one to write into."""
    tree: bool = False
    """Whether the file is JSON, whose values are changed too."""
    slow: int = 1
    """How many times fewer cases are run."""


def _picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))


def _image(suffix: str, mode: str = "RGB", **options: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _picture().convert(mode).save(folder / f"a{suffix}", **options)

    return make


def _deep(folder: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (24, 32), np.uint16)
    Image.fromarray(values).save(folder / "a.png")


def _mask(folder: Path) -> None:
    build.label_map(folder / "m.png", {1: (2, 3, 8, 9), 2: (9, 9, 14, 15)})


def _clip(name: str, *options: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        source = ["-y", "-f", "lavfi", "-i", "testsrc=s=48x32:r=10:d=0.6"]
        assert run_ffmpeg([*source, *options, str(folder / name)])[0] == 0

    return make


def _frames(folder: Path, out: Path) -> None:
    source = MediaSource(next(path for path in folder.iterdir()))
    for frame in source.frames(Selection()):
        assert frame.image.ndim == 3


def _weights(folder: Path, out: Path) -> None:
    read_weights(folder / "w.pth")


STATE = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(3, dtype=torch.bfloat16), "n": torch.tensor(7)}


def _torch(zipped: bool) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        content = {"model": STATE, "iteration": 3, "optimizer": {"state": {0: {"x": torch.ones(2)}}}}
        torch.save(content, folder / "w.pth", _use_new_zipfile_serialization=zipped)

    return make


def _detectron(folder: Path) -> None:
    arrays = {"a.w": np.arange(6.0).reshape(2, 3), "b": np.float32(3), "c": np.arange(4).astype(">i2")}
    (folder / "w.pth").write_bytes(pickle.dumps({"model": arrays, "__author__": "x"}, 2))


def _safetensors(folder: Path) -> None:
    save_file(STATE, folder / "w.pth", metadata={"format": "pt"})


def _bundle(folder: Path) -> None:
    bert = TINY_BERT | {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1}
    config = tiny_config()
    assert config.text is not None
    config = config.model_copy(update={"text": config.text.model_copy(update={"encoder": bert})})
    save_checkpoint(
        folder, UniRef(config).state_dict(), CheckpointMetadata(model=config), TextTokenizer.bert_base_uncased()
    )


def _load(folder: Path, out: Path) -> None:
    load_checkpoint(folder)


def _official(folder: Path) -> None:
    from tests.weights.official import official_state, small_config

    torch.save({"model": official_state(small_config())[0]}, folder / "w.pth")


def _convert(folder: Path, out: Path) -> None:
    convert(folder / "w.pth", out / "target")


def _json(name: str, content: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_text(json.dumps(content))

    return make


def _text(name: str, content: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_text(content)

    return make


PROMPTS = [
    {"input": "a.mp4", "text": "the red car", "start": 3, "end": "4.5s", "score_threshold": 0.4},
    {"input": "b.png", "support": "c.png=d.png", "name": "x"},
]
RECIPE = """
extends: base.yaml
description: tiny
stages:
  one:
    steps: 10
    data: {sources: [{index: a/train}]}
    optim: {lr: 1e-4, groups: {backbone: null}}
"""


def _recipe(folder: Path) -> None:
    (folder / "r.yaml").write_text(RECIPE)
    (folder / "base.yaml").write_text("defaults:\n  global_batch: 8\n  micro_batch: 8\n  sides: [128, 192]\n")


def _archive(suffix: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        files = {"d/a.txt": b"hello" * 50, "d/b.bin": bytes(range(256)), "c.txt": b""}
        path = folder / f"x{suffix}"
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
        elif suffix == ".7z":
            with py7zr.SevenZipFile(path, "w") as sink:
                for name, data in files.items():
                    sink.writef(io.BytesIO(data), name)
        else:
            with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w") as tar:
                for name, data in files.items():
                    about = tarfile.TarInfo(name)
                    about.size = len(data)
                    tar.addfile(about, io.BytesIO(data))

    return make


def _unpack(folder: Path, out: Path) -> None:
    unpack(next(folder.iterdir()), out / "t", limits=ArchiveLimits(total=1 << 26))


def _index(folder: Path) -> None:
    with IndexWriter(folder / "i", dataset="d", split="train", task=Task.RIS, roots={"r": folder}) as writer:
        mask = np.zeros((10, 12), np.bool_)
        mask[2:5, 3:7] = True
        for number in range(3):
            writer.add_media(
                name=str(number), kind="image", root="r", path=f"{number}.jpg", width=12, height=10, source_id=number
            )
            row = writer.add_object(source_id=1, category=1)
            writer.add_annotation(0, (3, 2, 7, 5), build.rle.encode(mask), 12.0, TRUTH)
            writer.add_sample(objects=[row], expressions=[writer.add_expression(f"the thing {number}", source_id="7")])


def _read_index(folder: Path, out: Path) -> None:
    index = Index.open(folder / "i")
    for sample in index:
        media = index.media(sample.media)
        exists(media.path)
        for row in (*sample.objects, *media.objects):
            track = index.annotations(index.object(row).row)
            for place in range(len(track)):
                _mask_of(folder, track, place)
        for row in sample.expressions:
            index.expression(row)


def _mask_of(folder: Path, track: Any, place: int) -> None:
    """What readers of masks do: damage of one is a ValueError, which they tell with the sample's name."""
    try:
        track.mask(place)
    except ValueError as error:
        raise UniRefError(f"{folder}: {error}") from None


def _prepared(dataset: str, split: str, *options: str) -> Read:
    def read(folder: Path, out: Path) -> None:
        arguments = ["prepare-data", dataset, "--root", str(out), "--source", str(folder), "--split", split]
        arguments += ["--accept-counts", "--workers", "1", "--quiet", *options]
        told = io.StringIO()
        with redirect_stderr(told), redirect_stdout(io.StringIO()):
            code = run(arguments)
        lines = [line for line in told.getvalue().splitlines() if line.startswith("uniref: error: ")]
        assert (code == 0) == (not lines), told.getvalue()
        assert "UNIREF_DEBUG" not in told.getvalue(), told.getvalue()
        if lines:
            assert len(lines) == 1
            raise UniRefError(lines[0])

    return read


def _own(folder: Path) -> None:
    build.picture(folder / "images/cat.jpg")
    build.label_map(folder / "masks/cat.png", {1: (2, 3, 8, 9)})
    (folder / "phrases.csv").write_text("file,object,phrase\ncat,1,the grey cat\ncat,1,it\n")


def _own_classes(folder: Path) -> None:
    _own(folder)
    (folder / "phrases.csv").unlink()
    (folder / "classes.csv").write_bytes("\ufefffile;object;class\ncat;1;cat\n".encode("utf-16-le"))


def _own_soft(folder: Path) -> None:
    _own(folder)
    values = np.zeros((build.H, build.W), np.uint8)
    values[2:14, 3:20], values[4:12, 5:18] = 128, 255
    Image.fromarray(np.dstack([values] * 3)).save(folder / "masks/cat.png")


def _formats(name: str) -> Callable[[Path], None]:
    """A miniature of a labelling tool's format."""

    def make(folder: Path) -> None:
        from tests.data.prepare import test_formats as formats

        special: dict[str, Callable[[], Any]] = {
            "coco_export": lambda: (formats.pictures(folder / "images"), formats.coco(folder / "x.json", runs=True)),
            "yolo_export": lambda: formats.yolo(folder, "ultralytics"),
            "voc_export": lambda: formats.voc(folder, colours=True),
            "vos_export": lambda: formats.vos(folder, "youtube"),
            "cvat_frames": lambda: (
                formats.cvat_video(folder),
                [build.picture(folder / f"images/{t}.png") for t in range(3)],
            ),
        }
        special[name]() if name in special else getattr(formats, name)(folder)

    return make


class _Boxes:
    """A benchmark of detection with one picture, as far as reading of predictions goes."""

    data = "d/val"

    class protocol:
        task = Task.DETECTION

    class index:
        class manifest:
            categories = {1: "a", 2: "b"}  # noqa: RUF012

        @staticmethod
        def media(row: int) -> Any:
            return type("Media", (), {"source_id": 5})

    @staticmethod
    def all_items() -> list[Any]:
        return [type("Item", (), {"name": "5", "sample": type("Sample", (), {"media": 0})})]


class _Masks(_Boxes):
    class protocol:
        task = Task.RIS


READERS = (
    *(
        Reader(f"image{s}", _image(s), f"a{s}", lambda f, o: read_image(next(f.iterdir())))
        for s in (".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm", ".gif", ".avif")
    ),
    Reader("image 16 bit", _deep, "a.png", lambda f, o: read_image(f / "a.png")),
    Reader("mask", _mask, "m.png", lambda f, o: read_mask(f / "m.png")),
    Reader("clip mp4", _clip("c.mp4"), "c.mp4", _frames, slow=10),
    Reader("clip mkv", _clip("c.mkv"), "c.mkv", _frames, slow=10),
    Reader("clip webm", _clip("c.webm"), "c.webm", _frames, slow=10),
    Reader("clip avi", _clip("c.avi"), "c.avi", _frames, slow=10),
    Reader("clip ts", _clip("c.ts"), "c.ts", _frames, slow=10),
    Reader("clip gif", _clip("c.gif"), "c.gif", _frames, slow=10),
    Reader("clip apng", _clip("c.apng"), "c.apng", _frames, slow=10),
    Reader("clip webp", _clip("c.webp"), "c.webp", _frames, slow=10),
    Reader("torch zip", _torch(True), "w.pth", _weights),
    Reader("torch stream", _torch(False), "w.pth", _weights),
    Reader("torch state", _torch(True), "w.pth", lambda f, o: read_pickled(f / "w.pth")),
    Reader("detectron", _detectron, "w.pth", _weights),
    Reader("safetensors", _safetensors, "w.pth", _weights),
    Reader("convert", _official, "w.pth", _convert, slow=10),
    Reader("config.json", _bundle, "config.json", _load, tree=True, slow=2),
    Reader("tokenizer.json", _bundle, "tokenizer.json", _load, slow=4),
    Reader("model.safetensors", _bundle, "model.safetensors", _load, slow=4),
    Reader(
        "hub config.json",
        _json("config.json", {"model_type": "sam", "vision_config": {"hidden_size": 3}}),
        "config.json",
        lambda f, o: read_settings(f),
        tree=True,
    ),
    Reader("prompts json", _json("p.json", PROMPTS), "p.json", lambda f, o: read_prompts(f / "p.json"), tree=True),
    Reader(
        "prompts jsonl",
        _text("p.jsonl", "\n".join(map(json.dumps, PROMPTS))),
        "p.jsonl",
        lambda f, o: read_prompts(f / "p.jsonl"),
    ),
    Reader(
        "prompts yaml",
        _text("p.yaml", "- input: a.mp4\n  text: [a, '2=b']\n  stride: 2\n- {input: b, mask: 3:c}\n"),
        "p.yaml",
        lambda f, o: read_prompts(f / "p.yaml"),
    ),
    Reader("list", _text("l.txt", "a.mp4\n# b\nc d.png\n"), "l.txt", lambda f, o: expand([f"@{f / 'l.txt'}"])),
    Reader("recipe", _recipe, "r.yaml", lambda f, o: load_recipe(f / "r.yaml")),
    Reader("recipe base", _recipe, "base.yaml", lambda f, o: load_recipe(f / "r.yaml")),
    *(Reader(f"archive {s}", _archive(s), f"x{s}", _unpack) for s in (".zip", ".tar", ".tar.gz", ".7z")),
    *(
        Reader(f"index {n}", _index, f"i/{n}.arrow", _read_index)
        for n in ("media", "objects", "annotations", "expressions", "samples")
    ),
    Reader("index manifest", _index, "i/manifest.json", _read_index, tree=True),
    Reader(
        "refs",
        lambda f: build.refcoco(f, protocol=2),
        "refcoco/refs(unc).p",
        lambda f, o: read_refs(f / "refcoco/refs(unc).p"),
    ),
    Reader(
        "refcoco refs", lambda f: build.refcoco(f, protocol=0), "refcoco/refs(unc).p", _prepared("refcoco", "train")
    ),
    Reader("refcoco instances", build.refcoco, "refcoco/instances.json", _prepared("refcoco", "train"), tree=True),
    Reader("coco", build.coco, "annotations/instances_train2017.json", _prepared("coco", "train"), tree=True),
    Reader("objects365", build.objects365, "zhiyuan_objv2_train.json", _prepared("objects365", "train"), tree=True),
    Reader("youtube-vos meta", build.youtube_vos, "train/meta.json", _prepared("youtube-vos-2018", "train"), tree=True),
    Reader("ovis", build.ovis, "annotations_train.json", _prepared("ovis", "train"), tree=True),
    Reader("mevis", build.mevis, "train/meta_expressions.json", _prepared("mevis", "train"), tree=True),
    Reader("mevis masks", build.mevis, "train/mask_dict.json", _prepared("mevis", "train"), tree=True),
    Reader("grefcoco", build.grefcoco, "grefcoco/grefs(unc).json", _prepared("grefcoco", "train"), tree=True),
    Reader("revos", build.revos, "ReVOS/meta_expressions_valid_.json", _prepared("revos", "val"), tree=True),
    Reader("revos foreground", build.revos, "ReVOS/mask_dict_foreground.json", _prepared("revos", "val"), tree=True),
    Reader(
        "long-rvos", build.long_rvos, "long_rvos/valid/meta_expressions.json", _prepared("long-rvos", "val"), tree=True
    ),
    Reader("reason-seg", build.reason_seg, "ReasonSeg/val/100_1.json", _prepared("reason-seg", "val"), tree=True),
    Reader("burst", build.burst, "annotations/val/all_classes.json", _prepared("burst", "val"), tree=True),
    Reader(
        "sav mask",
        build.sav,
        "sav_val/Annotations_6fps/sav_000001/000/00004.png",
        _prepared("sav", "val"),
    ),
    Reader("custom phrases", _own, "phrases.csv", _prepared("custom", "train")),
    Reader("custom mask", _own, "masks/cat.png", _prepared("custom", "train")),
    Reader("custom classes", _own_classes, "classes.csv", _prepared("custom", "train")),
    Reader("custom soft mask", _own_soft, "masks/cat.png", _prepared("custom", "train")),
    Reader("custom coco", _formats("coco_export"), "x.json", _prepared("custom", "train"), tree=True),
    Reader("custom yolo", _formats("yolo_export"), "labels/train/a.txt", _prepared("custom", "train")),
    Reader("custom yolo yaml", _formats("yolo_export"), "data.yaml", _prepared("custom", "train")),
    Reader("custom labelme", _formats("labelme"), "a.json", _prepared("custom", "train"), tree=True),
    Reader("custom cvat images", _formats("cvat_images"), "annotations.xml", _prepared("custom", "train")),
    Reader("custom cvat video", _formats("cvat_frames"), "annotations.xml", _prepared("custom", "train")),
    Reader("custom voc labelmap", _formats("voc_export"), "labelmap.txt", _prepared("custom", "train")),
    Reader("custom voc mask", _formats("voc_export"), "SegmentationClass/a.png", _prepared("custom", "train")),
    Reader("custom vos meta", _formats("vos_export"), "meta.json", _prepared("custom", "train"), tree=True),
    Reader(
        "custom label studio",
        _formats("label_studio"),
        "project-3-at-2024.json",
        _prepared("custom", "train"),
        tree=True,
    ),
    Reader("custom refs", _formats("references"), "rrsisd/refs(unc).p", _prepared("custom", "train")),
    Reader("custom picture", _own, "images/cat.jpg", _prepared("custom", "train")),
    Reader(
        "coco results",
        _json("detections.json", [{"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]),
        "detections.json",
        lambda f, o: foreign_predictions(_Boxes(), f),
        tree=True,
    ),  # type: ignore[arg-type]
    Reader(
        "mask records",
        _json("r.jsonl", {"key": "a", "size": [2, 3], "counts": "123"}),
        "r.jsonl",
        lambda f, o: foreign_predictions(_Masks(), f),
        tree=True,
    ),  # type: ignore[arg-type]
    Reader(
        "summary",
        _json(SUMMARY, {"outputs": ["masks", "overlay.mp4"], "request": {}, "files": {"masks": ["0.png"]}}),
        SUMMARY,
        lambda f, o: written_files(f),
        tree=True,
    ),
)


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
