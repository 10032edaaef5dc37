"""Bounded HTTP requests to the catalogues' servers: known hosts, TLS verified, hard limits of time and size.

A blocking client in a thread cannot be stopped: a server that sends a byte every few seconds would hold it for ever.
Here a request is a task, and its limit ends it whatever the server does.
"""

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

import httpx

from astrolens import __version__
from astrolens.crossref.catalogues.base import CatalogueRequest
from astrolens.crossref.failures import CatalogueFailed
from astrolens.platform.retry_after import retry_after_s

REQUEST_TIMEOUT_S: Final = 8.0
"""One request from its first byte to the last of its reply."""
CONNECT_TIMEOUT_S: Final = 3.0
MAX_REPLY_BYTES: Final = 16 * 2**20
"""A reply of the most rows that are asked for has a tenth of it."""
_MAX_REDIRECTS: Final = 3

OnRequest = Callable[[str, str, float], None]


class CatalogueHttp:
    """Sends questions; `open` it before use.

    Args:
        urls: The catalogues' addresses: only their hosts are talked to.
        timeout_s: Longest request, with its redirects.
        transport: What carries requests, for tests.
        on_request: Called for every request with the host, `ok` or the code of the failure, and seconds.
    """

    def __init__(
        self,
        urls: Iterable[str],
        *,
        timeout_s: float = REQUEST_TIMEOUT_S,
        on_request: OnRequest | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._allowed = frozenset(_origin(url) for url in urls)
        self._timeout_s = timeout_s
        self._on_request = on_request
        self._transport = transport
        self._client: httpx.AsyncClient | None = None

    async def open(self) -> None:
        """Make the connection pool."""
        timeout = httpx.Timeout(self._timeout_s, connect=min(CONNECT_TIMEOUT_S, self._timeout_s))
        self._client = httpx.AsyncClient(
            timeout=timeout,
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=8),
            # A compressed reply could be far larger than the limit in memory.
            headers={"User-Agent": f"AstroLens/{__version__}", "Accept-Encoding": "identity"},
            trust_env=False,
            transport=self._transport,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def send(self, wanted: CatalogueRequest) -> bytes:
        """The body of the reply.

        Raises:
            CatalogueFailed: There is none, or it is an error by its HTTP status.
        """
        host = urlsplit(wanted.url).netloc
        start, outcome = monotonic(), "cut-off"
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._follow(wanted)
        except TimeoutError as error:
            outcome = "timeout"
            raise CatalogueFailed(outcome, f"{host} did not answer within {self._timeout_s:g} s") from error
        except httpx.TimeoutException as error:
            unreachable = isinstance(error, httpx.ConnectTimeout)
            outcome = "no-connection" if unreachable else "timeout"
            raise CatalogueFailed(
                outcome, f"{host} did not answer within {self._timeout_s:g} s", unreachable=unreachable
            ) from error
        except httpx.ConnectError as error:
            outcome = "no-connection"
            detail = f"{host} cannot be reached: {str(error) or type(error).__name__}"
            raise CatalogueFailed(outcome, detail[:300], unreachable=True) from error
        except httpx.HTTPError as error:
            detail = f"{host} ended the connection in the middle of its reply: {str(error) or type(error).__name__}"
            raise CatalogueFailed(outcome, detail[:300]) from error
        except CatalogueFailed as error:
            outcome = error.code
            raise
        else:
            outcome = "ok"
            return body
        finally:
            if self._on_request is not None:
                self._on_request(host, outcome, monotonic() - start)

    async def _follow(self, wanted: CatalogueRequest) -> bytes:
        if self._client is None:
            raise CatalogueFailed("not-open", "the connection pool is not open")
        url = wanted.url
        for _ in range(_MAX_REDIRECTS + 1):
            if _origin(url) not in self._allowed:
                raise CatalogueFailed(
                    "host-not-allowed", f"{urlsplit(wanted.url).netloc} redirects to another host: {url[:100]}"
                )
            request = self._client.build_request(
                "POST" if wanted.form else "GET",
                url,
                params=dict(wanted.params) or None,
                data=dict(wanted.form) or None,
                files={name: (file, text, "application/xml") for name, (file, text) in wanted.files.items()} or None,
            )
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                if response.has_redirect_location:
                    url = str(response.url.join(response.headers["location"]))
                    continue
                return await self._read(response)
            finally:
                await response.aclose()
        raise CatalogueFailed("too-many-redirects", f"{urlsplit(wanted.url).netloc} redirects too often")

    async def _read(self, response: httpx.Response) -> bytes:
        host = response.url.netloc.decode()
        if response.status_code != 200:
            text = " ".join((await self._body(response, 2000))[:400].decode("utf-8", "replace").split())[:120]
            raise CatalogueFailed(
                f"http-{response.status_code}",
                f"{host} answers {response.status_code} {response.reason_phrase} {text}".strip(),
                retry_after_s=retry_after_s(response.headers.get("retry-after")),
            )
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise CatalogueFailed("bad-encoding", f"{host} sends compressed content that nobody asked for")
        body = await self._body(response, MAX_REPLY_BYTES)
        if len(body) > MAX_REPLY_BYTES:
            raise CatalogueFailed("too-large", f"{host} sends more than {MAX_REPLY_BYTES} bytes")
        return body

    async def _body(self, response: httpx.Response, limit: int) -> bytes:
        """The body, or a little more of it than `limit` bytes."""
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                break
        return bytes(body)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()
