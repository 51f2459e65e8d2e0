"""The examples in docs/unifusion.md run and do what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

PAGE = Path(__file__).parents[2] / "docs" / "unifusion.md"


def test_the_examples() -> None:
    first, second = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(first.splitlines()) <= 20
    names: dict[str, Any] = {}
    exec(first, names)  # noqa: S102 - our own page
    assert names["fused"].shape == (2, 128, 14, 14)
    assert torch.equal(names["fused"], names["features"])  # a new module changes nothing

    torch.nn.init.normal_(names["fusion"].modulation.weight)
    names["fusion"].eval()
    exec(second, names)  # noqa: S102
    text = names["text"][1:, :8]
    alone = names["fusion"](names["tokens"][1:], text, text, names["sentence"][1:])
    torch.testing.assert_close(names["fused"][1:], alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(alone, names["tokens"][1:], atol=1e-2)


def test_the_name_at_the_top_costs_nothing_until_it_is_used() -> None:
    code = (
        "import sys, uniref; print('torch' in sys.modules); uniref.UniFusion; "
        "print('torch' in sys.modules, 'timm' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "False", "False"]
