"""The REST API as commands call it: one address, one token, failures as one sentence."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from astrolens.platform.errors import AstroLensError, ConfigurationError
from astrolens.platform.settings import load_settings

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""Seconds: an upload of 64 large files may take a while, a connection on a network that works never does."""


PAGE_SIZE = 200
"""Entries of a page: the most that the console gives."""

_COMMANDS = {
    "GET /api/surveys": "`astrolens surveys`",
    "GET /api/models": "`astrolens models list`",
    "GET /api/training/runs": "`astrolens train status`",
}
"""What a person at a terminal looks up instead, where a problem names an address."""

_MAX_PAGES = 50_000
"""Ten million entries: more than an archive has, less than for ever."""


class ConsoleUnreachable(AstroLensError):
    """Nothing answers at the console's address, or something that is no AstroLens."""


class Refused(AstroLensError):
    """The console answered with a problem; the message is its own sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def address(url: str | None) -> str:
    """The console's address: as given, or where the settings say that it listens.

    Raises:
        ConfigurationError: It is no http or https address.
    """
    if url is None:
        settings = load_settings()
        host = "127.0.0.1" if settings.host in {"0.0.0.0", "::"} else settings.host  # noqa: S104 - a comparison
        return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(f"--url: {url!r} is no address: write http://host:port")
    return url.rstrip("/")


def headers(token: str | None) -> dict[str, str]:
    """The headers that say who calls, and in which trace where the environment names one (`TRACEPARENT`)."""
    wanted = {"Authorization": f"Bearer {token}"} if token else {}
    return wanted | ({"traceparent": trace} if (trace := os.environ.get("TRACEPARENT")) else {})


def connect(url: str | None, token: str | None) -> httpx.Client:
    """A client of the console; close it."""
    return httpx.Client(base_url=address(url), headers=headers(token), timeout=TIMEOUT)


def api_path(*segments: str) -> str:
    """The path `/api/…` of names and ids, quoted, so that none leads to another address.

    Raises:
        ConfigurationError: One is empty or holds a slash, which no name and no id does.
    """
    for segment in segments:
        if not segment or "/" in segment or segment in {".", ".."}:
            raise ConfigurationError(f"{segment!r} is no name and no id: it must not be empty or hold a slash")
    return "/api/" + "/".join(quote(segment, safe="") for segment in segments)


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    """The JSON of one address.

    Raises:
        ConsoleUnreachable: Nothing answers.
        Refused: The console answered with a problem.
    """
    wanted = {name: value for name, value in parameters.items() if value is not None}
    try:
        return parse_response(client.get(path, params=wanted))
    except httpx.TransportError as error:
        raise console_unreachable(str(client.base_url), error) from error


def iter_items(client: httpx.Client, path: str, *, page_size: int = PAGE_SIZE, **parameters: Any) -> Iterator[Any]:
    """The entries of a list, page by page; a page is fetched when it is needed.

    Args:
        client: A client of the console.
        path: Address of the list.
        page_size: Most entries of a page.
        **parameters: Which entries; None is left out.

    Raises:
        ConsoleUnreachable: Nothing answers, or its pages do not end.
        Refused: The console answered with a problem.
    """
    after: str | None = None
    for _ in range(_MAX_PAGES):
        page = get(client, path, limit=page_size, after=after, **parameters)
        yield from page["items"]
        if page["next"] is None:
            return
        if page["next"] == after:
            raise ConsoleUnreachable(f"{client.base_url} gives the same page of {path} again and again")
        after = page["next"]
    raise ConsoleUnreachable(f"{client.base_url} gives more than {_MAX_PAGES * page_size:,} entries of {path}")


def console_unreachable(url: str, error: Exception) -> ConsoleUnreachable:
    """What to say when nothing answers."""
    why = str(error) or type(error).__name__
    return ConsoleUnreachable(
        f"nothing answers at {url} ({why}): start it with `astrolens up`, or name another with --url"
    )


def parse_response(response: httpx.Response) -> Any:
    """The JSON of an answer.

    Raises:
        Refused: It is a problem.
        ConsoleUnreachable: It is not from an AstroLens.
    """
    try:
        body = response.json()
    except ValueError as error:
        raise ConsoleUnreachable(
            f"{response.url} answers {response.status_code} without JSON: this is no AstroLens, name another with --url"
        ) from error
    if response.is_success:
        return body
    detail = body.get("detail") if isinstance(body, dict) else None
    for path, command in _COMMANDS.items():
        detail = detail.replace(f"look it up with {path}.", f"look it up with {command}.") if detail else None
    raise Refused(response.status_code, detail or f"{response.url} answers {response.status_code}")
