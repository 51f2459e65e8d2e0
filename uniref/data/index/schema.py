"""Columns of the index's tables. A change here is a new `FORMAT`, but for columns of numbers that read as 0 (`ADDED`).

Rows are contiguous: a media row names the range of its objects, an object row the range of its annotations, so that
everything of a sample is found without a search. All record batches but the last have `ROWS` rows: row r is row
r % ROWS of batch r // ROWS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
ROWS = 1 << 16

GIVEN, TRUTH = 1, 2
"""Roles of an annotation (bit mask): a prompt at inference; ground truth."""

KINDS = ("image", "frames", "video")
"""An image file, a folder of frames, a video file."""

TABLES: dict[str, dict[str, str]] = {
    "media": {
        "name": "string",
        "kind": "uint8",
        "root": "uint8",
        "path": "string",
        "frames": "list of string",
        "width": "int32",
        "height": "int32",
        "length": "int32",
        "source_id": "int64",
        "complete": "uint8",
        "object_start": "int64",
        "object_count": "int32",
    },
    "objects": {
        "media": "int64",
        "source_id": "int64",
        "category": "int32",
        "crowd": "uint8",
        "given_frame": "int32",
        "score_first": "int32",
        "score_last": "int32",
        "seen": "int8",
        "annotation_start": "int64",
        "annotation_count": "int32",
    },
    "annotations": {
        "frame": "int32",
        "box": "4 float32",
        "mask": "binary",
        "area": "float64",
        "role": "uint8",
    },
    "expressions": {
        "text": "string",
        "source_id": "string",
        "annotator": "int8",
    },
    "samples": {
        "media": "int64",
        "objects": "list of int64",
        "expressions": "list of int64",
        "category": "int32",
        "group": "int8",
        "no_target": "uint8",
    },
}
"""Types of the columns of each table."""

ADDED = {"samples": ("no_target",)}
"""The last columns of a table that earlier versions of this format lack; they read as 0."""


def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of one table; pyarrow is imported when tables are opened, not with this package."""
    import pyarrow as pa

    nested = {
        "list of string": pa.list_(pa.string()),
        "list of int64": pa.list_(pa.int64()),
        "4 float32": pa.list_(pa.float32(), 4),
    }
    return pa.schema([(name, nested.get(kind) or pa.type_for_alias(kind)) for name, kind in TABLES[table].items()])
