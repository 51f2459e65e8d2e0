"""Checkpoints on the Hugging Face hub, played by a local server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest
import torch
import yaml
from huggingface_hub import ModelCard

from tests.tiny import tiny_config
from tests.weights.hub_server import COMMIT, Hub, serve_hub
from uniref import Predictor
from uniref.core.errors import CheckpointError, UniRefError, UsageError
from uniref.model.build import build_model
from uniref.model.text import TextTokenizer
from uniref.weights.checkpoint import save_checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata
from uniref.weights.fetch import Access
from uniref.weights.locate import find_checkpoint
from uniref_cli.app import run

YES = Access(download=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint."""
    path = tmp_path_factory.mktemp("tiny") / "tiny"
    path.mkdir()
    torch.manual_seed(0)
    config = tiny_config()
    tensors = build_model(config).state_dict()
    save_checkpoint(path, tensors, CheckpointMetadata(model=config), TextTokenizer.bert_base_uncased())
    return path


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    content = {file.name: file.read_bytes() for file in folder.iterdir()}
    content |= {"README.md": b"# by hand", "pytorch_model.bin": b"never asked for"}
    hub = Hub({"me/tiny": content})
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("UNIREF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", "bad")
    with serve_hub(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield hub


def test_fetched_once_and_found_again_without_the_network(hub: Hub, folder: Path) -> None:
    found = find_checkpoint("me/tiny", YES)
    assert sorted(p.name for p in found.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert (found / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert not any("bin" in path or "README" in path for path in hub.paths)
    hub.paths.clear()
    assert find_checkpoint("me/tiny") == found
    assert find_checkpoint(f"me/tiny@{COMMIT}") == found
    assert hub.paths == []


def test_nothing_is_fetched_without_being_asked_for(hub: Hub) -> None:
    with pytest.raises(CheckpointError, match=r"me/tiny: no such checkpoint here, nor in .* add --download to fetch"):
        find_checkpoint("me/tiny")
    with pytest.raises(CheckpointError, match="pass download=True"):
        Predictor.from_pretrained("me/tiny", download=False)
    assert hub.paths == []


def test_in_python(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me").mkdir()
    with pytest.raises(CheckpointError, match="pass download=True"):  # a folder of one's own, misspelt
        Predictor.from_pretrained("me/tiny", device="cpu")
    assert hub.paths == []
    (tmp_path / "me").rmdir()
    assert Predictor.from_pretrained("me/tiny", device="cpu").classes == 1
    assert Predictor.from_pretrained("me/tiny@main", device="cpu", download=True).classes == 1


def test_revisions(hub: Hub) -> None:
    assert find_checkpoint("me/tiny@v1", YES).name == COMMIT
    with pytest.raises(CheckpointError, match="me/tiny@v2: the hub's repository has no such revision"):
        find_checkpoint("me/tiny@v2", YES)


def test_gated_repositories(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated.add("me/tiny")
    with pytest.raises(CheckpointError, match=r"open https://huggingface.co/me/tiny, accept its terms, and log in"):
        find_checkpoint("me/tiny", YES)
    monkeypatch.setenv("HF_TOKEN", "good")
    assert find_checkpoint("me/tiny", YES).is_dir()


def test_what_is_not_there(hub: Hub) -> None:
    with pytest.raises(CheckpointError, match="me/none: the hub has no such repository, or it is private"):
        find_checkpoint("me/none", YES)
    hub.repositories["me/other"] = {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"x" * 5000}
    with pytest.raises(CheckpointError, match="me/other: holds no checkpoint of uniref on the hub"):
        find_checkpoint("me/other", YES)
    assert not any("model.safetensors" in path for path in hub.paths)  # gigabytes are not fetched in vain


def test_no_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="me/tiny: the hub cannot be reached; check the network"):
        find_checkpoint("me/tiny", YES)


def test_a_hub_that_is_down(hub: Hub) -> None:
    hub.down = True
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("me/tiny", YES)
    assert "\n" not in str(caught.value)


def test_offline_mode(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_checkpoint("me/tiny", YES)
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", True)
    hub.paths.clear()
    assert find_checkpoint("me/tiny", YES) == found
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE forbids it"):
        find_checkpoint("me/other", YES)
    assert hub.paths == []


@pytest.mark.slow
def test_a_connection_that_breaks_off_is_one_line_and_resumed(hub: Hub) -> None:
    hub.cut = True
    with pytest.raises(UniRefError) as caught:
        find_checkpoint("me/tiny", YES)
    assert "\n" not in str(caught.value)
    hub.cut = False
    assert find_checkpoint("me/tiny", YES).is_dir()


def test_a_folder_goes_before_the_hub(hub: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "me/tiny")
    assert find_checkpoint("me/tiny", YES) == Path("me/tiny")
    assert hub.paths == []
    for path in ("./me/none", "a/b/c", "/me/none", "~/none", "me/../none"):
        assert find_checkpoint(path) == Path(path)


def test_converting_from_the_hub(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "me/tiny", str(tmp_path / "new"), "--dtype", "float16"]) == 1
    assert "add --download to fetch the hub's me/tiny" in capsys.readouterr().err
    assert run(["convert", "me/tiny", str(tmp_path / "new"), "--dtype", "float16", "--download"]) == 0
    assert json.loads((tmp_path / "new/config.json").read_text())["dtype"] == "float16"


def test_pushing(hub: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "good")
    results = tmp_path / "results.json"
    record = {
        "name": "davis17/val",
        "data": "davis17/val",
        "protocol": {"task": "vos"},
        "numbers": {"J&F": 0.815, "V": None},
    }
    results.write_text(json.dumps({"benchmarks": [record]}))
    command = ["convert", str(folder), "--push", "me/new", "--licence", "mit", "--results", str(results), "--private"]
    assert run(command) == 0
    assert hub.created[0]["name"] == "new"
    assert "private" in (hub.created[0].get("visibility"), "private" if hub.created[0].get("private") else "")
    files = hub.repositories["me/new"]
    assert sorted(files) == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    card = files["README.md"].decode()
    metadata = yaml.safe_load(card.split("---")[1])
    assert ModelCard(card).data.license == "mit"
    assert metadata["library_name"] == "uniref"
    assert {"referring-expression-segmentation", "video-object-segmentation"} <= set(metadata["tags"])
    assert metadata["model-index"][0]["results"][0]["metrics"][0]["value"] == 81.5
    assert "| davis17/val | J&F | 81.5 |" in card
    assert 'Predictor.from_pretrained("me/new")' in card
    assert find_checkpoint("me/new", YES).is_dir()

    assert run(command) == 0  # our own card is renewed
    files["README.md"] = b"# by hand"
    shutil.rmtree(tmp_path / "hub")  # the server's commit is always the same
    assert run(command) == 0
    assert files["README.md"] == b"# by hand"


def test_pushing_what_is_converted(hub: Hub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "good")
    target = str(tmp_path / "half")
    assert run(["convert", str(folder), target, "--dtype", "float16", "--push", "me/half", "--licence", "other"]) == 0
    assert json.loads(hub.repositories["me/half"]["config.json"])["dtype"] == "float16"
    assert "model-index" not in hub.repositories["me/half"]["README.md"].decode()


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (["--push", "me"], "name a repository of the hub as owner/name", 2),
        (["--push", "me/new@v1", "--licence", "mit"], "name a repository of the hub as owner/name", 2),
        (["--push", "me/new", "--licence", "a b"], "--licence 'a b'", 2),
        (["--results", "x"], "--results: goes with --push", 2),
        (["--push", "me/new", "--licence", "mit"], "the hub refuses (HTTP 401): log in with 'hf auth login'", 1),
    ],
)
def test_pushes_that_are_refused(
    hub: Hub, folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str, code: int
) -> None:
    assert run(["convert", str(folder), *options]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_names() -> None:
    with pytest.raises(UsageError, match="is an address; convert it first"):
        find_checkpoint("https://me:geheim@example.com/x.pth")
