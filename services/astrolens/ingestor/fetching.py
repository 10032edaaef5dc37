"""Downloads that cannot be redirected to where they may not go (server-side request forgery).

What a URL may reach is checked three times: its host must be on the allow-list, every address that the name resolves to
must be a public one (and the connection goes to exactly those addresses, so that a second look-up cannot change them),
and every redirect is checked the same way. The size of a body is checked while it arrives.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from astrolens import __version__
from astrolens.ingestor.ports import Fetched
from astrolens.platform.errors import PermanentError, TransientError
from astrolens.platform.retry_after import retry_after_s

MAX_REDIRECTS: Final = 3

_CHUNK_BYTES: Final = 64 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
OnRequest = Callable[[str, str, float], None]


class FetchRefused(PermanentError):
    """It can never be fetched from there: `host-not-allowed`, `address-not-allowed`, `http-404`, `too-large`, ..."""


class FetchFailed(TransientError):
    """It could not be fetched now.

    Attributes:
        code: What failed: `timeout`, `no-connection`, `http-503`, ...
        retry_after_s: How long the server asked to wait, seconds, where it did.
    """

    def __init__(self, code: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.retry_after_s = retry_after_s


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, whatever it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


class _CheckedResolver(AbstractResolver):
    """Resolves names to permitted addresses only; the connection is made to exactly these."""

    def __init__(self, inner: AbstractResolver, is_permitted: Callable[[Address], bool]) -> None:
        self._inner = inner
        self._is_permitted = is_permitted

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name; one forbidden among them forbids all, since a DNS rebinding looks like that."""
        found = await self._inner.resolve(host, port, family)
        for entry in found:
            _check_address(host, entry["host"], self._is_permitted)
        return found

    async def close(self) -> None:
        """Close the inner resolver."""
        await self._inner.close()


class SafeFetcher:
    """Gets bytes from allow-listed hosts at public addresses, by GET, within bounds."""

    def __init__(
        self,
        *,
        hosts: Sequence[str],
        max_bytes: int,
        total_s: float = 30.0,
        connect_s: float = 5.0,
        read_s: float = 10.0,
        allow_loopback: bool = False,
        on_request: OnRequest | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Make a fetcher; `open` it before use.

        Args:
            hosts: Names that may be asked, on their scheme's own port, or `name:port`.
            max_bytes: Largest body.
            total_s: Longest request with its redirects, seconds.
            connect_s: Longest wait for a connection, seconds.
            read_s: Longest silence of a server, seconds.
            allow_loopback: For tests: addresses of this machine are permitted too.
            on_request: Called for every request to a permitted host with the host, `ok` or the code of the failure, and
                seconds.
            resolver: For tests: resolves names.
        """
        self._hosts = frozenset(host.lower() for host in hosts)
        self._max_bytes = max_bytes
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, connect=total_s, sock_read=read_s)
        self._total_s = total_s
        self._allow_loopback = allow_loopback
        self._on_request = on_request
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the connection pool."""
        resolver = _CheckedResolver(self._resolver or ThreadedResolver(), self._is_permitted)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, limit=16, limit_per_host=8),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            # A compressed body could exceed the limit after decompression: none is asked for, none is decompressed.
            auto_decompress=False,
            headers={"User-Agent": f"AstroLens/{__version__}", "Accept-Encoding": "identity"},
            requote_redirect_url=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, url: str) -> Fetched:
        """Fetch a URL.

        Raises:
            FetchRefused: It can never be fetched from there.
            FetchFailed: It could not be fetched now.
        """
        try:
            target = URL(url)
        except ValueError as error:
            raise FetchRefused("bad-url", f"This is no URL: {error}") from error
        self._check_url(target)
        start, outcome = monotonic(), "cut-off"
        try:
            fetched = await self._follow(target)
        except FetchFailed as error:
            outcome = error.code
            raise
        except FetchRefused as error:
            outcome = error.reason.code
            raise
        else:
            outcome = "ok"
            return fetched
        finally:
            if self._on_request is not None:
                self._on_request(self._allowed_name(target), outcome, monotonic() - start)

    async def _follow(self, target: URL) -> Fetched:
        url = target
        try:
            async with asyncio.timeout(self._total_s):
                for _ in range(MAX_REDIRECTS + 1):
                    answer = await self._request(target)
                    if isinstance(answer, Fetched):
                        return answer
                    target = answer
        except TimeoutError as error:
            raise FetchFailed("timeout", f"{target.host} did not answer within {self._total_s:g} s.") from error
        except aiohttp.ClientError as error:
            raise _translate_error(target, error) from error
        raise FetchRefused("too-many-redirects", f"{url.host} redirects more than {MAX_REDIRECTS} times.")

    async def _request(self, url: URL) -> Fetched | URL:
        """One request: the body, or where it redirects to."""
        if self._session is None:
            raise FetchFailed("not-open", "The fetcher is not open.")
        self._check_url(url)
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status in _REDIRECTS:
                return _redirect_target(url, response)
            if response.status != 200:
                raise _status_error(url, response)
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise FetchRefused("bad-encoding", f"{url.host} sends compressed content that nobody asked for.")
            data = await self._read_body(url, response)
            return Fetched(data=data, media_type=response.content_type, url=str(url))

    async def _read_body(self, url: URL, response: aiohttp.ClientResponse) -> bytes:
        declared = response.content_length
        body = bytearray()
        if declared is None or declared <= self._max_bytes:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > self._max_bytes:
                    break
            else:
                return bytes(body)
        raise FetchRefused("too-large", f"{url.host} sends more than {self._max_bytes} bytes.")

    def _check_url(self, url: URL) -> None:
        if url.scheme not in {"http", "https"} or not url.host:
            raise FetchRefused("bad-url", f"Only http and https URLs can be fetched, not {url.scheme or 'this one'!r}.")
        if url.user is not None or url.password is not None:
            raise FetchRefused("bad-url", "URLs with a user name or password are not fetched.")
        host = _host(url)
        if not self._allowed_name(url):
            raise FetchRefused(
                "host-not-allowed", f"{host}:{url.port} is not among the hosts that may be fetched from (fetch_hosts)."
            )
        # A literal address never passes the resolver.
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return
        _check_address(host, host, self._is_permitted)

    def _allowed_name(self, url: URL) -> str:
        """How the allow-list names the host of a URL; empty where it does not."""
        host = _host(url)
        if (with_port := f"{host}:{url.port}") in self._hosts:
            return with_port
        return host if host in self._hosts and url.is_default_port() else ""

    def _is_permitted(self, address: Address) -> bool:
        return is_public(address) or (self._allow_loopback and address.is_loopback)


