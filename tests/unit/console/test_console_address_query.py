"""Addresses of pages: what a page cannot use is told."""

import re

import pytest
from astrolens.console.components.images import VIEW
from astrolens.console.pages import PAGES
from astrolens.console.pages.address_query import MAX_TOLD, read_query
from astrolens.console.pages.gallery import PAGE
from starlette.datastructures import QueryParams

from tests.unit.console.test_console_pages_mount import COMPONENTS, PAGE_FILES


@pytest.mark.parametrize(
    ("given", "query", "told"),
    [
        ("verdict=anomaly&at=ab&sel=ab.cd", {"verdict": "anomaly", "at": "ab", "sel": "ab.cd"}, []),
        ("verdct=anomaly&sort=newest", {"sort": "newest"}, ["“verdct” in the address .* did you mean “verdict”"]),
        ("zzzzz=1", {}, ["“zzzzz” in the address is nothing that this page"]),
        ("sort=newest&sort=interest", {"sort": "interest"}, ["“sort” 2 times: the last one is used, 'interest'"]),
        # As the API takes them.
        ("verdict=anomaly&verdict=near_miss", {"verdict": "anomaly,near_miss"}, []),
        ("a1=1&b1=1&c1=1&d1=1", {}, ["“a1”", "“b1”", "“c1”"]),
    ],
)
def test_what_a_page_cannot_use_is_told_by_name(given: str, query: dict[str, str], told: list[str]) -> None:
    found, faults = read_query(PAGE, QueryParams(given))
    assert found == query
    assert len(faults) == len(told) <= MAX_TOLD
    assert all(re.search(part, fault) for part, fault in zip(told, faults, strict=True))


def test_every_name_that_a_page_reads_from_its_address_is_one_of_some_page() -> None:
    known = {name for page in PAGES for name in page.query}
    for path in PAGE_FILES:
        if path.name != "login.py":
            assert set(re.findall(r'query(?:\.get\(|\[)"(\w+)"', path.read_text())) <= known, path.name
    view = (COMPONENTS / "lib/astrolens-view.js").read_text()
    assert re.findall(r"(\w+):", re.search(r"const DEFAULT = \{(.*)\}", view)[1]) == list(VIEW)  # type: ignore[index]
