"""Every page, with nothing, with twenty images, on a wide screen and on a phone."""

import io
import re
from pathlib import Path

import httpx
import pytest
from PIL import Image, ImageChops
from playwright.sync_api import Page, expect

from tests.browser.conftest import Console, Visitor
from tests.browser.serve import CONSOLE_MD, DOCUMENTED

pytestmark = pytest.mark.browser

AUDIT = Path(__file__).with_name("audit.js")

ADDRESSES = [
    "/",
    "/gallery",
    "/triage",
    "/model",
    "/system",
    "/system?list=receipts&outcome=rejected",
    "/system?list=alerts",
    "/system?list=catalogues",
    "/system?list=dead-letters&open=letter-0",
    "/login",
    "/upload",
    "/map",
    "/discoveries",
]

UNNAMED = "() => window.audit.unnamed()"
FAINT = "() => window.audit.faint()"
WIDER = "() => document.documentElement.scrollWidth - window.innerWidth"


def settled(page: Page) -> None:
    """Wait until the page's first answers are in."""
    page.wait_for_load_state("load")
    page.wait_for_function(
        "() => !document.querySelector('.skeleton') && document.querySelector('#main').innerText.trim()"
    )
    page.evaluate(AUDIT.read_text())


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_is_named_readable_and_fits(visitor: Visitor, twenty: Console, address: str) -> None:
    page = visitor.open(twenty.url + address)
    settled(page)
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(FAINT) == []
    assert page.evaluate(WIDER) <= 0
    assert page.locator("h1").count() == 1
    assert "AstroLens" in page.title()


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_fits_a_phone(phone: Visitor, twenty: Console, address: str) -> None:
    page = phone.open(twenty.url + address)
    settled(page)
    assert page.evaluate(WIDER) <= 0


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_page_without_data_says_why(visitor: Visitor, empty: Console, address: str) -> None:
    page = visitor.open(empty.url + address)
    settled(page)
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(FAINT) == []
    if not address.startswith(("/model", "/login", "/upload", "/discoveries")):
        expect(page.locator(".empty").first).to_be_visible()


def test_an_image_and_a_comparison_are_named_readable_and_fit(visitor: Visitor, twenty: Console) -> None:
    ids = [each["image_id"] for each in twenty.get("/images?sort=strangeness&limit=3")["items"]]
    for address in (f"/image/{ids[0]}", f"/compare?ids={','.join(ids)}"):
        page = visitor.open(twenty.url + address)
        expect(page.locator(".viewer[data-state=ready]").first).to_be_visible()
        settled(page)
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate(FAINT) == []
        assert page.evaluate(WIDER) <= 0


def test_an_image_and_a_comparison_fit_a_phone(phone: Visitor, twenty: Console) -> None:
    ids = [each["image_id"] for each in twenty.get("/images?sort=strangeness&limit=3")["items"]]
    for address in (f"/image/{ids[0]}", f"/compare?ids={','.join(ids)}"):
        page = phone.open(twenty.url + address)
        expect(page.locator(".viewer[data-state=ready]").first).to_be_visible()
        settled(page)
        assert page.evaluate(WIDER) <= 0


def test_tonight_shows_the_strangest_first_and_the_books(visitor: Visitor, twenty: Console) -> None:
    strangest = twenty.get("/images?sort=strangeness&limit=12&label=none&simulated=false")["items"]
    page = visitor.open(f"{twenty.url}/")
    expect(page.locator("a.slide")).to_have_count(10)
    assert page.locator("a.slide").first.get_attribute("href") == f"/image/{strangest[0]['image_id']}"
    expect(page.locator("a.slide").first).to_contain_text("ordinary images")
    expect(page.get_by_text("The books balance")).to_be_visible()
    expect(page.locator(".flow-step").first).to_contain_text("27")
    # A source that is down is there, with its reason.
    expect(page.locator("tr.away")).to_contain_text("did not answer within 20 s")


