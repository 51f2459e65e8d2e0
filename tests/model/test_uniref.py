import pytest
import torch

from tests.tiny import tiny_config
from uniref.core.errors import UsageError
from uniref.model.structures import batch_references
from uniref.model.text import TextTokenizer
from uniref.model.uniref import UniRef


def padded(*sizes: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.zeros(len(sizes), 3, 96, 96)
    padding = torch.ones(len(sizes), 96, 96, dtype=torch.bool)
    for i, (h, w) in enumerate(sizes):
        images[i, :, :h, :w] = torch.randn(3, h, w, generator=torch.Generator().manual_seed(i))
        padding[i, :h, :w] = False
    return images, padding


@torch.no_grad()
def test_a_batch_of_two_sizes_equals_two_single_runs(model: UniRef) -> None:
    images, padding = padded((96, 60), (50, 96))
    ids, valid = TextTokenizer.bert_base_uncased()(["the red car on the left", "a dog"])
    reference = model.project(model.encode_text(ids, valid))
    fused = model.fuse(model.encode_image(images, padding), [reference])
    found = model.detect(fused)
    queries = model.best_queries(found)
    logits = model.predict_best_masks(fused, found, queries)
    for i in range(2):
        one = model.project(model.encode_text(ids[i : i + 1, : int(valid[i].sum())], valid[i : i + 1, valid[i]]))
        alone = model.fuse(model.encode_image(images[i : i + 1], padding[i : i + 1]), [one])
        seen = model.detect(alone)
        torch.testing.assert_close(seen.logits[:, 0], found.logits[:, i], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(seen.boxes[:, 0], found.boxes[:, i], atol=1e-4, rtol=1e-4)
        drawn = model.predict_best_masks(alone, seen, queries[i : i + 1])[0]
        torch.testing.assert_close(drawn, logits[i], atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_objects_of_one_image_as_a_batch(model: UniRef) -> None:
    images, padding = padded((96, 96))
    features = model.encode_image(images, padding)
    masks = torch.zeros(3, 96, 96)
    for i in range(3):
        masks[i, 10 * i : 10 * i + 30, 20:50] = 1
    together = model.encode_mask(features, images, masks)
    singles = [model.encode_mask(features, images, masks[i : i + 1]) for i in range(3)]
    for level, tokens in enumerate(together):
        torch.testing.assert_close(tokens.values, torch.cat([s[level].values for s in singles]), atol=1e-4, rtol=1e-4)
    batch = batch_references([model.project(s) for s in singles])
    found = model.detect(model.fuse(features, [batch]))
    assert found.logits.shape[1] == 3
    alone = model.detect(model.fuse(features, [model.project(singles[1])]))
    torch.testing.assert_close(found.logits[:, 1], alone.logits[:, 0], atol=1e-4, rtol=1e-4)


def test_the_reference_matters(model: UniRef) -> None:
    images, padding = padded((96, 96))
    tokenizer = TextTokenizer.bert_base_uncased()
    with torch.no_grad():
        features = model.encode_image(images, padding)
        a, b = (
            model.fuse(features, [model.project(model.encode_text(*tokenizer([t])))]).levels[0]
            for t in ("the red car", "a green frog")
        )
        assert model.fuse(features, []) is features
    assert not torch.allclose(a, b)


def test_parts_that_a_checkpoint_lacks_are_named() -> None:
    model = UniRef(tiny_config(text=None, mask_encoder=None, fusion=None, classes=7)).eval()
    images, padding = padded((96, 96))
    with torch.no_grad():
        features = model.encode_image(images, padding)
        assert model.detect(features).logits.shape[-1] == 7
        with pytest.raises(UsageError, match="no text encoder"):
            model.encode_text(torch.ones(1, 3, dtype=torch.int64), torch.ones(1, 3, dtype=torch.bool))
        with pytest.raises(UsageError, match="no mask encoder"):
            model.encode_mask(features, images, torch.ones(1, 96, 96))


def test_training_mode_reaches_every_parameter(model: UniRef) -> None:
    net = UniRef(tiny_config())
    torch.nn.init.normal_(net.fusion.modulation.weight)
    for head in net.transformer.box_heads:
        torch.nn.init.normal_(head.layers[-1].weight)
    images, padding = padded((96, 96), (64, 96))
    features = net.encode_image(images, padding)
    text = net.project(net.encode_text(*TextTokenizer.bert_base_uncased()(["red car", "dog"])))
    mask = net.project(net.encode_mask(features, images, (images[:, 0] > 0).float()))
    fused = net.fuse(features, [text, mask])
    found = net.detect(fused, with_proposals=True)
    logits = net.predict_best_masks(fused, found, torch.tensor([0, 3]))
    loss = logits.square().mean() + found.logits.square().sum() + found.boxes.sum()
    (loss + found.proposals.logits.sum() + found.proposals.boxes.sum()).backward()
    unused = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    # the last query-position half belongs to the content that mixed selection leaves out
    assert unused == []
