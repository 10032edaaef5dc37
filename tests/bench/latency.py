"""End-to-end latency from the documents themselves: what the record store says of when each step was done."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import record_store
from astrolens.platform.stores.records import Clause, Document, Order, Query

from tests.bench.arrivals import Schedule

PERCENTILES = (50, 95, 99)
_PAGE = 1_000


@dataclass(frozen=True)
class Journey:
    """One picture: moments in seconds since the epoch, `alerted` None where it raised no alert."""

    due: float
    received: float
    ingested: float
    analyzed: float
    alerted: float | None


def journeys(records_url: str, batch: str, *, began: float, schedule: Schedule) -> list[Journey]:
    """Every analysed picture of a batch.

    Args:
        records_url: The record store.
        batch: The batch that `arrivals` sent.
        began: When it began, seconds since the epoch.
        schedule: What it followed; a picture's ref is its number.
    """
    receipts, images, alerts = asyncio.run(_documents(records_url, batch))
    moments = {image["image_id"]: image for image in images}
    raised = {alert["image_id"]: _seconds(alert["raised_at"]) for alert in alerts}
    return [
        Journey(
            due=began + schedule.due_s(int(receipt["ref"].partition(".")[0])),
            received=_seconds(receipt["received_at"]),
            ingested=_seconds(moments[receipt["image_id"]]["ingested_at"]),
            analyzed=_seconds(moments[receipt["image_id"]]["analyzed_at"]),
            alerted=raised.get(receipt["image_id"]),
        )
        for receipt in receipts
        if receipt["outcome"] == "accepted"
    ]


async def _documents(url: str, batch: str) -> tuple[list[Document], list[Document], list[Document]]:
    store = record_store(url)
    await store.open()
    try:
        # In the order of an index: without one, each page would sort the whole batch again.
        async def everything(collection: Collection, order: str, *where: Clause) -> list[Document]:
            found: list[Document] = []
            after = None
            while True:
                page = await store.find(collection, Query(where=where, order=Order(order), limit=_PAGE, after=after))
                found += page.documents
                after = page.next
                if after is None:
                    return found

        of_batch = Clause("batch", "eq", batch)
        return (
            await everything(Collection.RECEIPTS, "received_at", of_batch),
            await everything(Collection.IMAGES, "ingested_at", of_batch),
            await everything(Collection.ALERTS, "raised_at"),
        )
    finally:
        await store.close()


def summary(travelled: Sequence[Journey]) -> dict[str, dict[str, float]]:
    """Percentiles in seconds, by step and end to end (from the moment a picture was due)."""
    alerted = [(each, each.alerted) for each in travelled if each.alerted is not None]
    return {
        "at the door": _percentiles([each.received - each.due for each in travelled]),
        "to ingested": _percentiles([each.ingested - each.received for each in travelled]),
        "to analyzed": _percentiles([each.analyzed - each.ingested for each in travelled]),
        "due to analyzed": _percentiles([each.analyzed - each.due for each in travelled]),
        "due to alert": _percentiles([moment - each.due for each, moment in alerted]),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    return {f"p{share}": round(float(np.percentile(seconds, share)), 3) for share in PERCENTILES}


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
