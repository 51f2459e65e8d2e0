"""RefCOCO's reference files: pickles, read without executing anything they contain."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from uniref.core.errors import UniRefError


class _NoGlobals(pickle.Unpickler):
    """Lists, dictionaries, strings and numbers need no global; anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it wants to load {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it holds a persistent reference")


def read_refs(path: Path) -> list[dict[str, Any]]:
    """The list of referred objects of `refs(unc).p` or `refs(umd).p` (any protocol; Python 2 strings as Latin-1).

    Raises:
        UniRefError: Missing, damaged, not such a list, or asking for code.
    """
    try:
        with path.open("rb") as file:
            refs = _NoGlobals(file, encoding="latin1").load()
    except OSError as error:
        raise UniRefError(f"{path}: cannot be read ({error.strerror})") from None
    except pickle.UnpicklingError as error:
        raise UniRefError(f"{path}: is not a plain list of references ({error}); fetch it again") from None
    # a damaged pickle makes its reader fail with whatever it happens to meet
    except (EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise UniRefError(f"{path}: is damaged ({type(error).__name__}: {error}); fetch it again") from None
    if not isinstance(refs, list) or not all(isinstance(ref, dict) for ref in refs):
        raise UniRefError(f"{path}: holds no list of references; fetch it again")
    return refs
