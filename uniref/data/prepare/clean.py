"""Images that training must not see to be tested fairly on the RefCOCO family."""

from __future__ import annotations

from uniref.core.errors import UniRefError
from uniref.data.index import Index
from uniref.data.prepare.job import BAD, Job

_EVALUATION = (
    *(f"{name}/{split}" for name in ("refcoco", "refcoco+") for split in ("val", "testA", "testB")),
    "refcocog/val",
    "refcocog/test",
)


def evaluation_images(job: Job) -> frozenset[int]:
    """COCO ids of every image in the eight evaluation splits, from their prepared indices.

    Raises:
        UniRefError: One of them is not prepared yet, or only in part.
    """
    images: set[int] = set()
    for name in _EVALUATION:
        folder = job.root / "index" / name
        if not folder.is_dir():
            dataset, split = name.split("/")
            raise UniRefError(
                f"--clean needs the images of {name}: first run uniref prepare-data {dataset} --split {split}"
            )
        index = Index.open(folder)
        if "subset" in index.manifest.options or BAD in index.manifest.dropped:
            raise UniRefError(
                f"--clean needs all images of {name}, which was prepared with --subset or --skip-bad: prepare it again"
            )
        images.update(index.media_column("source_id").tolist())
    return frozenset(images)
