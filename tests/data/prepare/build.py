"""Miniature data sets in their published layouts."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uniref.core import rle
from uniref.media.mask import PALETTE

H, W = 24, 32


def picture(path: Path, height: int = H, width: int = W) -> Path:
    """A real JPEG (or PNG) of some colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode())
    colours = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    Image.fromarray(colours).resize((width, height), Image.Resampling.NEAREST).save(path)
    return path


def drawn_frames(folder: Path, seed: int, count: int = 2, quality: int = 90) -> None:
    """Frames with a content of their own; those of `picture` are all alike."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(count):
        frame = Image.fromarray(np.roll(small, t, 1)).resize((W, H), Image.Resampling.BICUBIC)
        frame.save(folder / f"{t:05d}.jpg", quality=quality)


def label_map(path: Path, boxes: Mapping[int, tuple[int, int, int, int]], height: int = H, width: int = W) -> Path:
    """A palette PNG with filled boxes (y0, x0, y1, x1) by object id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros((height, width), np.uint8)
    for number, (y0, x0, y1, x1) in boxes.items():
        labels[y0:y1, x0:x1] = number
    image = Image.fromarray(labels)
    image.putpalette(PALETTE.tobytes())
    image.save(path)
    return path


def grey(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def write_json(path: Path, data: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def write_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def box_mask(y0: int, x0: int, y1: int, x1: int, height: int = H, width: int = W) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    return mask


def run_lengths(mask: np.ndarray, text: bool = True) -> dict[str, Any]:
    counts = rle.encode(mask)
    return {"size": list(mask.shape), "counts": counts.decode() if text else counts}


def davis(root: Path, masks: str = "Annotations") -> Path:
    """Two val sequences and one train one; `bear` has a void border and a second object."""
    base = root / "DAVIS"
    for name, length, objects in (("bear", 4, 2), ("goat", 3, 1), ("train-seq", 3, 1)):
        for t in range(length):
            picture(base / f"JPEGImages/480p/{name}/{t:05d}.jpg")
            boxes = {n: (2 + t, 10 * n - 8, 8 + t, 10 * n) for n in range(1, objects + 1)}
            if name == "bear":
                boxes[255] = (20, 0, 24, 32)
            label_map(base / f"{masks}/480p/{name}/{t:05d}.png", boxes)
    write_text(base / "ImageSets/2017/val.txt", "bear\ngoat\n")
    write_text(base / "ImageSets/2017/train.txt", "train-seq\r\n")
    return base


def davis_texts(root: Path) -> None:
    """The four description files; annotator 2's are Latin-1."""
    folder = root / "davis_text_annotations"
    for name, encoding in (("annot1", "utf-8"), ("annot2", "latin-1")):
        for kind in ("", "_full_video"):
            lines = [f'bear 1 "the bear{kind} {name}"', 'bear 2 "the caf\u00e9"', f'goat 1 "a goat {name}"']
            write_text(folder / f"Davis17_{name}{kind}.txt", "\n".join(lines) + "\n", encoding)


def youtube_vos(root: Path) -> None:
    """A train video with an object that has no mask in one frame, and a val video whose second object comes later."""
    for t in (0, 5, 10):
        picture(root / f"train/JPEGImages/0a49f5265b/{t:05d}.jpg")
        boxes = {1: (2, 2, 9, 9)} | ({2: (10, 10, 20, 20)} if t != 5 else {})
        label_map(root / f"train/Annotations/0a49f5265b/{t:05d}.png", boxes)
        picture(root / f"valid/JPEGImages/00f88c4f0a/{t:05d}.jpg")
    label_map(root / "valid/Annotations/00f88c4f0a/00000.png", {3: (1, 1, 5, 5)})
    label_map(root / "valid/Annotations/00f88c4f0a/00005.png", {7: (8, 8, 15, 15)})
    frames = ["00000", "00005", "00010"]
    objects = {"1": {"category": "dog", "frames": frames}, "2": {"category": "cat", "frames": ["00000", "00010"]}}
    write_json(root / "train/meta.json", {"videos": {"0a49f5265b": {"objects": objects}}})
    late = {"3": {"category": "dog", "frames": frames}, "7": {"category": "owl", "frames": frames[1:]}}
    write_json(root / "valid/meta.json", {"videos": {"00f88c4f0a": {"objects": late}}})


def youtube_texts(root: Path) -> None:
    """Expressions for `youtube_vos`; object 2 has none, and the valid list holds a test video."""
    frames = ["00000", "00005", "00010"]
    train = {"0": {"exp": "a brown dog", "obj_id": "1"}, "1": {"exp": "the dog on the left", "obj_id": "1"}}
    folder = root / "meta_expressions"
    write_json(
        folder / "train/meta_expressions.json", {"videos": {"0a49f5265b": {"expressions": train, "frames": frames}}}
    )
    valid = {"00f88c4f0a": {"expressions": {"0": {"exp": "an owl"}, "1": {"exp": "a dog"}}, "frames": frames}}
    test = {"ffff000000": {"expressions": {"0": {"exp": "x"}}, "frames": ["00000"]}}
    write_json(folder / "valid/meta_expressions.json", {"videos": valid | test})
    write_json(folder / "test/meta_expressions.json", {"videos": test})


def lvos(root: Path) -> None:
    """One val video (an unseen one) whose object starts in the second of four frames; every frame has a label map.

    As published, `end` is the frame after the last one that is scored.
    """
    names = ["00000001", "00000006", "00000011", "00000016"]
    for split, video in (("valid", "R3UJGYwy"), ("train", "aB3dE5fG")):
        for t, name in enumerate(names):
            picture(root / f"{split}/JPEGImages/{video}/{name}.jpg")
            boxes = {1: (2, 2, 8, 8)} if t > 0 or split == "train" else {}
            label_map(root / f"{split}/Annotations/{video}/{name}.png", boxes)
        start = names[1] if split == "valid" else names[0]
        count = str(3 - names.index(start))
        info = {"frame_range": {"start": start, "end": names[3], "frame_nums": count}}
        write_json(root / f"{split}/{split}_meta.json", {"videos": {video: {"objects": {"1": info}}}})


def mose(root: Path) -> None:
    """Train: a video and one of a single frame; valid: first-frame masks only."""
    for t in range(3):
        picture(root / f"train/JPEGImages/0a1b2c3d/{t:05d}.jpg")
        label_map(root / f"train/Annotations/0a1b2c3d/{t:05d}.png", {1: (0, 0, 6, 6)} if t else {1: (1, 1, 5, 5)})
        picture(root / f"valid/JPEGImages/00ff00ff/{t:05d}.jpg")
    picture(root / "train/JPEGImages/330ac20d/00000.jpg")
    label_map(root / "train/Annotations/330ac20d/00000.png", {1: (3, 3, 9, 9)})
    label_map(root / "valid/Annotations/00ff00ff/00000.png", {1: (3, 3, 9, 9), 2: (12, 12, 20, 20)})


def ovis(root: Path) -> None:
    """Two videos; run lengths once as text and once uncompressed, null where absent."""
    for video in ("aaaa1111", "bbbb2222"):
        for t in range(2):
            picture(root / f"train/{video}/img_{t + 1:07d}.jpg")
    mask = box_mask(2, 3, 10, 12)
    runs = [int(x) for x in np.diff(np.flatnonzero(np.diff(np.r_[0, mask.ravel(order="F"), 0])), prepend=0)]
    plain = {"size": [H, W], "counts": [*runs, H * W - sum(runs)]}
    videos = [
        {"id": n, "width": W, "height": H, "length": 2, "file_names": [f"{v}/img_{t + 1:07d}.jpg" for t in range(2)]}
        for n, v in enumerate(("aaaa1111", "bbbb2222"), start=1)
    ]
    annotations = [
        _track(1, 1, 4, [run_lengths(mask), None]),
        _track(2, 1, 9, [None, plain]),
        _track(3, 2, 4, [plain, run_lengths(mask)]),
    ]
    categories = [{"id": 4, "name": "Cat"}, {"id": 9, "name": "Dog"}]
    write_json(
        root / "annotations_train.json", {"videos": videos, "annotations": annotations, "categories": categories}
    )


def _track(number: int, video: int, category: int, masks: list[Any]) -> dict[str, Any]:
    boxes = [None if m is None else [3, 2, 9, 8] for m in masks]
    areas = [None if m is None else 72 for m in masks]
    return {
        "id": number,
        "video_id": video,
        "category_id": category,
        "iscrowd": 0,
        "segmentations": masks,
        "bboxes": boxes,
        "areas": areas,
    }


def mevis(root: Path) -> None:
    """A video with an expression that refers to two objects."""
    frames = ["00000", "00001"]
    for split in ("train", "valid_u", "valid"):
        for name in frames:
            picture(root / f"{split}/JPEGImages/0a1b2c3d4e5f/{name}.jpg")
        expressions: dict[str, Any] = {
            "0": {"exp": "both birds flying away", "obj_id": [1, 2], "anno_id": [301, 302]},
            "1": {"exp": "the left bird", "obj_id": [1], "anno_id": [301]},
        }
        if split == "valid":
            expressions = {number: {"exp": e["exp"]} for number, e in expressions.items()}
        meta = {"videos": {"0a1b2c3d4e5f": {"expressions": expressions, "frames": frames}}}
        write_json(root / f"{split}/meta_expressions.json", meta)
        if split != "valid":
            first, second = run_lengths(box_mask(1, 1, 9, 9)), run_lengths(box_mask(5, 20, 9, 30))
            write_json(root / f"{split}/mask_dict.json", {"301": [first, None], "302": [second, second]})


def mevis_v2(root: Path, meta: str = "meta_expressions_v2.json") -> None:
    """As `mevis`, with an expression for nothing, in files named as those of v2."""
    mevis(root)
    for split in ("train", "valid_u", "valid"):
        path = root / split / "meta_expressions.json"
        data = json.loads(path.read_text())
        for video in data["videos"].values():
            nothing = {} if split == "valid" else {"obj_id": [], "anno_id": []}
            video["expressions"]["2"] = {"exp": "the dog running left"} | nothing
        write_json(root / split / meta, data)
        path.unlink() if meta != path.name else None


def revos(root: Path) -> None:
    """A video in a nested folder: two referring expressions, one that needs reasoning, one for nothing."""
    frames = ["00000", "00001", "00002"]
    name = "UVO/all/2E4T5NCywcE"
    for frame in frames:
        picture(root / "ReVOS/JPEGImages" / name / f"{frame}.jpg")
    first, second = box_mask(1, 1, 9, 9), box_mask(5, 20, 9, 30)
    expressions = {
        "0": {"exp": "both birds", "obj_id": [1, 2], "anno_id": [301, 302], "type_id": 0},
        "1": {"exp": "the left bird", "obj_id": [1], "anno_id": [301], "type_id": 0},
        "2": {"exp": "What may lay eggs?", "obj_id": [2], "anno_id": [302], "type_id": 1},
        "3": {"exp": "the reptile", "obj_id": [], "anno_id": [], "type_id": 2},
    }
    meta = {"videos": {name: {"expressions": expressions, "frames": frames, "vid_id": 7}}}
    for split in ("train", "valid"):
        write_json(root / f"ReVOS/meta_expressions_{split}_.json", meta)
    masks = {"301": [run_lengths(first), None, run_lengths(first)], "302": [run_lengths(second)] * 3}
    write_json(root / "ReVOS/mask_dict.json", masks)
    both = [run_lengths(first | second), [run_lengths(second)], run_lengths(first | second)]
    write_json(root / "ReVOS/mask_dict_foreground.json", {name: {"masks_rle": both}})


def long_rvos(root: Path, test_masks: bool = True) -> None:
    """A video per split: an object that is absent in its second frame, and one that is always there."""
    frames = ["00000", "00001", "00002", "00003"]
    for split in ("train", "valid", "test"):
        base = root / "long_rvos" / split
        for place, frame in enumerate(frames):
            picture(base / f"JPEGImages/v1/{frame}.jpg")
            if split == "test" and not test_masks:
                continue
            if place != 1:
                grey(base / f"Annotations/v1/0/{frame}.png", box_mask(2, 2 + place, 12, 12).astype(np.uint8) * 255)
            grey(base / f"Annotations/v1/5/{frame}.png", box_mask(10, 15, 20, 25).astype(np.uint8) * 255)
        expressions = {
            "0": {"exp": "a white duck", "obj_id": 0, "type": "static"},
            "1": {"exp": "the duck that dives", "obj_id": 0, "type": "dynamic"},
            "2": {"exp": "a boat that moors", "obj_id": 5, "type": "hybrid"},
        }
        write_json(base / "meta_expressions.json", {"videos": {"v1": {"expressions": expressions, "frames": frames}}})


SQUARE = [3.0, 2.0, 12.0, 2.0, 12.0, 10.0, 3.0, 10.0]


def coco(root: Path) -> None:
    """Three train images: one with a crowd region and a degenerate polygon, one with a crowd only, one without."""
    for split in ("train", "val"):
        names = {9: "000000000009.jpg", 25: "000000000025.jpg", 30: "000000000030.jpg"}
        for name in names.values():
            picture(root / f"{split}2017" / name)
        images = [{"id": n, "file_name": f, "height": H, "width": W} for n, f in names.items()]
        crowd = {"size": [H, W], "counts": [10, 5, H * W - 15]}
        annotations = [
            instance(1, 9, 18, [SQUARE]),
            instance(2, 9, 1, crowd) | {"iscrowd": 1},
            instance(3, 9, 1, [[1.0, 2.0, 3.0, 4.0]]),
            instance(4, 30, 18, crowd) | {"iscrowd": 1},
        ]
        categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
        data = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
        write_json(root / f"annotations/instances_{split}2017.json", data)


def instance(number: int, image: int, category: int, segmentation: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "area": 72.0,
        "bbox": [3.0, 2.0, 9.0, 8.0],
        "segmentation": segmentation,
    }


IMAGES = {4242: "COCO_train2014_000000004242.jpg", 77: "COCO_train2014_000000000077.jpg"}


def refcoco(root: Path, name: str = "refcoco", protocol: int = 0, splits: tuple[str, str] = ("train", "testA")) -> None:
    """Two referred objects in two images; a train sentence that is empty once cleaned."""
    for file in IMAGES.values():
        picture(root / "coco/train2014" / file)
    images = [{"id": n, "file_name": f, "height": H, "width": W} for n, f in IMAGES.items()]
    annotations = [
        instance(90210, 4242, 1, [SQUARE, [20.0, 15.0, 30.0, 15.0, 30.0, 22.0]]),
        instance(5, 77, 18, [SQUARE]),
    ]
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    write_json(
        root / name / "instances.json",
        {"images": images, "annotations": annotations, "categories": categories, "info": {}, "licenses": []},
    )
    refs = [
        _ref(8, 5, 77, splits[1], ["man in red", "guy on left"]),
        _ref(7, 90210, 4242, splits[0], ["lady", "?!", "woman with hat"]),
    ]
    kind = "umd" if name == "refcocog" else "unc"
    (root / name / f"refs({kind}).p").write_bytes(pickle.dumps(refs, protocol))


def grefcoco(root: Path, pickled: bool = False, splits: tuple[str, str] = ("train", "val")) -> None:
    """Two images: expressions for one, two (beside a crowd) and no objects; a sentence id occurs twice in `val`."""
    for file in IMAGES.values():
        picture(root / "coco/train2014" / file)
    images = [{"id": n, "file_name": f, "height": H, "width": W} for n, f in IMAGES.items()]
    annotations = [
        instance(1, 77, 1, [SQUARE]),
        instance(2, 77, 1, [[20.0, 4.0, 30.0, 4.0, 30.0, 20.0, 20.0, 20.0]]),
        instance(3, 77, 1, run_lengths(box_mask(22, 0, 24, 32))) | {"iscrowd": 1},
        instance(4, 4242, 18, [SQUARE]),
    ]
    categories = [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}]
    write_json(
        root / "grefcoco/instances.json", {"images": images, "annotations": annotations, "categories": categories}
    )
    refs = [
        _ref(8, 1, 77, splits[1], ["man on the left"]) | {"ann_id": [1]},
        _ref(9, 2, 77, splits[1], ["both men", "two people"]) | {"ann_id": [1, 2, 3]},
        _ref(10, -1, 77, splits[1], ["a zebra", "the red bus"]) | {"ann_id": [-1]},
        _ref(11, 4, 4242, splits[0], ["dog"]) | {"ann_id": 4},
        _ref(12, -1, 4242, splits[0], ["a cat", "two cats"]) | {"ann_id": [-1]},
    ]
    refs[2]["sentences"][1]["sent_id"] = 80
    if pickled:
        (root / "grefcoco/grefs(unc).p").write_bytes(pickle.dumps(refs))
    else:
        write_json(root / "grefcoco/grefs(unc).json", refs)


def reason_seg(root: Path) -> None:
    """Two images per split: overlapping targets with a region to be ignored and a flag; one in Windows's encoding."""
    big = [[2.9, 2.2], [20.7, 2.2], [20.7, 18.9], [2.9, 18.9]]
    shapes = [
        {"label": "ignore_hole", "points": [[8, 6], [14, 6], [14, 12], [8, 12]], "shape_type": "polygon"},
        {"label": "target", "points": big, "shape_type": "polygon"},
        {"label": "Flag", "points": [[0, 0], [31, 0], [31, 23]], "shape_type": "polygon"},
    ]
    triangle = [{"label": "target", "points": [[4, 4], [27, 9], [10, 21]], "shape_type": "polygon"}]
    for split in ("train", "val", "test"):
        base = root / "ReasonSeg" / split
        for name in ("100_1", "200_2"):
            picture(base / f"{name}.jpg")
        first = {"text": ["something to sit on", "a seat"], "is_sentence": False, "shapes": shapes}
        second = {"text": ["Which caf\u00e9 is open?"], "is_sentence": True, "shapes": triangle}
        write_json(base / "100_1.json", first)
        write_text(base / "200_2.json", json.dumps(second, ensure_ascii=False), "cp1252")


def _ref(number: int, annotation: int, image: int, split: str, texts: list[str]) -> dict[str, Any]:
    sentences = [
        {"sent_id": 10 * number + place, "sent": text, "raw": text.title(), "tokens": text.split()}
        for place, text in enumerate(texts)
    ]
    return {
        "ref_id": number,
        "ann_id": annotation,
        "category_id": 1,
        "image_id": image,
        "file_name": f"COCO_train2014_{image:012d}_{number}.jpg",
        "split": split,
        "sent_ids": [s["sent_id"] for s in sentences],
        "sentences": sentences,
    }


def objects365(root: Path, resplit: bool = False) -> None:
    """Annotations not grouped by image; boxes beyond the border, too thin, repeated; an image never published."""
    files = {3: "patch8/objects365_v1_00420917.jpg", 1: "patch0/objects365_v2_00000001.jpg"}
    for file in files.values():
        picture(root / "train" / file)
    listed = files | {99: "patch6/objects365_v1_00320532.jpg"}
    images = [{"id": n, "file_name": f"images/v1/{f}", "height": H, "width": W} for n, f in listed.items()]
    boxes = [
        (11, 3, 5, [1.5, 2.0, 10.0, 8.0]),
        (12, 1, 365, [20.0, 10.0, 100.0, 8.0]),  # beyond the right border
        (13, 3, 5, [1.5, 2.0, 10.0, 8.0]),  # again
        (14, 3, 7, [5.0, 5.0, 0.5, 9.0]),  # too thin
        (15, 1, 2, [2.0, 2.0, 9.0, 9.0]),
        (16, 99, 2, [2.0, 2.0, 9.0, 9.0]),
    ]
    annotations = [
        {"id": n, "image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": int(n == 15)}
        | {"isfake": 0, "isreflected": 0}
        for n, i, c, b in boxes
    ]
    categories = [{"id": n, "name": f"thing {n}"} for n in (2, 5, 7, 365)]
    name = "zhiyuan_objv2_train_new.json" if resplit else "zhiyuan_objv2_train.json"
    write_json(root / name, {"images": images, "annotations": annotations, "categories": categories})


def fss1000(root: Path, classes: list[str], shots: int = 3) -> None:
    """Some classes of the published layout, with its defects: a stray `.jpeg`, masks of another size."""
    for name in classes:
        for shot in range(1, shots + 1):
            folder = root / "fewshot_data" / name
            picture(folder / f"{shot}.jpg")
            grey(folder / f"{shot}.png", box_mask(2 + shot, 3, 12 + shot, 15).astype(np.uint8) * 255)
    stray = root / "fewshot_data" / classes[0]
    picture(stray / "10.jpeg")
    grey(stray / "2.png", box_mask(0, 0, 2 * H, W, 2 * H, 2 * W).astype(np.uint8) * 255)


def sav(root: Path) -> None:
    """A video of 21 frames, every fourth annotated: two objects that overlap, one of which comes late and goes."""
    base = root / "sav_val"
    for t in range(21):
        picture(base / f"JPEGImages_24fps/sav_000001/{t:05d}.jpg")
        if t % 4 == 0:
            whole, part = box_mask(2, 2, 16, 16 + t // 4), box_mask(4, 4, 9, 9 + t // 4)
            for number, mask in enumerate((whole, part if 8 <= t < 20 else np.zeros_like(part))):
                grey(base / f"Annotations_6fps/sav_000001/{number:03d}/{t:05d}.png", mask.astype(np.uint8) * 255)
    write_text(base / "sav_val.txt", "sav_000001\n")


def vost(root: Path) -> Path:
    """A sequence whose frame 3 has no label map, with two objects, a void border and an object that comes later."""
    base = root / "VOST"
    for t in range(10):
        picture(base / f"JPEGImages/1_cut_onion/frame{t:05d}.jpg")
        if t != 3:
            boxes = {1: (2, 2, 8 + t, 8), 255: (22, 0, 24, 32)}
            boxes |= {2: (5, 12, 12, 15 + t)} if t < 7 else {3: (15, 20, 20, 30)}
            label_map(base / f"Annotations/1_cut_onion/frame{t:05d}.png", boxes)
    for split in ("train", "val"):
        write_text(base / f"ImageSets/{split}.txt", "1_cut_onion\n")
    return base


def burst(root: Path) -> dict[str, Any]:
    """Two videos with objects of a common class, an uncommon one and a distractor; one frame in three is annotated.

    Returns what `all_classes.json` holds.
    """
    sequences = []
    for place, (source, name) in enumerate((("ArgoVerse", "clip_a"), ("YFCC100M", "v_b"))):
        frames = [f"frame{t:04d}.jpg" for t in range(1, 14)]
        for frame in frames:
            picture(root / f"frames/val/{source}/{name}/{frame}")
        masks = []
        for step in range(5):
            boxes = {1: (2, 2 + step, 9, 10 + step), 2: (4, 8, 12, 18), 3: (15, 2, 20, 9 + step), 4: (0, 24, 4, 31)}
            shown = {n: box for n, box in boxes.items() if (n != 2 or step > 0) and (n != 3 or step != 2)}
            shown = {4: boxes[4]} if place and step == 3 else shown
            masks.append({str(n): {"rle": run_lengths(box_mask(*box))["counts"]} for n, box in shown.items()})
        sequences.append(
            {
                "width": W,
                "height": H,
                "id": place,
                "seq_name": name,
                "dataset": source,
                "fps": 3,
                "all_image_paths": frames,
                "annotated_image_paths": frames[::3],
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
                "track_category_ids": {"1": 805, "2": 805, "3": 3 + place * 150, "4": 20},
                "segmentations": masks,
            }
        )
    names = {3: "air_conditioner", 20: "armoire", 153: "bristle_brush", 805: "baby", 943: "scrubbing_brush"}
    data = {
        "sequences": sequences,
        "categories": [{"id": number, "name": name} for number, name in names.items()],
        "split": "val",
    }
    write_json(root / "annotations/val/all_classes.json", data)
    return data
