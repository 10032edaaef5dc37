"""A local server that keeps SkyServer's contract, faults included."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from astrolens.ingestor.fetching import SafeFetcher

JPEG = b"\xff\xd8\xff\xe0" + b"sky " * 1000
FIRST_OBJID = 1237645941824356443
"""Beyond 2^53: a float would name another galaxy."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def row(number: int) -> dict[str, Any]:
    """A row of the galaxy query."""
    return {
        "objID": FIRST_OBJID + number,
        "ra": 40.1 + number / 100,
        "dec": -0.2,
        "petroRad_r": 8.5,
        "petroMag_r": 16.4,
        "run": 109,
        "camcol": 1,
        "field": 52,
    }


class Sky:
    """SkyServer as the source knows it. Queries and pictures may be replaced by faults, used up one by one.

    Args:
        galaxies: How many there are.
        picture: Makes the JPEG of a right ascension; by default bytes that only look like one.
    """

    def __init__(self, galaxies: int = 5, *, picture: Callable[[str], bytes] | None = None) -> None:
        self.rows = [row(number) for number in range(galaxies)]
        self.query_faults: list[Handler] = []
        self.picture_faults: list[Handler] = []
        self.queries: list[str] = []
        self._jpeg = picture or (lambda ra: JPEG + ra.encode())
        self.pictures: list[dict[str, str]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/dr17/SkyServerWS/SearchTools/SqlSearch", self._query)
        app.router.add_get("/dr17/SkyServerWS/ImgCutout/getjpeg", self._picture)
        app.router.add_get("/{path:.*}", self._elsewhere)
        return app

    async def _query(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(request.query["cmd"])
        if self.query_faults:
            return await self.query_faults.pop(0)(request)
        assert request.query["format"] == "json"
        words = request.query["cmd"].split()
        limit, after = int(words[2]), int(words[words.index(">") + 1])
        rows = [row for row in self.rows if row["objID"] > after][:limit]
        # SkyServer sends its JSON as text/plain in some releases; the type must not matter.
        return web.Response(text=json.dumps([{"TableName": "Table1", "Rows": rows}]), content_type="text/plain")

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        self.pictures.append(dict(request.query))
        if self.picture_faults:
            return await self.picture_faults.pop(0)(request)
        return web.Response(body=self._jpeg(request.query["ra"]), content_type="image/jpeg")

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text="elsewhere")


def answers(status: int = 200, body: bytes = b"", **headers: str) -> Handler:
    """A server that answers this."""

    async def handle(_: web.Request) -> web.StreamResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=names)

    return handle


@asynccontextmanager
async def fetching(server: TestServer, **limits: Any) -> AsyncGenerator[SafeFetcher, None]:
    """A fetcher that may ask this server and nobody else."""
    settings: dict[str, Any] = {"max_bytes": 100_000, "total_s": 5.0, "read_s": 2.0} | limits
    fetcher = SafeFetcher(hosts=[f"{server.host}:{server.port}"], allow_loopback=True, **settings)
    await fetcher.open()
    try:
        yield fetcher
    finally:
        await fetcher.close()
