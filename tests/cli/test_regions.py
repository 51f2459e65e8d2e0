"""`uniref predict --box` and `--point`."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from uniref.media.mask import read_mask
from uniref_cli.app import run

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def predict(tmp_path: Path) -> Callable[..., int]:
    """Run the command with the bundled model into tmp_path/out."""
    return lambda *arguments: run(["predict", *map(str, arguments), "--out", str(tmp_path / "out")])


def read_objects(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text())["objects"]


def test_boxes_points_and_a_text_in_an_image(predict: Callable[..., int], tmp_path: Path) -> None:
    options = ("--box", "123,161,181,216", "--point", "7=224,190", "--text", "an apple", "--point", "5,5")
    assert predict(EXAMPLES / "table.jpg", *options, "--fail-if-absent") == 1  # nothing is at 5,5
    found = read_objects(tmp_path / "out" / "table")
    assert [(number, about["kind"], about["present"]) for number, about in found.items()] == [
        ("1", "text", True),
        ("2", "box", True),
        ("3", "point", False),
        ("7", "point", True),
    ]
    labels = read_mask(tmp_path / "out" / "table" / "mask.png")
    assert labels[190, 150] == 2
    assert labels[190, 224] == 7


def test_a_video_by_record_with_an_object_that_starts_later(predict: Callable[..., int], tmp_path: Path) -> None:
    records = [
        {"input": str(EXAMPLES / "street.mp4"), "end": 4, "box": [33, 165, 135, 215], "point": ["4=2:120,140"]},
    ]
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(records))
    assert predict("--prompts", prompts, "--save", "masks") == 0
    out = tmp_path / "out" / "street"
    found = read_objects(out)
    assert found["1"]["box"] == [33, 165, 135, 215]
    assert found["1"]["frames_present"] == 4
    assert found["4"]["first_frame"] == 2
    assert found["4"]["frames_predicted"] == 2
    later = read_mask(out / "masks" / "00002.png")
    assert {1, 4} <= {*np.unique(later)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--box", "0,0,nan,5"), "use [ID=][FRAME:]x0,y0,x1,y1"),
        (("--box", "0,0,5"), "use [ID=][FRAME:]x0,y0,x1,y1"),
        (("--box", "9,0,5,5"), "x0 < x1"),
        (("--box", "0,0,5,-5"), "coordinates count from 0"),
        (("--box", "300=0,0,5,5"), "object ids go from 1 to 255"),
        (("--box", "9:0,0,5,5"), "frame 9 is not among the frames that are read"),
        (("--box", "0,0,900,5"), "900 is outside of the image, which is 320 x 240"),
        (("--point", "5"), "use [ID=][FRAME:]x,y"),
        (("--point", "-5,5"), "--point '1=-5,5'"),
        (("--point", "1=-5,5"), "or a point on the object, too"),
        (("--point", "1=5,999"), "999 is outside of the image, which is 320 x 240"),
        (("--box", "1=0,0,5,5", "--box", "1=0,0,6,6"), "object 1 has a box in frame 0 already"),
        (("--text", "1=cup", "--box", "1=0,0,5,5"), "object 1 is already given by a text"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    options: tuple[str, ...], message: str, predict: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(EXAMPLES / "table.jpg", *options) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert message in line
    assert f"{options[-2]} '{options[-1]}'" in line
