"""The on-disk index: one format for images and videos of every task (docs/index-format.md)."""

from uniref.data.index.manifest import Manifest, SourceFile
from uniref.data.index.reader import Index
from uniref.data.index.rows import Annotations, Expression, Media, Object, Sample
from uniref.data.index.schema import GIVEN, TRUTH
from uniref.data.index.writer import IndexWriter

__all__ = [
    "GIVEN",
    "TRUTH",
    "Annotations",
    "Expression",
    "Index",
    "IndexWriter",
    "Manifest",
    "Media",
    "Object",
    "Sample",
    "SourceFile",
]
