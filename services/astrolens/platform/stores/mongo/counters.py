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
from typing import Any

from pymongo import UpdateOne

from astrolens.platform.stores.collections import Collection, Declaration
from astrolens.platform.stores.documents import get_path, tally_key
from astrolens.platform.stores.records import Document

SHARDS = 16
"""Bounds both the transactions of one process at a time and what reading one key costs."""

TALLIES = "tallies"
"""The MongoDB collection of the counters."""

Delta = Counter[tuple[str, str]]
"""(tally, key) to how many more."""


@dataclass
class CounterShard:
    """A shard in use, and how often its transaction was tried."""

    number: int
    tries: int = 0


class CounterShards:
    """The shards of one process: the one used last is used next, so that a lone writer touches few documents."""

    def __init__(self, seed: int | None = None) -> None:
        self._free = list(range(SHARDS))
        random.Random(seed).shuffle(self._free)  # noqa: S311 - another process shall begin elsewhere, no secret
        self._room = asyncio.Semaphore(SHARDS)

    @asynccontextmanager
    async def one(self) -> AsyncIterator["CounterShard"]:
        """A shard for one transaction. One in which it met another writer is put aside for the next."""
        async with self._room:
            shard = CounterShard(self._free.pop())
            try:
                yield shard
            finally:
                self._free.insert(0 if shard.tries > 1 else len(self._free), shard.number)


def counted_fields(declared: Declaration) -> list[str]:
    """Every field that a tally counts by, in one order."""
    return sorted({field for fields in declared.tallies.values() for field in fields})


def count(delta: Delta, declared: Declaration, document: Document, step: int) -> None:
    """Count a document of ours in or out."""
    count_values(delta, declared, {field: get_path(document, field) for field in counted_fields(declared)}, step)


def count_values(delta: Delta, declared: Declaration, values: dict[str, Any], step: int) -> None:
    """Count the values of the counted fields in or out."""
    for name, fields in declared.tallies.items():
        delta[name, tally_key([values[field] for field in fields])] += step


def increments(collection: Collection, delta: Delta, shard: int) -> list[UpdateOne]:
    """The updates that a delta asks for."""
    return [
        UpdateOne(
            {"_id": f"{collection}.{name} {key} {shard}"},
            {"$inc": {"n": step}, "$setOnInsert": {"of": f"{collection}.{name}", "key": key}},
            upsert=True,
        )
        for (name, key), step in sorted(delta.items())  # one order for all, so that two writers cannot cross
        if step
    ]


def summed(wanted: Sequence[tuple[Collection, str]], rows: Iterable[Document]) -> list[dict[tuple[str, ...], int]]:
    """The wanted tallies out of their shards."""
    sums: dict[str, Counter[str]] = {f"{collection}.{name}": Counter() for collection, name in wanted}
    for row in rows:
        sums[row["of"]][row["key"]] += row["n"]
    return [
        {tuple(loads(key)): n for key, n in sums[f"{collection}.{name}"].items() if n > 0}
        for collection, name in wanted
    ]
