"""Masks as COCO writes them: run lengths, boxes and areas."""

from __future__ import annotations

import json
from typing import IO

import numpy as np

from uniref.inference.results import FrameResult
from uniref.inference.sink_base import Context, Sink
from uniref.media.frame import SourceFrame


class RleSink(Sink):
    """`masks.jsonl`: one COCO record per object and frame (run-length masks as pycocotools reads them)."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._file: IO[str] = (context.folder / "masks.jsonl").open("w", encoding="utf-8")

    def write(self, frame: SourceFrame, result: FrameResult) -> None:
        """Write one line per object: its run lengths, box, area and score."""
        from pycocotools import mask as coco_mask

        for number, mask in result.masks.items():
            rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            record = {
                "image_id": frame.index,
                "file_name": frame.name,
                "category_id": 1,
                "object_id": number,
                "score": round(result.scores.get(number, 0.0), 6),
                "bbox": [float(value) for value in coco_mask.toBbox(rle)],
                "area": int(coco_mask.area(rle)),
                "segmentation": {"size": list(mask.shape), "counts": rle["counts"].decode("ascii")},
            }
            about = self.context.describe(number)
            record |= {key: about[key] for key in ("text", "instance") if key in about}
            self._file.write(json.dumps(record) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
