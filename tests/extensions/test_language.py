# ruff: noqa: F811 - fixtures are imported by name
"""The language extension: alignment of words and what they mean, dense proposals, initial values, and sampling."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data import toy
from tests.data.train import test_loader
from tests.data.train.test_loader import make, root  # noqa: F401 - fixtures
from tests.engine.test_loss_module import BATCHES, awake, gradients  # noqa: F401 - a fixture
from tests.tiny import tiny_config
from uniref.core.batch import Batch, Targets
from uniref.core.errors import UsageError
from uniref.core.tasks import Task
from uniref.data.index import Index
from uniref.engine.loss_module import LossModule
from uniref.extensions.language import (
    LanguageLosses,
    Phrases,
    alignment_loss,
    coverage,
    match_covered_tokens,
)
from uniref.extensions.plugins import source_hooks
from uniref.losses.criterion import LossHooks, PredictMasks, Terms
from uniref.losses.matching import Matches
from uniref.model.structures import Detections
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef
from uniref.recipe.data import SourceConfig
from uniref.recipe.language import LanguageConfig
from uniref.recipe.loss import LossConfig
from uniref_cli.app import run

HOOKS = {"open_hooks": source_hooks}
SENTENCE = torch.eye(4)[:1]


def scene(inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    """Features [1, 4, 4, 4] at stride 8 and the mask [1, 32, 32] of their left half."""
    features = outside[None, :, None, None].expand(1, 4, 4, 4).clone()
    features[..., :2] = inside[None, :, None, None]
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[..., :16] = True
    return features, mask


def loss(features: Tensor, mask: Tensor, padding: Tensor | None = None) -> Tensor:
    padding = torch.zeros(1, 4, 4, dtype=torch.bool) if padding is None else padding
    return alignment_loss([features], [padding], SENTENCE, mask)


def test_it_is_zero_where_the_object_alone_is_like_the_sentence() -> None:
    features, mask = scene(SENTENCE[0], -SENTENCE[0])
    assert 0 <= float(loss(features, mask)) < 1e-6


def test_without_likeness_it_is_the_share_of_the_picture_that_is_not_the_object() -> None:
    features, mask = scene(torch.eye(4)[1], torch.eye(4)[2])
    assert torch.isclose(loss(features, mask), torch.tensor(2.0).log())
    padding = torch.zeros(1, 4, 4, dtype=torch.bool)
    padding[..., 2:] = True  # nothing but the object is left
    assert float(loss(features, mask, padding)) < 1e-6


def test_it_grows_where_something_else_is_meant_and_descending_cures_that() -> None:
    features, mask = scene(-SENTENCE[0], SENTENCE[0])
    features = (
        features + 0.1 * torch.randn(features.shape, generator=torch.Generator().manual_seed(0))
    ).requires_grad_()
    before = loss(features, mask)
    assert float(before.detach()) > 10
    optimizer = torch.optim.Adam([features], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        loss(features, mask).backward()
        optimizer.step()
    assert float(loss(features, mask)) < 0.1


def test_a_level_in_which_the_object_is_nowhere_does_not_count() -> None:
    features, mask = scene(torch.eye(4)[1], torch.eye(4)[2])
    small = torch.zeros_like(mask)
    small[..., :2, :2] = True
    assert float(loss(features, small)) == 0
    both = alignment_loss(
        [features.repeat(1, 1, 4, 4), features],
        [torch.zeros(1, n, n, dtype=torch.bool) for n in (16, 4)],
        SENTENCE,
        small,
    )
    assert torch.isclose(both, torch.tensor(256.0).log(), rtol=0.1)


def test_several_sentences_of_one_image_count_like_images_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 4, 4, 4, generator=generator)
    padding = torch.zeros(2, 4, 4, dtype=torch.bool)
    padding[1, 3:] = True
    sentences = torch.randn(3, 4, generator=generator)
    masks = torch.zeros(3, 32, 32, dtype=torch.bool)
    masks[0, :16], masks[1, :, :16], masks[2, 8:24, 8:24] = True, True, True
    images = torch.tensor([1, 0, 1])
    together = alignment_loss([features], [padding], sentences, masks, images)
    apart = [
        alignment_loss([features[i : i + 1]], [padding[i : i + 1]], sentences[p : p + 1], masks[p : p + 1])
        for p, i in enumerate(images.tolist())
    ]
    assert torch.isclose(together, torch.stack(apart).mean())


def test_coverage_counts_pixels_of_every_place_level_by_level() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[0, :4, :2] = True
    assert coverage(mask, [(2, 2), (1, 1)]).tolist() == [[0.5, 0, 0, 0, 0.125]]


def with_language(model: UniRef, **settings: float) -> LossModule:
    return LossModule(model, LossConfig(), hooks=LanguageLosses(LanguageConfig(**settings)))


def test_likeness_of_words_is_learnt_where_asked_for_and_alone_without_detection(awake: UniRef) -> None:
    with_text = with_language(awake, align=2.0)
    alone = with_language(awake, align=2.0, align_only=True)
    terms = alone(BATCHES["ris"], 2.0, 0)
    assert set(terms) == {"loss_align"}
    assert torch.equal(with_text(BATCHES["ris"], 2.0, 0)["loss_align"], terms["loss_align"])
    assert "loss_align" not in with_text(BATCHES["vos"], 2.0, 0)
    assert "loss_align" not in LossModule(awake, LossConfig())(BATCHES["ris"], 2.0, 0)
    parts = {name.split(".")[0] for name in gradients(alone, BATCHES["ris"])}
    assert parts == {"backbone", "projection", "text_encoder"}
    with pytest.raises(UsageError, match="texts alone"):
        alone(BATCHES["vos"], 2.0, 0)


def test_further_phrases_teach_likeness_and_nothing_else(awake: UniRef) -> None:
    loss_module = with_language(awake, align=2.0)
    batch = BATCHES["ris"]
    assert batch.text is not None
    own = [each.masks.any(0) for each in batch.targets if each.masks is not None]
    told = replace(batch, extra=Phrases(batch.text, torch.stack(own), torch.arange(len(batch))))
    swapped = Phrases(batch.text, torch.stack(own[::-1]), torch.arange(len(batch)).flip(0))
    plain, again, more = (loss_module(each, 2.0, 0) for each in (batch, told, replace(batch, extra=swapped)))
    assert torch.isclose(again["loss_align"], plain["loss_align"])  # the same once more
    assert not torch.isclose(more["loss_align"], plain["loss_align"])
    assert all(torch.equal(more[name], plain[name]) for name in plain if name != "loss_align")


def test_proposals_inside_the_mask_learn_the_object_with_its_class_and_box(awake: UniRef) -> None:
    loss_module = with_language(awake, dense_proposals=True)
    batch = BATCHES["detection"]
    sizes = [(8, 12), (4, 6), (2, 3)]
    matches = match_covered_tokens(batch, sizes)
    masks = batch.targets[0].masks
    assert masks is not None
    for row, place, target in zip(matches.rows, matches.queries, matches.targets, strict=True):
        level = 0 if place < 96 else 1 if place < 120 else 2
        y, x = divmod(int(place) - (0, 96, 120)[level], sizes[level][1])
        stride = 8 << level
        cell = masks[target - 2 * row, y * stride : (y + 1) * stride, x * stride : (x + 1) * stride]
        assert cell.float().mean() >= 0.25
    assert set(matches.targets.tolist()) == {0, 1, 2, 3}
    assert len(matches) > 4 * 10  # each rectangle covers 16 places of the first level wholly
    boxes = loss_module(batch, 2.0, 0)
    released = LossModule(awake, LossConfig())(batch, 2.0, 0)
    assert {name for name in boxes if not torch.equal(boxes[name], released[name])} == {
        "loss_ce_enc",
        "loss_bbox_enc",
        "loss_giou_enc",
    }


def test_proposals_inside_need_masks(awake: UniRef) -> None:
    with pytest.raises(UsageError, match="dense_proposals"):
        with_language(awake, dense_proposals=True)(BATCHES["boxes"], 2.0, 0)


def test_a_picture_without_objects_has_no_proposals_inside_one() -> None:
    batch = BATCHES["detection"]
    nothing = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 64, 96, dtype=torch.bool))
    matches = match_covered_tokens(replace(batch, targets=(nothing, batch.targets[1])), [(8, 12), (4, 6), (2, 3)])
    assert set(matches.rows.tolist()) == {1}
    assert set(matches.targets.tolist()) == {0, 1}


class Seen(LossHooks):
    """Keeps what the losses are made of."""

    def losses(self, batch: Batch, detections: Detections, matches: Matches, predict_masks: PredictMasks) -> Terms:
        self.logits, self.matches = detections.logits.detach(), matches
        return {}


def without_object(batch: Batch, *rows: int) -> Batch:
    """A batch whose texts refer to nothing in some of its images."""
    nothing = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 64, 96, dtype=torch.bool))
    return replace(batch, targets=tuple(nothing if i in rows else each for i, each in enumerate(batch.targets)))


def test_where_a_text_refers_to_nothing_every_query_learns_that_and_nothing_else_is_learnt(awake: UniRef) -> None:
    """Against float64, written out: focal loss over all queries, divided by the matches of the layer."""
    seen = Seen()
    batch = without_object(BATCHES["ris"], 1)
    terms = LossModule(awake, LossConfig(), hooks=seen)(batch, 1.0, 0)
    focal, weight = LossConfig().focal, LossConfig().weights.cls
    p = seen.logits.double().sigmoid()
    for layer, name in enumerate(["loss_ce_0", "loss_ce"]):
        chosen = seen.matches.layers == layer
        assert set(seen.matches.rows[chosen].tolist()) == {0}
        is_object = torch.zeros(p.shape[1:], dtype=torch.bool)
        is_object[0, seen.matches.queries[chosen], 0] = True
        positive = -focal.alpha * (1 - p[layer]) ** focal.gamma * p[layer].log()
        negative = -(1 - focal.alpha) * p[layer] ** focal.gamma * (1 - p[layer]).log()
        expected = weight * torch.where(is_object, positive, negative).sum() / chosen.sum()
        assert abs(float(terms[name]) - float(expected)) < 1e-5 * float(expected)
    # boxes and masks are those of the other image alone
    whole = LossModule(awake, LossConfig(), hooks=(both := Seen()))(BATCHES["ris"], 1.0, 0)
    assert set(both.matches.rows.tolist()) == {0, 1}
    assert set(whole) == set(terms)


@pytest.mark.parametrize("dense", [False, True])
def test_a_batch_of_texts_that_refer_to_nothing_teaches_scores_alone(awake: UniRef, dense: bool) -> None:
    settings = {"align": 0.5, "dense_proposals": dense}
    loss_module = with_language(awake, **settings)
    batch = without_object(BATCHES["ris"], 0, 1)
    terms = loss_module(batch, 1.0, 0)
    assert all(torch.isfinite(term) for term in terms.values())
    learnt = {name for name, term in terms.items() if float(term.detach()) != 0}
    assert learnt == {"loss_ce", "loss_ce_0", "loss_ce_enc"}
    loss_module.zero_grad()
    torch.stack(list(terms.values())).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in loss_module.parameters() if p.grad is not None)


def test_initial_values_open_the_gate_and_share_the_projections() -> None:
    torch.manual_seed(0)
    model = UniRef(tiny_config())
    fusion = model.fusion
    assert fusion is not None
    others = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    LanguageLosses(LanguageConfig(fusion_gate=1.0, shared_projections=True)).initialise(model)
    assert torch.equal(fusion.key.weight, fusion.query.weight)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, others[name])}
    assert changed == {"fusion.key.weight", "fusion.modulation.bias"}
    width = len(fusion.modulation.bias) // 3
    assert fusion.modulation.bias.tolist() == [0.0] * (2 * width) + [1.0] * width
    LanguageLosses(LanguageConfig()).initialise(UniRef(tiny_config(fusion=None, text=None, mask_encoder=None)))


def test_with_shared_projections_tokens_attend_to_their_like() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(1, 6, 64)
    own = []
    for shared in (False, True):
        model = UniRef(tiny_config()).eval()
        LanguageLosses(LanguageConfig(shared_projections=shared)).initialise(model)
        fusion = model.fusion
        assert fusion is not None
        width = fusion.query.in_features
        query = fusion.query(fusion.query_norm(tokens[..., :width])).unflatten(2, (fusion.heads, fusion.head_dim))
        keys = fusion.key(fusion.key_norm(tokens[..., :width])).unflatten(2, (fusion.heads, fusion.head_dim))
        logits = torch.einsum("bqhd,bkhd->bhqk", query, keys)[0]
        own.append(float((logits.argmax(-1) == torch.arange(6)).float().mean()))
    assert own[1] == 1 > own[0]


@pytest.mark.slow
def test_only_expressions_of_the_kinds_asked_for(
    tmp_path: Path, make: test_loader.Make, tokenizer: TextTokenizer
) -> None:
    texts = [["red:colour", "left:place"]] * 2 + [["grey:colour noun"]] + [["thing:noun"]] * 3
    toy.images(tmp_path, Task.RIS, toy.scenes(6), name="kinds", expressions=texts)

    def words(*kinds: str) -> set[str]:
        batches = test_loader.flat(
            make({"index": "kinds/train", "language": {"kinds": kinds}}, root=tmp_path, end_step=12, **HOOKS)
        )
        ids = {tuple(row.tolist()) for batch in batches if batch.text for row in batch.text.ids[:, :3]}
        return {text for text in ("red", "left", "grey", "thing") if tuple(tokenizer([text])[0][0].tolist()) in ids}

    assert words() == {"red", "left", "grey", "thing"}
    assert words("colour") == {"red"}
    assert words("noun", "place") == {"left", "thing"}
    with pytest.raises(UsageError, match="kinds/train: has no expressions of the kinds motion"):
        make({"index": "kinds/train", "language": {"kinds": ["motion"]}}, root=tmp_path, **HOOKS)


@pytest.mark.slow
def test_further_phrases_of_a_picture_mean_what_they_say(
    tmp_path: Path, make: test_loader.Make, tokenizer: TextTokenizer
) -> None:
    """Red and blue objects, left and right of the middle; an ordinal is left out where the picture was cropped."""
    pictures = toy.scenes(8, portrait=3, scale=2)
    texts = {
        colour: [
            [f"{colour} {scene.side(colour)}:place", f"1st {colour}:place", " :place", f"{colour} thing:noun"]
            for scene in pictures
        ]
        for colour in ("red", "blue")
    }
    toy.images(tmp_path, Task.RIS, pictures, "two", expressions=texts["red"], blue_expressions=texts["blue"])
    ids = {word: tokenizer([word])[0][0, 1].item() for word in ("red", "blue", "left", "right", "1st", "thing")}
    crop = {
        "augment": test_loader.SMALL.model_copy(update={"crop": 0.5, "crop_short_sides": (96,), "crop_sides": (80, 90)})
    }
    source = {"index": "two/train", "language": {"kinds": ["place"], "phrases": 3}}
    batches = test_loader.flat(make(source, root=tmp_path, data=crop, end_step=16, **HOOKS))
    counted = 0
    for batch in batches:
        phrases = batch.extra
        assert isinstance(phrases, Phrases) and phrases.masks.shape == (len(phrases.images), *batch.images.shape[-2:])
        assert phrases.images.bincount(minlength=2).max() <= 3
        for tokens, mask, row in zip(phrases.text.ids, phrases.masks, phrases.images, strict=True):
            image = batch.images[row]
            blue = (image[2] - image[0]) > 1.5
            assert ids["thing"] not in tokens
            assert test_loader.agreement(mask, test_loader.reddest(image) if ids["red"] in tokens else blue) > 0.7
            counted += ids["1st"] in tokens
            if ids["left"] in tokens or ids["right"] in tokens:
                other = blue if ids["red"] in tokens else test_loader.reddest(image)
                if other.any():
                    left = mask.nonzero()[:, 1].float().mean() < other.nonzero()[:, 1].float().mean()
                    assert left == (ids["left"] in tokens)
    assert {ids["red"], ids["blue"]} <= {int(each) for batch in batches for each in batch.extra.text.ids.flatten()}
    assert counted
    plain = test_loader.flat(
        make({"index": "two/train", "language": {"kinds": ["place"]}}, root=tmp_path, data=crop, end_step=16, **HOOKS)
    )
    assert all(each.extra is None for each in plain)
    assert all(torch.equal(a.images, b.images) and a.ids == b.ids for a, b in zip(batches, plain, strict=True))


def test_further_phrases_are_for_images(make: test_loader.Make) -> None:
    source = {"index": "ris/train", "task": "rvos", "language": {"phrases": 2}}
    with pytest.raises(UsageError, match=r"ris/train: `phrases` is for images .* not for rvos"):
        make(source, **HOOKS)


def test_absent_phrases_need_images_and_expressions_that_refer_to_nothing(make: test_loader.Make) -> None:
    source = {"index": "ris/train", "task": "rvos", "language": {"absent": 0.1}}
    with pytest.raises(UsageError, match=r"ris/train: `absent` is for images .* not for rvos"):
        make(source, **HOOKS)
    with pytest.raises(UsageError, match="ris/train: `absent` needs expressions that refer to nothing"):
        make({"index": "ris/train", "language": {"absent": 0.1}}, **HOOKS)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes with expressions that refer to nothing."""
    root = tmp_path_factory.mktemp("drawn")
    options = ["--images", "24", "--size", "96", "--workers", "1", "--split", "train-ris", "--quiet"]
    assert run(["prepare-data", "synthetic", "--root", str(root), *options]) == 0
    return root


