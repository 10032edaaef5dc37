"""What addresses say and refuse: filters, search, log-in."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TOKEN, Console, Visitor

pytestmark = pytest.mark.browser


def test_a_page_that_refuses_its_address_leads_to_itself_without_it(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/discoveries?q=abc")
    expect(page.get_by_role("alert")).to_contain_text("q = 'abc' is no level")
    page.get_by_role("link", name="This page without its conditions").click()
    expect(page.get_by_role("heading", name="Discovery list of the night")).to_be_visible()
    visitor.complaints.clear()  # the refusal's own status


def test_a_mistyped_filter_of_an_address_is_named_above_the_page(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/gallery?survey=sdss&verdct=anomaly")
    notice = page.get_by_role("alert")
    expect(notice).to_contain_text("“verdct” in the address is nothing that this page filters or shows by")
    expect(notice).to_contain_text("did you mean “verdict”?")
    expect(page.locator(".cell").first).to_be_visible()
    notice.get_by_role("link", name="The address without it").click()
    page.wait_for_url("**/gallery?survey=sdss")
    expect(page.get_by_role("alert")).to_have_count(0)
    # Several values as the API takes them.
    page = visitor.open(f"{twenty.url}/gallery?verdict=anomaly&verdict=near_miss")
    expect(page.locator(".cell").first).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    count = len(twenty.get("/images?verdict=anomaly&verdict=near_miss&simulated=false")["items"])
    expect(page.locator(".total")).to_have_text(f"{count} images")


def test_search_understands_positions_names_and_ids(visitor: Visitor, twenty: Console) -> None:
    image = next(each for each in twenty.get("/images")["items"] if each["ra_deg"] is not None)
    page = visitor.open(f"{twenty.url}/")
    page.keyboard.press("/")
    page.keyboard.type(f"{image['ra_deg']:.4f} {image['dec_deg']:+.4f}")
    expect(page.locator(".found a").first).to_contain_text(image["name"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/gallery?ra_deg=*")
    expect(page.locator(".cell")).to_have_count(1)
    page.keyboard.press("/")
    page.keyboard.type("galaxy-")
    page.keyboard.press("Enter")
    page.wait_for_url("**/gallery?q=galaxy-")
    expect(page.locator(".cell")).to_have_count(7)
    page.keyboard.press("/")
    page.keyboard.type(image["image_id"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/image/{image['image_id']}")


def test_a_position_that_cannot_be_is_told_where_it_is_typed(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/")
    page.keyboard.press("/")
    page.keyboard.type("10 +95")
    expect(page.locator(".found")).to_contain_text("a declination lies in -90 to 90 degrees")
    page.keyboard.press("Enter")
    expect(page.locator(".notice.error")).to_contain_text("'10 +95' is no place on the sky")
    assert page.url == f"{twenty.url}/"


def test_the_login_page_offers_what_there_is(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/login")
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page.get_by_label("Token")).to_have_count(0)
    expect(page.get_by_text("On this machine no login is needed")).to_be_visible()
    page.get_by_role("link", name="Go on without logging in").click()
    expect(page.get_by_role("heading", name="Strangest")).to_be_visible()


def test_a_login_opens_the_page_that_was_asked_for(browser_page: Page, locked: Console) -> None:
    page = browser_page
    page.goto(f"{locked.url}/gallery?verdict=anomaly")
    page.wait_for_url("**/login?next=*")
    page.get_by_label("Token").fill("a wrong one")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/gallery?verdict=anomaly")
    expect(page.locator(".cell")).to_have_count(6)
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
