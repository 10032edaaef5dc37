"""The web application: security middleware, problem documents, routes. Pages are mounted on it by `main`."""

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.routing import Route
from starlette.types import Lifespan
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from astrolens import __version__
from astrolens.console import problems
from astrolens.console.api import (
    alerts,
    bulk_labels,
    crossref,
    dead_letters,
    discoveries,
    images,
    labels,
    models,
    operations,
    rankings,
    receipts,
    session,
    sky_objects,
    surveys,
    training_runs,
)
from astrolens.console.api.request_checks import NoSuchAddress, PageMethods, check_request
from astrolens.console.compression import Compression
from astrolens.console.context import AppContext
from astrolens.console.head_requests import HeadRequests
from astrolens.console.problems import Problem
from astrolens.console.security import SecurityMiddleware
from astrolens.console.slow_bodies import BodyDeadlines, SlowBody
from astrolens.platform.errors import ObjectMissing, PermanentError

_DESCRIPTION = """
Sky images in, calibrated verdicts out.

* Positions are ICRS, in degrees; angles named `_arcsec` in arcseconds; times ISO 8601 in UTC.
* A p-value is counted on n calibration images and ends at 1/(n+1); `p_value_at_most` says that an image is stranger
  than all of them. Where `calibration_fit` is `pooled` or `does-not-fit` it is a ranking and promises no rate of false
  alarms. `p_value_words` says it for people. Sort by `rank_score`, which is no probability.
* Lists come a page at a time: give `next` as `after`.
* A parameter that an address does not take, or that is given twice where it takes one value, is refused by its name.
* Errors are problem documents (RFC 9457): `title`, `status`, and `detail`, one sentence with what to do.
* On loopback no login is needed; elsewhere send `Authorization: Bearer <ASTROLENS_TOKEN>`.
"""

MAX_BODY_BYTES = 1024 * 1024
"""Longest body of every call but uploads, which have bounds of their own."""


def create_application(context: AppContext, *, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """The application with its API, without pages.

    Args:
        context: What routes use; its stores are open while the application serves.
        lifespan: Opens and closes what the context holds.
    """
    app = FastAPI(
        title="AstroLens",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url="/api/openapi.json",
        # The packaged documentation pages load their scripts from another site; the console has no need of them.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        max_body_size=MAX_BODY_BYTES,
    )
    app.state.context = context
    problems.install(app)
    app.add_exception_handler(PermanentError, _on_permanent)
    app.add_exception_handler(ValidationError, _on_validation)
    app.add_exception_handler(SlowBody, _on_slow_body)
    api = APIRouter(prefix="/api", responses=problems.RESPONSES, dependencies=[Depends(check_request)])
    for module in (
        operations,
        images,
        receipts,
        alerts,
        labels,
        bulk_labels,
        rankings,
        training_runs,
        surveys,
        models,
        crossref,
        sky_objects,
        discoveries,
        dead_letters,
        session,
    ):
        api.include_router(module.router)
    app.include_router(api)
    # Without this, pages mounted at the root would answer unknown API addresses with HTML.
    app.router.routes.append(Route("/api/{path:path}", NoSuchAddress(), include_in_schema=False))
    app.add_middleware(PageMethods)
    app.add_middleware(Compression)
    app.add_middleware(
        SecurityMiddleware,
        credentials=context.credentials,
        limiter=context.login_limiter,
        login_needed=context.login_needed,
        host=context.settings.host,
        port=context.settings.port,
        picture_origin=context.settings.picture_origin,
    )
    app.add_middleware(BodyDeadlines)
    app.add_middleware(HeadRequests)
    if context.settings.trusted_proxies:
        # Outermost: everything within sees the address and the scheme of the client, not those of the proxy.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(context.settings.trusted_proxies))
    return app


async def _on_permanent(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PermanentError)  # noqa: S101 - the registration says so
    if isinstance(error, ObjectMissing):
        detail = f"{request.url.path} has no bytes behind it: {error}; see its record for what is known."
        return Problem(404, "No such picture", detail).response()
    if error.reason.code == "bad-cursor":
        return Problem(422, "Invalid cursor", f"{error.reason.detail}.").response()
    if error.reason.code == "search-too-slow":
        return Problem(503, "Search too slow", f"{error.reason.detail}.").response()
    raise error


async def _on_slow_body(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SlowBody)  # noqa: S101 - the registration says so
    return Problem(408, "Body too slow", error.detail, headers=error.headers).response()


async def _on_validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ValidationError)  # noqa: S101 - the registration says so
    faults = [f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in error.errors()[:3]]
    return Problem(422, "Invalid request", f"{'; '.join(faults)}; see GET /api/openapi.json.").response()
