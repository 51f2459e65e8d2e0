from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniref.core.errors import MediaError, UniRefError, UsageError
from uniref.inference.prompts import Prompt, resolve
from uniref.media.mask import write_labels
from uniref.media.source import MediaSource, Selection

MakeVideo = Callable[..., Path]


@pytest.fixture
def video(make_video: MakeVideo) -> MediaSource:
    return MediaSource(make_video(frames=6))


def labels(path: Path, *ids: int) -> str:
    array = np.zeros((48, 64), np.uint8)
    for i, number in enumerate(ids):
        array[5 * i : 5 * i + 4] = number
    write_labels(path, array)
    return str(path)


def test_texts_fill_the_ids_that_masks_and_named_texts_leave(video: MediaSource, tmp_path: Path) -> None:
    prompt = Prompt(text=("dog", "3=the red car", "cat"), mask=(labels(tmp_path / "a.png", 1, 4),))
    objects = resolve(prompt, video, Selection())
    assert objects.texts == {2: "dog", 3: "the red car", 5: "cat"}
    assert sorted(objects.masks[0]) == [1, 4]
    assert objects.ids == [1, 2, 3, 4, 5]
    assert objects.describe(4) == {"kind": "mask", "first_frame": 0}


def test_masks_for_later_frames_and_a_later_start(video: MediaSource, tmp_path: Path) -> None:
    a, b = labels(tmp_path / "a.png", 1), labels(tmp_path / "b.png", 2)
    objects = resolve(Prompt(mask=(a, f"4:{b}")), video, Selection("2"))
    assert {frame: list(given) for frame, given in objects.masks.items()} == {2: [1], 4: [2]}
    with pytest.raises(UsageError, match="frame 4 is not among the frames"):
        resolve(Prompt(mask=(f"4:{b}",)), video, Selection(stride=3))


def test_an_object_starts_again_at_every_mask_of_a_folder(video: MediaSource, tmp_path: Path) -> None:
    folder = tmp_path / "corrected"
    folder.mkdir()
    labels(folder / "00000.png", 1)
    labels(folder / "00002.png", 1, 2)
    labels(folder / "00003.png", 1, 2)
    objects = resolve(Prompt(mask=(str(folder),)), video, Selection())
    assert {frame: list(given) for frame, given in objects.masks.items()} == {0: [1], 2: [1, 2], 3: [1, 2]}
    assert objects.masks[2][2].file.name == "00002.png"
    assert objects.describe(2) == {"kind": "mask", "first_frame": 2}
    (note,) = objects.notes
    assert "holds masks of 3 frames; an object starts again from each of its masks" in note
    # frames that are not read have no say, and a file that is named by itself comes before the folder's
    other = labels(tmp_path / "other.png", 1)
    objects = resolve(Prompt(mask=(str(folder), f"2:{other}")), video, Selection(stride=2))
    assert {frame: sorted(given) for frame, given in objects.masks.items()} == {0: [1], 2: [1, 2]}
    assert objects.masks[2][1].file == Path(other)
    with pytest.raises(MediaError, match="none of its masks marks a pixel in the frames that are read"):
        resolve(Prompt(mask=(str(folder),)), video, Selection("4"))
    labels(folder / "cover.png", 1)
    with pytest.raises(MediaError, match=r"cover\.png"):
        resolve(Prompt(mask=(str(folder),)), video, Selection())


def test_a_folder_that_gives_every_object_once_needs_no_note(video: MediaSource, tmp_path: Path) -> None:
    folder = tmp_path / "first"
    folder.mkdir()
    labels(folder / "00000.png", 1)
    np_late = np.zeros((48, 64), np.uint8)
    np_late[20:30] = 2
    write_labels(folder / "00004.png", np_late)
    objects = resolve(Prompt(mask=(str(folder),)), video, Selection())
    assert {frame: list(given) for frame, given in objects.masks.items()} == {0: [1], 4: [2]}
    assert objects.notes == ()


