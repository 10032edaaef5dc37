"""Unreadable documents: each is reported once, in bounded memory."""

import pytest
from astrolens.notifier import unreadable
from astrolens.notifier.unreadable import UnreadableDocuments
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection


def test_each_document_is_reported_once() -> None:
    condition = Condition()
    documents = UnreadableDocuments(condition)
    for _ in range(3):
        documents.report(Collection.ALERTS, "a", "no verdict")
        documents.report(Collection.IMAGES, "a", ValueError("x" * 2000))
    first, second = condition.last_errors
    assert first == "alerts a cannot be read and is skipped: no verdict"
    assert len(second) < 600


def test_of_many_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "MAX_REMEMBERED", 2)
    condition = Condition()
    documents = UnreadableDocuments(condition)
    for name in ("a", "b", "c", "c", "b", "a"):
        documents.report(Collection.ALERTS, name, "damaged")
    assert [error.split()[1] for error in condition.last_errors] == ["a", "b", "c", "a"]
