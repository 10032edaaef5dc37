"""The work that people do: find, answer, undo, by keys, and through a lost connection."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.conftest import Console, Visitor

pytestmark = pytest.mark.browser

ANSWER_MS = Path(__file__).with_name("answer_ms.js").read_text()


def choose(page: Page, field: str, value: str) -> None:
    """Choose a filter."""
    page.get_by_role("combobox", name=field, exact=True).click()
    page.get_by_role("option", name=value, exact=True).click()


def chosen(page: Page, field: str) -> Locator:
    """The field of a filter, which shows its value."""
    return page.locator(".q-field", has=page.get_by_role("combobox", name=field, exact=True))


def current(page: Page) -> str:
    """The image that the triage page shows."""
    return page.evaluate("() => new URL(location).searchParams.get('image')")


def answer_by_key(page: Page, key: str) -> None:
    """Press the key of an answer once the picture is shown: before, no answer is taken."""
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    page.keyboard.press(key)


def test_an_answer_is_stored_by_one_key_and_undone_by_another(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/triage?survey=efigi&per=image")
    page.wait_for_url("**image=*")
    first = current(page)
    answer_by_key(page, "1")
    page.wait_for_function("(id) => new URL(location).searchParams.get('image') !== id", arg=first)
    second = current(page)
    answer_by_key(page, "2")
    page.wait_for_function("(id) => new URL(location).searchParams.get('image') !== id", arg=second)
    twenty.eventually(f"/images/{first}", lambda answer: answer["label"] == "interesting")
    twenty.eventually(f"/images/{second}", lambda answer: answer["label"] == "artefact")
    page.keyboard.press("u")
    page.wait_for_function("(id) => new URL(location).searchParams.get('image') === id", arg=second)
    page.keyboard.press("u")
    page.wait_for_function("(id) => new URL(location).searchParams.get('image') === id", arg=first)
    twenty.eventually(f"/images/{first}", lambda answer: answer["label"] is None)
    assert len(twenty.eventually(f"/images/{second}", lambda answer: answer["label"] is None)["labels"]) == 2


def test_a_refused_answer_brings_its_image_back_with_its_name_and_tags(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/triage?survey=efigi&verdict=any&per=image")
    page.wait_for_url("**image=*")
    image, tag = current(page), "x" * 50
    before = twenty.get(f"/images/{image}")
    name = before["card"]["name"]
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    page.locator(".tags-field").fill(tag)
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    expect(page.locator(".notice.error")).to_contain_text(f"Answer for {name} not stored.")
    page.wait_for_function("(id) => new URL(location).searchParams.get('image') === id", arg=image)
    expect(page.locator(".tags-field")).to_have_value(tag)
    expect(page.locator(".tally")).to_contain_text("0 answered here")
    assert twenty.get(f"/images/{image}")["labels"] == before["labels"]
    assert all("422" in each for each in visitor.complaints)
    visitor.complaints.clear()


def test_a_list_that_the_ranking_sorts_says_what_it_learned_and_is_filtered_by_artefact_score(
    visitor: Visitor, twenty: Console
) -> None:
    page = visitor.open(f"{twenty.url}/gallery?simulated=any")
    choose(page, "Artefacts", "score up to 0.1")
    page.wait_for_url("**max_artefact=0.1*")
    assert "sort=interest" in page.url
    expect(page.get_by_text("The interest ranking has learned from no answer yet.")).to_be_visible()
    choose(page, "Sort", "most useful")
    page.wait_for_url("**sort=useful*")
    choose(page, "Sort", "newest")
    page.wait_for_url("**sort=newest*")
    assert "max_artefact" not in page.url


def test_a_text_field_has_one_border_and_its_label_lies_beneath_nothing(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/gallery?ra_deg=10.68&dec_deg=41.27&radius_arcsec=30")
    field = page.get_by_label("within, ″")
    expect(field).to_have_css("border-top-width", "0px")
    expect(field).to_have_css("padding-top", "14px")  # Quasar's, which makes room for the label


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1366, 768), (390, 844), (844, 390)])
def test_picture_and_zoom_buttons_of_triage_are_in_sight(
    browser: Browser, twenty: Console, width: int, height: int
) -> None:
    small = min(width, height) < 500
    context = browser.new_context(
        viewport={"width": width, "height": height}, has_touch=small, is_mobile=small, device_scale_factor=1
    )
    page = context.new_page()
    page.goto(f"{twenty.url}/triage?simulated=any")
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    answers = page.locator(".triage-side .answers").bounding_box()
    assert answers is not None
    # On a phone the answers lie over the foot of the page.
    foot = answers["y"] if width < 500 else height
    for found in (page.locator(".viewer"), *page.locator(".viewbar .btn").all(), page.locator(".answer-button").last):
        box = found.bounding_box()
        assert box is not None
        bottom = height if found.get_attribute("class") == "btn answer-button" else foot
        assert box["y"] >= 0, box
        assert box["y"] + box["height"] <= bottom, box
    assert page.locator(".viewbar .btn").count() >= 5
    context.close()


def test_triage_shows_an_object_once_and_its_other_images_by_a_key(visitor: Visitor, twenty: Console) -> None:
    candidates = twenty.get("/images?survey=efigi&verdict=anomaly&verdict=near_miss&sort=strangeness")["items"]
    seen = [each for each in candidates if each["object_id"]]
    assert len(seen) > 1
    page = visitor.open(f"{twenty.url}/triage?survey=efigi")
    page.wait_for_url(f"**image={seen[0]['image_id']}*")
    expect(page.locator(".triage-side .seen")).to_contain_text("images of one object")
    expect(page.locator(".waiting img")).to_have_count(len(candidates) - len(seen))
    expect(page.locator(".details")).to_contain_text("Detectors")
    page.keyboard.press("v")
    expect(page.locator(f".triage-side .row-of-thumbs a[href*='{seen[1]['image_id']}']")).to_be_visible()
    page.keyboard.press("v")
    expect(page.locator(".triage-side .row-of-thumbs")).not_to_be_visible()


def test_tags_go_with_the_answer_and_come_back(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/triage?survey=simulated-sdss&verdict=any&per=image")
    page.wait_for_url("**image=*")
    image = current(page)
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    page.keyboard.press("#")
    page.keyboard.type("Tidal tail, 12")
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    answered = twenty.eventually(f"/images/{image}", lambda answer: answer["label"] == "interesting")
    assert answered["labels"][-1]["tags"] == ["tidal tail", "12"]
    page.goto(f"{twenty.url}/image/{image}")
    tags = page.get_by_label("Tags of your answer, separated by commas")
    expect(tags).to_have_value("tidal tail, 12")
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    page.keyboard.press("#")
    tags.fill("pair")
    page.keyboard.press("Enter")
    twenty.eventually(f"/images/{image}", lambda answer: answer["labels"][-1]["tags"] == ["pair"])
    page.keyboard.press("u")
    twenty.eventually(f"/images/{image}", lambda answer: answer["labels"][-1]["tags"] == ["tidal tail", "12"])
    page.keyboard.press("u")
    twenty.eventually(f"/images/{image}", lambda answer: answer["label"] is None)


def test_an_answer_shows_within_50_ms(visitor: Visitor, many: Console) -> None:
    page = visitor.open(f"{many.url}/triage?verdict=any&survey=sdss")
    page.wait_for_url("**image=*")
    expect(page.locator(".waiting img").first).to_be_visible()
    times = sorted(page.evaluate(ANSWER_MS) for _ in range(9))
    # The median: a test machine may be busy with something else once or twice.
    assert times[4] < 50, times


def test_an_answer_survives_a_lost_connection_and_a_reload(browser_page: Page, twenty: Console) -> None:
    page = browser_page
    page.goto(f"{twenty.url}/triage?survey=simulated-lsst")
    page.wait_for_url("**image=*")
    image = current(page)

    def refuse(route: Route) -> None:
        route.abort()

    page.context.route("**/api/labels", refuse)
    answer_by_key(page, "2")
    expect(page.locator(".unsent")).to_have_text("1 unsent")
    page.reload()
    expect(page.locator(".unsent")).to_have_text("1 unsent")
    assert twenty.get(f"/images/{image}")["label"] is None
    page.context.unroute("**/api/labels", refuse)
    twenty.eventually(f"/images/{image}", lambda answer: answer["label"] == "artefact", within_s=20)
    expect(page.locator(".unsent")).to_have_count(0)


def test_later_puts_an_image_at_the_end(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/triage?verdict=any&survey=sdss")
    page.wait_for_url("**image=*")
    first = current(page)
    page.keyboard.press("Space")
    page.wait_for_function("(id) => new URL(location).searchParams.get('image') !== id", arg=first)
    assert twenty.get(f"/images/{first}")["label"] is None


def test_filters_are_in_the_address_and_back_works(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/gallery?simulated=any")
    expect(page.locator(".cell")).to_have_count(20)
    choose(page, "Verdict", "anomaly")
    expect(page.locator(".cell")).to_have_count(12)
    assert "verdict=anomaly" in page.url
    choose(page, "Survey", "sdss")
    expect(page.locator(".cell")).to_have_count(3)
    page.go_back()
    expect(page.locator(".cell")).to_have_count(12)
    expect(chosen(page, "Survey")).to_contain_text("any")
    page.go_back()
    expect(page.locator(".cell")).to_have_count(20)
    page.go_forward()
    expect(page.locator(".cell")).to_have_count(12)
    expect(chosen(page, "Verdict")).to_contain_text("anomaly")


def test_a_range_is_selected_and_answered_together(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/gallery?survey=simulated-sdss")
    expect(page.locator(".cell")).to_have_count(5)
    ids = [page.locator(".cell").nth(index).get_attribute("data-image") for index in range(3)]
    page.locator(".cell").nth(0).hover()
    page.locator(".cell .pick").nth(0).click()
    page.locator(".cell .thumb").nth(2).click(modifiers=["Shift"])
    expect(page.locator(".batch")).to_contain_text("3 selected")
    page.keyboard.press("3")
    for each in ids:
        twenty.eventually(f"/images/{each}", lambda answer: answer["label"] == "ordinary")
    page.keyboard.press("u")
    for each in ids:
        twenty.eventually(f"/images/{each}", lambda answer: answer["label"] is None)


def test_the_gallery_works_by_keys_alone(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/gallery?simulated=any")
    expect(page.locator(".cell")).to_have_count(20)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    chosen = page.locator(".cell").nth(1).get_attribute("data-image")
    page.wait_for_url(f"**at={chosen}*")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/image/{chosen}*")
    page.go_back()
    expect(page.locator(".cell.cursor")).to_have_attribute("data-image", str(chosen))


def test_every_key_is_in_the_overlay(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/triage")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    for text in ("Answer interesting", "Undo the last answer", "Zoom", "Stretch", "Copy the position", "Go to Gallery"):
        expect(dialog).to_contain_text(text)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.keyboard.press("Shift+G")
    page.wait_for_url("**/gallery")


def test_a_large_archive_costs_the_page_no_more(visitor: Visitor, many: Console) -> None:
    page = visitor.open(f"{many.url}/gallery?size=s")
    expect(page.locator(".cell").first).to_be_visible()
    for _ in range(8):
        page.mouse.wheel(0, 6000)
        page.wait_for_timeout(150)
    page.wait_for_function("() => Number(document.querySelector('.cell:last-child').dataset.index) > 400")
    assert page.locator(".cell").count() < 400
    # The address of a place far down opens there, not at the top.
    page.locator(".cell .thumb").last.focus()
    page.wait_for_url("**at=*")
    wanted = page.locator(".cell.cursor").get_attribute("data-image")
    page.reload()
    expect(page.locator(f'.cell[data-image="{wanted}"]')).to_be_visible()


def test_images_are_uploaded_with_a_table_and_each_refusal_has_its_reason(visitor: Visitor, empty: Console) -> None:
    page = visitor.open(f"{empty.url}/upload")
    table = "file,ra_deg,dec_deg,object_id\none.jpg,12:30:49.4,+12:23:28,my-17\nother.jpg,400,0,\nmissing.jpg,1,2,\n"
    pictures = [
        {"name": name, "mimeType": "image/jpeg", "buffer": name.encode() * 9} for name in ("one.jpg", "two.jpg")
    ]
    positions = {"name": "positions.csv", "mimeType": "text/csv", "buffer": table.encode()}
    chooser = page.locator(".uploader input[type=file]")
    chooser.set_input_files([*pictures, positions])
    expect(page.get_by_text("positions.csv describes 2 files")).to_be_visible()
    expect(page.locator(".faults")).to_contain_text("line 3")
    page.get_by_role("button", name="Send 2").click()
    page.wait_for_url("**/upload?batch=upload-*")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_text("2 arrived: 2 on the way.")).to_be_visible()
    stored = {each["ref"]: each for each in empty.get("/receipts")["items"]}
    assert set(stored) == {"one.jpg", "two.jpg"}
    # What became no arrival stays beside the batch, in another window too.
    for _ in range(2):
        told = page.locator(".faults li")
        expect(told).to_have_count(2)
        expect(told.first).to_contain_text("positions.csv, line 3: ra_deg")
        expect(told.last).to_contain_text("positions.csv, line 4 describes missing.jpg, which was not among the files")
        page.reload()
        page.wait_for_selector("html.al-ready")
    chooser.set_input_files([{"name": "huge.fits", "mimeType": "image/fits", "buffer": bytes(2**20 + 1)}])
    expect(page.locator(".faults").first).to_contain_text("huge.fits is larger than an image may be")


def test_a_key_is_changed_in_the_overlay_and_this_browser_remembers_it(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/triage?verdict=any&survey=simulated-lsst")
    page.wait_for_url("**image=*")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    dialog.get_by_role("button", name="u: change the key of Undo the last answer").click()
    page.keyboard.press("z")
    expect(dialog).to_contain_text("z is “Zoom")
    page.keyboard.press("b")
    expect(dialog.get_by_role("button", name="b: change the key of Undo the last answer")).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.reload()
    page.wait_for_selector("html.al-ready")
    expect(page.get_by_role("button", name="undo").first).to_contain_text("b")
    page.wait_for_url("**image=*")
    image = current(page)
    answer_by_key(page, "3")
    twenty.eventually(f"/images/{image}", lambda answer: answer["label"] == "ordinary")
    page.keyboard.press("u")
    page.keyboard.press("b")
    twenty.eventually(f"/images/{image}", lambda answer: answer["label"] is None)
    page.keyboard.press("?")
    page.get_by_role("button", name="All as they were").click()
    expect(dialog.get_by_role("button", name="u: change the key of Undo the last answer")).to_be_visible()


def test_a_changed_key_is_written_on_what_python_made(visitor: Visitor, twenty: Console) -> None:
    image = twenty.get("/images?sort=strangeness&limit=1")["items"][0]["image_id"]
    page = visitor.open(f"{twenty.url}/image/{image}")
    again = page.get_by_role("button", name="analyse again")
    expect(again).to_have_text("analyse againe")
    page.keyboard.press("?")
    for label, key in (("e: change the key of Analyse again", "y"), ("Shift+G: change the key of Go to Gallery", "h")):
        page.get_by_role("dialog").get_by_role("button", name=label).click()
        page.keyboard.press(key)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(again).to_have_text("analyse againy")
    page.reload()
    expect(again).to_have_attribute("title", "analyse again (y)")
    expect(again).to_have_attribute("aria-keyshortcuts", "y")
    expect(page.get_by_role("link", name="Gallery")).to_have_attribute("title", "Gallery (h)")
    page.wait_for_selector("html.al-ready")
    page.keyboard.press("h")
    page.wait_for_url("**/gallery")


def test_a_hint_is_shown_until_it_is_dismissed(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/gallery")
    expect(page.locator(".hint")).to_have_count(1)
    page.get_by_role("button", name="Got it").click()
    expect(page.locator(".hint")).to_have_count(0)
    page.reload()
    page.wait_for_selector("html.al-ready")
    expect(page.locator(".cell").first).to_be_visible()
    expect(page.locator(".hint")).to_have_count(0)
    # Another page has its own; an image has none.
    page.keyboard.press("Shift+R")
    expect(page.locator(".hint")).to_have_count(1)


def test_simulated_images_are_shown_on_all_lists_by_one_switch(visitor: Visitor, twenty: Console) -> None:
    page = visitor.open(f"{twenty.url}/gallery")
    expect(page.locator(".cell")).to_have_count(10)
    expect(page.locator(".total")).to_have_text("10 images")
    page.get_by_label("simulated images too").click()
    expect(page.locator(".cell")).to_have_count(20)
    expect(page.locator(".total")).to_have_text("20 images")
    page.keyboard.press("Shift+T")
    expect(page.get_by_label("simulated images too")).to_be_checked()
    page.goto(f"{twenty.url}/triage?verdict=any&label=any&per=image")
    # Ten are real.
    expect(page.locator(".tally")).to_have_text(re.compile(r"\b(1[1-9]|20) waiting"))