@pytest.mark.parametrize(
    ("written", "number", "frame", "text"),
    [
        ("4:a red car", 1, 4, "a red car"),
        ("3=4:a red car", 3, 4, "a red car"),
        ("0:the red car", 1, 0, "the red car"),
        ("16:9 screen", 1, 0, "16:9 screen"),  # a digit follows: no frame
        ("5=the sign: stop", 5, 0, "the sign: stop"),
        ("2: 3 dogs", 1, 2, "3 dogs"),
        ("0: 2: the second", 1, 0, "2: the second"),  # how a text that looks like one with a frame is written
    ],
)
def test_texts_from_a_frame_on(video: MediaSource, written: str, number: int, frame: int, text: str) -> None:
    objects = resolve(Prompt(text=(written,)), video, Selection())
    assert objects.texts == {number: text}
    assert objects.text_frames == ({number: frame} if frame else {})
    about = {"kind": "text", "text": text} | ({"first_frame": frame} if frame else {})
    assert objects.describe(number) == about


def test_texts_that_begin_too_late(video: MediaSource, png: Path) -> None:
    # between two frames that are read is fine, after the last one is not
    assert resolve(Prompt(text=("3:dog",)), video, Selection(stride=2)).text_frames == {1: 3}
    with pytest.raises(UsageError, match=r"--text '5:dog': frame 5 is not among the frames.*0 to 5 with stride 2"):
        resolve(Prompt(text=("5:dog",)), video, Selection(stride=2))
    with pytest.raises(UsageError, match="frame 4 is not among"):
        resolve(Prompt(text=("4:dog",)), MediaSource(png), Selection())
    with pytest.raises(UsageError, match="the id comes first: '3=4:dog'"):
        resolve(Prompt(text=("4:3=dog",)), video, Selection())


def test_support_pairs(png: Path, mask_png: Path) -> None:
    objects = resolve(Prompt(support=(f"{png}={mask_png}",) * 2), MediaSource(png), Selection())
    assert objects.support_id == 1
    assert objects.describe(1) == {"kind": "support", "shots": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (("",), "is empty"),
        (("7=  ",), "is empty"),
        (("0=dog",), "1 to 255"),
        (("300=dog",), "1 to 255"),
        (("2=dog", "2=cat"), "already given by another text"),
        (("1=dog",), "already given by a mask"),
    ],
)
def test_contradictory_texts(video: MediaSource, tmp_path: Path, text: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(Prompt(text=text, mask=(labels(tmp_path / "a.png", 1),)), video, Selection())


def test_contradictory_and_unusable_masks(video: MediaSource, png: Path, mask_png: Path, tmp_path: Path) -> None:
    a = labels(tmp_path / "a.png", 1)
    black = labels(tmp_path / "black.png")
    Image.new("L", (20, 20), 255).save(tmp_path / "small.png")
    cases: list[tuple[Prompt, MediaSource, str]] = [
        (Prompt(mask=(a, a)), video, "already given by"),
        (Prompt(mask=(black,)), video, "marks no pixel"),
        (Prompt(mask=(f"99:{a}",)), video, "frame 99"),
        (Prompt(mask=("none.png",)), video, "none.png: no such file"),
        (Prompt(mask=(a,)), MediaSource(png), "single image"),
        (Prompt(text=("dog",), support=(f"{png}={mask_png}",)), MediaSource(png), "one of them"),
        (Prompt(support=("nothing",)), MediaSource(png), "IMAGE=MASK"),
        (Prompt(support=(f"{png}={tmp_path / 'small.png'}",)), MediaSource(png), "20 x 20 pixels"),
        (Prompt(support=(f"{png}={black}",)), MediaSource(png), "marks no pixel"),
        (Prompt(), video, "no prompt given"),
    ]
    for prompt, source, message in cases:
        with pytest.raises(UniRefError, match=message) as caught:
            resolve(prompt, source, Selection())
        assert "\n" not in str(caught.value)


def test_colours_are_the_same_objects_in_all_masks(video: MediaSource, tmp_path: Path) -> None:
    red, blue = (200, 10, 10), (10, 10, 200)
    for frame, order in ((0, (red,)), (3, (blue, red))):
        array = np.zeros((48, 64, 3), np.uint8)
        for place, colour in enumerate(order):
            array[10 * place : 10 * place + 5] = colour
        Image.fromarray(array).save(tmp_path / f"{frame:05d}.png")
    masks = (str(tmp_path / "00000.png"), f"3:{tmp_path / '00003.png'}")
    objects = resolve(Prompt(mask=masks), video, Selection())
    assert {frame: sorted(given) for frame, given in objects.masks.items()} == {0: [1], 3: [1, 2]}
    assert objects.masks[3][1].pixels[10:15].all()
    assert objects.notes == (
        f"{tmp_path / '00000.png'} and 1 more: its colours were read as a label map",
        "objects of colours: #c80a0a = 1, #0a0ac8 = 2",
    )
