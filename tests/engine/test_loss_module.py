from __future__ import annotations

import copy

import pytest
import torch

from tests.engine.batches import make_batch
from tests.tiny import tiny_config
from uniref.core.batch import Batch, Targets
from uniref.core.tasks import Task
from uniref.engine.loss_module import LossModule, ground_truth_boxes
from uniref.losses import criterion
from uniref.losses.matching import Matches
from uniref.model.uniref import UniRef
from uniref.recipe.loss import BoxInstConfig, LossConfig, WeightsConfig
from uniref.recipe.model import BackboneConfig, FusionConfig, TextConfig

BATCHES = {
    "detection": make_batch(Task.DETECTION),
    "boxes": make_batch(Task.DETECTION, masks=False),
    "ris": make_batch(Task.RIS),
    "fss": make_batch(Task.FSS),
    "vos": make_batch(Task.VOS),
    "rvos": make_batch(Task.RVOS),
    "rvos_text": make_batch(Task.RVOS, text_only=True),
}


@pytest.fixture(scope="module")
def awake() -> UniRef:
    """A tiny model without dropout, and without layers that still stand at their zero start."""
    torch.manual_seed(0)
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    encoder = tiny_config().text
    assert encoder is not None
    model = UniRef(
        tiny_config(
            text=TextConfig(encoder=encoder.encoder | quiet, dropout=0.0),
            fusion=FusionConfig(heads=2, head_dim=16, dropout=0.0),
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return model


def gradients(loss_module: LossModule, batch: Batch) -> dict[str, torch.Tensor]:
    loss_module.zero_grad()
    torch.stack(list(loss_module(batch, ground_truth_boxes(batch), 0).values())).sum().backward()
    return {name: p.grad.clone() for name, p in loss_module.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", BATCHES)
def test_terms_are_finite_scalars_with_the_expected_names(awake: UniRef, name: str) -> None:
    terms = LossModule(awake, LossConfig(auxiliary_masks=name == "vos"))(BATCHES[name], 2.0, 0)
    kinds = ["ce", "bbox", "giou", *(("prj", "pairwise") if name == "boxes" else ("mask", "dice"))]
    kinds += ["mask_cls", "mask_iou"] if name == "vos" else []
    expected = {f"loss_{kind}{suffix}" for kind in kinds for suffix in ("", "_0")}
    assert set(terms) == expected | {f"loss_{kind}_enc" for kind in ("ce", "bbox", "giou")}
    assert all(term.shape == () and term.dtype == torch.float32 and torch.isfinite(term) for term in terms.values())


def test_every_trainable_parameter_gets_a_gradient_from_some_task(awake: UniRef) -> None:
    model = copy.deepcopy(awake)
    model.backbone.freeze(2)
    loss_module = LossModule(model, LossConfig())
    seen: set[str] = set()
    for batch in BATCHES.values():
        # a key's bias moves all logits of a query alike: its gradient is zero but for rounding
        seen |= {n for n, g in gradients(loss_module, batch).items() if g.abs().max() > 0 or n.endswith("key.bias")}
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert seen == trainable
    frozen = {name for name, _ in model.named_parameters()} - trainable
    assert {name.split(".")[2] for name in frozen} == {"conv1", "layer1"}


@pytest.mark.parametrize(
    ("name", "unused"),
    [
        ("detection", {"text_encoder", "mask_encoder", "fusion"}),
        ("ris", {"mask_encoder"}),
        ("vos", {"text_encoder"}),
        ("rvos", set()),
    ],
)
def test_a_task_reaches_the_parts_that_it_uses(awake: UniRef, name: str, unused: set[str]) -> None:
    learned = {key.split(".")[0] for key in gradients(LossModule(awake, LossConfig()), BATCHES[name])}
    assert learned == {key for key, _ in awake.named_children()} - unused


@pytest.mark.parametrize("name", ["detection", "boxes", "vos"])
def test_masks_in_pieces_change_nothing(awake: UniRef, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loss_module = LossModule(awake, LossConfig(auxiliary_masks=True))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums that several threads share differ by more than the pieces
    try:
        whole = gradients(loss_module, BATCHES[name])
        monkeypatch.setattr(criterion, "_PIXELS", 1)  # one mask at a time
        parts = gradients(loss_module, BATCHES[name])
    finally:
        torch.set_num_threads(threads)
    assert set(whole) == set(parts)
    for key, gradient in whole.items():
        assert torch.allclose(gradient, parts[key], rtol=1e-3, atol=1e-4 * float(gradient.abs().max()) + 1e-6), key


@pytest.mark.parametrize("backbone", ["test_resnet", "swin"])
def test_checkpointing_gives_the_same_gradients(backbone: str) -> None:
    swin = BackboneConfig(
        name="swin_tiny_patch4_window7_224",
        options={"embed_dim": 8, "depths": (1, 1, 2, 1), "num_heads": (1, 1, 2, 2)},
        level_norm=True,
        frozen_batch_norm=False,
        frozen_stages=0,
        drop_path=0.2,
    )
    torch.manual_seed(0)
    model = UniRef(tiny_config(**({"backbone": swin} if backbone == "swin" else {})))
    again = copy.deepcopy(model)
    kept, recomputed = LossModule(model, LossConfig()), LossModule(again, LossConfig(), checkpoint_activations=True)
    for name in ("ris", "fss"):
        torch.manual_seed(1)  # dropout and drop path are active
        expected = gradients(kept, BATCHES[name])
        torch.manual_seed(1)
        found = gradients(recomputed, BATCHES[name])
        assert set(found) == set(expected)
        for key, gradient in expected.items():
            assert torch.allclose(gradient, found[key], rtol=1e-4, atol=1e-6 + 1e-5 * float(gradient.abs().max())), key
    assert set(again.state_dict()) == set(model.state_dict())


def test_checkpointing_keeps_less(awake: UniRef) -> None:
    """Bytes that autograd holds on to after the forward pass."""

    def held(loss_module: LossModule) -> int:
        sizes: dict[int, int] = {}

        def pack(x: torch.Tensor) -> torch.Tensor:
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            terms = loss_module(BATCHES["rvos"], 2.0, 0)
        assert terms
        return sum(sizes.values())

    kept = held(LossModule(copy.deepcopy(awake), LossConfig()))
    assert held(LossModule(copy.deepcopy(awake), LossConfig(), checkpoint_activations=True)) < 0.7 * kept


@pytest.mark.slow
def test_mixed_precision_computes_losses_in_float32(awake: UniRef) -> None:
    loss_module = LossModule(awake, LossConfig(auxiliary_masks=True))
    for name, batch in BATCHES.items():
        full = loss_module(batch, 2.0, 0)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = loss_module(batch, 2.0, 0)
        torch.stack(list(mixed.values())).sum().backward()
        assert all(term.dtype == torch.float32 for term in mixed.values())
        for key in ("loss_ce", "loss_giou_enc"):
            assert mixed[key].item() == pytest.approx(full[key].item(), rel=0.2), (name, key)
    loss_module.zero_grad()


def test_proposals_are_divided_by_the_given_number_of_boxes(awake: UniRef) -> None:
    loss_module = LossModule(awake, LossConfig())
    one, four = loss_module(BATCHES["ris"], 1.0, 0), loss_module(BATCHES["ris"], 4.0, 0)
    for key in one:
        factor = 4 if key.endswith("_enc") else 1
        assert one[key].item() == pytest.approx(factor * four[key].item(), rel=1e-5)


def test_weights_scale_terms_and_proposals_can_be_left_out(awake: UniRef) -> None:
    plain = LossModule(awake, LossConfig())(BATCHES["ris"], 2.0, 0)
    doubled = WeightsConfig(cls=4, l1=10, giou=4, mask=4, dice=10)
    terms = LossModule(awake, LossConfig(weights=doubled, proposals=False))(BATCHES["ris"], 2.0, 0)
    assert set(terms) == {key for key in plain if not key.endswith("_enc")}
    for key, term in terms.items():
        assert term.item() == pytest.approx(2 * plain[key].item(), rel=1e-5)


def test_pairwise_loss_ramps_up(awake: UniRef) -> None:
    """Two layers count two a step, the last one first: 3 of 8 for it in the second step, 4 of 8 for the other."""
    loss_module = LossModule(awake, LossConfig(box_inst=BoxInstConfig(warmup=8)))
    full, ramped = (loss_module(BATCHES["boxes"], 2.0, iteration) for iteration in (100, 1))
    assert ramped["loss_pairwise"].item() == pytest.approx(3 / 8 * full["loss_pairwise"].item(), rel=1e-5)
    assert ramped["loss_pairwise_0"].item() == pytest.approx(4 / 8 * full["loss_pairwise_0"].item(), rel=1e-5)
    assert ramped["loss_prj"].item() == pytest.approx(full["loss_prj"].item(), rel=1e-5)


def test_an_image_without_objects_only_has_classes_to_learn(awake: UniRef) -> None:
    batch = BATCHES["detection"]
    nothing = Targets(
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, *batch.padding.shape[1:]).bool()
    )
    empty = Batch(batch.task, batch.images, batch.padding, (nothing, nothing))
    assert ground_truth_boxes(empty) == 0
    terms = LossModule(awake, LossConfig(auxiliary_masks=True))(empty, 1.0, 0)
    torch.stack(list(terms.values())).sum().backward()
    assert all((term > 0) == ("_ce" in key) for key, term in terms.items())
    awake.zero_grad()


def test_only_some_matches_of_a_layer_are_kept() -> None:
    layers = torch.tensor([0] * 10 + [1] * 3)
    matches = Matches(layers, layers, torch.arange(13), layers)
    kept = matches.at_most(4, 2)
    assert kept.layers.tolist() == [0] * 4 + [1] * 3
    assert kept.queries.tolist() == sorted(kept.queries.tolist())
    assert kept.queries[4:].tolist() == [10, 11, 12]
