"""The likeness of words and what they mean, on features made by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from uniref.losses.alignment import alignment_loss, coverage

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
