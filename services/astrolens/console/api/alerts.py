"""Alerts, as they were raised, updated and retracted."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from astrolens.console.api.parameters import After, Context, Limit, aware
from astrolens.console.problems import responses
from astrolens.usecases.alert_views import AlertPage, AlertView

router = APIRouter(tags=["alerts"])


@router.get("/alerts", response_model=AlertPage)
async def list_alerts(
    context: Context,
    since: Annotated[datetime | None, Query(description="Raised at or after, ISO 8601 (UTC if no zone).")] = None,
    updated_since: Annotated[
        datetime | None, Query(description="Updated or retracted at or after; the list is sorted by that time then.")
    ] = None,
    survey: Annotated[str | None, Query(max_length=63)] = None,
    predicted_class: Annotated[str | None, Query(alias="class", max_length=63)] = None,
    order: Annotated[Literal["newest", "oldest"], Query(description="`oldest` first suits following.")] = "newest",
    limit: Limit = 60,
    after: After = None,
) -> AlertPage:
    """Alerts with their deliveries."""
    return await context.archive.alerts(
        since=aware(since),
        updated_since=aware(updated_since),
        survey=survey,
        predicted_class=predicted_class,
        order=order,
        limit=limit,
        after=after,
    )


@router.get("/alerts/{alert_id}", response_model=AlertView, responses=responses(s404="No such alert."))
async def get_alert(context: Context, alert_id: Annotated[str, Path(max_length=64)]) -> AlertView:
    """One alert with its deliveries."""
    return await context.archive.alert(alert_id)
