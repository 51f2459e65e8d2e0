"""The synthetic data set with named objects: emoji of registry packages, photographs where they are given.

Which colours each image can take is found once and kept in `<root>/media/synthetic-named/objects-*.json`; every process
reads it from there (`uniref_scenes.named`).
"""

from __future__ import annotations

from uniref.core.errors import UniRefError
from uniref.data.prepare.datasets.synthetic import option, scene_errors, write_split
from uniref.data.prepare.job import ConversionJob
from uniref_scenes import NAMED_SETS
from uniref_scenes.named.packages import PackageMissing, build_bank, colours_of, find_objects, search_folders
from uniref_scenes.named.photos import find_photos
from uniref_scenes.scene import sprite_side


def prepare(job: ConversionJob) -> None:
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
