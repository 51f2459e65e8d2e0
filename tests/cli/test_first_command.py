"""The README's first command, with the bundled model and the example media, as a newcomer runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from uniref.media.mask import read_mask
from uniref_cli import app

EXAMPLES = Path(__file__).parents[2] / "examples"
RED, BLUE = 6, 5  # object ids in examples/street-masks


def predict(out: Path, *arguments: str) -> Path:
    assert app.run(["predict", *arguments, "--out", str(out)]) == 0
    return out


def overlap(found: Path, truth: Path, value: int) -> float:
    mask, wanted = read_mask(found) > 0, read_mask(truth) == value
    return float((mask & wanted).sum() / (mask | wanted).sum())


@pytest.mark.parametrize(
    ("text", "value"), [("the red car", RED), pytest.param("the blue car", BLUE, marks=pytest.mark.slow)]
)
def test_the_car_that_is_meant_is_covered(
    text: str, value: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = predict(tmp_path, str(EXAMPLES / "street.mp4"), "--text", text, "--end", "25") / "street"
    assert "the bundled model 'small'" in capsys.readouterr().out
    frames = [path for path in sorted((EXAMPLES / "street-masks").glob("*.png")) if int(path.stem) < 25]
    scores = [overlap(out / "masks" / path.name, path, value) for path in frames]
    assert len(scores) == 4
    assert min(scores) > 0.78
