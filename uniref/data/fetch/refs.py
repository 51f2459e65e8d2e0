"""RefCOCO's reference files: pickles, read without executing anything they contain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError
from uniref.core.files import reading
from uniref.core.pickles import ForbiddenName, PickleProblem, load_plain

_LARGEST = 1 << 29  # bytes; the published files have up to 40 MB


def read_refs(path: Path) -> list[dict[str, Any]]:
    """The list of referred objects of `refs(unc).p` or `refs(umd).p` (any protocol; Python 2 strings as Latin-1).

    Raises:
        UniRefError: Missing, damaged, not such a list, or asking for code.
    """
    with reading(path, advice="fetch it again"):
        if (size := path.stat().st_size) > _LARGEST:
            raise UniRefError(f"{path}: has {size:,} bytes; files of references have at most {_LARGEST:,}")
        data = path.read_bytes()
        try:
            refs, _ = load_plain(data)
        except ForbiddenName as name:
            raise UniRefError(f"{path}: is not a plain list of references (it wants to load {name})") from None
        except PickleProblem as problem:
            raise UniRefError(f"{path}: is damaged ({problem}); fetch it again") from None
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise UniRefError(f"{path}: holds no list of references; fetch it again")
    return refs
