from pathlib import Path

import pytest

from uniref.core.errors import CheckpointError, UsageError
from uniref.core.text import clean_text
from uniref.model.text import TextTokenizer


def test_bundled_vocabulary(tokenizer: TextTokenizer) -> None:
    assert tokenizer.size == 30522


def test_known_ids(tokenizer: TextTokenizer) -> None:
    ids, valid = tokenizer(["the red car on the left"])
    assert ids.tolist() == [[101, 1996, 2417, 2482, 2006, 1996, 2187, 102]]
    assert valid.all()


def test_cleaning() -> None:
    assert clean_text("Left-most (RED) car/van, isn't it?!") == "left most red car van isnt it"


def test_batch_is_padded_with_zeros(tokenizer: TextTokenizer) -> None:
    ids, valid = tokenizer(["a dog", "a very long description of a dog"])
    assert ids.shape == valid.shape
    assert ids[0, 4:].sum() == 0
    assert valid.sum(1).tolist() == [4, 9]


def test_long_texts_are_cut_at_77(tokenizer: TextTokenizer) -> None:
    ids, _ = tokenizer(["dog " * 200])
    assert ids.shape == (1, 77)
    assert ids[0, -1] == 102


def test_accents_and_rare_words(tokenizer: TextTokenizer) -> None:
    assert tokenizer(["café"])[0].tolist() == tokenizer(["cafe"])[0].tolist()
    ids, _ = tokenizer(["日本 zxqvw 🙂"])
    assert ids.shape[1] > 4


@pytest.mark.parametrize("text", ["", "   ", "?!...", "-"])
def test_texts_without_words_are_refused(tokenizer: TextTokenizer, text: str) -> None:
    with pytest.raises(UsageError, match="no words"):
        tokenizer([text])


def test_round_trip_through_a_folder(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    again = TextTokenizer.from_file(tmp_path / "tokenizer.json")
    assert again(["the man's hat"])[0].tolist() == tokenizer(["the man's hat"])[0].tolist()


def test_a_broken_tokenizer_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        TextTokenizer.from_file(tmp_path / "tokenizer.json")
