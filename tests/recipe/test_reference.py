"""The reference describes every key of a recipe, and the schema fits every recipe file and notices mistakes in it."""

import json
from pathlib import Path
from typing import Any

import pytest

from uniref.recipe.recipe import Recipe
from uniref.recipe.reference import config_reference, recipe_schema
from uniref.recipe.yaml_tree import parse, parse_file, plain

RECIPES = Path(__file__).parents[2] / "recipes"
FILES = sorted(RECIPES.rglob("*.yaml"))


def faults(recipe: Any) -> list[str]:
    """What the schema says about the content of a recipe file."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft7Validator(json.loads(recipe_schema()))
    return [error.message for error in validator.iter_errors(json.loads(json.dumps(recipe)))]


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


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_schema_fits_every_recipe_file(path: Path) -> None:
    assert faults(plain(parse_file(path))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_first_line_names_the_schema(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / name).resolve() == RECIPES / "recipe.schema.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stages: {a: {stepz: 10}}", "'stepz' was unexpected"),
        ("stages: {a: {steps: 0}}", "0 is less than the minimum of 1"),
        ("defaults: {optim: {lr: fast}}", "'fast' is not of type 'number'"),
        ("stages: {a: {precision: float8}}", "'float8' is not one of ['auto', 'float32', 'bfloat16', 'float16']"),
        ("sources: []", "'sources' was unexpected"),
    ],
)
def test_the_schema_notices_mistakes(text: str, message: str) -> None:
    assert any(message in fault for fault in faults(plain(parse(text, "recipe")))), faults(plain(parse(text, "recipe")))


def test_the_schema_has_the_descriptions_that_editors_show() -> None:
    schema = json.loads(recipe_schema())
    assert "Optimiser steps." in schema["$defs"]["StageConfig"]["properties"]["steps"]["description"]
    assert {"extends", "defaults", "stages"} <= {*schema["properties"]}
