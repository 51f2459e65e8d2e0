"""Fetching a video whose beginning refers to its end from a server that cannot seek, into a temporary file."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path

from uniref.core.addresses import Address
from uniref.core.errors import MediaError
from uniref.core.files import first_line

_BLOCK = 1 << 18
_TIMEOUT = 15.0  # seconds without a byte
_KEPT_FREE = 1 << 28  # bytes that are left on the disk


def fetch_video(address: Address, target: Path, stop: Callable[[], bool]) -> None:
    """Copy what an address holds to a file, as far as it comes.

    Args:
        address: A video that has an end.
        target: File to write.
        stop: Asked after each block whether to end early.

    Raises:
        MediaError: The server cannot be reached, or the disk is full.
    """
    request = urllib.request.Request(address.request)  # noqa: S310 - http and https alone
    if address.authorisation:
        request.add_unredirected_header("Authorization", address.authorisation)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as response, target.open("wb") as file:  # noqa: S310
            while (block := response.read(_BLOCK)) and not stop():
                if shutil.disk_usage(target.parent).free < _KEPT_FREE:
                    raise MediaError(f"{address}: is too large for the disk that holds {target.parent}")
                file.write(block)
    except OSError as problem:
        raise MediaError(f"{address}: cannot be fetched ({problem.strerror or first_line(problem)})") from None
