"""Limits on what the calls of all clients together hold in memory, and on how long a call may take to arrive.

gRPC reads a request before it calls the handler, however many requests arrive at once. Here a call waits for its share
of a budget of bytes before its request is read, while its bytes stay with the client (HTTP/2 flow control). On the wire
a call with one request is a stream of one, so that the handlers are registered as readers of a stream.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc

from astrolens.platform.time_limits import MODEL_CALL_S
from astrolens.rpc.channel import MAX_MESSAGE_BYTES, SERVICE_NAME

BUDGET_BYTES: Final = 2 * MAX_MESSAGE_BYTES
"""Bytes of requests, as they came over the wire, that are held at once. Until it is read a request counts as the
largest one allowed. In memory a request is up to four times as large: its buffers, the message, and its cutouts."""
MAX_WAITING: Final = 256
"""Calls that may wait for their share; further ones are refused at once."""
BUDGET_TIMEOUT_S: Final = 5.0
"""Longest wait for a share: the queue behind it is a matter of seconds, too."""
RECEIVE_TIMEOUT_S: Final = 15.0
"""Longest time in which a request arrives: the largest one at 4.5 MB/s."""

Context = Any
Call = Callable[[Any, Context], Awaitable[Any]]


class BudgetExhausted(Exception):
    """No share of the budget became free in time."""


class ByteBudget:
    """Shares of a number of bytes, given in the order in which they are asked for."""

    def __init__(self, total: int, *, max_waiting: int = MAX_WAITING) -> None:
        self._free = total
        self._max_waiting = max_waiting
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> int:
        """Bytes that nobody holds."""
        return self._free

    async def take(self, share: int, *, timeout_s: float) -> None:
        """Wait for a share.

        Raises:
            BudgetExhausted: None became free within `timeout_s`, or too many wait already.
        """
        if not self._waiting and share <= self._free:
            self._free -= share
            return
        if len(self._waiting) >= self._max_waiting:
            raise BudgetExhausted
        granted = asyncio.get_running_loop().create_future()
        self._waiting.append((share, granted))
        try:
            async with asyncio.timeout(timeout_s):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                self.give_back(share)
            else:
                self._waiting = deque(each for each in self._waiting if each[1] is not granted)
                self._grant()
            if isinstance(error, TimeoutError):
                raise BudgetExhausted from error
            raise

    def give_back(self, share: int) -> None:
        """Free a share, or a part of one."""
        self._free += share
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            share, granted = self._waiting.popleft()
            if not granted.done():
                self._free -= share
                granted.set_result(None)


class CallLimits(grpc.aio.ServerInterceptor):
    """Gives each call of the model server its share of the budget, and a deadline.

    Args:
        on_refused: Called for each call that is refused for want of memory.
        budget: Shared by all calls.
        budget_timeout_s: Longest wait for a share.
        receive_timeout_s: Longest time in which a request arrives.
    """

    def __init__(
        self,
        *,
        on_refused: Callable[[], None] = lambda: None,
        budget: ByteBudget | None = None,
        budget_timeout_s: float = BUDGET_TIMEOUT_S,
        receive_timeout_s: float = RECEIVE_TIMEOUT_S,
    ) -> None:
        self.budget = budget or ByteBudget(BUDGET_BYTES)
        self._on_refused = on_refused
        self._budget_timeout_s = budget_timeout_s
        self._receive_timeout_s = receive_timeout_s

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """The handler of a call, behind these limits."""
        handler = await continuation(handler_call_details)
        ours = handler_call_details.method.startswith(f"/{SERVICE_NAME}/")
        if handler is None or not ours or handler.unary_unary is None:
            return handler
        return grpc.stream_unary_rpc_method_handler(
            self._limited(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _limited(self, call: Call) -> Callable[[AsyncIterator[Any], Context], Awaitable[Any]]:
        async def limited(requests: AsyncIterator[Any], context: Context) -> Any:
            share = MAX_MESSAGE_BYTES
            try:
                await self.budget.take(share, timeout_s=self._budget_timeout_s)
            except BudgetExhausted:
                self._on_refused()
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "the model server holds as many requests as its memory allows; try again later",
                )
            try:
                request = await self._received(requests, context)
                size = min(request.ByteSize(), share)
                self.budget.give_back(share - size)
                share = size
                return await _within_limit(call(request, context), MODEL_CALL_S, context, "the answer took more than")
            finally:
                self.budget.give_back(share)

        return limited

    async def _received(self, requests: AsyncIterator[Any], context: Context) -> Any:
        return await _within_limit(
            anext(requests), self._receive_timeout_s, context, "the request did not arrive within"
        )


async def _within_limit(work: Awaitable[Any], limit_s: float, context: Context, what: str) -> Any:
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, f"{what} {limit_s:.0f} s, which is the limit")
