"""The safe fetcher against a local server: redirects, sizes, slowness, refusals."""

import asyncio
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from astrolens.ingestor.fetching import FetchFailed, FetchRefused, SafeFetcher

from tests.skyserver import JPEG, Sky, answers, fetching


async def test_every_request_to_a_permitted_host_is_told() -> None:
    sky = Sky()
    sky.picture_faults = [answers(503), answers(404)]
    told: list[tuple[str, str]] = []

    def tell(host: str, outcome: str, seconds: float) -> None:
        assert 0.0 < seconds < 5.0
        told.append((host, outcome))

    async with (
        TestServer(sky.app()) as server,
        fetching(server, on_request=tell) as fetcher,
    ):
        picture = f"http://{server.host}:{server.port}/dr17/SkyServerWS/ImgCutout/getjpeg?ra=1"
        for expected in (FetchFailed, FetchRefused):
            with pytest.raises(expected):
                await fetcher.get(picture)
        await fetcher.get(picture)
        with pytest.raises(FetchRefused):
            await fetcher.get("https://elsewhere.example/x")
        host = f"{server.host}:{server.port}"
    assert told == [(host, "http-503"), (host, "http-404"), (host, "ok")]


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data", "http://localhost/", "file:///etc/passwd"]
)
async def test_redirects_start_the_checks_over(location: str) -> None:
    sky = Sky()
    sky.picture_faults = [answers(301, Location=location)]
    async with TestServer(sky.app()) as server, fetching(server) as fetcher:
        with pytest.raises(FetchRefused):
            await fetcher.get(f"http://{server.host}:{server.port}/dr17/SkyServerWS/ImgCutout/getjpeg?ra=1&dec=1")


async def test_redirects_within_the_host_are_followed_up_to_three_times() -> None:
    sky = Sky()
    url = "/dr17/SkyServerWS/ImgCutout/getjpeg?ra=1&dec=1"
    async with TestServer(sky.app()) as server, fetching(server) as fetcher:
        start = f"http://{server.host}:{server.port}{url}"
        sky.picture_faults = [answers(302, Location=url)] * 2 + [answers(302, Location="/landed")]
        landed = await fetcher.get(start)
        assert (landed.data, urlsplit(landed.url).path) == (b"elsewhere", "/landed")
        sky.picture_faults = [answers(302, Location=url)] * 4
        with pytest.raises(FetchRefused, match="more than 3 times"):
            await fetcher.get(start)
        sky.picture_faults = [answers(302)]
        with pytest.raises(FetchRefused, match="to nowhere"):
            await fetcher.get(start)


async def test_bodies_are_counted_while_they_arrive() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(b"x" * 10_000)
            sent += 10_000
        return response

    sky = Sky()
    async with TestServer(sky.app()) as server, fetching(server) as fetcher:
        url = f"http://{server.host}:{server.port}/dr17/SkyServerWS/ImgCutout/getjpeg"
        sky.picture_faults = [endless, answers(body=b"x" * 100_001), answers(body=b"x" * 100_000)]
        for _ in range(2):
            with pytest.raises(FetchRefused) as refused:
                await fetcher.get(url)
            assert refused.value.reason.code == "too-large"
        assert len((await fetcher.get(url)).data) == 100_000
    assert sent < 50_000_000


async def test_a_slow_server_is_given_up() -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100):
            await response.write(b"x")
            await asyncio.sleep(0.05)
        return response

    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.Response()

    sky = Sky()
    async with TestServer(sky.app()) as server, fetching(server, total_s=0.4, read_s=0.2) as fetcher:
        url = f"http://{server.host}:{server.port}/dr17/SkyServerWS/ImgCutout/getjpeg"
        for fault in (slow, silent):
            sky.picture_faults = [fault]
            with pytest.raises(FetchFailed) as failed:
                await fetcher.get(url)
            assert failed.value.code == "timeout"


async def test_a_connection_that_breaks_is_a_failure_and_no_short_picture() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "5000"})
        await response.prepare(request)
        await response.write(JPEG[:1000])
        assert request.transport is not None
        request.transport.abort()
        return response

    sky = Sky()
    sky.picture_faults = [cut]
    async with TestServer(sky.app()) as server, fetching(server) as fetcher:
        with pytest.raises(FetchFailed) as failed:
            await fetcher.get(f"http://{server.host}:{server.port}/dr17/SkyServerWS/ImgCutout/getjpeg")
    assert failed.value.code in {"cut-off", "no-connection"}


async def test_a_server_that_is_not_there_is_a_failure(unused_tcp_port: int) -> None:
    fetcher = SafeFetcher(hosts=[f"127.0.0.1:{unused_tcp_port}"], max_bytes=10, allow_loopback=True)
    await fetcher.open()
    try:
        with pytest.raises(FetchFailed) as failed:
            await fetcher.get(f"http://127.0.0.1:{unused_tcp_port}/")
        assert failed.value.code == "no-connection"
    finally:
        await fetcher.close()


async def test_compressed_bodies_are_not_inflated() -> None:
    sky = Sky()
    sky.picture_faults = [answers(body=b"\x1f\x8b bomb", Content_Encoding="gzip")]
    async with TestServer(sky.app()) as server, fetching(server) as fetcher:
        with pytest.raises(FetchRefused, match="compressed"):
            await fetcher.get(f"http://{server.host}:{server.port}/dr17/SkyServerWS/ImgCutout/getjpeg")


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_refusal_of_the_server_is_one_of_ours(status: int) -> None:
    sky = Sky()
    sky.picture_faults = [answers(status)]
    async with TestServer(sky.app()) as server, fetching(server) as fetcher:
        with pytest.raises(FetchRefused) as refused:
            await fetcher.get(f"http://{server.host}:{server.port}/dr17/SkyServerWS/ImgCutout/getjpeg")
    assert refused.value.reason.code == f"http-{status}"
