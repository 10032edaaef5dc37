"""FastStream middleware for records that fail before they reach a handler: they are dead-lettered like all others."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from faststream import BaseMiddleware
from faststream.exceptions import IgnoredException

from astrolens.platform.kafka_record import KafkaRecord

Settle = Callable[[Sequence[KafkaRecord], Exception], Awaitable[None]]
"""Settles records that never reached a handler, or raises so that they are read again."""


class UnreadableRecordsMiddleware(BaseMiddleware[Any, Any]):
    """Settles records on which FastStream failed before it called the handler.

    A failure inside the handler is not touched. A failure is suppressed, and the records acknowledged, only after
    `settle` returned, that is, after they were stored and published as dead letters; when it raises, they are read
    again.
    """

    def __init__(self, msg: Any, /, *, context: Any, settle: Settle) -> None:
        super().__init__(msg, context=context)
        self._settle = settle
        self._handler_called = False

    @classmethod
    def factory(cls, settle: Settle) -> Callable[..., "UnreadableRecordsMiddleware"]:
        """The middleware in the form that a broker takes."""
        return partial(cls, settle=settle)

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: Any) -> Any:
        """Note that the records reached the handler."""
        self._handler_called = True
        return await call_next(msg)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool | None:
        """Settle what never reached the handler."""
        if self._handler_called or self.msg is None or not isinstance(exc_val, Exception):
            return False
        if isinstance(exc_val, IgnoredException):
            return False
        await self._settle(self.msg if isinstance(self.msg, tuple) else (self.msg,), exc_val)
        return True
