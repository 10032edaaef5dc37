"""Stores that tell how long their calls take and which of them fail.

A store is measured in place: it stays the object that it is, with whatever else its engine can do.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from time import perf_counter
from typing import Final, ParamSpec, TypeVar

from prometheus_client import Counter, Histogram

from astrolens.platform.errors import TransientError
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.metrics import StoreMetrics

P = ParamSpec("P")
T = TypeVar("T")

RECORD_CALLS: Final = (
    "insert",
    "upsert",
    "apply",
    "get",
    "find",
    "delete",
    "tally",
    "tallies",
    "near",
    "pending",
    "ping",
)
IMAGE_CALLS: Final = ("put", "put_many", "get", "get_many", "exists", "delete", "ping")
"""Neither `open` nor `close`: at start a service waits for the engine itself."""


def measure(*, records: RecordStore, images: ImageStore, metrics: StoreMetrics) -> None:
    """From now on, time the calls of these stores and count those that found the engine away."""
    _measure(records, "records", RECORD_CALLS, metrics)
    _measure(images, "images", IMAGE_CALLS, metrics)


def _measure(store: object, name: str, calls: Sequence[str], metrics: StoreMetrics) -> None:
    for call in calls:
        timed = _timed(getattr(store, call), metrics.seconds.labels(name, call), metrics.errors.labels(name, call))
        setattr(store, call, timed)


def _timed(call: Callable[P, Awaitable[T]], seconds: Histogram, errors: Counter) -> Callable[P, Awaitable[T]]:
    @wraps(call)
    async def timed(*args: P.args, **kwargs: P.kwargs) -> T:
        start = perf_counter()
        try:
            return await call(*args, **kwargs)
        except TransientError:
            errors.inc()
            raise
        finally:
            seconds.observe(perf_counter() - start)

    return timed