def _host(url: URL) -> str:
    return (url.host or "").lower().rstrip(".")


def _check_address(host: str, text: str, is_permitted: Callable[[Address], bool]) -> None:
    if not is_permitted(ipaddress.ip_address(text.split("%", 1)[0])):
        raise FetchRefused("address-not-allowed", f"{host} leads to {text}, which is not a public address.")


def _redirect_target(url: URL, response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location")
    if not location:
        raise FetchRefused("bad-redirect", f"{url.host} redirects to nowhere.")
    try:
        target = url.join(URL(location))
    except ValueError as error:
        raise FetchRefused("bad-redirect", f"{url.host} redirects to what is no URL.") from error
    if url.scheme == "https" and target.scheme != "https":
        raise FetchRefused("bad-redirect", f"{url.host} redirects from https to {target.scheme}.")
    return target


def _status_error(url: URL, response: aiohttp.ClientResponse) -> FetchFailed | FetchRefused:
    code = f"http-{response.status}"
    detail = f"{url.host} answers {response.status} {response.reason or ''}".strip() + "."
    if response.status >= 500 or response.status in {408, 425, 429}:
        return FetchFailed(code, detail, retry_after_s=retry_after_s(response.headers.get("Retry-After")))
    return FetchRefused(code, detail)


def _translate_error(url: URL, error: aiohttp.ClientError) -> FetchFailed | FetchRefused:
    if isinstance(error, aiohttp.InvalidURL):
        return FetchRefused("bad-url", "This is no URL that can be fetched.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return FetchFailed("bad-certificate", f"{url.host} does not prove that it is {url.host}: {error}"[:300])
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        return FetchFailed("cut-off", f"{url.host} ended the connection in the middle of its answer.")
    return FetchFailed("no-connection", f"{url.host} cannot be reached: {error or type(error).__name__}"[:300])
