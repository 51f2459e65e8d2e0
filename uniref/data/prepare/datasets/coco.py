"""COCO 2017 (Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014).

`{train,val}2017/%012d.jpg`, `annotations/instances_{train,val}2017[_video].json`.
"""

from __future__ import annotations

from uniref.core.tasks import Task
from uniref.data.prepare.coco_json import (
    add_image,
    add_instance,
    read_categories,
    read_images,
    read_instances,
    usable_images,
)
from uniref.data.prepare.dataset import COCO_IMAGES, COCO_TERMS, DataSet, PublishedCounts, RemoteFile
from uniref.data.prepare.datasets.refcoco import CLEAN, evaluation_images
from uniref.data.prepare.job import WITHHELD_IMAGE, ConversionJob
from uniref.data.protocol import DETECTION


def convert(job: ConversionJob) -> None:
    """Every image is kept; one sample per image that has an object which is not a crowd."""
    name = f"instances_{job.split}2017.json"
    video = f"instances_{job.split}2017_video.json"  # the released system's: every image a video of one frame
    # annotations, and where the images lie
    path = job.need(*(f"{folder_name}{file}" for file in (name, video) for folder_name in ("annotations/", "")))
    images = read_images(job, path)
    if job.subset is not None:
        images = dict(list(images.items())[: job.subset])
    folder = f"{job.split}2017"
    first = next(iter(images.values()), None)
    root = job.need(f"{folder}/{first.file_name}").parents[1] if first else path.parent
    categories = read_categories(path)
    instances = read_instances(job, path, images)
    job.used(path)
    # images of RefCOCO's evaluation splits, with --clean
    withheld = evaluation_images(job) if job.options.get("clean") and job.split == "train" else frozenset()
    names = [f"{folder}/{image.file_name}" for image in images.values()]
    job.sample_needs = "images with an object that is not a crowd"
    # one media row per image, one sample per image with objects
    with job.writer({"coco": root}, categories=categories) as writer:
        for image, file in usable_images(job, list(images.values()), root, names):
            if image.id in withheld:
                writer.drop(WITHHELD_IMAGE)
                continue
            add_image(writer, image, "coco", file)
            rows_of = [(x.crowd, add_instance(writer, x)) for x in instances.get(image.id, ())]
            rows = [row for crowd, row in rows_of if not crowd]
            if rows:
                writer.add_sample(objects=rows)


_SITE = "http://images.cocodataset.org"

DATASETS = (
    DataSet(
        name="coco",
        title="COCO 2017 instances",
        task=Task.DETECTION,
        splits={"train": PublishedCounts(listed=(118_287,)), "val": PublishedCounts(listed=(5_000,))},
        convert=convert,
        size="19 GB",
        licence=COCO_TERMS,
        page="https://cocodataset.org",
        files="train2017.zip, val2017.zip and annotations_trainval2017.zip",
        layout="{train,val}2017/%012d.jpg, annotations/instances_{train,val}2017.json",
        group="coco",
        papers=("UniRef++ (train)", "UNINEXT (train, val)"),
        downloads=(
            RemoteFile(
                f"{_SITE}/zips/train2017.zip",
                md5="cced6f7f71b7629ddf16f17bbcfab6b2",
                splits=("train",),
                instead=("train2017",),
            ),
            RemoteFile(
                f"{_SITE}/zips/val2017.zip",
                md5="442b8da7639aecaf257c1dceb8ba8c80",
                splits=("val",),
                instead=("val2017",),
            ),
            RemoteFile(
                f"{_SITE}/annotations/annotations_trainval2017.zip",
                md5="f4bbac642086de4f52a3fdda2de5fa2c",
                instead=("annotations/instances_train2017.json",),
            ),
        ),
        options=(CLEAN,),
        protocol=DETECTION,
        media_family=COCO_IMAGES,
    ),
)
