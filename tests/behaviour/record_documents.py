"""Documents and events for the behaviour suites of record stores."""

from typing import Any

from astrolens.contracts.records import PendingEvent
from astrolens.platform.stores.collections import Collection

IMAGES = Collection.IMAGES


def image(n: int, **fields: Any) -> dict[str, Any]:
    """A document with only what a test needs; stores do not look at the rest."""
    return {
        "image_id": f"img{n:04}",
        "state": "ingested",
        "verdict": None,
        "p_value": None,
        "observation": {"survey": "sdss", "name": f"SDSS J{n:04}", "position": None},
        "labels": [],
        "pending": [],
        **fields,
    }


def event(n: int) -> dict[str, Any]:
    return PendingEvent(event_id=f"event{n}", topic="t", key="k", payload="{}").model_dump(mode="json")
