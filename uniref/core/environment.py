"""Versions of the software and kind of the machine, for reports."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from uniref.version import __version__


def versions(*more: str) -> dict[str, str]:
    """Versions of uniref, Python and the packages that decide numbers, and the platform.

    Args:
        more: Further packages.
    """
    import torch

    return {
        "uniref": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # with its build, such as +cpu
        **{name: metadata.version(name) for name in ("timm", "transformers", *more)},
        "platform": sys.platform,
    }


def hardware() -> dict[str, str]:
    """System, and GPUs or threads."""
    import torch

    system = {"system": f"{platform.system()} {platform.machine()}"}
    if torch.cuda.is_available():
        return system | {"GPU": f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"}
    return system | {"threads": str(torch.get_num_threads())}
