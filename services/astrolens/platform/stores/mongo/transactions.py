"""Transactions with a bound: retried after a conflict, aborted within a time of their own."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from astrolens.platform.retry import RetryPolicy
from astrolens.platform.stores.mongo.counters import CounterShards
from astrolens.platform.stores.mongo.errors import is_conflict

T = TypeVar("T")
TransactionBody = Callable[[AsyncClientSession | None, int], Awaitable[T]]
"""The operations of a transaction, given a session (None: no transaction) and a shard; they may run more than once."""

DURABLE = WriteConcern(w="majority", j=True)

_ABORT_TIMEOUT_S = 2.0
_CONFLICT_RETRY = RetryPolicy(initial_wait_s=0.005, max_wait_s=0.5)
"""Between attempts of a transaction that was in conflict with another one."""


class Transactions:
    """Runs writes of one process, each in a shard of its own."""

    def __init__(self) -> None:
        self._shards = CounterShards()

    async def run(self, client: AsyncMongoClient[dict[str, Any]], body: TransactionBody[T], *, timeout_s: float) -> T:
        """Run `body` in a transaction, again after a conflict, within a bound.

        PyMongo's own `with_transaction` aborts within the time that is left: when none is, the transaction stays open
        on the server, and what it has touched stays locked for a minute. Here the abort has a time of its own.
        """
        deadline = monotonic() + timeout_s
        async with self._shards.acquire() as shard, client.start_session() as session:
            while True:
                shard.attempts += 1
                try:
                    with pymongo.timeout(max(deadline - monotonic(), 0.001)):
                        await session.start_transaction(
                            ReadConcern("snapshot"), write_concern=DURABLE, read_preference=ReadPreference.PRIMARY
                        )
                        result = await body(session, shard.number)
                        await session.commit_transaction()
                        return result
                except PyMongoError as error:
                    if session.in_transaction:
                        with pymongo.timeout(_ABORT_TIMEOUT_S):
                            await session.abort_transaction()
                    pause_s = _CONFLICT_RETRY.wait_s(shard.attempts)
                    if not is_conflict(error) or monotonic() + pause_s > deadline:
                        raise
                await asyncio.sleep(pause_s)
