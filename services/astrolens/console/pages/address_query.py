"""What stands after `?` in a page's address: what of it the page cannot use is told, not passed over."""

from difflib import get_close_matches

from starlette.datastructures import QueryParams

from astrolens.console.pages.image_lists import SEVERAL
from astrolens.console.pages.page import Page

MAX_TOLD = 3
"""Names that a notice tells of, each in a sentence."""


def read_query(page: Page, given: QueryParams) -> tuple[dict[str, str], list[str]]:
    """What the page can use of an address's query, and a sentence on each name in it that goes by the page.

    A filter that takes several values may be given several times, as the API takes it.

    Args:
        page: The page.
        given: What stands after `?`.
    """
    query: dict[str, str] = {}
    faults: list[str] = []
    for name in dict.fromkeys(given.keys()):
        values = list(dict.fromkeys(given.getlist(name)))
        if name not in page.query:
            faults.append(_unknown(name, page))
            continue
        query[name] = ",".join(values) if name in SEVERAL else values[-1]
        if len(values) > 1 and name not in SEVERAL:
            faults.append(f"The address gives “{name}” {len(values)} times: the last one is used, {values[-1][:40]!r}.")
    return query, faults[:MAX_TOLD]


def _unknown(name: str, page: Page) -> str:
    near = get_close_matches(name, page.query, n=1)
    meant = f": did you mean “{near[0]}”?" if near else "."
    return f"“{name[:40]}” in the address is nothing that this page filters or shows by, and is left out{meant}"
