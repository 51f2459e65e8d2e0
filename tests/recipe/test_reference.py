"""`docs/config-reference.md` describes every key of a recipe, and is what the docstrings say today."""

from pathlib import Path

from uniref.recipe.recipe import Recipe
from uniref.recipe.reference import config_reference

REFERENCE = Path(__file__).parents[2] / "docs" / "config-reference.md"


def test_every_key_is_described() -> None:
    schema = Recipe.model_json_schema()
    parts = {"Recipe": schema, **schema["$defs"]}
    bare = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, field in part.get("properties", {}).items()
        if not field.get("description")
    ]
    assert bare == []
    assert all(part.get("description") for part in parts.values())


def test_every_part_has_a_table_with_its_keys() -> None:
    schema, text = Recipe.model_json_schema(), config_reference()
    for part in schema["$defs"].values():
        for key in part.get("properties", {}):
            assert f"| `{key}` |" in text


def test_ranges_defaults_and_choices_are_given() -> None:
    lines = config_reference().splitlines()
    assert any(line.startswith("| `steps` | integer, >= 1, <= 1,000,000,000 | required |") for line in lines)
    assert any(line.startswith("| `betas` | list of 2 x number | `[0.9, 0.999]` |") for line in lines)
    assert any(line.startswith("| `parallel` | `ddp` or `fsdp` | `ddp` |") for line in lines)
    assert any(line.startswith("| `clip_norm` | number, > 0 or null | `0.1` |") for line in lines)


def test_the_file_is_up_to_date() -> None:
    message = "run: python -m uniref.recipe.reference docs/config-reference.md"
    assert REFERENCE.read_text("utf-8") == config_reference(), message
