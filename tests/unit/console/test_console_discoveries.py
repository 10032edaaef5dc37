"""The page of the discovery list: what its address may say, and the nights beside."""

from datetime import UTC, date, datetime, timedelta

import pytest
from astrolens.console.pages.discoveries import asked, other_nights, row, summary
from astrolens.platform.stores.records import to_document
from astrolens.usecases.discoveries import Copies, DiscoveryList
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.views import ImageCard

from tests.made_records import make_image

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
EMPTY = DiscoveryList(
    night=SINCE.date(),
    since=SINCE,
    until=SINCE + timedelta(days=1),
    q=0.1,
    tested=0,
    left_out={},
    complete=True,
    listed=0,
    threshold=None,
    limited=None,
    promise="",
    items=[],
)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"q": "abc"}, "q = 'abc' is no level: give a number"),
        ({"q": "nan"}, "q = 'nan' is no level"),
        ({"q": "0.6"}, "up to 0.5"),
        ({"night": "yesterday"}, "'yesterday' is no night: write its evening as"),
    ],
)
def test_an_address_that_names_no_list_is_refused_in_words(query: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        asked(query)


def test_an_address_names_night_level_and_tail() -> None:
    assert asked({}) == (None, 0.1, False)
    assert asked({"night": "2026-03-01", "q": "0.2", "tail": "assumed"}) == (date(2026, 3, 1), 0.2, True)


def test_a_night_without_images_is_told_from_one_without_promising_p_values() -> None:
    assert summary(EMPTY) == "No image arrived in the night of 2026-03-01."
    held = EMPTY.model_copy(update={"left_out": {"no-promise": 3}})
    assert summary(held) == "No image of the night has a p-value that promises something yet."


def test_the_night_after_is_offered_once_it_has_begun() -> None:
    assert [title for title, _ in other_nights(EMPTY, SINCE + timedelta(hours=23))] == ["night before"]
    assert other_nights(EMPTY, SINCE + timedelta(days=1))[1] == ("night after", date(2026, 3, 2))


def test_a_listed_image_leads_to_its_copies() -> None:
    card = ImageCard.of(to_document(make_image("odd", p_value=0.001)[0]))
    assert len(row(card, None)[0]) == 1
    shown = row(card, Copies(count=29, image_ids=["b" * 32, "c" * 32, "d" * 32, "e" * 32]))[0]
    assert [part["text"] for part in shown[1:]] == ["and 29 copies:", "1", "2", "3"]
    assert shown[2]["href"] == f"/image/{'b' * 32}"
