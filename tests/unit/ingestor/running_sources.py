"""Runs a source until something has happened."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.source_feeder import SourceFeeder
from astrolens.ingestor.source_lease import SourceLease
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.stores.leases import Lease

from tests.unit.ingestor.ingestor_fakes import Ingest


def feeder_of(ingest: Ingest, source: Any, *, limit: int = 10_000) -> SourceFeeder:
    lease = Lease(ingest.records, f"source:{source.name}", owner="only")
    return SourceFeeder(
        source=source,
        service=ingest.service,
        records=ingest.records,
        lease=SourceLease(lease, source=source.name, check_interval_s=0.01),
        backpressure=Backpressure(records=ingest.records, max_in_flight=limit, check_interval_s=0.0),
        retry_policy=RetryPolicy(initial_wait_s=0.001, max_wait_s=0.001),
        status_interval_s=0.01,
    )


@asynccontextmanager
async def running(feeder: SourceFeeder) -> AsyncGenerator[asyncio.Event, None]:
    stopping = asyncio.Event()
    task = asyncio.create_task(feeder.run(stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await asyncio.wait_for(task, 10)


async def until(condition: Callable[[], Any], *, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.005)


async def delivered(ingest: Ingest, count: int) -> bool:
    return (await ingest.outcomes()).get("accepted", 0) >= count
