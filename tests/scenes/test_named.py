"""Named objects: words that are true, colours that are measured, and what training never sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.data.named_sources import USED, write_objects
from uniref.data.fetch import unpack
from uniref_scenes import Scene, SceneOptions, make_scene
from uniref_scenes.language import NOUNS
from uniref_scenes.named.bank import OWN, NamedBank, ObjectImage, find_colours
from uniref_scenes.named.packages import stamp_nouns as stamps
from uniref_scenes.named.recolour import coloured, main_hue_region, recoloured
from uniref_scenes.named.words import Emoji, code_of, denied, named_nouns, read_table
from uniref_scenes.relations import fits
from uniref_scenes.sprite import COLOUR_WORDS

EMOJI = [Emoji(code_of(code), label, "", group) for code, (label, group, _) in USED.items()]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> NamedBank:
    folder = tmp_path_factory.mktemp("objects")
    unpack(write_objects(folder / "objects.tgz"), folder)
    images: dict[str, tuple[ObjectImage, ...]] = {}
    named = named_nouns(EMOJI, frozenset(entry.code for entry in EMOJI))
    for noun in named:
        paths = [folder / f"package/assets/{code}.webp" for code in noun.codes]
        images[noun.noun.name] = tuple(find_colours(path, noun.glazed, noun.recolours, 96) for path in paths)
    return NamedBank([noun.noun for noun in named], {"emoji": images})


def scenes(bank: NamedBank, name: str, count: int) -> list[Scene]:
    return [make_scene(name, number, SceneOptions(size=128), bank) for number in range(count)]


def test_labels_become_what_people_say() -> None:
    named = {noun.noun.name: noun for noun in named_nouns(EMOJI, frozenset(entry.code for entry in EMOJI))}
    assert len(named["car"].codes) == len(named["cat"].codes) == 2
    assert "automobile" in named["car"].noun.synonyms
    assert named["taxi"].noun.fits("car") == named["taxi"].noun.fits("vehicle") == named["taxi"].noun.fits("cab") == 1
    assert named["tiger"].noun.fits("cat") == 0  # some would say so: never its only rival
    assert named["tiger"].noun.fits("vehicle") == -1
    assert named["penguin"].noun.fits("bird") == named["penguin"].noun.fits("animal") == 1
    assert not named["construction worker"].recolours


def test_the_reviewed_tables_are_sound() -> None:
    rows = read_table()
    labels = [label for row in rows for label in row.labels]
    assert len(labels) == len(set(labels)) > 600
    names = {row.names[0] for row in rows}
    for row in rows:
        assert not set(row.names[1:]) & (names | NOUNS.keys()), row
        assert not (set(row.maybe) & {*row.names, *row.wider}), row
    assert set(stamps().values()) <= names | NOUNS.keys()


@pytest.mark.parametrize(
    ("code", "group", "label", "expected"),
    [
        ("1F4CE", "objects", "paperclip", True),
        ("1F587-FE0F", "objects", "linked paperclips", True),
        ("1F3AE", "activities", "video game", True),
        ("1F468-200D-1F4BB", "people-body", "man technologist", True),
        ("1F1E9-1F1EA", "flags", "flag: Germany", True),
        ("1F523", "symbols", "input symbols", True),
        ("1F550", "travel-places", "one o\u2019clock", True),
        ("1F3C3-200D-2640-FE0F", "people-body", "woman running", True),
        ("1F44B-1F3FF", "people-body", "waving hand: dark skin tone", True),
        ("1F4BB", "objects", "laptop", False),
        ("23F0", "travel-places", "alarm clock", False),
        ("1F9D1-200D-1F680", "people-body", "astronaut", False),
    ],
)
def test_deny_list(code: str, group: str, label: str, expected: bool) -> None:
    assert denied(Emoji(code_of(code), label, group, "")) == expected


@pytest.mark.slow
def test_expressions_fit_exactly_one_object(bank: NamedBank) -> None:
    checked = {"noun": 0, "synonym": 0, "hypernym": 0, "colour": 0, "colour noun": 0}
    pictured = 0
    for scene in scenes(bank, "train", 60):
        pictured += any(obj.pattern == "unknown" for obj in scene.objects)
        for expression in scene.expressions:
            if expression.kind in checked:
                scores = [fits(expression.query.name, obj) for obj in scene.measured.objects]
                assert [n for n, score in enumerate(scores) if score >= 0] == [expression.target]
                assert expression.target is not None
                obj = scene.objects[expression.target]
                assert expression.query.name.colour in (None, obj.sprite.body.main[0])
                checked[expression.kind] += 1
    assert pictured > 10
    assert all(checked.values())


@pytest.mark.slow
def test_only_novel_sets_name_what_is_held_out(bank: NamedBank) -> None:
    held = bank.held_out - set(NOUNS)
    assert held
    for scene in scenes(bank, "train", 40):
        assert not {obj.noun.name for obj in scene.objects} & bank.held_out
        assert not {e.query.name.noun for e in scene.expressions} & bank.held_out
    asked = {scene.objects[e.target or 0].noun.name for scene in scenes(bank, "novel", 40) for e in scene.expressions}
    assert asked <= bank.held_out
    assert asked & held


@pytest.mark.slow
def test_no_training_image_has_a_pair_that_is_held_out(bank: NamedBank) -> None:
    part = bank.choose_for_scene(np.random.default_rng(4), bank.sets["train"])
    pairs = {
        (noun, word)
        for noun in part.shown_nouns(bank.sets["train"])
        for word in part.allowed_colours(bank.sets["pairs"], noun)
        if part.held_out_pair(noun, word)
    }
    assert pairs
    train = bank.sets["train"]
    assert not {(noun, word) for noun in part.shown_nouns(train) for word in part.allowed_colours(train, noun)} & pairs
    for scene in scenes(bank, "pairs", 60):
        for e in scene.expressions:
            assert bank.nouns[e.query.name.noun or ""].fits(e.query.name.noun) == 1
            assert part.held_out_pair(e.query.name.noun or "", e.query.name.colour or "")


def car(body: tuple[int, int, int]) -> Image.Image:
    """Half of it body, a quarter panes, wheels below."""
    image = Image.new("RGBA", (100, 80))
    draw = ImageDraw.Draw(image)
    draw.rectangle((5, 20, 95, 65), body)
    draw.rectangle((20, 24, 80, 38), (110, 195, 245))
    for x in (15, 65):
        draw.ellipse((x, 55, x + 20, 75), (40, 25, 60))
    return image


@pytest.mark.parametrize("word", COLOUR_WORDS)
def test_every_colour_can_be_given_and_is_measured(word: str) -> None:
    image = car((215, 25, 35))
    body = main_hue_region(image, glazed=True)
    assert body is not None
    assert coloured(image, body).colour == "red"
    other = recoloured(image, body, word, np.random.default_rng(1))
    assert other.colour == word
    before, after = np.asarray(image)[30, 50], np.asarray(other.image)[30, 50]
    np.testing.assert_array_equal(before, after)  # panes keep their colour


def test_a_car_is_not_blue_for_its_panes() -> None:
    police = car((225, 225, 225))
    assert main_hue_region(police, glazed=True) is None
    hues = np.asarray(Image.linear_gradient("L"))
    rainbow = Image.fromarray(np.dstack([hues, np.full_like(hues, 220), np.full_like(hues, 220)]), "HSV")
    assert main_hue_region(rainbow.convert("RGB").convert("RGBA")) is None


def test_crimson_is_called_neither_red_nor_pink() -> None:
    image = car((240, 45, 115))
    sprite = coloured(image, main_hue_region(image, glazed=True))
    assert sprite.colour is None
    assert sprite.could_be("red")
    assert sprite.could_be("pink")


def test_an_image_in_no_colour_comes_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "skin.png"
    car((228, 178, 140)).save(path)
    assert find_colours(path, False, False, 64) == ObjectImage(path, False, OWN)
