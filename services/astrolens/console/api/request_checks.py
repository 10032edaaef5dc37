"""What the OpenAPI document says of a request is held against it: a misspelt parameter must not be ignored.

A script that pages with a misspelt cursor would read the first page for ever.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from astrolens.console.problems import Problem

LOGIN_PATH: Final = "/login"

_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})


@dataclass(frozen=True)
class Operation:
    """What one method of one address takes.

    Attributes:
        parameters: Names in the query.
        repeated: Those of them that take several values, each by its name again.
        media_types: Of bodies; empty where it takes none.
    """

    parameters: frozenset[str]
    repeated: frozenset[str]
    media_types: frozenset[str]


class Operations:
    """Every operation of an application's OpenAPI document.

    Args:
        document: The document.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._paths = [
            (
                re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"),
                {method.upper(): _operation(each) for method, each in item.items() if method in _METHODS},
            )
            for path, item in document["paths"].items()
        ]

    def of(self, path: str) -> Mapping[str, Operation]:
        """The operations of an address by method; none where it has none."""
        return next((methods for pattern, methods in self._paths if pattern.match(path)), {})


def _operation(described: Mapping[str, Any]) -> Operation:
    queried = [each for each in described.get("parameters") or () if each["in"] == "query"]
    return Operation(
        parameters=frozenset(each["name"] for each in queried),
        repeated=frozenset(each["name"] for each in queried if _is_list(each["schema"])),
        media_types=frozenset((described.get("requestBody") or {}).get("content") or ()),
    )


def _is_list(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "array" or any(_is_list(each) for each in schema.get("anyOf") or ())


def operations_of(app: FastAPI) -> Operations:
    """The operations of an application, read once."""
    known = getattr(app.state, "operations", None)
    if not isinstance(known, Operations):
        known = app.state.operations = Operations(app.openapi())
    return known


def check_request(request: Request) -> None:
    """A dependency of every route of the API.

    Raises:
        Problem: The address does not take such a parameter, or not twice (422), or not such a body (415).
    """
    app: FastAPI = request.app
    operation = operations_of(app).of(request.url.path).get(request.method)
    if operation is None:
        return  # no part of the document: `NoSuchAddress` answers
    unknown = next((name for name in request.query_params if name not in operation.parameters), None)
    if unknown is not None:
        raise Problem(422, "Unknown parameter", _unknown(request.url.path, unknown, operation.parameters))
    counts = Counter(name for name, _ in request.query_params.multi_items())
    twice = next((name for name in counts if counts[name] > 1 and name not in operation.repeated), None)
    if twice is not None:
        detail = f"{request.url.path} takes one value of {twice!r}, and {counts[twice]} are given: give it once."
        raise Problem(422, "Parameter given twice", detail)
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given and operation.media_types and given not in operation.media_types:
        taken = " or ".join(sorted(operation.media_types))
        raise Problem(415, "Unsupported body", f"A body of {given[:80]!r} cannot be used here: send {taken}.")


class NoSuchAddress:
    """ASGI application that answers what no route of the API matches, whatever the method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 405 where the address takes other methods only, else 404."""
        request = Request(scope)
        path, methods = request.url.path, operations_of(scope["app"]).of(request.url.path)
        if methods:
            problem = method_not_allowed(path, request.method, methods)
        else:
            detail = f"{request.method[:20]} {path[:200]} is no part of the API: see GET /api/openapi.json."
            problem = Problem(404, "No such address", detail)
        await problem.response()(scope, receive, send)


class PageMethods:
    """ASGI middleware: pages are read, and only the log-in's form is sent; the API and NiceGUI answer for their own.

    Without it NiceGUI would answer other methods in another shape than the API.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 405, or let the request through."""
        # An application's start and sockets have no method.
        if scope["type"] == "http" and not scope["path"].startswith(("/api/", "/_nicegui/")):
            taken = {"GET", "POST"} if scope["path"] == LOGIN_PATH else {"GET"}
            if scope["method"] not in {*taken, "HEAD"}:
                await method_not_allowed(scope["path"], scope["method"], taken).response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def method_not_allowed(path: str, method: str, taken: Iterable[str]) -> Problem:
    """A 405 with the methods that an address takes; HEAD is answered wherever GET is."""
    allowed = ", ".join(sorted({*taken, *(["HEAD"] if "GET" in taken else [])}))
    detail = f"{path[:200]} takes {allowed}, not {method[:20]}."
    return Problem(405, "Method not allowed", detail, headers={"Allow": allowed})


def _unknown(path: str, name: str, known: frozenset[str]) -> str:
    near = get_close_matches(name, known, n=1)
    meant = f", did you mean {near[0]!r}?" if near else f": it takes {', '.join(sorted(known)) or 'none'}."
    return f"{path} has no parameter {name[:80]!r}{meant}"
