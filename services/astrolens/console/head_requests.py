"""HEAD is answered as GET, without the body: probes and caches ask so."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadRequests:
    """ASGI middleware. What would make the body, a stream without end perhaps, is cancelled once the head is there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer HEAD; let everything else through."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        answered = asyncio.Event()

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start" and not answered.is_set():
                await send(message)
                await send({"type": "http.response.body", "body": b""})
                answered.set()

        async def serve() -> None:
            await self._app({**scope, "method": "GET"}, receive, send_head)

        serving = asyncio.create_task(serve())
        waiting = asyncio.create_task(answered.wait())
        try:
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (serving, waiting):
                task.cancel()
            outcomes = await asyncio.gather(serving, waiting, return_exceptions=True)
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]
