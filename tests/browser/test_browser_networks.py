"""Bad networks: a socket that is cut again and again, a console that dies, and a slow line."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from astrolens.console.pages.frame import LARGEST_FILE
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.browser.conftest import Console, ConsoleProcess, Visitor
from tests.browser.test_browser_work import answer_by_key, current

pytestmark = pytest.mark.browser

BACK_MS = 60_000
"""Longest wait for a page to be back: the machine may be slow."""

SLOW = {"offline": False, "latency": 400, "downloadThroughput": 60 * 1024, "uploadThroughput": 60 * 1024}
"""400 ms, 60 kB/s."""

USABLE_S = 5.0
ROUND_TRIPS = 4
"""Of a page, one after the other: the document, the list, the first pictures, the socket."""

LARGEST_AT_BEST = 135_000
"""Bytes of NiceGUI's largest file, compressed as well as it goes; 143 kB quickly."""

FIRST_VISIT_KB = 335
"""Most that a page loads with an empty cache until it is usable, without pictures. NiceGUI's own files have 262."""


@pytest.fixture
def own(browser: Browser, tmp_path: Path) -> Iterator[ConsoleProcess]:
    """A console that a test may kill."""
    process = ConsoleProcess(tmp_path, 20)
    process.start()
    yield process
    process.stop()


def test_a_console_that_does_not_serve_in_time_leaves_no_process(tmp_path: Path) -> None:
    process = ConsoleProcess(tmp_path, 0)
    with pytest.raises(AssertionError):
        process.start(within_s=0.0)
    assert not process.is_running


def test_answers_survive_a_socket_that_is_cut_again_and_again(visitor: Visitor, many: Console) -> None:
    connected: list[WebSocketRoute] = []

    def through(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def forward(message: str | bytes) -> None:
            socket.send(message)
            # Socket.IO's "connected". A socket cut before it never closes for the browser, whose attempt then hangs for
            # 20 s, longer than the console keeps a page.
            if isinstance(message, str) and message.startswith("40"):
                connected.append(socket)

        server.on_message(forward)

    visitor.page.route_web_socket("**/_nicegui_ws/**", through)

    def wait_connected(times: int) -> None:
        for _ in range(300):
            if len(connected) >= times:
                return
            page.wait_for_timeout(100)
        raise AssertionError(f"connected {len(connected)} times, not {times}")

    page = visitor.open(f"{many.url}/triage?verdict=any&survey=simulated-sdss&label=none")
    page.wait_for_url("**image=*")
    page.evaluate("() => { window.sameDocument = true; }")
    answered: list[tuple[str, str]] = []
    wait_connected(1)
    for _ in range(4):
        before = len(connected)
        connected[-1].close()
        # While the socket is away, and while it comes back.
        for key in ("1", "2", "3"):
            image = current(page)
            answer_by_key(page, key)
            page.wait_for_function("(id) => new URL(location).searchParams.get('image') !== id", arg=image)
            answered.append((image, {"1": "interesting", "2": "artefact", "3": "ordinary"}[key]))
        wait_connected(before + 1)
    assert len({image for image, _ in answered}) == 12
    for image, answer in answered:
        stored = many.eventually(f"/images/{image}", lambda found: found["label"] is not None)
        # Once, and as it was meant.
        assert [each["answer"] for each in stored["labels"]] == [answer]
    assert page.evaluate("() => window.sameDocument"), "the page was loaded again"
    # And the stream of changes lives: what is answered elsewhere arrives.
    page.keyboard.press("u")
    last = answered[-1][0]
    many.eventually(f"/images/{last}", lambda found: found["label"] is None)
    # A cut socket is no fault of the page.
    visitor.complaints[:] = [each for each in visitor.complaints if "WebSocket" not in each]


def test_a_page_recovers_when_its_console_was_killed(browser_page: Page, own: ConsoleProcess) -> None:
    page = browser_page
    page.goto(f"{own.console.url}/triage?survey=efigi")
    page.wait_for_url("**image=*")
    first = current(page)
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible()
    expect(page.locator(".waiting img").first).to_be_visible()
    own.kill()
    answer_by_key(page, "2")
    expect(page.locator(".unsent")).to_have_text("1 unsent")
    page.evaluate("() => { window.before = true; }")
    own.start()
    own.console.eventually(f"/images/{first}", lambda answer: answer["label"] == "artefact", within_s=BACK_MS / 1000)
    expect(page.locator(".unsent")).to_have_count(0, timeout=BACK_MS)
    # The new process knows nothing of this window: the page is loaded again, at the same address.
    page.wait_for_function(
        "() => !window.before && document.documentElement.classList.contains('al-ready')", timeout=BACK_MS
    )
    second = current(page)
    assert second != first
    answer_by_key(page, "3")
    own.console.eventually(f"/images/{second}", lambda answer: answer["label"] == "ordinary")
    page.keyboard.press("Shift+S")
    page.keyboard.press("Shift+G")
    page.wait_for_url("**/gallery")
    expect(page.locator(".cell").first).to_be_visible()
    expect(page.locator(".notice.error, .error[role=alert]")).to_have_count(0)


def test_a_slow_line_shows_a_skeleton_and_no_warning(visitor: Visitor, many: Console) -> None:
    page = visitor.open(f"{many.url}/gallery?size=s")  # what stays in the browser's cache: scripts and styles
    expect(page.locator(".cell img").first).to_be_visible()
    slow = visitor.context.new_cdp_session(page)
    slow.send("Network.enable")
    slow.send("Network.emulateNetworkConditions", SLOW)
    bytes_until_usable: list[float] = []
    slow.on("Network.dataReceived", lambda event: bytes_until_usable.append(event["encodedDataLength"]))
    page.goto(f"{many.url}/gallery?survey=efigi", wait_until="commit")
    expect(page.get_by_role("combobox", name="Verdict")).to_be_visible()
    expect(page.locator(".grid.skeleton, .cell").first).to_be_attached()
    page.wait_for_selector("html.al-ready")
    expect(page.locator(".cell").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".cell.cursor")).to_have_count(1)
    # Whatever the machine's speed: so much fits through the line in that time.
    assert sum(bytes_until_usable) < (USABLE_S - ROUND_TRIPS * 0.4) * 60 * 1024
    expect(page.locator(".notice.error, .error[role=alert], .unsent")).to_have_count(0)
    expect(page.locator("#popup")).not_to_be_visible()
    page.keyboard.press("Shift+R")
    page.wait_for_url("**/triage*")
    expect(page.locator(".viewer[data-state=ready]")).to_be_visible(timeout=BACK_MS)
    page.keyboard.press("Shift+S")
    expect(page.get_by_role("heading", name="System", exact=True)).to_be_attached(timeout=BACK_MS)
    expect(page.locator(".notice.error, .error[role=alert], .unsent")).to_have_count(0)


