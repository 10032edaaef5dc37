"""How answers are summed up: unknown is never novel, and nothing that was said is passed over."""

import pytest
from astrolens.contracts.catalogues import CatalogueAnswer, Counterpart, CrossmatchStatus, MatchStatus
from astrolens.contracts.crossmatch import sum_up


def answer(name: str, status: MatchStatus, *, required: bool, matches: bool | None = None) -> CatalogueAnswer:
    counterparts = (
        ()
        if matches is None
        else (Counterpart(name=f"{name} 1", ra_deg=1.0, dec_deg=2.0, separation_arcsec=1.5, matches=matches),)
    )
    return CatalogueAnswer(catalogue=name, required=required, status=status, counterparts=counterparts)


NOTHING = answer("simbad", MatchStatus.NONE, required=True)
AMBIGUOUS = answer("gaia", MatchStatus.MATCHED, required=False, matches=False)


def test_an_ambiguous_informative_catalogue_keeps_an_image_from_being_called_a_discovery() -> None:
    found = sum_up([NOTHING, AMBIGUOUS])
    assert (found.status, found.reason.code) == (CrossmatchStatus.UNDETERMINED, "ambiguous")
    assert "gaia" in found.reason.detail
    assert not found.possible_discovery


def test_the_ambiguous_one_hides_neither_a_known_object_nor_a_catalogue_that_failed() -> None:
    known = answer("vsx", MatchStatus.MATCHED, required=False, matches=True)
    assert sum_up([NOTHING, AMBIGUOUS, known]).status is CrossmatchStatus.KNOWN
    failed = answer("ned", MatchStatus.FAILED, required=True)
    assert sum_up([NOTHING, AMBIGUOUS, failed]).reason.code == "catalogue-failed"


@pytest.mark.parametrize("status", [MatchStatus.FAILED, MatchStatus.NOT_COVERED, MatchStatus.STALE, MatchStatus.NONE])
def test_an_informative_catalogue_that_says_nothing_holds_nothing_back(status: MatchStatus) -> None:
    found = sum_up([NOTHING, answer("gaia", status, required=False, matches=False)])
    assert found.status is CrossmatchStatus.UNMATCHED
    assert found.possible_discovery
