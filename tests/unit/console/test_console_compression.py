"""What is compressed, by what, and that a file is compressed once."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable

import cramjam
import httpx
import pytest
from astrolens.console import compression
from astrolens.console.compression import Compression, accepted
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

TEXT = "an answer of some length, which says the same again and again; " * 40
FILE = {"cache-control": "public, max-age=31536000, immutable", "etag": '"1"', "last-modified": "long ago"}


class Site:
    """An application that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        routes = {
            "/script": lambda _: Response(TEXT, media_type="text/javascript", headers=FILE),
            "/list": lambda _: JSONResponse({"items": [TEXT]}),
            "/short": lambda _: PlainTextResponse("short"),
            "/picture": lambda _: Response(TEXT.encode(), media_type="image/jpeg", headers=FILE),
            "/stream": lambda _: StreamingResponse(iter([TEXT]), media_type="application/json"),
            "/fault": lambda _: JSONResponse({"detail": TEXT}, status_code=404),
        }
        self.app = Compression(Starlette(routes=[Route(path, self._counted(how)) for path, how in routes.items()]))

    def _counted(self, how: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self.asked += 1
            return how(request)

        return answer

    async def get(self, path: str, encodings: str = "gzip, br", **headers: str) -> tuple[httpx.Headers, bytes]:
        """The headers and the body as it was sent."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            request = client.build_request("GET", path, headers={"accept-encoding": encodings, **headers})
            answer = await client.send(request, stream=True)
            return answer.headers, b"".join([part async for part in answer.aiter_raw()])


@pytest.mark.parametrize(
    ("encodings", "chosen"), [("gzip, deflate, br", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip")]
)
async def test_text_is_compressed_by_what_the_browser_takes(encodings: str, chosen: str) -> None:
    headers, body = await Site().get("/list", encodings)
    plain = bytes(cramjam.brotli.decompress(body)) if chosen == "br" else gzip.decompress(body)
    assert plain == JSONResponse({"items": [TEXT]}).body
    assert headers["content-encoding"] == chosen
    assert headers["vary"] == "accept-encoding"
    assert int(headers["content-length"]) == len(body) < len(plain) / 10


@pytest.mark.parametrize("path", ["/short", "/picture", "/stream", "/fault"])
async def test_what_gains_nothing_passes_through(path: str) -> None:
    headers, _ = await Site().get(path)
    assert "content-encoding" not in headers


@pytest.mark.parametrize("headers", [{"encodings": "identity"}, {"range": "bytes=0-9"}])
async def test_who_asks_for_bytes_as_they_are_gets_them(headers: dict[str, str]) -> None:
    answered, body = await Site().get("/script", **headers)
    assert "content-encoding" not in answered
    assert body == TEXT.encode()


async def test_a_file_is_compressed_once_and_then_as_small_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []

    def counted(plain: bytes, encoding: str, *, best: bool = False) -> bytes:
        begun.append(best)
        return b"best" if best else b"quick"

    monkeypatch.setattr(compression, "compressed", counted)
    site = Site()
    assert (await site.get("/script"))[1] == b"quick"
    for _ in range(200):
        if (found := await site.get("/script"))[1] == b"best":
            break
        await asyncio.sleep(0.01)
    headers, body = found
    assert body == b"best"
    assert headers["content-length"] == "4"
    assert headers["etag"] == '"1"'
    assert "last-modified" not in headers
    assert begun == [False, True]
    assert site.asked == 1
    # Whoever has it asks whether it changed, and the application answers that.
    await site.get("/script", **{"if-none-match": '"1"'})
    assert site.asked == 2
    # An answer to one request is kept for nobody.
    await site.get("/list")
    await site.get("/list")
    assert site.asked == 4


async def test_no_more_is_kept_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_CACHED_BYTES", 10)
    site = Site()
    await site.get("/script")
    await site.get("/script")
    assert site.asked == 2


def test_an_encoding_that_nobody_offers_is_none() -> None:
    assert accepted({"accept-encoding": "zstd, deflate"}) == ""
    assert accepted({}) == ""
