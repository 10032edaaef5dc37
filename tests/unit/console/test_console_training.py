"""The console says whether training is installed, and how to add it."""

import pytest
from astrolens.console import training


def test_an_installation_without_torch_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None if name == "torch" else object())
    status = training.training_status()
    assert not status.available
    assert "torch missing" in status.detail
    assert "make setup" in status.detail


def test_a_full_installation_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda _: object())
    status = training.training_status()
    assert status.available
    assert "make train" in status.detail
