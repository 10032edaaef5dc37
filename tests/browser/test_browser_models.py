"""The Model page's bundles: gates, comparison with pictures, promotion and rollback with a reason."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Console, Visitor
from tests.browser.models import CANDIDATE, REFUSED, SERVING

pytestmark = pytest.mark.browser


def test_a_person_sees_what_a_candidate_changes_promotes_it_and_returns(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/model?bundle={CANDIDATE}")
    opened = page.get_by_role("region", name="first-light 2")
    expect(opened).to_contain_text("oddity AUROC, sdss")
    expect(opened).to_contain_text("1 newly anomalous, 1 no longer, rank correlation 0.87.")
    expect(opened.locator("table img, .records img")).to_have_count(2)
    bundles = page.get_by_role("region", name="Bundles")
    expect(bundles).to_contain_text("refused by its gates")
    expect(bundles.get_by_role("button", name="promote")).to_have_count(1)
    bundles.get_by_role("button", name="promote").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Promote").click()
    expect(page.get_by_text("Say in a few words why")).to_be_visible()
    assert twenty.get("/models")["serving"]["digest"] == SERVING
    dialog.get_by_label("Why?").fill("it finds more mergers")
    dialog.get_by_role("button", name="Promote").click()
    promoted = twenty.eventually("/models", lambda found: found["serving"]["digest"] == CANDIDATE)
    assert promoted["serving"]["why"] == "it finds more mergers"
    bundles.get_by_role("button", name="Roll back").click()
    dialog.get_by_label("Why?").fill("too many alerts")
    dialog.get_by_role("button", name="Roll back").click()
    twenty.eventually("/models", lambda found: found["serving"]["digest"] == SERVING)


def test_a_refused_bundle_says_by_which_figure_and_stays_text(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/model?bundle={REFUSED}")
    opened = page.get_by_role("region", name="first-light 3")
    expect(opened).to_contain_text("FAILED: 0.70 after 0.82 <b>markup</b>")
    assert opened.locator("b").count() == 0


def test_a_person_reads_what_a_return_to_the_bundle_would_send_before_it_is_sent(
    visitor: Visitor, twenty: Console
) -> None:
    page = visitor.open(f"{twenty.url}/model")
    surveys = page.get_by_role("region", name="Surveys")
    expect(surveys).to_contain_text("another sky than the bundle's calibration of sdss")
    surveys.get_by_role("button", name="use the bundle’s").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("84 of the 150 images that were compared have p ≤ .01, where 1.5 are expected")
    expect(dialog).to_contain_text("Of 100 images that came since about 56 would be anomalies")
    dialog.get_by_role("button", name="Use the bundle’s, send alerts").click()
    found = twenty.eventually("/surveys", lambda answer: answer["items"][0]["state"] == "own")
    assert found["items"][0]["releases"] is None
