"""The stream of status updates over REST."""

import asyncio
from typing import Any

import httpx
import pytest
from astrolens.console import stream as stream_module
from astrolens.console.stream import StatusStream
from astrolens.contracts.records import Outcome
from astrolens.platform.stores.collections import Collection

from tests.made_records import make_receipt


async def test_a_stream_polls_only_while_somebody_listens_and_gives_only_news(world: Any) -> None:
    reads = 0

    async def read() -> Any:
        nonlocal reads
        reads += 1
        return await world.context.status.read()

    stream = StatusStream(read)
    await stream.poll()
    assert reads == 0
    listening = stream.listen()
    waiting = asyncio.ensure_future(anext(listening))
    await asyncio.wait_for(stream.wake.wait(), 60)
    await stream.poll()
    first = await asyncio.wait_for(waiting, 60)
    assert first is not None
    assert first.received == 0
    waiting = asyncio.ensure_future(anext(listening))
    await asyncio.sleep(0)
    await stream.poll()
    assert (reads, waiting.done()) == (2, False), "nothing happened, so nothing is given"
    await world.records.insert(Collection.RECEIPTS, [make_receipt("new", Outcome.RECEIVED)])
    await stream.poll()
    second = await asyncio.wait_for(waiting, 60)
    assert second is not None
    assert second.received == 1
    other = stream.listen()
    present = await asyncio.wait_for(anext(other), 60)
    assert present is not None
    assert (present.received, reads) == (1, 3), "a later listener gets the present at once"
    await listening.aclose()
    await other.aclose()
    await stream.poll()
    assert (stream.listeners, reads) == (0, 3)


async def test_a_listener_after_a_quiet_time_gets_no_old_status(world: Any) -> None:
    stream = world.context.stream
    listening = stream.listen()
    waiting = asyncio.ensure_future(anext(listening))
    await asyncio.wait_for(stream.wake.wait(), 60)
    await stream.poll()
    await waiting
    await listening.aclose()
    await world.records.insert(Collection.RECEIPTS, [make_receipt("new", Outcome.RECEIVED)])
    later = stream.listen()
    waiting = asyncio.ensure_future(anext(later))
    await asyncio.sleep(0)
    assert not waiting.done()
    await stream.poll()
    assert (await asyncio.wait_for(waiting, 60)).received == 1
    await later.aclose()


async def test_one_address_cannot_take_every_stream(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "MAX_LISTENERS", 5)
    monkeypatch.setattr(stream_module, "MAX_LISTENERS_PER_ADDRESS", 3)
    stream = StatusStream(world.context.status.read)
    listening = [(stream.listen("10.0.0.1"), "10.0.0.1") for _ in range(6)]
    listening += [(stream.listen(address), address) for address in ("10.0.0.2", "10.0.0.3", "10.0.0.4")]
    # All ask before the first of them listens.
    waiting = [asyncio.ensure_future(anext(each, "ended")) for each, _ in listening]
    await asyncio.sleep(0)
    await stream.poll()
    given = [await asyncio.wait_for(each, 60) for each in waiting]
    assert [each == "ended" for each in given] == [False] * 3 + [True] * 3 + [False] * 2 + [True]
    assert (stream.listeners, stream.full("10.0.0.9")) == (5, True)
    for each, _ in listening:
        await each.aclose()
    assert (stream.listeners, stream.full("10.0.0.1")) == (0, False)


async def test_an_address_with_too_many_streams_is_told_so(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "MAX_LISTENERS_PER_ADDRESS", 0)
    answer = await client.get("/api/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")


async def test_closing_ends_every_stream(world: Any) -> None:
    stream = world.context.stream
    listening = stream.listen()
    first = asyncio.ensure_future(anext(listening))
    await asyncio.wait_for(stream.wake.wait(), 60)
    await stream.poll()
    await asyncio.wait_for(first, 60)
    ended = asyncio.ensure_future(anext(listening, "ended"))
    await asyncio.sleep(0)
    await stream.close()
    assert await asyncio.wait_for(ended, 60) == "ended"
