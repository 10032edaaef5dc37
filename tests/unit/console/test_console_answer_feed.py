"""Recorded answers, published to every open window."""

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
    stop = feed.subscribe(first.extend)
    feed.subscribe(second.extend)
    feed.publish([OUTCOME])
    stop()
    stop()
    feed.publish([OUTCOME])
    assert (len(first), len(second)) == (1, 2)


def test_a_window_that_fails_keeps_nothing_from_the_others() -> None:
    feed = AnswerFeed()
    heard: list[LabelOutcome] = []

    def fail(_: Sequence[LabelOutcome]) -> None:
        raise RuntimeError("closed")

    feed.subscribe(fail)
    feed.subscribe(heard.extend)
    feed.publish([OUTCOME])
    assert heard == [OUTCOME]
