"""Sending records together, and what each answer of the broker means."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
)
from faststream.exceptions import IncorrectState
from faststream.kafka import KafkaBroker

from astrolens.platform.bus.access import KafkaAccess
from astrolens.platform.bus.connect import find_access_problem
from astrolens.platform.errors import AstroLensError, BusUnavailable, PermanentError
from astrolens.platform.time_limits import PUBLISH_S


@dataclass(frozen=True)
class OutgoingRecord:
    """One record to be sent."""

    topic: str
    key: bytes | None
    body: bytes
    headers: dict[str, str]


class RecordProducer:
    """Sends records with the producer of a FastStream broker."""

    def __init__(
        self,
        broker: KafkaBroker,
        access: KafkaAccess,
        *,
        service: str,
        on_failure: Callable[[AstroLensError], None],
    ) -> None:
        """Compose; nothing is sent.

        Args:
            broker: Its producer sends.
            access: How Kafka is reached, to find out why it does not answer.
            service: Name of the service, for sentences.
            on_failure: Called when the producer cannot send any more: the service must stop.
        """
        self._broker = broker
        self._access = access
        self._service = service
        self._on_failure = on_failure

    async def send(self, records: Sequence[OutgoingRecord]) -> None:
        """Send records together and wait until the broker has acknowledged all of them.

        Raises:
            BusUnavailable: Not all were acknowledged in time; sending again is harmless.
            PermanentError: A record is larger than the broker accepts.
        """
        futures: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(PUBLISH_S):
                for record in records:
                    # One by one, so that those already sent are known when the next one fails.
                    futures.append(await self._send_one(record))  # noqa: PERF401
                await asyncio.gather(*futures)
        except (MessageSizeTooLargeError, InvalidTopicError) as error:
            raise PermanentError("event-refused", f"the event broker never accepts it: {error}") from error
        except (ProducerFenced, OutOfOrderSequenceNumber, ProducerClosed) as error:
            # An idempotent producer in this state fails every later record: only a new process helps.
            failure = BusUnavailable(f"the event producer of {self._service} has failed for good: {error!r}")
            self._on_failure(failure)
            raise failure from error
        except (KafkaError, TimeoutError, OSError, IncorrectState) as error:
            problem = await find_access_problem(self._access, sorted({record.topic for record in records}))
            sentence = problem or f"the event broker did not take {len(records)} events: {error!r}"
            raise BusUnavailable(sentence) from error
        finally:
            for future in futures:
                future.add_done_callback(_retrieve_exception)

    async def _send_one(self, record: OutgoingRecord) -> "asyncio.Future[Any]":
        return await self._broker.publish(
            record.body,
            record.topic,
            key=record.key,
            headers=record.headers,
            correlation_id=record.topic,
            no_confirm=True,
        )


def _retrieve_exception(future: "asyncio.Future[Any]") -> None:
    # asyncio logs the exception of a future that nobody awaits any more, unless it was retrieved.
    if not future.cancelled():
        future.exception()
