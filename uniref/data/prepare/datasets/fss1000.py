"""FSS-1000 (Li et al., "FSS-1000: A 1000-Class Dataset for Few-Shot Segmentation", CVPR 2020).

`<root>/<class>/{1..10}.jpg` with masks `{1..10}.png` beside them. The lists of classes per split are not part of this
package: `--splits DIR` names the folder with `trn.txt`, `val.txt` and `test.txt` of HSNet (Min et al., ICCV 2021) and
VAT (Hong et al., ECCV 2022), which are checked by their content.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
from PIL import Image

from uniref.core import rle
from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.data.index import TRUTH
from uniref.data.prepare.coco_json import (
    add_image,
    add_instance,
    find_root,
    read_images,
    read_instances,
    usable_images,
)
from uniref.data.prepare.dataset import RESEARCH_TERMS, DataSet, Option, PublishedCounts
from uniref.data.prepare.job import EMPTY_MASK, OTHER_SIZE, BadRecord, ConversionJob, image_size
from uniref.data.prepare.regions import region_of_counts
from uniref.data.prepare.youtube_vis_json import find_released
from uniref.data.protocol import FEW_SHOT
from uniref.media.image import ImageProblem, open_image

_LISTS = {"train": "trn.txt", "val": "val.txt", "test": "test.txt"}
_DIGESTS = {
    "train": "e49b17167ca791d5e636263966858c78ff05bd7a054b7f66a44f38d085f18d53",
    "val": "a435accc79b72790d0020f622d88dd8c7fa47042ea9ae729f75f085fe4c84b31",
    "test": "72d6a86067fed8dac503db7f556832f7d4d28aee82b12a4e35d310c7ca5c9f94",
}
"""SHA-256 of the sorted names, joined by line feeds."""
_ROOTS = ("", "fewshot_data", "FSS-1000", "images", "fss-1000/images", "fewshot_data/fewshot_data")


@dataclass(frozen=True)
class _ShotFiles:
    path: Path
    compat: bool


@dataclass(frozen=True)
class _Shot:
    """An image with its mask, read."""

    height: int = 0
    width: int = 0
    counts: bytes = b""
    resized: bool = False
    problem: str = ""
    dropped: str = ""
    """Why the released system leaves it out."""


def convert(job: ConversionJob) -> None:
    """One sample per image; its class is the category. Supports are chosen when samples are read, not here."""
    if not job.options.get("splits") and (official := find_released(job, _list_paths(job))) is not None:
        _convert_released(job, official)
        return
    # images and masks of the split's classes
    classes = _read_classes(job)
    root = _find_root(job, classes)
    numbers = {name: number for number, name in enumerate(sorted(classes), start=1)}
    items = [(name, path) for name in classes for path in _class_images(job, root / name)]
    items = list(job.first(items))
    compat = bool(job.options.get("compat"))
    shots = job.map(_read, [_ShotFiles(path, compat) for _, path in items], "image")
    resized = 0
    # one media, one object and one sample per image
    with job.writer({"fss-1000": root}, categories={n: name for name, n in numbers.items()}) as writer:
        for (name, path), shot in zip(items, shots, strict=True):
            if shot.problem:
                job.bad(path, shot.problem)
                continue
            if shot.dropped:
                writer.drop(shot.dropped)
                continue
            resized += shot.resized
            writer.add_media(
                name=f"{name}/{path.stem}",
                kind="image",
                root="fss-1000",
                path=f"{name}/{path.name}",
                width=shot.width,
                height=shot.height,
            )
            row = writer.add_object(source_id=1, category=numbers[name])
            region = region_of_counts(shot.counts, shot.height, shot.width)
            writer.add_annotation(0, region.box, region.counts, region.area, TRUTH)
            writer.add_sample(objects=[row], category=numbers[name])
        if resized:
            writer.notes.append(f"{resized} masks of another size than their image were resized")


def _convert_released(job: ConversionJob, path: Path) -> None:
    """The released system's own file: COCO form, the class is the folder of the image. Its support ids are not used."""
    images = read_images(job, path)
    instances = read_instances(job, path, images, exact=True)
    job.used(path)
    chosen = list(job.first(list(images.values())))
    names = sorted({PurePosixPath(image.file_name).parts[0] for image in images.values()})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    root = find_root(job, chosen[0].file_name, _ROOTS) if chosen else path.parent
    with job.writer({"fss-1000": root}, categories={n: name for name, n in numbers.items()}) as writer:
        for image, file in usable_images(job, chosen, root):
            number = numbers[PurePosixPath(file).parts[0]]
            add_image(writer, replace(image, id=-1), "fss-1000", file)
            rows = [add_instance(writer, instance, number) for instance in instances.get(image.id, ())]
            if len(rows) != 1:
                job.bad(path, f"image {image.id} has {len(rows)} usable annotations; one was expected")
                continue
            writer.add_sample(objects=rows, category=number)


