"""Images: lists, one image, its pictures, what resembles it, and new ones."""

import sys
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, status
from starlette.responses import RedirectResponse

from astrolens.console.api.parameters import After, Context, Filter, ImageId, Limit
from astrolens.console.context import user_of
from astrolens.console.multipart import read_multipart
from astrolens.console.problems import Problem, responses
from astrolens.contracts.rankings import MAX_QUEUED
from astrolens.platform.telemetry.tracing import TRACEPARENT
from astrolens.usecases.archive import LINK_TTL_S
from astrolens.usecases.image_queries import RANKED_SORTS, Sort
from astrolens.usecases.reanalysis import ReanalysisView
from astrolens.usecases.submissions import AcceptedSubmission, IntakeCapacity, UrlSubmission
from astrolens.usecases.views import ImageDetail, ImagePage, SimilarImages

router = APIRouter(tags=["images"])

_MISSING = responses(s404="No such image.")
_ELSEWHERE: dict[int | str, dict[str, Any]] = {
    307: {"description": "The object store serves it, at an address that is good for an hour and a secret."}
}
_MAX_JSON_BYTES = 1024 * 1024


_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "JPEG, PNG, TIFF, FITS, alert packets; 256 a request at most, 64 are good.",
                        },
                        "batch": {"type": "string", "description": "The same batch and ref arrive once."},
                        "survey": {"type": "string", "description": "For files whose observation names none."},
                        "observations": {
                            "type": "string",
                            "description": "JSON array, the n-th entry (or null) about the n-th file: ref, survey, "
                            "name, ra_deg, dec_deg (ICRS, degrees), pixel_scale_arcsec, observed_at, bands, "
                            "credit, url, extra.",
                            "example": '[{"ref": "m51.jpg", "survey": "sdss", "ra_deg": 202.47, "dec_deg": 47.195}]',
                        },
                    },
                }
            },
            "application/json": {
                "schema": UrlSubmission.model_json_schema(ref_template="#/components/schemas/{model}")
            },
        },
    }
}


@router.get("/images", response_model=ImagePage)
async def list_images(
    context: Context,
    request: Request,
    wanted: Filter,
    sort: Annotated[
        Sort,
        Query(
            description="`strangeness`: largest `rank_score` first. `interest`: as people's answers rank them. "
            f"`useful`: of the unanswered the {MAX_QUEUED} at most that are most useful to answer, chosen anew after "
            "answers. Images without what is sorted by are left out."
        ),
    ] = Sort.NEWEST,
    limit: Limit = 60,
    after: After = None,
    start: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9a-f]{32}$",
            description="Begin the first page where this image stands, or earlier where fewer than `limit` follow.",
        ),
    ] = None,
    total: Annotated[
        bool, Query(description="Count the whole list too: exactly below 10,000, where that is fast; else about.")
    ] = True,
) -> ImagePage:
    """Images by survey, verdict, class, label, source, batch, state, time, cone or name, a page at a time."""
    if sort in RANKED_SORTS:
        user = user_of(request)
        page = await context.rankings.page(wanted, user=user, sort=sort, limit=limit, after=after, start=start)
        if not total:
            return page
        counted = await context.rankings.total(wanted, user=user, sort=sort)
    else:
        page = await context.archive.images(wanted, sort=sort, limit=limit, after=after, start=start)
        if not total:
            return page
        counted = await context.archive.total(wanted, sort=sort)
    return page.model_copy(update={"total": counted.count, "total_is_exact": counted.exact})


@router.get("/candidates", response_model=ImagePage)
async def list_candidates(context: Context, wanted: Filter, limit: Limit = 60, after: After = None) -> ImagePage:
    """Images whose verdict is not `ordinary`, the strangest (largest `rank_score`) first.

    One image an object of the sky, with the number of its images; `per=image` lists each of them.
    """
    chosen = wanted if wanted.verdicts else wanted.candidates()
    chosen = replace(chosen, per=chosen.per or "object")
    page = await context.archive.images(chosen, sort=Sort.STRANGENESS, limit=limit, after=after)
    counted = await context.archive.total(chosen, sort=Sort.STRANGENESS)
    return page.model_copy(update={"total": counted.count, "total_is_exact": counted.exact})


@router.get("/images/{image_id}", response_model=ImageDetail, responses=_MISSING)
async def get_image(context: Context, image_id: ImageId) -> ImageDetail:
    """All that is known of one image: record, false-alarm rate, provenance, alert."""
    return await context.archive.image(image_id)


