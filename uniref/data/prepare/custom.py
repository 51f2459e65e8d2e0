"""A user's own data (docs/custom-data.md): COCO JSON, YouTube-VIS JSON, or a plain folder (`custom_folder`)."""

from __future__ import annotations

from pathlib import Path

from uniref.core.tasks import Task
from uniref.data.prepare import custom_folder, ytvis
from uniref.data.prepare.coco_json import (
    add_image,
    add_instance,
    find_root,
    read_categories,
    read_images,
    read_instances,
    read_section,
    usable_images,
)
from uniref.data.prepare.custom_task import choose_task
from uniref.data.prepare.job import Job
from uniref.data.prepare.published import Published

_SPLITS = ("train", "val", "test")
_FOLDERS = ("", "images", "train", "val", "test", *(f"{split}/images" for split in ("train", "val", "test")))


def splits_of(files: Published) -> list[str]:
    """The splits that a user's files have: split folders or JSON files, else only `train`."""
    places = [folder for base in files.bases for folder in (base, *sorted(base.iterdir())) if folder.is_dir()]
    found = [
        split
        for split in _SPLITS
        if any((place / part).exists() for place in places for part in _places(split))
        or any(path.name == f"{split}.json" for path in files.named)
    ]
    return found or ["train"]


def _places(split: str) -> tuple[str, ...]:
    return (*_json_places(split), f"{split}/images", f"{split}/videos")


def _json_places(split: str) -> tuple[str, ...]:
    return f"{split}.json", f"annotations/{split}.json"


def prepare(job: Job) -> None:
    """Whatever is found: a JSON file (named with --source, `<split>.json`, `annotations.json`), else a plain folder.

    Raises:
        UniRefError: None of these; the message lists what was looked for.
    """
    named = [path for path in job.named if path.suffix == ".json"]
    own = [path for path in named if path.stem == job.split] or (named if job.split == "train" else [])
    json_file = own[0] if own else job.find(*_json_places(job.split), "annotations.json")
    if json_file is None:
        custom_folder.prepare(job, job.need(*_places(job.split), "images", "videos").parent)
    elif next(iter(read_section(json_file, "videos")), None) is not None:
        _prepare_youtube_vis(job, json_file)
    else:
        _prepare_coco(job, json_file)


def _prepare_coco(job: Job, path: Path) -> None:
    images = read_images(job, path)
    instances = read_instances(job, path, images)
    categories = read_categories(path)
    job.used(path)
    chosen = list(job.first(list(images.values())))
    task = choose_task(job, Task.RIS if any(image.expressions for image in chosen) else Task.DETECTION)
    root = find_root(job, chosen[0].file_name, _FOLDERS) if chosen else path.parent
    with job.writer({"custom": root}, task, categories) as writer:
        for image, file in usable_images(job, chosen, root):
            add_image(writer, image, "custom", file)
            found = [(x, add_instance(writer, x)) for x in instances.get(image.id, ())]
            said = image.expressions if task is Task.RIS else ()
            texts = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(said)]
            singles = [(x, row) for x, row in found if not x.crowd]
            if task is Task.FSS:
                for x, row in singles:
                    if x.category in categories:
                        writer.add_sample(objects=[row], category=x.category)
                    else:
                        job.bad(f"{path}: annotation {x.id}", f"its category {x.category} is not listed")
            elif task is Task.RIS and texts and len(singles) != 1:
                job.bad(path, f"image {image.id} has expressions and {len(singles)} annotations; one is needed")
            elif singles and (texts or task is Task.DETECTION):
                writer.add_sample(objects=[row for _, row in singles], expressions=texts)


def _prepare_youtube_vis(job: Job, path: Path) -> None:
    source = ytvis.YoutubeVis(job, path)
    task = choose_task(job, Task.RVOS if any(record.get("expressions") for record in source.records) else Task.VOS)
    with job.writer({"custom": source.root}, task, source.categories) as writer:
        for video in source.videos():
            ytvis.add_video(writer, video, "custom", complete=True)
            rows = ytvis.add_all(job, writer, video, given=task is Task.VOS)
            texts = video.record.get("expressions") or () if task is Task.RVOS else ()
            added = [writer.add_expression(text, source_id=str(n)) for n, text in enumerate(texts)]
            if rows and (added or task is Task.VOS):
                writer.add_sample(objects=rows, expressions=added)
