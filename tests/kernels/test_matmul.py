import pytest
import torch

from uniref.kernels.matmul import fast_matmul, onednn_is_exact


def test_products_stay_exact() -> None:
    a, b = torch.randn(300, 256), torch.randn(256, 200)
    with fast_matmul():
        product = a @ b
    assert float((product.double() - a.double() @ b.double()).abs().max()) < 1e-3


def test_the_switch_is_put_back() -> None:
    assert isinstance(onednn_is_exact(), bool)
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    before = getattr(matmul, "fp32_precision", None)
    try:
        with fast_matmul():
            raise RuntimeError
    except RuntimeError:
        pass
    assert getattr(matmul, "fp32_precision", None) == before


def test_a_processor_that_would_round_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with matrix tiles do, where the switch is on."""
    monkeypatch.setattr("uniref.kernels.matmul.onednn_is_exact", lambda: False)
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    before = getattr(matmul, "fp32_precision", None)
    with fast_matmul():
        assert getattr(matmul, "fp32_precision", None) == before


def test_small_images_keep_the_usual_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uniref.kernels.matmul.onednn_is_exact", lambda: True)
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(matmul, "fp32_precision"):
        pytest.skip("this version of PyTorch has no such switch")
    before = matmul.fp32_precision
    for size, permitted in (((96, 128), before), ((480, 864), "bf16")):
        with fast_matmul(torch.empty(1, 3, *size)):
            assert matmul.fp32_precision == permitted