@router.get(
    "/images/{image_id}/cutout",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {}}, "description": "JPEG, at most 256 px a side."},
        **_ELSEWHERE,
        **_MISSING,
    },
)
async def get_cutout(
    context: Context,
    request: Request,
    image_id: ImageId,
    stream: Annotated[
        bool, Query(description="From here, whatever the settings say: a page may read pixels of its own origin only.")
    ] = False,
) -> Response:
    """The canonical picture that model, console and alerts read. It never changes: cache it for ever."""
    etag = f'"{image_id}"'
    scope = "private" if context.login_needed else "public"
    headers = {"ETag": etag, "Cache-Control": f"{scope}, max-age=31536000, immutable"}
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    if not stream and (link := await context.archive.cutout_link(image_id)) is not None:
        return _redirect(link)
    return Response(await context.archive.cutout(image_id), media_type="image/jpeg", headers=headers)


@router.get(
    "/images/{image_id}/original",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The bytes as they came."},
        **_ELSEWHERE,
        **_MISSING,
    },
)
async def get_original(context: Context, image_id: ImageId) -> Response:
    """The bytes as they came, as a download and never shown inline: nobody has checked them."""
    original = await context.archive.original(image_id)
    if (link := await context.archive.original_link(original)) is not None:
        return _redirect(link)
    return Response(
        await context.archive.original_bytes(original),
        media_type=original.media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{original.filename}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, max-age=86400, immutable",
            "ETag": f'"{original.sha256}"',
        },
    )


@router.get("/images/{image_id}/similar", response_model=SimilarImages, responses=_MISSING)
async def get_similar(
    context: Context,
    image_id: ImageId,
    k: Annotated[int, Query(ge=1, le=100, description="How many neighbours.")] = 12,
) -> SimilarImages:
    """The analysed images most like this one in the model's space, by cosine similarity of embeddings."""
    return await context.archive.similar(image_id, k)


@router.post(
    "/images",
    response_model=AcceptedSubmission,
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=_UPLOAD_BODY,
    # Every file and the number of files are bounded while the body streams in.
    max_body_size=sys.maxsize,
    responses=responses(
        s408="The body came too slowly; nothing was taken in.",
        s415="Neither multipart/form-data nor application/json.",
        s507="The disk is nearly full; nothing was taken in. Somebody must free some space.",
        s429="The pipeline is full; nothing was taken in. Retry-After says when to send it again.",
    ),
)
async def submit_images(context: Context, request: Request) -> AcceptedSubmission:
    """Take images in: files, or addresses to fetch. The whole request is accepted, or nothing of it.

    Nothing is decoded here. Follow what becomes of it at `progress_url`, or in `GET /api/receipts?batch=…`.
    """
    await context.intake.require_disk_space()
    content_type = request.headers.get("content-type", "")
    traceparent = request.headers.get(TRACEPARENT)
    match content_type.partition(";")[0].strip().lower():
        case "multipart/form-data":
            async with context.intake.receive_files(traceparent=traceparent) as upload:
                fields = await read_multipart(
                    content_type, request.stream(), max_file_bytes=upload.max_file_bytes, take=upload.add
                )
                return await upload.finish(fields)
        case "application/json":
            return await context.intake.submit_urls(await _submission(request), traceparent=traceparent)
        case other:
            raise Problem(
                415,
                "Unsupported body",
                f"A body of {other or 'no content type'!r} cannot be taken in: send multipart/form-data with files, "
                'or application/json with {"urls": […]}.',
            )


@router.get("/intake", response_model=IntakeCapacity)
async def get_capacity(context: Context) -> IntakeCapacity:
    """How many more images the pipeline takes now: ask before sending much."""
    return await context.intake.capacity()


@router.post(
    "/analyze/{image_id}",
    response_model=ReanalysisView,
    status_code=status.HTTP_202_ACCEPTED,
    responses=_MISSING,
    tags=["images"],
)
async def analyze_again(context: Context, request: Request, image_id: ImageId) -> ReanalysisView:
    """Analyse an image again with the model in use; a dead-lettered one too."""
    return await context.reanalysis.analyze_again(image_id, traceparent=request.headers.get(TRACEPARENT))


def _redirect(link: str) -> Response:
    # The redirect is remembered for less long than the link is good, so that nobody follows a dead one.
    headers = {"Cache-Control": f"private, max-age={LINK_TTL_S * 0.8:.0f}"}
    return RedirectResponse(link, status_code=status.HTTP_307_TEMPORARY_REDIRECT, headers=headers)


async def _submission(request: Request) -> UrlSubmission:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_JSON_BYTES:
            raise Problem(413, "Body too large", f"A JSON body has at most {_MAX_JSON_BYTES} bytes: name fewer.")
    return UrlSubmission.model_validate_json(bytes(body))
