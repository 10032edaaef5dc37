"""The discovery list of a night."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from astrolens.console.api.parameters import Context
from astrolens.usecases.discoveries import DEFAULT_Q, DiscoveryList

router = APIRouter(tags=["images"])


@router.get("/discoveries", response_model=DiscoveryList)
async def list_discoveries(
    context: Context,
    night: Annotated[
        date | None, Query(description="Date of its evening, UTC; default the night that is now or was last.")
    ] = None,
    q: Annotated[
        float, Query(ge=0.001, le=0.5, description="Expected share of ordinary images among the listed, at most.")
    ] = DEFAULT_Q,
    assume_tail: Annotated[
        bool, Query(description="Go on beyond the end of p-values on the assumption of an exponential tail.")
    ] = False,
) -> DiscoveryList:
    """Images that stand out although many were looked at: Benjamini and Hochberg's list over a night's p-values."""
    return await context.discoveries.of_night(night, q=q, assume_tail=assume_tail)
