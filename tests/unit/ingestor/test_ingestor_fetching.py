"""No URL leads the fetcher to where it must not go. No socket is opened: what passes the checks fails to connect."""

import ipaddress
import socket
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from astrolens.ingestor.fetching import FetchFailed, FetchRefused, SafeFetcher, is_public


class Names(AbstractResolver):
    """A name service from a table; without an entry the system's own reading of numbers."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.addresses.get(host.split(".", maxsplit=1)[0])
        if found is None:
            found = [socket.inet_ntoa(socket.inet_aton(host))]
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for one in found
        ]

    async def close(self) -> None:
        self.addresses = {}


@asynccontextmanager
async def fetcher(*hosts: str, **addresses: list[str]) -> Any:
    made = SafeFetcher(hosts=hosts, max_bytes=1000, connect_s=0.2, total_s=1.0, resolver=Names(**addresses))
    await made.open()
    try:
        yield made
    finally:
        await made.close()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://evil.example/x", "host-not-allowed"),
        ("https://sky.example.evil.example/x", "host-not-allowed"),
        ("https://sky.example:8443/x", "host-not-allowed"),
        ("http://127.0.0.1/x", "host-not-allowed"),
        ("http://2130706433/x", "host-not-allowed"),
        ("http://[::1]/x", "host-not-allowed"),
        ("file:///etc/passwd", "bad-url"),
        ("ftp://sky.example/x", "bad-url"),
        ("gopher://sky.example/x", "bad-url"),
        ("//sky.example/x", "bad-url"),
        ("sky.example", "bad-url"),
        ("https://user:secret@sky.example/x", "bad-url"),
        ("https://sky.example@evil.example/x", "bad-url"),
        ("http://[::1/x", "bad-url"),
        ("", "bad-url"),
    ],
)
async def test_a_url_that_must_not_be_fetched(url: str, code: str) -> None:
    async with fetcher("sky.example", sky=["93.184.216.34"]) as fetch:
        with pytest.raises(FetchRefused) as refused:
            await fetch.get(url)
    assert refused.value.reason.code == code
    assert "secret" not in refused.value.reason.detail


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["192.168.0.1"],
        ["172.16.9.9"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["224.0.0.251"],
        ["240.0.0.1"],
        ["::1"],
        ["fe80::1"],
        ["fc00::1"],
        ["::ffff:127.0.0.1"],
        ["2002:7f00:1::"],
        ["64:ff9b::7f00:1"],
        ["93.184.216.34", "127.0.0.1"],
    ],
)
async def test_a_name_that_leads_inside(addresses: list[str]) -> None:
    async with fetcher("sky.example", sky=addresses) as fetch:
        with pytest.raises(FetchRefused) as refused:
            await fetch.get("https://sky.example/x")
    assert refused.value.reason.code == "address-not-allowed"


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "017700000001", "127.1", "[::1]", "0"])
async def test_an_allow_listed_number_must_be_public_as_well(host: str) -> None:
    async with fetcher(host.strip("[]")) as fetch:
        with pytest.raises(FetchRefused) as refused:
            await fetch.get(f"http://{host}/x")
    assert refused.value.reason.code in {"address-not-allowed", "bad-url"}


async def test_a_loopback_is_permitted_only_by_the_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLENS_ALLOW_LOOPBACK", "1")
    async with fetcher("localhost:1", localhost=["127.0.0.1"]) as fetch:
        with pytest.raises(FetchRefused):
            await fetch.get("http://localhost:1/x")


async def test_a_fetcher_that_is_not_open_says_so() -> None:
    with pytest.raises(FetchFailed, match="not open"):
        await SafeFetcher(hosts=["sky.example"], max_bytes=10).get("https://sky.example/")


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2001:4860:4860::8888", "::ffff:8.8.8.8"])
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
