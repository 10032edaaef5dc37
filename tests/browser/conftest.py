"""Real consoles over made-up archives, and one Chromium for all tests."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.chromium import chromium

REPOSITORY = Path(__file__).resolve().parents[2]

WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}

START_S = 90.0
"""Longest start: importing everything on a busy machine with two cores."""


@dataclass(frozen=True)
class Console:
    """A console that serves."""

    url: str

    def get(self, path: str) -> dict:
        """What the API answers."""
        answer = httpx.get(f"{self.url}/api{path}", timeout=20)
        answer.raise_for_status()
        return answer.json()

    def eventually(self, path: str, test: Callable[[dict], bool], *, within_s: float = 10.0) -> dict:
        """The API's answer once it is as expected."""
        deadline = time.monotonic() + within_s
        while True:
            answer = self.get(path)
            if test(answer):
                return answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ConsoleProcess:
    """A console of its own process over a made-up archive; it can be killed and started again at the same address."""

    def __init__(self, home: Path, count: int, **environment: str) -> None:
        self._home = home
        self._count = count
        self._environment = environment
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.console = Console(f"http://127.0.0.1:{self._port}")

    def start(self, *, within_s: float = START_S) -> None:
        """Start, and wait until it serves; one that does not in time is ended."""
        log = self._home / "console.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.browser.serve", str(self._home), str(self._port), str(self._count)],
                cwd=REPOSITORY,
                env={**os.environ, **self._environment},
                stdout=output,
                stderr=output,
            )
        try:
            self._wait(time.monotonic() + within_s, log)
        except BaseException:
            self.kill()
            raise

    def _wait(self, deadline: float, log: Path) -> None:
        while True:
            try:
                self.console.get("/health")
            except httpx.HTTPError:
                assert self.is_running, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            else:
                return

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=60)

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=120)


@contextmanager
def serve(home: Path, count: int, **environment: str) -> Iterator[Console]:
    """A console of its own process over a made-up archive."""
    process = ConsoleProcess(home, count, **environment)
    try:
        process.start()
        yield process.console
    finally:
        process.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="package")
def empty(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with serve(tmp_path_factory.mktemp("empty"), 0, ASTROLENS_MAX_IMAGE_BYTES=str(2**20)) as console:
        yield console


@pytest.fixture(scope="package")
def twenty(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with serve(tmp_path_factory.mktemp("twenty"), 20) as console:
        yield console


@pytest.fixture(scope="package")
def many(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    with serve(tmp_path_factory.mktemp("many"), 3000) as console:
        yield console


TOKEN = "a token for the tests only"


@pytest.fixture(scope="package")
def locked(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A console that wants a login."""
    with serve(tmp_path_factory.mktemp("locked"), 20, ASTROLENS_TOKEN=TOKEN) as console:
        yield console


class Visitor:
    """A window on a console, which remembers what went wrong in it."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page = self.watch(context.new_page())
        self.complaints: list[str] = []

    def watch(self, page: Page) -> Page:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        return page

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text} {message.location.get('url', '')}")

    def open(self, url: str) -> Page:
        """Open an address and wait until the page lives."""
        self.page.goto(url)
        self.page.wait_for_selector("html.al-ready")
        return self.page


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """A wide window; the test fails when its console complained."""
    context = browser.new_context(viewport=WIDE)
    found = Visitor(context)
    yield found
    context.close()
    assert found.complaints == []


@pytest.fixture
def phone(browser: Browser) -> Iterator[Visitor]:
    """A phone; the test fails when its console complained."""
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    found = Visitor(context)
    yield found
    context.close()
    assert found.complaints == []


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Page]:
    """A window whose console may complain, for tests of failures."""
    context = browser.new_context(viewport=WIDE)
    yield context.new_page()
    context.close()
