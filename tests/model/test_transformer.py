import torch

from uniref.model.deformable_transformer import DeformableTransformer, level_anchors, pixel_centres, valid_ratio
from uniref.recipe.model import TransformerConfig

SIZES = [(8, 10), (4, 5), (2, 3), (1, 2)]


def transformer(classes: int = 1) -> DeformableTransformer:
    config = TransformerConfig(heads=4, encoder_layers=2, decoder_layers=3, ffn_dim=32, queries=12)
    return DeformableTransformer(config, dim=16, levels=4, classes=classes).eval()


def levels(batch: int = 2) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return [torch.randn(batch, 16, *s) for s in SIZES], [torch.zeros(batch, *s, dtype=torch.bool) for s in SIZES]


def test_shapes() -> None:
    found = transformer(classes=5)(*levels(), with_proposals=True)
    assert found.logits.shape == (3, 2, 12, 5)
    assert found.boxes.shape == found.reference_boxes.shape == (3, 2, 12, 4)
    assert found.query_states.shape == (3, 2, 12, 16)
    assert [tuple(m.shape[-2:]) for m in found.memory] == SIZES
    assert found.proposals is not None
    assert found.proposals.boxes.shape == (2, sum(h * w for h, w in SIZES), 4)
    assert ((found.boxes >= 0) & (found.boxes <= 1)).all()


def test_proposals_do_not_change_the_predictions() -> None:
    net, (xs, pads) = transformer(), levels()
    with_all, without = net(xs, pads, with_proposals=True), net(xs, pads)
    torch.testing.assert_close(with_all.boxes, without.boxes)
    assert without.proposals is None


def test_padded_tokens_have_no_influence() -> None:
    net, (xs, pads) = transformer(), levels()
    for pad in pads:
        pad[0, :, -1] = pad.shape[2] > 2
    before = net(xs, pads)
    for x, pad in zip(xs, pads, strict=True):
        x.masked_fill_(pad[:, None], 30.0)
    after = net(xs, pads)
    torch.testing.assert_close(after.logits, before.logits)
    torch.testing.assert_close(after.boxes, before.boxes)


def test_a_batch_equals_its_images_one_by_one() -> None:
    net, (xs, pads) = transformer(), levels()
    pads[0][1, 6:] = True
    together = net(xs, pads)
    for i in range(2):
        alone = net([x[i : i + 1] for x in xs], [p[i : i + 1] for p in pads])
        torch.testing.assert_close(alone.boxes[:, 0], together.boxes[:, i], atol=1e-5, rtol=1e-4)


def test_each_layer_starts_from_the_refined_box_before_it() -> None:
    net = transformer()
    for head in net.box_heads:
        torch.nn.init.normal_(head.layers[-1].weight)
    found = net(*levels())
    torch.testing.assert_close(found.reference_boxes[1:], found.boxes[:-1], atol=1e-5, rtol=1e-4)


def test_look_forward_twice_lets_gradients_reach_the_layer_before() -> None:
    net = transformer()
    for head in net.box_heads:
        torch.nn.init.normal_(head.layers[-1].weight, std=0.1)
    net(*levels()).boxes[2].sum().backward()
    reached = [float(head.layers[0].weight.grad.abs().sum()) > 0 for head in net.box_heads[:3]]
    assert reached == [False, True, True]  # the layer itself and the one before it, not two layers back


def test_geometry_worked_by_hand() -> None:
    padding = torch.zeros(1, 2, 4, dtype=torch.bool)
    padding[..., 2:] = True
    assert valid_ratio(padding).tolist() == [[0.5, 1.0]]
    anchors = level_anchors(padding, (2, 4), level=1)
    assert anchors.shape == (1, 8, 4)
    torch.testing.assert_close(anchors[0, 0], torch.tensor([0.25, 0.25, 0.1, 0.1]))
    centres = pixel_centres([(2, 4)], torch.tensor([[[0.5, 1.0]]]))
    torch.testing.assert_close(centres[0, 5, 0], torch.tensor([1.5 / 4, 1.5 / 2]))
