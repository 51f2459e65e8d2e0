import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from uniref.ops.images import aligned_bilinear, fit_size, resize_nearest


@pytest.mark.parametrize(
    ("size", "sides", "expected"),
    [
        ((480, 640), (800, 1333), (800, 1067)),
        ((640, 480), (800, 1333), (1067, 800)),
        ((400, 1000), (800, 1333), (533, 1333)),
        ((480, 854), (480, 1333), (480, 854)),
        ((333, 500), (480, 768), (480, 721)),
        ((10, 10), (None, None), (10, 10)),
        ((3, 1000), (480, None), (480, 160000)),
    ],
)
def test_sizes_worked_by_hand(
    size: tuple[int, int], sides: tuple[int | None, int | None], expected: tuple[int, int]
) -> None:
    assert fit_size(*size, *sides) == expected


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_limits_hold(height: int, width: int) -> None:
    h, w = fit_size(height, width, 480, 768)
    assert 1 <= min(h, w) <= 480
    assert max(h, w) <= 768


def test_aligned_upsampling_puts_pixels_on_their_places() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    up = aligned_bilinear(x, 4)
    assert up.shape == (1, 1, 12, 16)
    torch.testing.assert_close(up[0, 0, 2::4, 2::4], x[0, 0])
    torch.testing.assert_close(up[0, 0, 2, 4], torch.tensor(0.5))  # half way between the first two


def test_nearest_keeps_type_and_identity() -> None:
    mask = torch.tensor([[True, False], [False, True]])
    assert resize_nearest(mask, (2, 2)) is mask
    assert resize_nearest(mask, (4, 4)).dtype == torch.bool
    assert resize_nearest(mask[None], (4, 4))[0].tolist()[0] == [True, True, False, False]
