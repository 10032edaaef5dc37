"""How everything is: health, status, services, sources, model, the stream of changes."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from astrolens import __version__
from astrolens.console.api.parameters import Context
from astrolens.console.context import AppContext
from astrolens.console.problems import responses, too_many
from astrolens.console.security import address_of
from astrolens.console.training import training_status
from astrolens.usecases.status import BooksView, ServiceView, SourceView, Status

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """Whether the console serves."""

    status: str = Field(examples=["ok"])
    version: str
    login_needed: bool = Field(description="Whether other calls need a token or a session.")
    instance: str = Field(description="Another one after each start of the console: it knows no page from before.")


@router.get("/health", response_model=Health, responses=responses(s503="A store does not answer."))
async def health(context: Context) -> Health:
    """Whether the console and its stores serve; needs no login."""
    await context.records.ping()
    await context.images.ping()
    return Health(status="ok", version=__version__, login_needed=context.login_needed, instance=context.instance)


@router.get("/status", response_model=Status)
async def get_status(
    context: Context,
    batch: Annotated[str | None, Query(max_length=200, description="Add the books of one batch.")] = None,
) -> Status:
    """The books and the state of everything, as `astrolens status --json` prints it; costs O(1) at any archive size."""
    return await context.status.read(batch=batch)


@router.get("/books", response_model=BooksView)
async def get_books(
    context: Context,
    recount: Annotated[bool, Query(description="Count the documents, too: reads an index of all.")] = False,
) -> BooksView:
    """Every number of the books, each counted by itself, and what contradicts, as `astrolens books` prints it."""
    return await context.status.check_books(recount=recount)


@router.get("/services", response_model=dict[str, ServiceView])
async def get_services(context: Context) -> dict[str, ServiceView]:
    """Every service with its last heartbeat; one without a fresh heartbeat is `silent`."""
    return await context.status.services()


@router.get("/sources", response_model=dict[str, SourceView])
async def get_sources(context: Context) -> dict[str, SourceView]:
    """Every source with state, reason, rate (images a minute), last success and next try."""
    return await context.status.sources()


@router.get("/model", responses=responses(s503="The model server is unreachable; the detail says why."))
async def get_model(context: Context) -> dict[str, Any]:
    """The model in use: digests, classes, detectors, figures, card, calibration strips of every survey; training."""
    return {**(await context.model.describe()).whole, "training": training_status().model_dump()}


@router.get(
    "/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events named `status`."}},
)
async def get_stream(context: Context, request: Request) -> StreamingResponse:
    """Server-sent events named `status`: the object of `GET /api/status` when something changed, at most 2 a second."""
    address = address_of(request.scope)
    if context.stream.full(address):
        raise too_many("Too many streams", "Every stream is taken: close other windows.", retry_after_s=5)
    return StreamingResponse(
        _events(context, request, address),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _events(context: AppContext, request: Request, address: str) -> AsyncIterator[str]:
    # A client that lost its connection asks again after this many milliseconds.
    yield "retry: 2000\n\n"
    async for status in context.stream.listen(address):
        if await request.is_disconnected():
            return
        yield ": alive\n\n" if status is None else f"event: status\ndata: {status.model_dump_json()}\n\n"
