"""Columns of the index. A change here is a new `FORMAT`.

Rows are contiguous: a media row names the range of its objects, an object row the range of its annotations, so that
everything of a sample is found without a search. All record batches but the last have `ROWS` rows: row r is row
r % ROWS of batch r // ROWS.
"""

from __future__ import annotations

import pyarrow as pa

FORMAT = 1
ROWS = 1 << 16

GIVEN, TRUTH = 1, 2
"""Roles of an annotation (bit mask): a prompt at inference; ground truth."""

KINDS = ("image", "frames", "video")
"""A picture file, a folder of frames, a video file."""

TABLES: dict[str, pa.Schema] = {
    "media": pa.schema(
        [
            ("name", pa.string()),
            ("kind", pa.uint8()),
            ("root", pa.uint8()),
            ("path", pa.string()),
            ("frames", pa.list_(pa.string())),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("length", pa.int32()),
            ("source_id", pa.int64()),
            ("complete", pa.uint8()),
            ("object_start", pa.int64()),
            ("object_count", pa.int32()),
        ]
    ),
    "objects": pa.schema(
        [
            ("media", pa.int64()),
            ("source_id", pa.int64()),
            ("category", pa.int32()),
            ("crowd", pa.uint8()),
            ("given_frame", pa.int32()),
            ("score_first", pa.int32()),
            ("score_last", pa.int32()),
            ("seen", pa.int8()),
            ("annotation_start", pa.int64()),
            ("annotation_count", pa.int32()),
        ]
    ),
    "annotations": pa.schema(
        [
            ("frame", pa.int32()),
            ("box", pa.list_(pa.float32(), 4)),
            ("mask", pa.binary()),
            ("area", pa.float64()),
            ("role", pa.uint8()),
        ]
    ),
    "expressions": pa.schema([("text", pa.string()), ("source_id", pa.string()), ("annotator", pa.int8())]),
    "samples": pa.schema(
        [
            ("media", pa.int64()),
            ("objects", pa.list_(pa.int64())),
            ("expressions", pa.list_(pa.int64())),
            ("category", pa.int32()),
            ("group", pa.int8()),
        ]
    ),
}
