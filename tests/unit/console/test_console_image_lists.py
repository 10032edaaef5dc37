"""Lists of images as addresses name them."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from astrolens.console.pages.gallery import more_images
from astrolens.console.pages.image_lists import (
    SORTS,
    api_query,
    context_query,
    list_query,
    sort_changes,
    wanted_of,
    way_through,
)
from astrolens.console.pages.ranking_words import ranking_words
from astrolens.contracts.rankings import RankingRecord
from astrolens.contracts.records import Answer
from astrolens.contracts.verdicts import Verdict
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.image_queries import Sort
from astrolens.usecases.list_totals import Total
from astrolens.usecases.rankings import RankingView


def test_an_address_names_filters_and_sort_and_nothing_else() -> None:
    query = {"survey": "sdss,efigi", "at": "abc", "size": "s", "q": "", "sort": "newest"}
    assert list_query(query, simulated=True) == {"survey": "sdss,efigi", "sort": "newest"}
    assert api_query(list_query(query, simulated=True)) == "survey=sdss&survey=efigi&sort=newest"
    assert context_query(query) == "survey=sdss%2Cefigi&sort=newest"


def test_the_way_back_from_an_image_keeps_what_was_selected_and_the_size() -> None:
    query = {"survey": "sdss", "sort": "newest", "sel": "ab.cd", "size": "s", "zoom": "4"}
    back, kept = way_through("ef", query, triage=False)
    assert back == "/gallery?survey=sdss&sort=newest&sel=ab.cd&size=s&at=ef"
    assert kept == {"survey": "sdss", "sort": "newest", "sel": "ab.cd", "size": "s"}
    back, kept = way_through("ef", query, triage=True)
    assert back == "/triage?survey=sdss&sort=newest&image=ef"
    assert kept == {"survey": "sdss", "sort": "newest", "list": "triage"}


def test_triage_shows_unanswered_candidates_unless_asked_otherwise() -> None:
    wanted, sort = wanted_of(list_query({}, triage=True, simulated=True))
    assert (wanted.verdicts, wanted.unlabeled, sort) == ((Verdict.ANOMALY, Verdict.NEAR_MISS), True, Sort.STRANGENESS)
    assert wanted.per == "object"
    assert wanted_of(list_query({"per": "image"}, triage=True, simulated=True))[0].per == "image"
    wanted, _ = wanted_of(list_query({"verdict": "any", "label": "any"}, triage=True, simulated=True))
    assert (wanted.verdicts, wanted.labels, wanted.unlabeled) == ((), (), False)
    # In the gallery `any` are the answered ones.
    wanted, _ = wanted_of(list_query({"label": "any"}, simulated=True))
    assert wanted.labels == tuple(Answer)


def test_images_without_a_score_are_sorted_by_time() -> None:
    assert list_query({"state": "ingested"}, simulated=True)["sort"] == "newest"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"verdict": "odd"}, "verdict 'odd'"),
        ({"sort": "odd"}, "sort 'odd'"),
        ({"ra_deg": "400", "dec_deg": "0"}, "ra_deg '400'"),
        ({"ra_deg": "10"}, "both ra_deg and dec_deg"),
        ({"label": "odd"}, "'odd' is no label"),
        ({"since": "yesterday"}, "since 'yesterday'"),
        ({"max_artefact": "2", "sort": "interest"}, "max_artefact '2'"),
        ({"max_artefact": "0.1"}, "most interesting or most useful"),
    ],
)
def test_an_unusable_filter_is_named(query: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        wanted_of(list_query(query, simulated=True))


def test_every_order_can_be_chosen_and_artefact_scores_only_with_the_ranked_ones() -> None:
    assert SORTS.keys() == set(Sort)
    query = {"max_artefact": "0.1", "sort": "useful", "survey": "sdss"}
    assert wanted_of(list_query(query, simulated=True))[0].max_artefact == 0.1
    assert "max_artefact=0.1" in api_query(list_query(query, simulated=True))
    assert sort_changes({}, max_artefact="0.1") == {"max_artefact": "0.1", "sort": "interest"}
    assert sort_changes({"sort": "useful"}, max_artefact="0.1") == {"max_artefact": "0.1"}
    assert sort_changes(query, sort="newest") == {"sort": "newest", "max_artefact": ""}
    assert sort_changes(query, sort="") == {"sort": "", "max_artefact": ""}
    assert sort_changes(query, sort="interest") == {"sort": "interest"}
    assert sort_changes(query, survey="") == {"survey": ""}


@pytest.mark.parametrize(
    ("before", "now", "more"),
    [
        (Total(7), Total(9), 2),
        (Total(9), Total(7), 0),
        (Total(None), Total(7), 0),
        (Total(12_000, exact=False), Total(13_000, exact=False), 0),
    ],
)
def test_a_list_offers_what_it_has_more_where_that_was_counted(before: Total, now: Total, more: int) -> None:
    assert more_images(before, now) == more


def test_what_the_ranking_learned_is_told_in_words() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    none = RankingView.of("shared", None)
    assert ranking_words(none, now) == "The interest ranking has learned from no answer yet."
    known = {"learned_at": now - timedelta(minutes=4), "answers": {"artefact": 7, "interesting": 5}}
    taught = none.model_copy(update={**known, "prefers": ["tidal-tail"], "avoids": ["trail"]})
    assert ranking_words(taught, now) == (
        "The interest ranking learned 4 min ago from 12 answers and prefers tidal tail and avoids trail."
    )


def test_what_a_ranking_prefers_is_told_from_enough_answers_on() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    record = RankingRecord(
        ranking="shared",
        version=1,
        learned_at=now,
        answers={"interesting": 1},
        model_digest="d" * 64,
        image_ids=(),
        interest=(),
        artefact=(),
        prefers=("tidal-tail",),
        avoids=("trail",),
    )
    one = RankingView.of("shared", record)
    assert (one.prefers, one.avoids) == ([], [])
    assert ranking_words(one, now) == (
        "The interest ranking learned now from 1 answer; what it prefers is told from 10 answers on."
    )
    enough = RankingView.of("shared", record.model_copy(update={"answers": {"interesting": 4, "ordinary": 6}}))
    assert (enough.prefers, enough.avoids) == (["tidal-tail"], ["trail"])


def test_a_cone_is_read() -> None:
    wanted, _ = wanted_of(list_query({"ra_deg": "10.68", "dec_deg": "41.27", "radius_arcsec": "30"}, simulated=True))
    assert wanted.cone is not None
    assert (wanted.cone.ra_deg, wanted.cone.radius_arcsec) == (10.68, 30.0)


@pytest.mark.parametrize(
    ("query", "switched_off"),
    [
        ({}, False),
        ({"verdict": "anomaly"}, False),
        ({"simulated": "true"}, True),
        ({"simulated": "any"}, None),
        # Who names images, or where they come from, sees all of them.
        ({"survey": "sdss,simulated-sdss"}, None),
        ({"source": "simulated"}, None),
        ({"q": "ngc"}, None),
        ({"batch": "night-1"}, None),
        ({"ra_deg": "10", "dec_deg": "41"}, None),
    ],
)
def test_simulated_images_are_shown_where_the_switch_or_the_address_asks_for_them(
    query: dict[str, str], *, switched_off: bool | None
) -> None:
    assert wanted_of(list_query(query, simulated=False))[0].simulated is switched_off
    assert wanted_of(list_query(query, simulated=True))[0].simulated is (True if switched_off else None)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("survey=", "survey is empty: give a value, or leave it out."),
        ("since=2026-02-01&until=2026-01-01", "is later than until (2026-01-01T00:00:00+00:00)"),
        ("limit=many", "it must be a whole number"),
        ("verdict=odd", "it must be 'ordinary', 'near_miss' or 'anomaly'"),
    ],
)
async def test_a_filter_that_can_find_nothing_is_refused_in_words(
    client: httpx.AsyncClient, query: str, says: str
) -> None:
    refused = await client.get(f"/api/images?{query}")
    assert refused.status_code == 422
    assert says in refused.json()["detail"]
