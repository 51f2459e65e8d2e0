"""Previews of stages that start from others."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.conftest import MakeRecipe
from uniref.engine.dry_run import preview_stage
from uniref.recipe.load import load_recipe


def test_a_stage_whose_start_is_not_trained_yet_has_the_tokenizer_of_the_stage_before(
    make_recipe: MakeRecipe, root: Path, tmp_path: Path
) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "left"]
    (tmp_path / "text").mkdir()
    (tmp_path / "text/vocab.txt").write_text("\n".join(words))
    first = load_recipe(make_recipe()).model_dump(mode="json")["stages"]["only"]
    first["model"]["text"]["encoder"]["vocab_size"] = len(words)
    stages = {
        "first": first | {"init": {"text": str(tmp_path / "text")}},
        "second": first | {"init": {"stage": "first"}},
    }
    path = tmp_path / "two.yaml"
    path.write_text(json.dumps({"stages": stages}))
    drawn = preview_stage(load_recipe(path), "second", root, tmp_path / "run", 2)
    assert drawn == tmp_path / "run/preview-second.png"
    assert drawn.stat().st_size > 1000
