"""Errors as RFC 9457 problem documents: what was given, why it cannot be, what to do."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from astrolens.contracts.training_runs import BACKBONE_NAME
from astrolens.platform.errors import TransientError
from astrolens.usecases.errors import (
    Conflict,
    DiskNearlyFull,
    InvalidRequest,
    NotFound,
    NotIndexed,
    Overloaded,
    UseCaseError,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER_S = 1
"""Seconds a client should wait before it asks again: long enough to drain dozens of images, short enough to keep
the pipeline fed."""


class ProblemDocument(BaseModel):
    """What every error answers, as `application/problem+json` (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(examples=["No such image"])
    status: int = Field(examples=[404])
    detail: str = Field(
        description="One sentence: what was given, why it cannot be, what to do.",
        examples=["No image has the id 'abc': look it up with GET /api/images?q=…."],
    )


class Problem(Exception):
    """An answer other than success, raised anywhere below a route."""

    def __init__(self, status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The problem document."""
        return _response(self.status, self.title, self.detail, self.headers)


def unavailable(title: str, detail: str) -> Problem:
    """A 503: something that this answer needs is unreachable for now."""
    return Problem(503, title, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def too_many(title: str, detail: str, *, retry_after_s: int = RETRY_AFTER_S) -> Problem:
    """A 429 with the time to wait."""
    return Problem(429, title, detail, headers={"Retry-After": str(retry_after_s)})


_STATUSES: tuple[tuple[type[UseCaseError], int], ...] = (
    (NotFound, 404),
    (NotIndexed, 404),
    (Conflict, 409),
    (Overloaded, 429),
    (DiskNearlyFull, 507),
    (InvalidRequest, 422),
)
"""The status of each kind of refusal."""

_LISTS = {
    "survey": "/api/surveys",
    "model": "/api/models",
    "image": "/api/images?q=…",
    "training run": "/api/training/runs",
    "alert": "/api/alerts",
    "dead letter": "/api/dead-letters",
    "batch": "/api/receipts",
}
"""Where the right id of each kind is found."""


def problem_of(error: UseCaseError) -> Problem:
    """The problem that says what a use case refused."""
    status = next(status for kind, status in _STATUSES if isinstance(error, kind))
    if isinstance(error, NotFound):
        return Problem(status, error.title, f"{error.detail}: look it up with GET {_LISTS[error.kind]}.")
    headers = {"Retry-After": str(RETRY_AFTER_S)} if isinstance(error, Overloaded) else {}
    return Problem(status, error.title, error.detail, headers=headers)


_PATTERNS = {
    r"^[a-z0-9][a-z0-9-]{0,62}$": "a name has at most 63 small letters, digits and hyphens, and begins with no hyphen",
    r"^[0-9a-f]{6,64}$": "a digest has 64 digits, 0-9 and a-f, of which the first six or more are enough",
    r"^[0-9a-f]{16}$": "the id of a run has 16 digits, 0-9 and a-f",
    r"^[0-9a-f]{32}$": "an id has 32 digits, 0-9 and a-f",
    BACKBONE_NAME: "it is the name of a folder in `backbones`, or `owner/name` of the hub",
}
"""What the patterns of names and ids ask for, in words."""

_FAULTS = {
    "missing": "it is missing",
    "int_parsing": "it must be a whole number",
    "float_parsing": "it must be a number",
    "bool_parsing": "it must be true or false",
    "datetime_from_date_parsing": "it must be a time, such as 2026-01-31T20:00:00Z",
}
"""What kinds of faults come to, in words."""

_BOUNDS = {"less_than_equal", "greater_than_equal", "less_than", "greater_than"}
"""Kinds of faults whose sentence says what to give instead."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "model": ProblemDocument, "content": {MEDIA_TYPE: {}}}
    for status, text in {
        401: "No valid token or session.",
        403: "The request comes from another site.",
        422: "A parameter or the body cannot be used.",
        503: "A store or the model server is unreachable for now; ask again.",
    }.items()
}
"""The problems that any route can answer, for the OpenAPI document."""


def responses(**extra: str) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries of further problems, such as `responses(s404="No such image.")`."""
    return {
        int(status.removeprefix("s")): {"description": text, "model": ProblemDocument, "content": {MEDIA_TYPE: {}}}
        for status, text in extra.items()
    }


def install(app: FastAPI) -> None:
    """Make every error of an application a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(UseCaseError, _on_use_case_error)
    app.add_exception_handler(TransientError, _on_transient)
    app.add_exception_handler(Exception, _on_fault)


async def _on_problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101 - the registration says so
    return error.response()


async def _on_use_case_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, UseCaseError)  # noqa: S101 - the registration says so
    return problem_of(error).response()


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - the registration says so
    detail = f"{request.method} {request.url.path}: {error.detail}; GET /api/openapi.json lists every address."
    return _response(error.status_code, str(error.detail), detail, error.headers or {})


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the registration says so
    found = error.errors()[:3]
    says_all = all(_pattern(fault) in _PATTERNS or fault["type"] in _BOUNDS for fault in found)
    more = "" if says_all else "; see GET /api/openapi.json"
    return _response(422, "Invalid request", f"{'; '.join(map(_sentence, found))}{more}.", {})


async def _on_transient(request: Request, error: Exception) -> JSONResponse:
    log.warning("request failed for now", path=request.url.path, error=str(error))
    detail = f"{request.method} {request.url.path} cannot be answered now: {error}; ask again shortly."
    return _response(503, "Unavailable for now", detail, {"Retry-After": str(RETRY_AFTER_S)})


async def _on_fault(request: Request, _: Exception) -> JSONResponse:
    # The server logs the exception with its trace after this answer; its text is not for strangers.
    return _response(
        500,
        "Fault of the console",
        f"{request.method} {request.url.path} met a fault in the console itself: its log says more; please report it.",
        {},
    )


def _sentence(fault: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"] if part not in {"query", "body", "path"}) or "body"
    given = fault.get("input")
    shown = f" (given {str(given)[:80]!r})" if isinstance(given, str | int | float) else ""
    return f"{where}{shown}: {_PATTERNS.get(_pattern(fault)) or _words(fault)}"


def _words(fault: Mapping[str, Any]) -> str:
    """A fault as a sentence: pydantic speaks of inputs and of parsing strings."""
    return _FAULTS.get(fault["type"]) or str(fault["msg"]).replace("Input should", "it must")


def _pattern(fault: Mapping[str, Any]) -> str:
    return str((fault.get("ctx") or {}).get("pattern", ""))


def _response(status: int, title: str, detail: str, headers: Mapping[str, str]) -> JSONResponse:
    document = ProblemDocument(title=title, status=status, detail=detail)
    return JSONResponse(document.model_dump(), status_code=status, headers=dict(headers), media_type=MEDIA_TYPE)
