"""The catalogues' panel of an image's page: unknown is not novel, and what strangers write is text."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from astrolens.console.pages.catalogue_panel import catalogues
from astrolens.contracts.catalogues import CatalogueAnswer, Counterpart, CrossmatchStatus, MatchStatus
from astrolens.contracts.records import Reason
from astrolens.usecases.crossmatches import CrossmatchView

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def view(status: CrossmatchStatus, *answers: CatalogueAnswer, **given: Any) -> CrossmatchView:
    fields: dict[str, Any] = {
        "image_id": "a" * 32,
        "state": "settled",
        "status": status,
        "possible_discovery": status is CrossmatchStatus.UNMATCHED,
        "reason": Reason(code="summed", detail="what they say"),
        "references": None,
        "answers": [answer.model_dump(mode="json") for answer in answers],
        "revision": 1,
        "tries": 1,
        "matched_at": NOW,
        "next_try_at": None,
    }
    return CrossmatchView(**fields | given)


def answer(status: MatchStatus, *counterparts: Counterpart, **given: Any) -> CatalogueAnswer:
    return CatalogueAnswer(catalogue="simbad", required=True, status=status, counterparts=counterparts, **given)


def galaxy(**given: Any) -> Counterpart:
    return Counterpart(name="M 51", object_type="G", ra_deg=202.47, dec_deg=47.195, separation_arcsec=1.25, **given)


def test_a_known_object_is_named_with_its_distance_and_a_link() -> None:
    found = answer(MatchStatus.MATCHED, galaxy(link="https://simbad.example/m51", chance_probability=0.002))
    html = catalogues(view(CrossmatchStatus.KNOWN, found, references=1500), NOW)
    assert "<b>Known</b>" in html
    assert '<a href="https://simbad.example/m51" target="_blank" rel="noopener noreferrer">M 51</a>' in html
    assert "1.25″ away" in html
    assert "1,500 references in the literature" in html


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (CrossmatchStatus.KNOWN, "Known"),
        (CrossmatchStatus.UNMATCHED, "Possible discovery"),
        (CrossmatchStatus.UNDETERMINED, "Undetermined"),
    ],
)
def test_only_unmatched_is_called_a_possible_discovery(status: CrossmatchStatus, title: str) -> None:
    html = catalogues(view(status), NOW)
    assert f"<b>{title}</b>" in html
    assert ("discovery" in html) == (status is CrossmatchStatus.UNMATCHED)


def test_an_image_that_was_not_looked_up_is_not_called_undetermined() -> None:
    html = catalogues(view(CrossmatchStatus.UNDETERMINED, state="not_asked"), NOW)
    assert "Not looked up" in html
    assert "Undetermined" not in html


def test_a_catalogue_that_failed_says_why_and_is_asked_again() -> None:
    failed = answer(MatchStatus.FAILED, detail="no connection", answered_at=NOW - timedelta(minutes=3))
    html = catalogues(view(CrossmatchStatus.UNDETERMINED, failed, next_try_at=NOW), NOW)
    assert "did not answer" in html
    assert "no connection." in html
    assert "asked again by themselves" in html


def test_the_nearest_object_is_not_called_a_match() -> None:
    html = catalogues(view(CrossmatchStatus.UNMATCHED, answer(MatchStatus.NONE, galaxy(matches=False))), NOW)
    assert "has nothing here" in html
    assert "nearest known: M 51" in html
    ambiguous = answer(MatchStatus.MATCHED, galaxy(matches=False))
    assert "cannot tell" in catalogues(view(CrossmatchStatus.KNOWN, ambiguous), NOW)


def test_what_catalogues_write_is_text() -> None:
    hostile = galaxy(link="javascript:alert(1)").model_copy(update={"name": "<script>x</script>"})
    html = catalogues(view(CrossmatchStatus.KNOWN, answer(MatchStatus.MATCHED, hostile, detail="<b>hi</b>")), NOW)
    assert "<script>" not in html
    assert "javascript:" not in html
    assert "<b>hi</b>" not in html.lower()