def _list_paths(job: ConversionJob) -> tuple[str, ...]:
    name = _LISTS[job.split]
    return name, f"splits/{name}", f"splits/fss/{name}"


def _read_classes(job: ConversionJob) -> list[str]:
    folder = job.options.get("splits")
    if not folder:
        listed = job.find(*_list_paths(job))
        if listed is None:
            raise UsageError(
                f"fss-1000/{job.split}: --splits DIR is needed, the folder with trn.txt, val.txt and test.txt: the "
                "class lists of HSNet and VAT, data/splits/fss of "
                "https://github.com/Seokju-Cho/Volumetric-Aggregation-Transformer"
            )
        path = listed
    else:
        path = Path(str(folder)) / _LISTS[job.split]
    names = job.read_lines(path)
    digest = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
    if digest != _DIGESTS[job.split]:
        raise UniRefError(
            f"{path}: is not the published list of {job.split} classes ({len(names)} names, another content)"
        )
    return names


def _find_root(job: ConversionJob, classes: list[str]) -> Path:
    path = job.need(*(f"{root}/{name}" if root else name for root in _ROOTS for name in classes[:3]))
    return path.parent


def _class_images(job: ConversionJob, folder: Path) -> list[Path]:
    """`1.jpg`, `10.jpg`, `2.jpg`, ...: the order of names as text decides which images are supports."""
    if not folder.is_dir():
        if job.subset is None:
            job.bad(folder, "no such class folder")
        return []
    return sorted((path for path in folder.iterdir() if path.suffix == ".jpg"), key=lambda path: path.name)


def _read(item: _ShotFiles) -> _Shot:
    try:
        return _read_shot(item)
    except BadRecord as error:
        return _Shot(problem=str(error))


def _read_shot(item: _ShotFiles) -> _Shot:
    size = image_size(item.path)
    grey = _read_grey(item.path.with_suffix(".png"))
    if grey.shape != size and item.compat:
        return _Shot(dropped=OTHER_SIZE)
    mask = grey >= 128  # above half of 255
    if grey.shape != size:
        image = Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST)
        mask = np.asarray(image)
    if not mask.any():
        if item.compat:
            return _Shot(dropped=EMPTY_MASK)
        raise BadRecord("its mask is empty")
    return _Shot(*size, rle.encode(mask), resized=grey.shape != size)


def _read_grey(path: Path) -> npt.NDArray[np.uint8]:
    try:
        with open_image(path) as image:
            return np.asarray(image.convert("L"))
    except ImageProblem as problem:
        raise BadRecord(f"its mask {path.name}: {problem}") from None


_SPLITS = Option("splits", "Folder with trn.txt, val.txt, test.txt.", type=Path)
_COMPAT = Option("compat", "Drop what the released system drops.", type=bool)

DATASETS = (
    DataSet(
        name="fss-1000",
        title="FSS-1000",
        task=Task.FSS,
        splits={
            "train": PublishedCounts(5_200, samples=5_200),
            "val": PublishedCounts(2_400, samples=2_400),
            "test": PublishedCounts(2_400, samples=2_400),
        },
        convert=convert,
        size="about 0.7 GB",
        licence=RESEARCH_TERMS,
        page="https://github.com/HKUSTCV/FSS-1000",
        files="fewshot_data.zip, and the class lists trn.txt, val.txt and test.txt for --splits",
        layout="[fewshot_data/]<class>/{1..10}.{jpg,png}, [splits/]{trn,val,test}.txt",
        group="fss1000",
        papers=("UniRef++ (train, val)", "HSNet (train, val, test)", "VAT (train, val, test)"),
        folders=("fss-1000", "fewshot_data"),
        options=(_SPLITS, _COMPAT),
        protocol=FEW_SHOT,
    ),
)
