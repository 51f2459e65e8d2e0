"""tokenizer.json of strangers: nothing that grows without bound, and no token that the text encoder has not."""

import json
from pathlib import Path
from typing import Any

import pytest

from uniref.core.errors import CheckpointError
from uniref.model.text import TextTokenizer


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    TextTokenizer.bert_base_uncased().save(tmp_path)
    return dict(json.loads((tmp_path / "tokenizer.json").read_text()))


def _replace(text: str, by: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": text}, "content": by}


@pytest.mark.parametrize(
    ("normalizer", "message"),
    [
        ({"type": "Sequence", "normalizers": [_replace("e", "e" * 10)] * 12}, "replaces by something longer"),
        ({"type": "Sequence", "normalizers": [{"type": "Lowercase"}] * 100}, "more than 32 steps"),
        ({"type": "Replace", "pattern": {"Regex": "."}, "content": "aa"}, "replaces by something longer"),
        ({"type": "Nothing"}, "tokenizer.json"),
        (7, "tokenizer.json"),
    ],
)
def test_growth_is_refused(normalizer: Any, message: str, content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content | {"normalizer": normalizer}))
    with pytest.raises(CheckpointError, match=message) as caught:
        TextTokenizer.from_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_usual_normalisers_are_read(content: dict[str, Any], tmp_path: Path) -> None:
    steps = [
        content["normalizer"],
        _replace("``", '"'),
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    ]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content | {"normalizer": {"type": "Sequence", "normalizers": steps}}))
    usual, _ = TextTokenizer.bert_base_uncased()(["the red car"])
    assert TextTokenizer.from_file(path)(["the  red car"])[0].tolist() == usual.tolist()


def test_a_token_beyond_the_vocabulary_is_told(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    special = {"[CLS]": {"id": "[CLS]", "ids": [4294967295], "tokens": ["[CLS]"]}}
    single = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    template = {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special}
    path.write_text(json.dumps(content | {"post_processor": template}))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: gives token 4,294,967,295, but has 30,522 words"):
        TextTokenizer.from_file(path)(["dog"])
