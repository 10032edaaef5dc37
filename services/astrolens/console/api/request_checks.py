"""What the OpenAPI document says of a request is held against it: a misspelt parameter must not be ignored.

A script that pages with a misspelt cursor would read the first page for ever.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from fastapi import FastAPI, Request

from astrolens.console.problems import Problem

_METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})


@dataclass(frozen=True)
class Operation:
    """What one method of one address takes.

    Attributes:
        parameters: Names in the query.
        media_types: Of bodies; empty where it takes none.
    """

    parameters: frozenset[str]
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
    names = (each["name"] for each in described.get("parameters") or () if each["in"] == "query")
    return Operation(frozenset(names), frozenset((described.get("requestBody") or {}).get("content") or ()))


def operations_of(app: FastAPI) -> Operations:
    """The operations of an application, read once."""
    known = getattr(app.state, "operations", None)
    if not isinstance(known, Operations):
        known = app.state.operations = Operations(app.openapi())
    return known


def check_request(request: Request) -> None:
    """A dependency of every route of the API.

    Raises:
        Problem: The address does not take such a parameter (422) or body (415).
    """
    app: FastAPI = request.app
    operation = operations_of(app).of(request.url.path).get(request.method)
    if operation is None:
        return  # no part of the document: `no_such_address` answers
    unknown = next((name for name in request.query_params if name not in operation.parameters), None)
    if unknown is not None:
        raise Problem(422, "Unknown parameter", _unknown(request.url.path, unknown, operation.parameters))
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given and operation.media_types and given not in operation.media_types:
        taken = " or ".join(sorted(operation.media_types))
        raise Problem(415, "Unsupported body", f"A body of {given[:80]!r} cannot be used here: send {taken}.")


def no_such_address(request: Request) -> None:
    """Answers what no route of the API matches.

    Raises:
        Problem: The address takes other methods only (405), or is none (404).
    """
    app: FastAPI = request.app
    if methods := operations_of(app).of(request.url.path):
        allowed = ", ".join(sorted(methods))
        raise Problem(
            405,
            "Method not allowed",
            f"{request.url.path} takes {allowed}, not {request.method}.",
            headers={"Allow": allowed},
        )
    raise Problem(
        404, "No such address", f"{request.method} {request.url.path} is no part of the API: see GET /api/openapi.json."
    )


def _unknown(path: str, name: str, known: frozenset[str]) -> str:
    near = get_close_matches(name, known, n=1)
    meant = f", did you mean {near[0]!r}?" if near else f": it takes {', '.join(sorted(known)) or 'none'}."
    return f"{path} has no parameter {name[:80]!r}{meant}"
