import torch

from uniref.ops.dynamic_conv import parameter_count, predict_masks


def test_released_head_has_169_parameters() -> None:
    assert parameter_count(8, 8, 3) == 169


def test_relative_coordinates_and_parameter_order() -> None:
    """One hidden channel that reads x alone: relu(x - 1) * 2 + 5, checked by hand."""
    # layers: 3 -> 1 -> 1 (one feature); weights first (x, y, feature), (hidden), then biases
    parameters = torch.tensor([[1.0, 0.0, 0.0, 2.0, -1.0, 5.0]])
    logits = predict_masks(
        torch.zeros(1, 1, 2, 3), torch.tensor([[10.0, 0.0]]), parameters, width=1, layers=2, stride=4
    )
    # columns stand at x = 2, 6, 10, so the relative coordinate is 8, 4, 0
    assert logits.tolist() == [[[19.0, 11.0, 5.0], [19.0, 11.0, 5.0]]]


def test_shared_features_equal_repeated_ones() -> None:
    features, centres = torch.randn(1, 8, 4, 5), torch.rand(3, 2) * 20
    parameters = torch.randn(3, 169)
    shared = predict_masks(features, centres, parameters, width=8, layers=3, stride=4)
    repeated = predict_masks(features.expand(3, -1, -1, -1), centres, parameters, width=8, layers=3, stride=4)
    torch.testing.assert_close(shared, repeated)
