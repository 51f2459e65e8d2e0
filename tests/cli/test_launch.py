"""The launcher of several processes on one machine; whole trainings with it are in tests/engine/test_distributed.py."""

from __future__ import annotations

import signal

import pytest
from torch.distributed.elastic.metrics import prof
from torch.distributed.elastic.multiprocessing.api import SignalException

from uniref_cli.launch import signal_behind


def stopped() -> None:
    raise SignalException("stopped", sigval=signal.SIGTERM)


def test_a_signal_is_found_behind_the_failure_that_it_caused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes in the first line of a function that PyTorch times: it has no time to subtract then."""
    monkeypatch.setattr("torch.distributed.elastic.metrics.api.time.time", stopped)
    with pytest.raises(UnboundLocalError) as raised:
        prof(lambda: None)()
    monkeypatch.undo()
    assert signal_behind(raised.value) == signal.SIGTERM
    with pytest.raises(SignalException) as plain:
        stopped()
    assert signal_behind(plain.value) == signal.SIGTERM
    assert signal_behind(ValueError("of another kind")) is None
