"""What a person at the console waits for: the first paint of the gallery, each answer by key, and how long lists are.

`python -m tests.bench.console_work [--images 3000] [--home FOLDER] [--answers 200]`: the real console over a made-up
archive in a process of its own, in headless Chromium. With `--home` an archive that is there already is looked at, such
as one of a million images; answers go into it.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import httpx
from playwright.sync_api import Browser, CDPSession, Page

from tests.browser.conftest import START_S, WIDE, Console, ConsoleProcess
from tests.chromium import chromium

ANSWER_MS: Final = (Path(__file__).resolve().parents[1] / "browser" / "answer_ms.js").read_text()
UPGRADE_S: Final = 1800.0
"""Longest start on an archive of an older version, whose tables are changed first."""
LOADS: Final = 7
DELAY_MS: Final = 200
DELAYED: Final = 40
"""Answers on the delayed line."""
THINKING_MS: Final = 450
"""Between two of these: the next pictures arrive while a person looks."""
KEYS: Final = 20
"""Answers whose work on the main thread is measured."""
LISTS: Final = (
    "",
    "verdict=anomaly",
    "survey=sdss&verdict=ordinary",
    "label=none",
    "survey=efigi&class=spiral",
    "class=spiral&simulated=false",
    "name=galaxy-0001",
    "q=galaxy-00012",
    "ra_deg=120&dec_deg=20&radius_arcsec=3600",
)

PAINTED: Final = """() => new Promise((done) => {
  const look = () => {
    const image = document.querySelector('.cell img');
    if (image?.complete && image.naturalWidth) {
      const [paint] = performance.getEntriesByName('first-contentful-paint');
      done([paint?.startTime ?? -1, performance.now()]);
    } else requestAnimationFrame(look);
  };
  look();
})"""
"""Milliseconds from the beginning of the navigation to the first paint, and to the first picture."""


def quantiles(name: str, values: Sequence[float]) -> None:
    """Print median, 95 % and the largest."""
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95)]
    print(f"{name}: median {at[0]:.0f} ms, p95 {at[1]:.0f} ms, largest {ordered[-1]:.0f} ms (n = {len(ordered)})")


def first_paint(browser: Browser, console: Console) -> None:
    """Load the gallery, with an empty cache at first, then as one who was there before."""
    context = browser.new_context(viewport=WIDE)
    paints, pictures = [], []
    for load in range(LOADS + 1):
        page = context.new_page()
        page.goto(f"{console.url}/gallery", wait_until="commit")
        painted, picture = page.evaluate(PAINTED)
        if load:
            paints.append(painted)
            pictures.append(picture)
        else:
            print(f"gallery, empty cache: first paint {painted:.0f} ms, first picture {picture:.0f} ms")
        page.close()
    quantiles("gallery, first paint", paints)
    quantiles("gallery, first picture", pictures)
    context.close()


def triage(browser: Browser, console: Console, answers: int) -> None:
    """Answer by keys, on loopback and on a delayed line."""
    page = browser.new_page(viewport=WIDE)
    page.goto(f"{console.url}/triage?verdict=any&simulated=any")
    page.wait_for_selector("html.al-ready")
    page.wait_for_selector(".waiting img")
    begin = time.perf_counter()
    quantiles(f"{answers} images by keys", [page.evaluate(ANSWER_MS) for _ in range(answers)])
    print(f"  in all {time.perf_counter() - begin:.1f} s")
    slow = page.context.new_cdp_session(page)
    main_thread(page, slow)
    slow.send("Network.enable")
    line = {"offline": False, "latency": DELAY_MS, "downloadThroughput": 10**6, "uploadThroughput": 10**6}
    slow.send("Network.emulateNetworkConditions", line)
    times = []
    for _ in range(DELAYED):
        page.wait_for_timeout(THINKING_MS)
        times.append(page.evaluate(ANSWER_MS))
    quantiles(f"{DELAYED} images with {DELAY_MS} ms of network delay", times)
    page.close()


def main_thread(page: Page, devtools: CDPSession) -> None:
    """What a key costs the browser's main thread until everything that follows from it is done."""
    devtools.send("Performance.enable")

    def busy_ms() -> float:
        found = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
        return 1000 * float(found["TaskDuration"])

    page.wait_for_timeout(THINKING_MS)
    begin = busy_ms()
    for _ in range(KEYS):
        page.keyboard.press("3")
        page.wait_for_timeout(THINKING_MS)
    print(f"main thread: {(busy_ms() - begin) / KEYS:.1f} ms an answer, with all that follows (n = {KEYS})")


def lists(console: Console) -> None:
    """How long lists and their totals take."""
    print("list, total, ms of a page without the total, ms with it the first time")
    with httpx.Client(base_url=f"{console.url}/api", timeout=60, trust_env=False) as client:
        for query in LISTS:
            path = f"/images?sort=newest&{query}"
            took = []
            for total in ("false", "true"):
                begin = time.perf_counter()
                answer = client.get(f"{path}&total={total}").json()
                took.append(1000 * (time.perf_counter() - begin))
            exact = "" if answer["total_is_exact"] else "about "
            number = "unknown" if answer["total"] is None else f"{exact}{answer['total']:,}"
            print(f"  {query or 'everything':44} {number:>16} {took[0]:8.0f} {took[1]:8.0f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--home", type=Path, help="a folder with an archive")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        process = ConsoleProcess(given.home or Path(scratch), given.images)
        process.start(within_s=UPGRADE_S if given.home else START_S)
        try:
            lists(process.console)
            with chromium() as browser:
                first_paint(browser, process.console)
                if given.answers:
                    triage(browser, process.console, given.answers)
        finally:
            process.stop()


if __name__ == "__main__":
    main()
