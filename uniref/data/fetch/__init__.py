"""Downloads of published files, and safe unpacking of archives."""

from uniref.data.fetch.download import download
from uniref.data.fetch.unpack import unpack

__all__ = ["download", "unpack"]