@pytest.mark.parametrize("path", ["/gallery?size=s", "/triage?verdict=any", "/", "/system"])
def test_a_first_visit_loads_no_more_than_it_needs(visitor: Visitor, many: Console, path: str) -> None:
    smallest(many)
    asked: dict[str, tuple[str, str]] = {}
    loaded: dict[str, float] = {}
    line = visitor.context.new_cdp_session(visitor.page)
    line.send("Network.enable")
    line.on(
        "Network.requestWillBeSent",
        lambda event: asked.setdefault(event["requestId"], (event.get("type", ""), event["request"]["url"])),
    )
    line.on(
        "Network.loadingFinished",
        lambda event: loaded.__setitem__(asked[event["requestId"]][1], event["encodedDataLength"]),
    )
    visitor.open(many.url + path)
    # Pictures, and what is read ahead, come when the page is usable.
    later = {url for kind, url in asked.values() if kind == "Image" or "&after=" in url}
    assert sum(size for url, size in loaded.items() if url not in later) < FIRST_VISIT_KB * 1000
    # A list is asked for once, with the scripts; an icon by name would load a font of 128 kB.
    lists = [url for _, url in asked.values() if "/api/images?" in url and url not in later]
    assert len(lists) == len(set(lists)) == (path[1:8] in {"gallery", "triage?"})
    assert not [url for _, url in asked.values() if "/fonts/" in url]


def smallest(console: Console) -> None:
    """Wait until files are served as small as they go: whoever asks first gets them compressed quickly."""
    headers = {"accept-encoding": "br"}
    with httpx.Client(base_url=console.url, headers=headers, timeout=20, trust_env=False) as client:
        first = int(client.get(LARGEST_FILE).headers["content-length"])
        for _ in range(300):
            if int(client.get(LARGEST_FILE).headers["content-length"]) < first or first < LARGEST_AT_BEST:
                return
            time.sleep(0.1)
    raise AssertionError("the largest file did not become smaller")