def test_the_number_of_rejected_leads_to_their_list(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/")
    page.locator(".flow-aside a", has_text="rejected").click()
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.locator("tbody tr").first).to_contain_text("cut off after 1,024")
    page.go_back()
    expect(page.locator("a.slide").first).to_be_visible()


def test_an_image_says_why_and_keeps_its_view_in_the_address(visitor: Visitor, twenty: Console) -> None:
    image = next(each for each in twenty.get("/images?sort=strangeness")["items"] if each["source"] == "sdss")
    page = visitor.open(f"{twenty.url}/image/{image['image_id']}")
    expect(page.locator(".strip-plot")).to_have_count(4)
    expect(page.locator(".strip-plot svg").first).to_be_visible()
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    expect(page.locator(".compass")).to_be_visible()
    page.keyboard.press("s")
    page.keyboard.press("i")
    page.keyboard.press("z")
    page.wait_for_url("**/image/*stretch=asinh*zoom=2*")
    address = page.url
    other = visitor.watch(visitor.context.new_page())
    other.goto(address)
    expect(other.get_by_role("button", name="Stretch: asinh")).to_be_visible()
    expect(other.locator(".viewer.zoomed")).to_be_visible()
    assert "invert=1" in other.url
    links = other.locator(".links a")
    expect(links).to_have_count(5)
    assert f"{image['ra_deg']:.4f}" in str(links.nth(3).get_attribute("href"))


def test_an_image_shows_its_morphology_and_how_far_to_trust_it(visitor: Visitor, twenty: Console) -> None:
    measured = twenty.get("/images?sort=asymmetry")["items"]
    page = visitor.open(f"{twenty.url}/image/{measured[0]['image_id']}")
    panel = page.locator("#morphology")
    expect(panel.locator(".morphology-quality")).to_have_text("suspect")
    expect(panel.locator("dt")).to_have_count(10)
    expect(panel).to_contain_text("1.34 (bad fit)")
    expect(panel).to_contain_text("not on calibrated flux")
    candidates = twenty.get("/candidates")["items"]
    states = {twenty.get(f"/images/{each['image_id']}")["morphology"] is None: each for each in candidates}
    page.goto(f"{twenty.url}/image/{states[True]['image_id']}")
    expect(panel).to_contain_text("waits for its turn")
    page.goto(f"{twenty.url}/gallery?sort=ring")
    expect(page.locator(".filters .q-field").filter(has_text="Sort")).to_contain_text("most ring-like")