def test_absent_phrases_come_as_often_as_asked_for_and_refer_to_nothing_in_their_image(
    drawn: Path, make: test_loader.Make
) -> None:
    index = Index.open(drawn / "index" / "synthetic" / "train-ris")
    records = json_records(drawn)
    source = {"index": "synthetic/train-ris", "language": {"absent": 0.4, "phrases": 2}}
    hooks = source_hooks(SourceConfig(**source), index, Task.RIS)
    rng = np.random.default_rng(0)
    rows = [row for row in range(len(index)) if not index.sample(row).no_target]
    drawn_texts = [(row, hooks.draw_absent(index.sample(row), rng)) for row in rows for _ in range(8)]
    share = np.mean([text is not None for _, text in drawn_texts])
    assert abs(share - 0.4) < 3 * (0.4 * 0.6 / len(drawn_texts)) ** 0.5 + 0.02
    # by the scene's own knowledge nothing fits
    for row, text in drawn_texts:
        name = index.media(index.sample(row).media).name
        assert text is None or text in records[name]
    # samples without an object have no target, and no further phrase is one of theirs
    options = {"augment": test_loader.SMALL.model_copy(update={"crop": 0.0})}
    batches = test_loader.flat(make(source, root=drawn, data=options, end_step=12, **HOOKS))
    counts = [len(target.boxes) for batch in batches for target in batch.targets]
    assert set(counts) == {0, 1}
    for batch in batches:
        assert all(target.masks is not None and len(target.masks) == len(target.boxes) for target in batch.targets)
        assert batch.extra is None or batch.extra.masks.flatten(1).any(1).all()


def json_records(root: Path) -> dict[str, list[str]]:
    """Expressions of each scene that refer to nothing."""
    files = sorted(root.glob("media/synthetic/*/train/scenes/*.json"))
    return {path.stem: json.loads(path.read_text("utf-8"))["absent"] for path in files}


def test_without_absent_phrases_samples_are_the_same_as_before(drawn: Path, make: test_loader.Make) -> None:
    """Expressions that refer to nothing are in the index, but change no sample where they are not asked for."""
    plain, none = (
        test_loader.flat(make({"index": "synthetic/train-ris", **each}, root=drawn, end_step=6, **HOOKS))
        for each in ({}, {"language": {"absent": 0.0}})
    )
    assert all(test_loader.same(a, b) for a, b in zip(plain, none, strict=True))
    assert all(len(target.boxes) == 1 for batch in plain for target in batch.targets)
