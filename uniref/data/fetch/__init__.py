"""Getting published files and opening them safely."""

from uniref.data.fetch.download import download
from uniref.data.fetch.unpack import unpack

__all__ = ["download", "unpack"]
