"""How long the console's pages and API calls take with an archive behind them."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from astrolens.platform.stores.records import Document

CALLS = 20
"""Calls of a kind."""
_TIMEOUT_S = 60.0
_MAX_DURATION_S = 90.0
"""Longest stretch of calls of one kind: one that takes ten seconds need not be made twenty times."""

Request = tuple[str, dict[str, Any]]
"""Path and query parameters."""


@dataclass(frozen=True)
class Kind:
    """Calls that are measured together. `of` gives the n-th one."""

    name: str
    of: Callable[[int], Request]


def kinds(documents: list[Document], cursors: list[str]) -> list[Kind]:
    """Every kind of call.

    Args:
        documents: Image documents spread over the archive, oldest first.
        cursors: Of pages deep in the gallery.
    """

    def one(number: int) -> Document:
        return documents[number * len(documents) // CALLS]

    def cone(number: int) -> Request:
        placed = [document["observation"]["position"] for document in documents if document["observation"]["position"]]
        centre = placed[number % len(placed)] if placed else {"ra_deg": 18.0 * number, "dec_deg": 0.0}
        place = {"ra_deg": centre["ra_deg"], "dec_deg": centre["dec_deg"], "radius_arcsec": 1800}
        return "/api/images", place

    def deep(number: int) -> Request:
        return "/api/images", {"limit": 60, **({"after": cursors[number % len(cursors)]} if cursors else {})}

    def survey_of(number: int) -> str:
        return str(one(number)["observation"]["survey"])

    return [
        Kind("page /", lambda _: ("/", {})),
        Kind("page /gallery", lambda _: ("/gallery", {})),
        Kind("page /image/ID", lambda n: (f"/image/{one(n)['image_id']}", {})),
        Kind("gallery, first page", lambda _: ("/api/images", {"limit": 60})),
        Kind("gallery, deep page", deep),
        Kind("by survey", lambda n: ("/api/images", {"survey": survey_of(n)})),
        Kind("by verdict", lambda n: ("/api/images", {"verdict": ("anomaly", "near_miss", "ordinary")[n % 3]})),
        Kind(
            "by survey and verdict",
            lambda n: ("/api/images", {"survey": survey_of(n), "verdict": ("anomaly", "near_miss")[n % 2]}),
        ),
        Kind("by class", lambda n: ("/api/images", {"class": str(one(n)["predicted_class"])})),
        Kind("labelled", lambda _: ("/api/images", {"label": "any", "sort": "labeled"})),
        Kind("part of a name", lambda n: ("/api/images", {"name": str(one(n)["observation"]["name"])[-9:]})),
        Kind("cone of 0.5 degrees", cone),
        Kind("candidates", lambda _: ("/api/candidates", {})),
        Kind("image detail", lambda n: (f"/api/images/{one(n)['image_id']}", {})),
        Kind("similar", lambda n: (f"/api/images/{one(n)['image_id']}/similar", {"k": 12})),
        Kind("status", lambda _: ("/api/status", {})),
        Kind("receipts", lambda _: ("/api/receipts", {})),
        Kind("alerts", lambda _: ("/api/alerts", {})),
    ]


def measured(url: str, documents: list[Document], cursors: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind's figures: calls made, p50 and max in milliseconds, and the first error if there was one."""
    with httpx.Client(base_url=url, timeout=_TIMEOUT_S, follow_redirects=True) as client:
        for kind in kinds(documents, cursors):
            yield kind.name, _calls(client, kind)


def _calls(client: httpx.Client, kind: Kind) -> dict[str, Any]:
    took: list[float] = []
    errors: list[str] = []
    began = time.perf_counter()
    for number in range(CALLS):
        path, parameters = kind.of(number)
        started = time.perf_counter()
        try:
            answer = client.get(path, params=parameters)
            if answer.is_error:
                errors.append(f"{answer.status_code} {answer.text[:120]}")
        except httpx.HTTPError as error:
            errors.append(f"{type(error).__name__}: {error}")
        took.append(1e3 * (time.perf_counter() - started))
        if time.perf_counter() - began > _MAX_DURATION_S:
            break
    figures: dict[str, Any] = {"calls": len(took), "p50_ms": round(statistics.median(took), 1)}
    figures["max_ms"] = round(max(took), 1)
    if errors:
        figures |= {"errors": len(errors), "first_error": errors[0]}
    return figures
