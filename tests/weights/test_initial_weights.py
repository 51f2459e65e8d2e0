"""Initial weights that recipes name, fetched and put where they are expected."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest
import timm
import torch

from tests.data.fetch.server import Behaviour, serve
from tests.engine.conftest import make_recipe, root  # noqa: F401 - fixtures
from tests.tiny import tiny_sam_config
from tests.weights.hub_server import Hub, serve_hub
from tests.weights.official_sam import original_sam
from tests.weights.test_convert_sam import TEXT, bert_folder
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.engine.stage_model import build_without_memory
from uniref.model.build import build_model
from uniref.model.sam import UniRefSam
from uniref.recipe.load import load_recipe
from uniref.weights import catalog
from uniref.weights.catalog import CATALOG, checkpoint_folder
from uniref.weights.checkpoint import load_checkpoint
from uniref.weights.checkpoint_config import read_config
from uniref.weights.fetch import Access
from uniref.weights.initial_weights import adopt_models, fetch_missing, install, missing_weights
from uniref_cli.app import run

RECIPES = Path(__file__).parents[2] / "recipes"
YES = Access(download=True)
BERT = {"weights/bert-base-uncased": "bert-base-uncased"}
RESNET18 = {"weights/resnet18.pth": "resnet18"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIREF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)


def saved(tensors: object) -> bytes:
    file = io.BytesIO()
    torch.save(tensors, file)
    return file.getvalue()


def serve_entry(monkeypatch: pytest.MonkeyPatch, name: str, url: str, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    entry = dataclasses.replace(CATALOG[name], address=url, size=len(content), sha256=digest)
    monkeypatch.setitem(catalog.CATALOG, name, entry)  # type: ignore[arg-type]


def put_bert(hub: Hub, monkeypatch: pytest.MonkeyPatch, folder: Path, sha256: str | None = None) -> None:
    """A tiny bert-base-uncased on the hub."""
    files = {file.name: file.read_bytes() for file in bert_folder(folder).iterdir()}
    hub.repositories["google-bert/bert-base-uncased"] = files | {"pytorch_model.bin": b"never asked for"}
    digest = sha256 or hashlib.sha256(files["model.safetensors"]).hexdigest()
    page = "https://huggingface.co/google-bert/bert-base-uncased/tree/main"
    entry = dataclasses.replace(CATALOG["bert-base-uncased"], address=page, sha256=digest)
    monkeypatch.setitem(catalog.CATALOG, "bert-base-uncased", entry)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        ("r50", {"weights/resnet50": "resnet50", **BERT, **RESNET18}),
        ("swinl", {"weights/swin-l": "swin-l", **BERT, **RESNET18}),
        ("roberta-r50", {"weights/resnet50": "resnet50", "weights/roberta-base": "roberta-base", **RESNET18}),
        ("sam-image", {"weights/sam-vit-h": "sam-vit-h", **RESNET18}),
        ("finetune-custom", {"checkpoints/r50": "video-joint-r50"}),
        ("debug", {}),
    ],
)
def test_what_recipes_need(recipe: str, wanted: dict[str, str]) -> None:
    found = missing_weights(load_recipe(RECIPES / f"{recipe}.yaml"))
    assert {str(each.path): each.entry.name for each in found} == wanted
    assert all((each.text is not None) == (each.entry.kind == "sam") for each in found)
    for path in wanted:
        Path(path).mkdir(parents=True)
    assert missing_weights(load_recipe(RECIPES / f"{recipe}.yaml")) == []


def test_only_the_chosen_stages() -> None:
    recipe = load_recipe(RECIPES / "r50.yaml")
    assert [each.entry.name for each in missing_weights(recipe, ["pretrain"])] == ["resnet50"]
    assert missing_weights(recipe, ["video"]) == []


def test_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(timm.create_model("resnet50", num_classes=10, layers=[1, 1, 1, 1]).state_dict())
    with serve(Behaviour(content)) as url:
        serve_entry(monkeypatch, "resnet50", url, content)
        [missing] = missing_weights(load_recipe(RECIPES / "r50.yaml"), ["pretrain"])
        with pytest.raises(UsageError, match="resnet50: is not on this machine yet"):
            fetch_missing([missing], Access())
        fetch_missing([missing], YES)
    config = read_config(Path("weights/resnet50"))
    assert config.backbone is not None
    assert config.backbone.name == "resnet50"


def test_a_sam_with_its_text_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = saved(original_sam(UniRefSam(tiny_sam_config(text=TEXT))))
    hub = Hub()
    put_bert(hub, monkeypatch, tmp_path / "bert")
    with serve(Behaviour(content)) as url, serve_hub(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        serve_entry(monkeypatch, "sam-vit-b", url, content)
        install(CATALOG["sam-vit-b"], Path("weights/sam"), YES, text=CATALOG["bert-base-uncased"])
        assert run(["convert", "sam-vit-b", "again", "--text", "bert-base-uncased"]) == 0  # both are here by now
    assert load_checkpoint(Path("weights/sam")).tokenizer is not None
    assert not any("bin" in path for path in hub.paths)


def test_a_text_encoder_and_a_plain_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = Hub()
    put_bert(hub, monkeypatch, tmp_path / "bert")
    content = saved({"conv1.weight": torch.zeros(8, 3, 7, 7)})
    with serve(Behaviour(content)) as url, serve_hub(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        serve_entry(monkeypatch, "resnet18", url, content)
        assert run(["convert", "bert-base-uncased", "weights/bert", "--download"]) == 0
        assert run(["convert", "resnet18", "weights/resnet18.pth", "--download"]) == 0
        assert run(["convert", "resnet18", "weights/resnet18.pth"]) == 2
        assert run(["convert", "resnet18", "weights"]) == 2
        assert run(["convert", "resnet18", "weights/resnet18.pth", "--overwrite"]) == 0
        assert run(["convert", "bert-base-uncased", "weights/bert"]) == 2
        assert run(["convert", "--list", "--json"]) == 0
    files = sorted(p.name for p in Path("weights/bert").iterdir())
    assert files == ["config.json", "model.safetensors"]
    assert not any(p.is_symlink() for p in Path("weights/bert").iterdir())
    assert Path("weights/resnet18.pth").read_bytes() == content
    records = {r["name"]: r for r in map(json.loads, capsys.readouterr().out.splitlines()[-15:]) if "name" in r}
    assert records["bert-base-uncased"]["path"] is not None
    assert records["roberta-base"]["path"] is None


def test_another_text_encoder_than_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = Hub()
    put_bert(hub, monkeypatch, tmp_path / "bert", sha256="0" * 64)
    with serve_hub(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        for _ in range(2):
            with pytest.raises(UniRefError, match="the hub returned another file"):
                install(CATALOG["bert-base-uncased"], Path("weights/bert"), YES)
    assert not Path("weights/bert").exists()


def test_the_command(
    make_recipe: Callable[..., Path],  # noqa: F811
    root: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = saved(timm.create_model("test_resnet", num_classes=10).state_dict())
    command = [
        "train",
        str(make_recipe(steps=1)),
        "--root",
        str(root),
        "--out",
        str(tmp_path / "run"),
        "--device",
        "cpu",
    ]
    command += ["--set", "stages.only.init.backbone=weights/resnet50"]
    assert run([*command, "--dry-run"]) == 1
    out, error = capsys.readouterr()
    assert "not there, --download fetches it: weights/resnet50: ResNet-50 of torchvision" in out
    assert "error: not ready to train: stages.only.init.backbone: weights/resnet50: no such checkpoint" in error
    assert run(command) == 1
    error = capsys.readouterr().err
    assert "weights/resnet50: no such checkpoint" in error
    assert "or add --download, which fetches resnet50" in error
    with serve(Behaviour(content, status=[404])) as url:
        serve_entry(monkeypatch, "resnet50", url, content)
        assert run([*command, "--download"]) == 1
        assert "download it from https://docs.pytorch.org" in capsys.readouterr().err


def test_a_training_from_an_empty_machine(
    make_recipe: Callable[..., Path],  # noqa: F811
    root: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = make_recipe(steps=1)
    encoder = build_model(load_recipe(recipe).stages["only"].model).get_submodule("mask_encoder")
    tensors = {
        re.sub(r"^stages\.(\d)", lambda m: f"layer{int(m[1]) + 1}", k): v for k, v in encoder.state_dict().items()
    }
    tensors["conv1.weight"] = tensors["conv1.weight"][:, :3].clone()  # a picture's channels, without the mask's
    content = saved(tensors)
    command = ["train", str(recipe), "--root", str(root), "--out", str(tmp_path / "run"), "--device", "cpu"]
    command += ["--set", "stages.only.init.mask_encoder=weights/resnet18.pth"]
    with serve(Behaviour(content)) as url:
        serve_entry(monkeypatch, "resnet18", url, content)
        assert run(command) == 1
        assert run([*command, "--download", "--resume", "auto"]) == 0
    assert Path("weights/resnet18.pth").read_bytes() == content
    assert (tmp_path / "run/only/final/config.json").exists()


def test_the_model_of_a_recipe_is_that_of_its_checkpoint(tmp_path: Path) -> None:
    """`init.model: small`, a folder or a name; a `model` that is given stays, and is checked."""
    small = read_config(checkpoint_folder("small"))
    recipe = load_recipe(RECIPES / "finetune-small.yaml")
    stage = adopt_models(recipe).stages["finetune"]
    assert stage.model == small.model
    assert stage.sides == small.sides
    assert stage.init.model == checkpoint_folder("small")
    # once is enough, and a folder does as well
    assert adopt_models(adopt_models(recipe)) == adopt_models(recipe)
    shutil.copytree(checkpoint_folder("small"), tmp_path / "copy")
    named = load_recipe(RECIPES / "finetune-custom.yaml", [f"stages.finetune.init.model={tmp_path / 'copy'}"])
    assert adopt_models(named).stages["finetune"].model == small.model
    # a name that is not here, a folder that is not there, and a model that is given
    with pytest.raises(UsageError, match="video-joint-r50: is not on this machine yet"):
        adopt_models(load_recipe(RECIPES / "finetune-custom.yaml", ["stages.finetune.init.model=video-joint-r50"]))
    absent = load_recipe(RECIPES / "finetune-custom.yaml")
    assert adopt_models(absent).stages == absent.stages
    given = load_recipe(RECIPES / "finetune-small.yaml", ["stages.finetune.model.hidden_dim=64"])
    assert adopt_models(given).stages["finetune"].model.hidden_dim == 64
    with pytest.raises(CheckpointError, match=r"does not fit the stage's model: .*leave `model` out of the recipe"):
        build_without_memory(adopt_models(given).stages["finetune"], "finetune")
