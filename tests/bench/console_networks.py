"""Seconds that a bad network or a killed console cost whoever has a page open.

`python -m tests.bench.console_networks [--images 3000] [--runs 3]`: the real console over a made-up archive, in
headless Chromium. Asked: everything is back within 10 s after a killed console answers again; a page is usable within
5 s at 400 ms and 60 kB/s. How long a console needs to start is told apart.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import WIDE, ConsoleProcess
from tests.browser.test_browser_networks import BACK_MS, SLOW
from tests.browser.test_browser_work import answer_by_key
from tests.chromium import chromium

PAGES: Final = (
    ("/gallery?size=s", ".cell img"),
    ("/triage?verdict=any&simulated=any", ".viewer[data-state=ready]"),
    ("/", ".slide img"),
    ("/system", "#main h1"),
)
"""Addresses, and what must be there before one can work with a page."""

READY: Final = "() => !window.before && document.documentElement.classList.contains('al-ready')"


def usable_s(page: Page, url: str, needed: str) -> float:
    """Seconds from the navigation until a page shows what one works with and hears what one does."""
    begin = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator(needed).first.wait_for(timeout=BACK_MS)
    page.wait_for_selector("html.al-ready", timeout=BACK_MS)
    return time.perf_counter() - begin


def slow_line(browser: Browser, url: str, runs: int) -> None:
    """Open pages on a slow line, with scripts and styles in the browser's cache, and without."""
    for path, needed in PAGES:
        warm, cold = [], []
        for _ in range(runs):
            context = browser.new_context(viewport=WIDE)
            page = context.new_page()
            line = context.new_cdp_session(page)
            line.send("Network.enable")
            line.send("Network.emulateNetworkConditions", SLOW)
            cold.append(usable_s(page, url + path, needed))
            warm.append(usable_s(page, url + path, needed))
            context.close()
        print(
            f"400 ms, 60 kB/s, {path.split('?')[0]}: usable after {sorted(warm)[runs // 2]:.1f} s, "
            f"with an empty cache {sorted(cold)[runs // 2]:.1f} s (medians of {runs}; asked 5 s)"
        )


def killed(browser: Browser, process: ConsoleProcess, runs: int) -> None:
    """Kill the console while an answer is given, start it again, and see when the page has recovered."""
    for _ in range(runs):
        page = browser.new_page(viewport=WIDE)
        page.goto(f"{process.console.url}/triage?verdict=any&simulated=any")
        page.wait_for_url("**image=*")
        page.locator(".waiting img").first.wait_for()
        process.kill()
        answer_by_key(page, "2")
        page.evaluate("() => { window.before = true; }")
        begin = time.perf_counter()
        process.start()
        back = time.perf_counter()
        expect(page.locator(".unsent")).to_have_count(0, timeout=BACK_MS)
        sent = time.perf_counter() - back
        page.wait_for_function(READY, timeout=BACK_MS)
        page.locator(".viewer[data-state=ready]").wait_for(timeout=BACK_MS)
        whole = time.perf_counter() - back
        print(
            f"killed console: answers again after {back - begin:.1f} s; from then the waiting answer is stored after "
            f"{sent:.1f} s and the page works after {whole:.1f} s (asked 10 s)"
        )
        page.close()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, chromium() as browser:
        process = ConsoleProcess(Path(home), given.images)
        process.start()
        try:
            slow_line(browser, process.console.url, given.runs)
            killed(browser, process, given.runs)
        finally:
            process.stop()


if __name__ == "__main__":
    main()
