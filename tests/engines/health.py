"""What every service of a system says of itself."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.e2e.system import System

HEALTH = {"console": 0, "ingestor": 2, "analyzer": 3, "model-server": 4, "notifier": 5, "crossref": 6, "trainer": 7}
"""Where each service tells its health, after the console's port."""


def readiness(system: System) -> dict[str, dict[str, Any] | None]:
    """What `/readyz` of each service says; None where it is ready.

    Raises:
        httpx.HTTPError: One does not answer at all.
    """

    def ask(offset: int) -> dict[str, Any] | None:
        answer = httpx.get(f"http://127.0.0.1:{system.port + offset}/readyz", timeout=20)
        return None if answer.status_code == 200 else answer.json()

    # All at once: each answers as late as its own question to a server that is away.
    with ThreadPoolExecutor(len(HEALTH)) as threads:
        return dict(zip(HEALTH, threads.map(ask, HEALTH.values()), strict=True))


def sentences(told: Mapping[str, dict[str, Any] | None], service: str) -> str:
    """All that an unready service says; empty where it is ready."""
    body = told[service]
    return "" if body is None else " ".join([*body["problems"].values(), body["detail"] or ""])
