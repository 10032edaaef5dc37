"""Tallies on MongoDB: counters in shards, changed in the transaction of the documents they count.

One counter a key would make every writer wait for every other. Each counter is therefore spread over `SHARDS`
documents: a transaction takes a shard that no other transaction of its process holds, and reading adds the shards up.
See docs/decisions/0005-tallies-in-shards.md.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from json import loads

from pymongo import UpdateOne

from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Document
from astrolens.platform.stores.tallies import Increments

SHARDS = 16
"""Bounds both the transactions of one process at a time and what reading one key costs."""

TALLIES = "tallies"
"""The MongoDB collection of the counters."""


@dataclass
class CounterShard:
    """A shard in use, and how often its transaction was attempted."""

    number: int
    attempts: int = 0


class CounterShards:
    """The shards of one process. The one used last is used next, so that a single writer touches few documents."""

    def __init__(self, seed: int | None = None) -> None:
        self._free = list(range(SHARDS))
        random.Random(seed).shuffle(self._free)  # noqa: S311 - processes begin in different shards; no secret
        self._room = asyncio.Semaphore(SHARDS)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator["CounterShard"]:
        """A shard for one transaction. After a conflict with another writer the shard is used last."""
        async with self._room:
            shard = CounterShard(self._free.pop())
            try:
                yield shard
            finally:
                self._free.insert(0 if shard.attempts > 1 else len(self._free), shard.number)


def increment_updates(collection: Collection, increments: Increments, shard: int) -> list[UpdateOne]:
    """The updates that write increments into a shard."""
    return [
        UpdateOne(
            {"_id": f"{collection}.{name} {key} {shard}"},
            {"$inc": {"n": step}, "$setOnInsert": {"of": f"{collection}.{name}", "key": key}},
            upsert=True,
        )
        for (name, key), step in sorted(increments.items())  # one order for all, so that two writers cannot cross
        if step
    ]


def sum_shards(wanted: Sequence[tuple[Collection, str]], rows: Iterable[Document]) -> list[dict[tuple[str, ...], int]]:
    """The wanted tallies from the counters of all shards."""
    sums: dict[str, Counter[str]] = {f"{collection}.{name}": Counter() for collection, name in wanted}
    for row in rows:
        sums[row["of"]][row["key"]] += row["n"]
    return [
        {tuple(loads(key)): n for key, n in sums[f"{collection}.{name}"].items() if n > 0}
        for collection, name in wanted
    ]
