"""Parameters that several routes share, with their meaning, unit and bounds."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Path, Query

from astrolens.console.context import AppContext, context_of
from astrolens.console.problems import Problem
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.records import Answer, ImageState
from astrolens.contracts.verdicts import Verdict
from astrolens.usecases.coordinates import Cone, parse_position
from astrolens.usecases.image_queries import MAX_LIMIT, SEARCH_RADIUS_ARCSEC, ImageFilter
from astrolens.usecases.search_text import with_parsed_text

Context = Annotated[AppContext, Depends(context_of)]

ImageId = Annotated[
    str,
    Path(
        pattern=r"^[0-9a-f]{32}$", description="32 hexadecimal digits.", examples=["9f86d081884c7d659a2feaa0c55ad015"]
    ),
]
Simulated = bool | Literal["any"]
"""Which images by whether they are simulated, in addresses of the API and of pages."""

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most entries of this page.")]
After = Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")]


def image_filter(  # noqa: PLR0917 - FastAPI reads the parameters of a query from here
    survey: Annotated[list[str], Query(description="Survey; repeat for several.", examples=[["sdss"]])] = [],  # noqa: B006
    verdict: Annotated[list[Verdict], Query(description="Verdict; repeat for several.")] = [],  # noqa: B006
    predicted_class: Annotated[
        list[str], Query(alias="class", description="Predicted class; repeat for several.", examples=[["spiral"]])
    ] = [],  # noqa: B006
    crossmatch: Annotated[
        list[CrossmatchStatus],
        Query(description="What the catalogues know: `known`, `unmatched` (a possible discovery) or `undetermined`."),
    ] = [],  # noqa: B006
    label: Annotated[str | None, Query(description="`interesting`, `artefact`, `ordinary`, `any`, or `none`.")] = None,
    source: Annotated[list[str], Query(description="Where it came from, such as `upload`.")] = [],  # noqa: B006
    batch: Annotated[str | None, Query(max_length=200, description="The batch it arrived with.")] = None,
    state: Annotated[list[ImageState], Query(description="Where it is in the flow.")] = [],  # noqa: B006
    since: Annotated[datetime | None, Query(description="Ingested at or after, ISO 8601 (UTC if no zone).")] = None,
    until: Annotated[datetime | None, Query(description="Ingested before, ISO 8601 (UTC if no zone).")] = None,
    simulated: Annotated[
        Simulated, Query(description="`true`: only simulated images; `false`: only real ones; `any`, as without: both.")
    ] = "any",
    ra_deg: Annotated[float | None, Query(ge=0, lt=360, description="Centre of a cone, ICRS, degrees.")] = None,
    dec_deg: Annotated[float | None, Query(ge=-90, le=90, description="Centre of a cone, ICRS, degrees.")] = None,
    radius_arcsec: Annotated[
        float | None, Query(gt=0, le=648_000, description="Radius of the cone, arcseconds (60).")
    ] = None,
    name: Annotated[str | None, Query(max_length=200, description="Part of the name, any case.")] = None,
    object_id: Annotated[
        str | None, Query(pattern=r"^[0-9a-f]{32}$", description="The object of the sky that they show.")
    ] = None,
    late_by: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9a-f]{64}$",
            description="Digest of a model: what its second pass called an anomaly, and the model before had not.",
        ),
    ] = None,
    max_artefact: Annotated[
        float | None,
        Query(ge=0, le=1, description="With `sort=interest` or `useful` only: leave out larger `artefact_score`s."),
    ] = None,
    per: Annotated[
        Literal["image", "object"] | None,
        Query(
            description="`object`: of the images of one object only the first in the list's order; with `label=none` "
            "of none that has an answer already."
        ),
    ] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=200,
            description="What a person types: an id or its beginning, also a survey's of the object, part of a name, "
            "`10.68 +41.27` or `00:42:44 +41:16:09`; `radius_arcsec` is the cone's around a position.",
        ),
    ] = None,
) -> ImageFilter:
    """Which images; every condition given must hold."""
    if (ra_deg is None) != (dec_deg is None):
        raise Problem(422, "Half a position", "A cone needs both ra_deg and dec_deg, in degrees: give both.")
    for name_of_filter, values in (("survey", survey), ("class", predicted_class), ("source", source)):
        if "" in values:
            raise Problem(422, "Empty filter", f"{name_of_filter} is empty: give a value, or leave it out.")
    since, until = aware(since), aware(until)
    if since is not None and until is not None and since > until:
        detail = f"since ({since.isoformat()}) is later than until ({until.isoformat()}): nothing can be between them."
        raise Problem(422, "Impossible times", detail)
    cone = None
    if ra_deg is not None and dec_deg is not None:
        cone = Cone(ra_deg=ra_deg, dec_deg=dec_deg, radius_arcsec=radius_arcsec or SEARCH_RADIUS_ARCSEC)
    wanted = ImageFilter(
        surveys=tuple(survey),
        verdicts=tuple(verdict),
        classes=tuple(predicted_class),
        crossmatches=tuple(crossmatch),
        labels=_answers(label),
        unlabeled=label == "none",
        sources=tuple(source),
        batch=batch,
        states=tuple(state),
        since=since,
        until=until,
        simulated=None if simulated == "any" else simulated,
        cone=cone,
        name=name,
        object_id=object_id,
        late_by=late_by,
        max_artefact=max_artefact,
        per=per,
    )
    if radius_arcsec is not None and cone is None and parse_position(q or "") is None:
        detail = (
            "radius_arcsec is a distance from a place, and none is given: give ra_deg and dec_deg with it, or a "
            "position as q."
        )
        raise Problem(422, "Radius without a place", detail)
    if q and q.strip():
        return replace(wanted, text=q.strip(), text_radius_arcsec=radius_arcsec or SEARCH_RADIUS_ARCSEC)
    return wanted


async def parsed_filter(context: Context, wanted: Annotated[ImageFilter, Depends(image_filter)]) -> ImageFilter:
    """Which images, with the typed text as conditions."""
    return await with_parsed_text(context.records, wanted)


Filter = Annotated[ImageFilter, Depends(parsed_filter)]


def aware(time: datetime | None) -> datetime | None:
    """A time in UTC, which it also is where no zone was given."""
    if time is None:
        return None
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise Problem(422, "Impossible time", f"{time.isoformat()} lies outside the years 1 to 9999 in UTC.") from None


def _answers(label: str | None) -> tuple[Answer, ...]:
    if label is None or label == "none":
        return ()
    if label == "any":
        return tuple(Answer)
    try:
        return tuple(Answer(each.strip()) for each in label.split(","))
    except ValueError:
        choices = ", ".join(Answer)
        raise Problem(422, "Unknown label", f"{label[:80]!r} is no label: choose of {choices}, any, none.") from None
