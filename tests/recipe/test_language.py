"""Keys that have moved to the language extension: recipes name the new one, states and checkpoints are upgraded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny import tiny_config
from uniref.core.errors import UsageError
from uniref.recipe.language import upgrade_stage
from uniref.recipe.load import load_recipe
from uniref.weights.checkpoint_config import CheckpointMetadata, read_config

RECIPE = """
stages:
  only:
    data: {sources: [{index: a/train}]}
    optim: {lr: 1e-3}
    steps: 1
    global_batch: 2
"""


@pytest.mark.parametrize(
    ("old", "message"),
    [
        ("loss.weights.align=1", "stages.only.loss.weights.align: has moved to language.align"),
        ("loss.detection=false", "stages.only.loss.detection: has moved to language.align_only"),
        ("loss.proposal_targets=inside", "stages.only.loss.proposal_targets: has moved to language.dense_proposals"),
        ("model.fusion.gate=1", "stages.only.model.fusion.gate: has moved to language.fusion_gate"),
        ("model.fusion.same_projections=true", "has moved to language.shared_projections"),
        ("data.sources.0.kinds=[noun]", "data.sources.0.kinds: has moved to data.sources.N.language.kinds"),
        ("data.sources.0.phrases=3", "data.sources.0.phrases: has moved to data.sources.N.language.phrases"),
    ],
)
def test_a_key_of_an_earlier_version_is_answered_with_the_new_one(tmp_path: Path, old: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    with pytest.raises(UsageError) as told:
        load_recipe(path, [f"stages.only.{old}"])
    assert message in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("key", ["align=1", "dense_proposals=true"])
def test_a_sam_model_refuses_losses_of_a_detector(tmp_path: Path, key: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    sam = ["stages.only.model={family: sam}", "stages.only.data.sources.0.task=ris"]
    assert load_recipe(path, [*sam, "stages.only.language.fusion_gate=1"]).stages["only"].language is not None
    with pytest.raises(UsageError, match="need a detector, which a SAM model does not have"):
        load_recipe(path, [*sam, f"stages.only.language.{key}"])


def test_the_alignment_loss_alone_needs_a_weight(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE)
    with pytest.raises(UsageError, match="align_only: true leaves nothing to learn; set align"):
        load_recipe(path, ["stages.only.language.align_only=true"])


def earlier(**changes: object) -> dict[str, object]:
    """A stage as the version before wrote it into the manifest of a checkpoint."""
    return {
        "loss": {"weights": {"cls": 2.0, "align": 0.0}, "detection": True, "proposal_targets": "matched"},
        "model": {"fusion": {"heads": 8, "gate": 0.0, "same_projections": False}},
        "data": {"sources": [{"index": "a/train", "kinds": [], "phrases": 0}]},
    } | changes


def test_a_state_of_an_earlier_version_is_upgraded() -> None:
    assert upgrade_stage(earlier()) == {
        "loss": {"weights": {"cls": 2.0}},
        "model": {"fusion": {"heads": 8}},
        "data": {"sources": [{"index": "a/train", "language": None}]},
        "language": None,
    }
    loss = {"weights": {"align": 0.5}, "detection": True, "proposal_targets": "inside"}
    data = {"sources": [{"index": "a/train", "kinds": ["noun"], "phrases": 2}]}
    upgraded = upgrade_stage(earlier(loss=loss, data=data, model={"fusion": None}))
    assert upgraded["language"] == {
        "align": 0.5,
        "align_only": False,
        "dense_proposals": True,
        "fusion_gate": 0.0,
        "shared_projections": False,
    }
    language = {"kinds": ["noun"], "phrases": 2, "absent": 0.0}
    assert upgraded["data"]["sources"] == [{"index": "a/train", "language": language}]
    assert upgrade_stage(upgraded) == upgraded
    del language["absent"]  # a version that did not know it yet
    assert upgrade_stage(upgraded | {"data": {"sources": [{"index": "a/train", "language": language}]}}) == upgraded


@pytest.mark.parametrize("stage", [None, [], {"loss": 1}, {"loss": {"weights": None}, "model": {"fusion": None}}])
def test_what_is_not_a_stage_comes_back_as_it_is(stage: object) -> None:
    assert upgrade_stage(stage) == stage


def test_a_checkpoint_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    metadata = CheckpointMetadata(model=tiny_config()).model_dump(mode="json")
    content = {key: value for key, value in metadata.items() if value is not None}
    plain = json.dumps(content)
    content["model"]["fusion"] |= {"gate": 1.0, "same_projections": True}
    for text in (plain, json.dumps(content)):
        (tmp_path / "config.json").write_text(text)
        assert read_config(tmp_path).model == tiny_config()
