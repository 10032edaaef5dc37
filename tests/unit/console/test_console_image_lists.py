"""Lists of images as addresses name them."""

import pytest
from astrolens.console.pages.image_lists import api_query, context_query, list_query, wanted_of
from astrolens.contracts.records import Answer
from astrolens.contracts.verdicts import Verdict
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.image_queries import Sort


def test_an_address_names_filters_and_sort_and_nothing_else() -> None:
    query = {"survey": "sdss,efigi", "at": "abc", "size": "s", "q": "", "sort": "newest"}
    assert list_query(query) == {"survey": "sdss,efigi", "sort": "newest"}
    assert api_query(list_query(query)) == "survey=sdss&survey=efigi&sort=newest"
    assert context_query(query) == "survey=sdss%2Cefigi&sort=newest"


def test_triage_shows_unanswered_candidates_unless_asked_otherwise() -> None:
    wanted, sort = wanted_of(list_query({}, triage=True))
    assert (wanted.verdicts, wanted.unlabeled, sort) == ((Verdict.ANOMALY, Verdict.NEAR_MISS), True, Sort.STRANGENESS)
    wanted, _ = wanted_of(list_query({"verdict": "any", "label": "any"}, triage=True))
    assert (wanted.verdicts, wanted.labels, wanted.unlabeled) == ((), (), False)
    # In the gallery `any` are the answered ones.
    wanted, _ = wanted_of(list_query({"label": "any"}))
    assert wanted.labels == tuple(Answer)


def test_images_without_a_score_are_sorted_by_time() -> None:
    assert list_query({"state": "ingested"})["sort"] == "newest"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"verdict": "odd"}, "verdict 'odd'"),
        ({"sort": "odd"}, "sort 'odd'"),
        ({"ra_deg": "400", "dec_deg": "0"}, "ra_deg '400'"),
        ({"ra_deg": "10"}, "both ra_deg and dec_deg"),
        ({"label": "odd"}, "'odd' is no label"),
        ({"since": "yesterday"}, "since 'yesterday'"),
    ],
)
def test_an_unusable_filter_is_named(query: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        wanted_of(list_query(query))


def test_a_cone_is_read() -> None:
    wanted, _ = wanted_of(list_query({"ra_deg": "10.68", "dec_deg": "41.27", "radius_arcsec": "30"}))
    assert wanted.cone is not None
    assert (wanted.cone.ra_deg, wanted.cone.radius_arcsec) == (10.68, 30.0)
