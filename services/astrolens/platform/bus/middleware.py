"""The net under the parser: records that FastStream could not hand over are settled all the same."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from faststream import BaseMiddleware
from faststream.exceptions import IgnoredException

from astrolens.platform.kafka_record import KafkaRecord

Settle = Callable[[Sequence[KafkaRecord], Exception], Awaitable[None]]
"""Settles records that never reached a handler, or raises so that they are seen again."""


class UnreadableRecords(BaseMiddleware[Any, Any]):
    """Sees what FastStream's acknowledgement sees first: failures before the handler.

    A failure inside the handler is the handler's own and passes through untouched. Suppression happens only after
    `settle` returned, that is, after the records are kept and published; when it raises, they are seen again.
    """

    def __init__(self, msg: Any, /, *, context: Any, settle: Settle) -> None:
        super().__init__(msg, context=context)
        self._settle = settle
        self._reached = False

    @classmethod
    def settling(cls, settle: Settle) -> Callable[..., "UnreadableRecords"]:
        """The middleware as a broker wants it."""
        return partial(cls, settle=settle)

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: Any) -> Any:
        """Note that the records reached the handler."""
        self._reached = True
        return await call_next(msg)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool | None:
        """Settle what never reached the handler."""
        if self._reached or self.msg is None or not isinstance(exc_val, Exception):
            return False
        if isinstance(exc_val, IgnoredException):
            return False
        await self._settle(self.msg if isinstance(self.msg, tuple) else (self.msg,), exc_val)
        return True
