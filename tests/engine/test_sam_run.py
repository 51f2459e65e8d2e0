"""`uniref train` of UniFusion in SAM: what is trained, adapters, cached embeddings, exact resuming, evaluation."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.engine.conftest import MakeRecipe
from tests.engine.test_run import go
from tests.tiny import tiny_sam_config
from uniref.core.errors import CheckpointError, UsageError
from uniref.engine.distributed import World
from uniref.engine.dry_run import describe
from uniref.engine.validate import validate
from uniref.evaluation import evaluate
from uniref.model.sam import UniRefSam
from uniref.model.text import TextTokenizer
from uniref.recipe.load import load_recipe
from uniref.weights.checkpoint import load_checkpoint, save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata

TEST_SAM: dict[str, Any] = {
    "model": tiny_sam_config().model_dump(mode="json"),
    "steps": 4,
    "data": {
        "workers": 0,
        "augment": {"short_sides": [128], "max_long_side": 128, "crop": 0},
        "sources": [{"index": f"{task}/train"} for task in ("ris", "fss", "vos", "rvos")],
    },
}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A SAM checkpoint to start from."""
    torch.manual_seed(3)
    folder = tmp_path / "weights" / "sam"
    folder.mkdir(parents=True)
    config = tiny_sam_config()
    tensors = UniRefSam(config).state_dict()
    save_checkpoint(folder, tensors, CheckpointMetadata(model=config), TextTokenizer.bert_base_uncased())
    return folder


def weights(folder: Path) -> dict[str, Tensor]:
    return dict(load_checkpoint(folder).model.state_dict())


@pytest.mark.slow
def test_adapters_hold_what_was_trained(make_recipe: MakeRecipe, root: Path, base: Path, tmp_path: Path) -> None:
    changes = {
        "init": {"model": str(base)},
        "checkpoint": {"every": 2, "adapter_of": str(base)},
        "embedding_cache": str(tmp_path / "cache"),
    }
    path = make_recipe(**(TEST_SAM | changes))
    outcome, heard = go(path, root, tmp_path / "run")
    assert outcome.signal == 0
    parameters = list(load_checkpoint(base).model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    assert any(f"only: trains {trained:,} of {sum(p.numel() for p in parameters):,}" in line for line in heard.lines)
    terms = {name.split("/")[-1] for record in heard.records for name in dict(record["terms"])}
    assert {"loss_bce", "loss_dice"} <= terms
    final = tmp_path / "run/only/final"
    assert not (final / "model.safetensors").exists()
    before, after = weights(base), weights(final)
    frozen = load_checkpoint(base).model.frozen_names()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not changed & frozen
    assert list((tmp_path / "cache").rglob("*.npy"))

    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut/only/final")
    shutil.rmtree(tmp_path / "cut/only/checkpoints/step-00000004")
    _, heard = go(path, root, tmp_path / "cut", resume="auto")
    assert any("resuming at step 2" in line for line in heard.lines)
    again = weights(tmp_path / "cut/only/final")
    assert all(torch.equal(after[name], again[name]) for name in after)


def test_whole_checkpoints_and_evaluation(make_recipe: MakeRecipe, root: Path, base: Path, tmp_path: Path) -> None:
    changes = {
        "init": {"model": str(base)},
        "steps": 2,
        "evaluation": {"every": 2, "data": ["ris/train", "fss/train"], "limit": 2, "pictures": 1},
    }
    path = make_recipe(**(TEST_SAM | changes))
    go(path, root, tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run/only/best")
    assert isinstance(checkpoint.model, UniRefSam)
    stage = load_recipe(path).stages["only"]
    world = World(torch.device("cpu"))
    weights = checkpoint.model.state_dict()
    found = validate(stage, weights, checkpoint.tokenizer, root, "float32", tmp_path, world)
    assert found is not None
    assert set(found.results) == {"ris/train", "fss/train"}
    assert len(found.images) == 2


def test_evaluation_fills_the_square(base: Path, root: Path) -> None:
    checkpoint = load_checkpoint(base)
    sizes = []
    fuse = checkpoint.model.fuse

    def seen(features: Any, references: Any) -> Any:
        sizes.append(features.sizes.max().item())
        return fuse(features, references)

    checkpoint.model.fuse = seen  # type: ignore[method-assign]
    evaluate(checkpoint.model, checkpoint.tokenizer, root, ["ris/train", "vos/train"], limit=1)
    assert set(sizes) == {128}
    with pytest.raises(UsageError, match="finds objects by a reference only"):
        from uniref import Predictor

        Predictor(checkpoint, "cpu").detect(torch.zeros(8, 8, 3, dtype=torch.uint8).numpy())


def test_another_base_is_refused(make_recipe: MakeRecipe, root: Path, base: Path, tmp_path: Path) -> None:
    path = make_recipe(**(TEST_SAM | {"checkpoint": {"adapter_of": str(base)}}))
    with pytest.raises(CheckpointError, match=r"adapter_of: its frozen weights are not those of .*sam"):
        go(path, root, tmp_path / "run")


def test_dry_run_tells_what_is_trained(make_recipe: MakeRecipe, root: Path) -> None:
    recipe = load_recipe(make_recipe(**TEST_SAM))
    text = "\n".join(describe(recipe, (), root, "cpu", 1))
    model = UniRefSam(tiny_sam_config())
    total = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert f"{trained:,} / {total:,}" in text
    assert "2 x 128 x 128 pixels" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init": {"backbone": "x"}}, "init.backbone: a SAM model has none"),
        ({"activation_checkpointing": True}, "activation_checkpointing: a SAM model's encoder is frozen"),
        ({"parallel": "fsdp", "embedding_cache": "x"}, "set data.same_source_on_all_ranks"),
    ],
)
def test_settings_that_a_sam_has_not(make_recipe: MakeRecipe, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(make_recipe(**(TEST_SAM | changes)))
    assert message in str(caught.value)


def test_settings_that_only_a_sam_has(make_recipe: MakeRecipe) -> None:
    for changes in ({"embedding_cache": "x"}, {"checkpoint": {"adapter_of": "x"}}):
        with pytest.raises(UsageError, match="are for SAM models"):
            load_recipe(make_recipe(**changes))
