"""Evaluating a model in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.conftest import DATA
from uniref.core.errors import UniRefError, UsageError
from uniref.core.tasks import Task
from uniref.data.frames import read_frame
from uniref.data.index import Index
from uniref.evaluation import evaluate, predict
from uniref.evaluation.metrics.images import overlap, referring
from uniref.inference.predictor import Predictor
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.weights.checkpoint import Checkpoint
from uniref.weights.checkpoint_config import CheckpointMetadata

SIDES = (48, 96)


def test_a_perfect_model_scores_one(model: UniRef, root: Path, perfect: None) -> None:
    found = evaluate(model, None, root, list(DATA.values()))
    heads = {task: next(iter(found[name].items())) for task, name in DATA.items()}
    assert heads == {
        Task.RIS: ("oIoU", 1.0),
        Task.FSS: ("mIoU", 1.0),
        Task.VOS: ("J&F", 1.0),
        Task.RVOS: ("J&F", 1.0),
        Task.DETECTION: ("AP", pytest.approx(1.0)),
    }
    vos = found[DATA[Task.VOS]]
    assert (vos["no-object accuracy"], vos["presence accuracy"], vos["V"], vos["jitter"]) == (1, 1, 0, 0)
    assert found[DATA[Task.RIS]]["box accuracy"] == 1


def test_numbers_are_those_of_the_predictor(model: UniRef, tokenizer: TextTokenizer, root: Path) -> None:
    """Every text of every sample is a item of its own, and its mask is what `segment_image` gives."""
    index = Index.open(root / "index" / DATA[Task.RIS])
    predictor = Predictor(Checkpoint(model, tokenizer, CheckpointMetadata(model=model.config)), "cpu")
    overlaps = []
    for sample in index:
        image, truth = read_frame(index.media(sample.media), 0), index.annotations(sample.objects[0]).mask(0)
        texts = [index.expression(row).text for row in sample.expressions]
        for result in predictor.segment_image(image, texts, short_side=SIDES[0], long_side=SIDES[1]):
            overlaps.append(overlap(result.mask, truth))
    assert len(overlaps) == 12
    expected = referring(overlaps)
    found = evaluate(model, tokenizer, root, [DATA[Task.RIS]], sides=SIDES)[DATA[Task.RIS]]
    assert {name: found[name] for name in expected} == expected


def test_video_numbers_are_those_of_the_tracker(model: UniRef, tokenizer: TextTokenizer, root: Path) -> None:
    from tests.evaluation.oracle import scores

    index = Index.open(root / "index" / DATA[Task.VOS])
    predictor = Predictor(Checkpoint(model, tokenizer, CheckpointMetadata(model=model.config)), "cpu")
    means = []
    for sample in index:
        media = index.media(sample.media)
        tracks = {index.object(row).source_id: index.annotations(row) for row in sample.objects}
        given = {0: {number: track.mask(0) for number, track in tracks.items()}}
        frames = [read_frame(media, t) for t in range(media.length)]
        results = list(predictor.segment_video(frames, masks=given, short_side=SIDES[0], long_side=SIDES[1]))
        for number, track in tracks.items():
            per_frame = []
            for result in results[1:]:
                place = track.at(result.index)
                truth = np.zeros(result.labels.shape, bool) if place is None else track.mask(place)
                per_frame.append(scores(result.labels == number, truth))
            means.append(np.mean(per_frame, axis=0))
    j, f = np.mean(means, axis=0)
    found = evaluate(model, tokenizer, root, [DATA[Task.VOS]], sides=SIDES)[DATA[Task.VOS]]
    assert [found["J"], found["F"], found["J&F"]] == pytest.approx([j, f, (j + f) / 2], abs=1e-12)


def test_the_model_stays_as_it_was(config, tokenizer: TextTokenizer, root: Path) -> None:
    torch.manual_seed(1)
    model = UniRef(config).train()
    assert model.text_encoder is not None
    model.text_encoder.eval()  # a frozen part
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    evaluate(model, tokenizer, root, list(DATA.values()), limit=1, sides=SIDES)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    ids, valid = tokenizer(["the red thing"])
    sum(level.values.sum() for level in model.encode_text(ids, valid)).backward()  # nothing of inference mode is left


@pytest.mark.slow
def test_parts_merge_to_the_same_bits(model: UniRef, tokenizer: TextTokenizer, root: Path, tmp_path: Path) -> None:
    names = [DATA[task] for task in (Task.VOS, Task.RVOS, Task.RIS)]
    alone = evaluate(model, tokenizer, root, names, sides=SIDES)
    for part in range(4):
        assert evaluate(model, tokenizer, root, names, sides=SIDES, out=tmp_path, part=(part, 4)) == {}
    assert evaluate(model, tokenizer, root, names, sides=SIDES, out=tmp_path) == alone


def test_finished_units_are_not_predicted_again(
    model: UniRef, root: Path, tmp_path: Path, perfect: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict.predict_shard
    done: list[int] = []

    def stopping(predictor, store, shard: int) -> None:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(shard)
        whole(predictor, store, shard)

    monkeypatch.setattr(predict, "predict_shard", stopping)
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, None, root, [DATA[Task.VOS]], out=tmp_path)
    rest: list[int] = []
    monkeypatch.setattr(predict, "predict_shard", lambda p, s, shard: (rest.append(shard), whole(p, s, shard)))
    assert evaluate(model, None, root, [DATA[Task.VOS]], out=tmp_path)[DATA[Task.VOS]]["J&F"] == 1
    assert (done, rest) == ([0, 1], [2, 3])


def test_limits(model: UniRef, root: Path, perfect: None, tmp_path: Path) -> None:
    evaluate(model, None, root, [DATA[Task.RIS], DATA[Task.VOS]], limit=2, out=tmp_path)
    lines = (tmp_path / DATA[Task.RIS] / "predictions/00000.jsonl").read_text().splitlines()
    assert len(lines) == 4  # two samples with two texts each
    assert len(list((tmp_path / DATA[Task.VOS] / "scores").iterdir())) == 2


def test_support_images(model: UniRef, root: Path, perfect: None) -> None:
    name = DATA[Task.FSS]  # two classes of three images
    assert evaluate(model, None, root, [name], shots=2)[name]["mIoU"] == 1
    with pytest.raises(UniRefError, match="6 samples left out: their class has fewer than 5 other images"):
        evaluate(model, None, root, [name], shots=5)


def test_what_cannot_be_evaluated(model: UniRef, root: Path) -> None:
    with pytest.raises(UsageError, match="dataset/split"):
        evaluate(model, None, root, ["davis17"])
    with pytest.raises(UniRefError, match="uniref prepare-data davis17 --split val"):
        evaluate(model, None, root, ["davis17/val"])
    with pytest.raises(UsageError, match="no text encoder"):
        evaluate(model, None, root, [DATA[Task.RIS]])
