"""Metrics of arrivals: every one is counted in and counted out."""

from datetime import timedelta
from pathlib import Path

import pytest
from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Outcome, Reason
from astrolens.contracts.status import SourceStatus
from astrolens.ingestor.arrivals import Arrival
from astrolens.ingestor.metrics import IngestMetrics
from astrolens.ingestor.observer import PrometheusObserver
from astrolens.ingestor.sources.throttling import Backoff, TokenBucket
from astrolens.platform.telemetry.metrics import Metrics

from tests.unit.ingestor.ingestor_fakes import arrival, by_url, ingest_at

ARRIVALS = [
    arrival(b"hash:00000000ffffffff:one", "one", after_ms=1),
    arrival(b"hash:00000000ffffffff:one", "one again", after_ms=3),
    arrival(b"bad:truncated", "broken", after_ms=5),
    arrival(b"break:us", "our fault", after_ms=6),
]


class Observed:
    def __init__(self) -> None:
        self.metrics = IngestMetrics(Metrics("ingestor"))
        self.observer = PrometheusObserver(self.metrics)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.metrics.shared.registry.get_sample_value(name, labels)

    def books(self) -> dict[str, float]:
        settled = "astrolens_settled_total"
        outcomes = [outcome.value for outcome in Outcome if outcome is not Outcome.RECEIVED]
        return {outcome: self(settled, stage="ingest", outcome=outcome) or 0.0 for outcome in outcomes}


@pytest.fixture
def observed() -> Observed:
    return Observed()


async def test_what_was_received_is_the_sum_of_what_became_of_it(observed: Observed, tmp_path: Path) -> None:
    async with ingest_at(tmp_path, observer=observed.observer) as ingest:
        await ingest.service.admit(ARRIVALS)
        await ingest.service.admit(ARRIVALS)  # yielded again: the same arrivals
    assert observed.books() == {"accepted": 1, "duplicate": 1, "rejected": 1, "dead_lettered": 1}
    assert observed("astrolens_received_total", stage="ingest") == 4
    assert observed("astrolens_latency_seconds_count", stage="ingest") == 4
    assert observed("astrolens_refused_total", reason="truncated") == 1
    assert observed("astrolens_refused_total", reason="decoder-failed") == 1


async def test_what_a_source_could_not_use_is_counted_too(observed: Observed, tmp_path: Path) -> None:
    refused = {"outcome": Outcome.REJECTED, "reason": Reason(code="no-coverage", detail="No sky."), "sha256": None}
    blank = ARRIVALS[0].receipt.model_copy(update=refused)
    async with ingest_at(tmp_path, observer=observed.observer) as ingest:
        await ingest.service.admit([Arrival(blank)])
    assert observed.books()["rejected"] == observed("astrolens_received_total", stage="ingest") == 1
    assert observed("astrolens_refused_total", reason="no-coverage") == 1


async def test_fetching_an_address_and_the_age_of_an_observation_are_timed(observed: Observed, tmp_path: Path) -> None:
    async with ingest_at(tmp_path, observer=observed.observer) as ingest:
        ingest.fetcher.replies["https://sky.example/one.jpg"] = b"sky"
        await ingest.service.admit([by_url("https://sky.example/one.jpg")])
    assert observed("astrolens_latency_seconds_count", stage="fetch") == 1
    receipt = ARRIVALS[0].receipt
    taken = receipt.observation.model_copy(update={"observed_at": receipt.received_at - timedelta(hours=2)})
    observed.observer.received([receipt.model_copy(update={"observation": taken})])
    assert observed("astrolens_observation_age_seconds_sum", source=receipt.source) == 7200


def test_a_source_is_in_one_state(observed: Observed) -> None:
    for state in ("running", "unreachable"):
        observed.observer.source(SourceStatus(source="sdss", state=state, updated_at=utc_now()))
    assert observed("astrolens_source_state", source="sdss", state="unreachable") == 1
    assert observed("astrolens_source_state", source="sdss", state="running") == 0


async def test_rate_limit_and_circuit_are_told(observed: Observed) -> None:
    archives = observed.metrics.archives

    async def no_wait(_: float) -> None:
        return

    paced, circuit_open = (
        archives.wait_seconds.labels("sky.example"),
        archives.circuit_open.labels("sky.example"),
    )
    bucket = TokenBucket(60.0, monotonic=lambda: 0.0, sleep=no_wait, on_wait=paced.inc)
    for _ in range(3):
        await bucket.acquire()
    assert observed("astrolens_archive_paced_seconds_total", host="sky.example") == 1 + 2
    backoff = Backoff(on_change=circuit_open.set)
    backoff.record_failure()
    assert observed("astrolens_archive_left_alone", host="sky.example") == 1
    backoff.record_success()
    assert observed("astrolens_archive_left_alone", host="sky.example") == 0
