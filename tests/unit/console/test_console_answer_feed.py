"""Answers, told to every open window."""

from collections.abc import Sequence

from astrolens.console.answer_feed import AnswerFeed
from astrolens.contracts.records import Answer
from astrolens.usecases.labelling import LabelOutcome

OUTCOME = LabelOutcome(
    image_id="a" * 32,
    label_id="l1",
    answer=Answer.ARTEFACT,
    previous=None,
    label=Answer.ARTEFACT,
    answers={"vera": Answer.ARTEFACT},
)


def test_all_who_listen_are_told_until_they_stop() -> None:
    feed = AnswerFeed()
    first: list[LabelOutcome] = []
    second: list[LabelOutcome] = []
    stop = feed.listen(first.extend)
    feed.listen(second.extend)
    feed.tell([OUTCOME])
    stop()
    stop()
    feed.tell([OUTCOME])
    assert (len(first), len(second)) == (1, 2)


def test_a_window_that_fails_keeps_nothing_from_the_others() -> None:
    feed = AnswerFeed()
    heard: list[LabelOutcome] = []

    def fail(_: Sequence[LabelOutcome]) -> None:
        raise RuntimeError("closed")

    feed.listen(fail)
    feed.listen(heard.extend)
    feed.tell([OUTCOME])
    assert heard == [OUTCOME]
