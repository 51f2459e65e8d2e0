import torch
from hypothesis import given
from hypothesis import strategies as st

from uniref.core.boxes import cxcywh_to_xyxy, inverse_sigmoid, xyxy_to_cxcywh


def test_corners_of_a_box_worked_by_hand() -> None:
    assert cxcywh_to_xyxy(torch.tensor([5.0, 4.0, 6.0, 2.0])).tolist() == [2, 3, 8, 5]


@given(st.lists(st.floats(0, 100, width=32), min_size=4, max_size=4))
def test_formats_round_trip(values: list[float]) -> None:
    boxes = torch.tensor([values])
    torch.testing.assert_close(xyxy_to_cxcywh(cxcywh_to_xyxy(boxes)), boxes, atol=1e-4, rtol=1e-5)


def test_inverse_sigmoid_clamps_both_ends() -> None:
    x = torch.tensor([0.0, 0.3, 1.0])
    out = inverse_sigmoid(x)
    torch.testing.assert_close(out.sigmoid()[1], x[1])
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out[2], torch.log(torch.tensor(1e5)))