def test_the_picture_of_an_image_lies_over_nothing_that_follows_it(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/image/{twenty.get('/candidates')['items'][0]['image_id']}")
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    page.locator(".image-more").evaluate("(element) => element.scrollIntoView()")
    stage, more = page.locator(".stage").bounding_box(), page.locator(".image-more").bounding_box()
    assert stage is not None
    assert more is not None
    assert stage["y"] + stage["height"] <= more["y"] + 1


def test_an_image_says_what_its_file_states_and_where_north_is(visitor: Visitor, twenty: Console) -> None:
    image = twenty.get("/images?q=J000001")["items"][0]["image_id"]
    again = twenty.get("/images?q=galaxy-0000")["items"]
    page = visitor.open(f"{twenty.url}/image/{image}")
    expect(page.locator(".compass")).to_have_attribute("aria-label", re.compile("12.0° left of up"))
    expect(page.locator("#file")).to_contain_text("the header says 120.500000 +20.253333 deg, 12″ away")
    # Text of a header stays text.
    expect(page.locator("#file")).to_contain_text("<b>three</b> planes")
    expect(page.locator("#object")).to_contain_text("Seen 2 times")
    seen = str(page.locator("#object .row-of-thumbs a").get_attribute("href")).rsplit("/", 1)[1]
    assert seen != image
    unknown = next(each["image_id"] for each in again if each["source"] != "sdss" and each["image_id"] != seen)
    page = visitor.open(f"{twenty.url}/image/{unknown}")
    expect(page.locator("#file")).to_contain_text("does not say where north is")
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    expect(page.locator(".compass")).to_have_count(0)


def pixels(page: Page) -> Image.Image:
    """The picture as it is on the screen, once it is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return Image.open(io.BytesIO(page.locator(".viewer").screenshot())).convert("RGB")


def largest_change(before: Image.Image, after: Image.Image) -> int:
    """Largest difference of a channel, 0 to 255."""
    return max(high for _, high in ImageChops.difference(before, after).getextrema())


def test_a_stretch_changes_pixels_and_reset_restores_them(visitor: Visitor, twenty: Console) -> None:
    image = twenty.get("/images?sort=strangeness&limit=1")["items"][0]
    page = visitor.open(f"{twenty.url}/image/{image['image_id']}")
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    before = pixels(page)
    page.keyboard.press("i")
    assert largest_change(before, pixels(page)) > 100
    page.keyboard.press("0")
    # The browser rounds a picture that it has filtered a little otherwise.
    assert largest_change(before, pixels(page)) < 4


def test_the_map_of_where_it_is_strange_lies_over_the_picture_while_it_is_asked_for(
    visitor: Visitor, twenty: Console
) -> None:
    candidates = [twenty.get(f"/images/{each['image_id']}") for each in twenty.get("/candidates")["items"]]
    mapped = next(each for each in candidates if each["patch_map"])
    page = visitor.open(f"{twenty.url}/image/{mapped['image_id']}")
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    expect(page.locator(".strange-place")).to_contain_text("at the upper right, 2.5 times as far")
    button = page.get_by_role("button", name="where")
    before = pixels(page)
    expect(page.locator(".map-legend")).to_have_count(0)
    page.keyboard.press("w")
    expect(page.locator(".map-legend")).to_be_visible()
    expect(button).to_have_attribute("aria-pressed", "true")
    page.wait_for_url("**map=1*")
    assert largest_change(before, pixels(page)) > 100
    button.click()
    expect(page.locator(".map-legend")).to_have_count(0)
    assert largest_change(before, pixels(page)) < 4
    ordinary = twenty.get("/images?verdict=ordinary&limit=1")["items"][0]["image_id"]
    page.goto(f"{twenty.url}/image/{ordinary}?map=1")
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    expect(button).to_have_count(0)
    expect(page.locator(".map-legend")).to_have_count(0)


def test_text_from_outside_stays_text(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/system?list=dead-letters&open=letter-0")
    expect(page.locator("pre")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator(".records img, .letter img, .records b, .letter b:has-text('more')").count() == 0
    page.goto(f"{twenty.url}/model")
    page.get_by_text("Model card").click()
    expect(page.locator(".card-text")).to_contain_text("A card with <b>markup</b> that must stay text")
    expect(page.locator(".card-text h1")).to_have_text("first-light")


def test_an_unknown_address_and_an_unknown_image_say_so(browser_page: Page, twenty: Console) -> None:
    answer = browser_page.goto(f"{twenty.url}/nowhere")
    assert answer is not None
    assert answer.status == 404
    expect(browser_page.get_by_text("There is no page here")).to_be_visible()
    browser_page.goto(f"{twenty.url}/image/{'0' * 32}")
    expect(browser_page.get_by_text("No such image")).to_be_visible()


def test_two_images_share_one_zoom(visitor: Visitor, twenty: Console) -> None:
    ids = [each["image_id"] for each in twenty.get("/images?sort=strangeness&limit=2")["items"]]
    page = visitor.open(f"{twenty.url}/compare?ids={','.join(ids)}")
    expect(page.locator(".viewer[data-state=ready]")).to_have_count(2)
    page.keyboard.press("z")
    expect(page.locator(".viewer.zoomed")).to_have_count(2)


def test_a_dead_letter_is_dropped_with_a_reason(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/system?list=dead-letters")
    page.locator(".letter-head").nth(1).click()
    expect(page.locator(".letter")).to_be_visible()
    page.keyboard.press("d")
    page.get_by_label("Why?").fill("Nothing but noise.")
    page.get_by_role("button", name="Drop", exact=True).last.click()
    expect(page.locator(".letter-head")).to_have_count(1)
    assert twenty.get("/dead-letters?state=dropped")["items"][0]["note"] == "Nothing but noise."


def test_the_page_of_the_documentation_works(visitor: Visitor, twenty: Console) -> None:
    code = DOCUMENTED.search(CONSOLE_MD.read_text())
    assert code is not None
    assert len([line for line in code[1].splitlines() if line.strip() and not line.startswith("#")]) <= 40
    page = visitor.open(f"{twenty.url}/system")
    page.keyboard.press("Shift+A")
    expect(page.get_by_role("heading", name="Answers", exact=True)).to_be_visible()
    image = twenty.get("/images?sort=newest&limit=1")["items"][0]
    httpx.post(f"{twenty.url}/api/labels", json={"image_id": image["image_id"], "answer": "artefact"})
    # It comes with the stream of changes.
    expect(page.locator("tbody tr").first).to_contain_text(image["name"])
    expect(page.locator("tbody .a-artefact").first).to_be_visible()
    page.keyboard.press("u")
    twenty.eventually(f"/images/{image['image_id']}", lambda answer: answer["label"] is None)


def test_tonight_shows_simulated_images_only_where_they_are_asked_for(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/")
    expect(page.locator("a.slide").first).to_be_visible()
    expect(page.locator("a.slide .sim")).to_have_count(0)
    page.get_by_label("simulated images too").click()
    expect(page.locator("a.slide .sim").first).to_be_visible()
    # The switch is kept for every window of this browser.
    other = visitor.watch(visitor.context.new_page())
    other.goto(f"{twenty.url}/")
    expect(other.locator("a.slide .sim").first).to_be_visible()


def test_an_image_of_tonight_is_answered_by_a_key_and_undone(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/")
    expect(page.locator("a.slide").first).to_be_visible()
    image = page.locator("a.slide").first.get_attribute("data-image")
    page.wait_for_function("() => document.querySelector('.slide img').naturalWidth")
    page.keyboard.press("ArrowRight")
    expect(page.locator("a.slide").first).to_be_focused()
    page.keyboard.press("2")
    twenty.eventually(f"/images/{image}", lambda answer: answer["label"] == "artefact")
    expect(page.locator(f"a.slide[data-image='{image}']")).to_have_count(0)
    page.keyboard.press("u")
    twenty.eventually(f"/images/{image}", lambda answer: answer["label"] is None)
    expect(page.locator("a.slide").first).to_have_attribute("data-image", str(image))


def test_the_system_pages_work_by_keys_and_by_back(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/system")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/system?list=receipts")
    expect(page.locator("tbody tr")).to_have_count(27)
    page.get_by_label("Outcome").click()
    page.get_by_role("option", name="rejected").click()
    page.wait_for_url("**outcome=rejected")
    expect(page.locator("tbody tr")).to_have_count(4)
    # What was chosen last keeps the focus, though the page was built anew.
    expect(page.get_by_label("Outcome")).to_be_focused()
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(27)
    page.get_by_role("link", name="Alerts").first.click()
    page.wait_for_url("**/system?list=alerts")
    expect(page.locator("tbody tr")).to_have_count(12)
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    for text in ("Next list", "Read the list again", "Go to Gallery"):
        expect(dialog).to_contain_text(text)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_a_point_of_a_map_opens_its_image(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/map?survey=sdss&verdict=anomaly")
    expect(page.get_by_text("3 images. A point opens its image.").first).to_be_visible()
    points = page.locator(".chart").first.locator("svg path[fill='#ffb454']")
    expect(points.first).to_be_visible()
    points.first.click(force=True)
    page.wait_for_url("**/image/*survey=sdss*")
