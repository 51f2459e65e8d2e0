"""The synthetic data set with named objects: emoji of registry packages, and photographs if there are any.

The colours that each image can be shown in are determined once and kept in
`<root>/media/synthetic-named/objects-*.json`, which every process reads (`uniref_scenes.named`).
"""

from __future__ import annotations

from uniref.core.errors import UniRefError
from uniref.core.tasks import Task
from uniref.data.prepare.dataset import DataSet, no_counts
from uniref.data.prepare.datasets.synthetic import (
    SCENE_OPTIONS,
    SCENE_SETS,
    option,
    scene_errors,
    splits_of,
    write_split,
)
from uniref.data.prepare.job import ConversionJob
from uniref_scenes import NAMED_SETS
from uniref_scenes.named.packages import PackageMissing, build_bank, colours_of, find_objects, search_folders
from uniref_scenes.named.photos import find_photos
from uniref_scenes.scene import sprite_side


def convert(job: ConversionJob) -> None:
    """One split: build the bank of its objects, make the scenes that are missing, then index them."""
    scene_set = NAMED_SETS[job.split.partition("-")[0]]
    media = job.root / "media" / job.dataset.name
    with scene_errors():
        # objects and photographs of the packages
        folders = search_folders(job.bases)
        try:
            objects = find_objects(folders, scene_set.images, media)
        except PackageMissing as missing:
            where = ", ".join(str(base) for base in job.bases)
            raise UniRefError(
                f"{job.dataset.name}/{job.split}: found no {missing.package.contents} in {where}: fetch them with "
                f"`{missing.package.fetch}`, then name the archive or folder with --source ({job.dataset.page})"
            ) from None
        job.used(objects.names_file)
        photos = [photo for photo in find_photos(folders) if photo.division == scene_set.backgrounds]
        # the bank, and the scenes that are made from it
        side = sprite_side(option(job, "size"))
        bank = build_bank(
            media, objects, photos, scene_set.images, side, lambda images: job.map(colours_of, images, "object")
        )
        write_split(job, media / bank.stem, bank)


DATASETS = (
    DataSet(
        name="synthetic-named",
        title="Scenes of named emoji and drawn objects before photographs and drawn backgrounds, for every task",
        task=Task.RIS,
        splits=no_counts(*splits_of(*SCENE_SETS, "backgrounds", "style", "photo")),
        convert=convert,
        size="about 30 MB per thousand images; sources 23 MB, with photographs 50 MB",
        licence="MIT (Fluent Emoji, emojibase); photographs as docs/synthetic-data.md lists",
        page="docs/synthetic-data.md",
        files="the archives that `npm pack @lobehub/fluent-emoji-3d@1.1.0 emojibase-data@17.0.0` fetches",
        group="synthetic-named",
        default_splits=splits_of("train", "val", "test"),
        options=SCENE_OPTIONS,
    ),
)
