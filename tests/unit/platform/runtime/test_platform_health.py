"""Liveness, readiness, metrics, condition and heartbeat, without a socket."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.contracts.status import ServiceStatus
from astrolens.platform.bus.consumer import Progress
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.health import CACHE_TTL_S, Liveness, Readiness, health_app
from astrolens.platform.runtime.health_access import HealthAccess
from astrolens.platform.runtime.heartbeat import Heartbeat
from astrolens.platform.runtime.http_server import add_health_endpoints
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Query
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.platform.time_limits import STUCK_AFTER_S
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.unit.platform.platform_fakes import FlakyRecords


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Pipeline:
    """One consumer as liveness sees it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.progress = Progress(self.clock)
        self.lag = 0
        self.liveness = Liveness(self._consumers, self._waiting, clock=self.clock)

    def _consumers(self) -> Sequence[tuple[str, Progress]]:
        return [("images", self.progress)]

    async def _waiting(self) -> dict[str, int]:
        return {"images": self.lag, "busy elsewhere": 1000}


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


async def test_idle_is_alive_for_ever(pipeline: Pipeline) -> None:
    pipeline.clock.now += 100_000
    assert await pipeline.liveness.reason() is None


async def test_records_that_just_came_after_a_long_idle_time_are_no_alarm(pipeline: Pipeline) -> None:
    await pipeline.liveness.reason()
    pipeline.clock.now += 100_000
    pipeline.lag = 5
    assert await pipeline.liveness.reason() is None


async def test_a_stuck_handler_with_waiting_records_is_dead(pipeline: Pipeline) -> None:
    pipeline.progress.in_progress = 64
    pipeline.progress.tick()
    pipeline.clock.now += STUCK_AFTER_S - 1
    assert await pipeline.liveness.reason() is None
    pipeline.clock.now += 2
    assert await pipeline.liveness.reason() == "images: 64 records wait and nothing has happened for 241 s"


async def test_a_consumer_that_fetches_nothing_of_what_waits_is_dead(pipeline: Pipeline) -> None:
    pipeline.lag = 3
    await pipeline.liveness.reason()
    pipeline.clock.now += STUCK_AFTER_S + 1
    assert "3 records wait" in (await pipeline.liveness.reason() or "")
    pipeline.lag = 0
    assert await pipeline.liveness.reason() is None


async def test_a_consumer_that_fetches_nothing_although_the_broker_answers_is_dead() -> None:
    """aiokafka 703: a client that has fallen silent sees no lag either."""
    clock = Clock()
    progress = Progress(clock)
    fetched: dict[str, int | None] = {"images": 1}
    unreachable = True

    async def nothing_waits() -> dict[str, int]:
        return {"images": 0}

    async def ping() -> None:
        if unreachable:
            raise StoreUnavailable("broker unreachable")

    liveness = Liveness(lambda: [("images", progress)], nothing_waits, clock=clock)
    liveness.watch_fetches(lambda: fetched, ping_broker=ping)
    for fetched["images"] in (5, 4, 3):  # the system's clock may step back
        clock.now += STUCK_AFTER_S
        assert await liveness.reason() is None
    clock.now += STUCK_AFTER_S + 1
    assert await liveness.reason() is None, "without its broker it cannot fetch"
    unreachable = False
    clock.now += STUCK_AFTER_S - 1
    assert await liveness.reason() is None, "it has its time again when the broker returns"
    clock.now += 2
    assert await liveness.reason() == "images: nothing has been fetched for 241 s although the broker answers"
    fetched["images"] = 6
    assert await liveness.reason() is None
    fetched["images"] = None
    for _ in range(3):
        clock.now += STUCK_AFTER_S
        assert await liveness.reason() is None, "no partition is assigned"


async def test_retries_count_as_progress(pipeline: Pipeline) -> None:
    pipeline.progress.in_progress = 1
    for _ in range(10):
        pipeline.clock.now += 60
        pipeline.progress.tick()
        assert await pipeline.liveness.reason() is None


async def get(app: Any, path: str, **options: Any) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service") as client:
        return await client.get(path, **options)


async def test_the_endpoints(pipeline: Pipeline) -> None:
    condition = Condition()
    away = False

    async def ping() -> None:
        if away:
            raise StoreUnavailable("disk full")

    metrics = Metrics("analyzer")
    app = health_app(
        registry=metrics.registry,
        condition=condition,
        liveness=pipeline.liveness,
        checks={"records": ping},
        access=HealthAccess(is_loopback=True),
    )
    assert (await get(app, "/readyz")).json()["state"] == "starting"
    condition.phase = "running"
    response = await get(app, "/readyz")
    assert (response.status_code, response.json()["ready"]) == (200, True)

    condition.set_issue("store", "waits for the record store")
    response = await get(app, "/readyz")
    assert response.status_code == 503
    assert response.json()["detail"] == "waits for the record store"
    condition.clear_issue("store")

    away = True
    response = await get(app, "/readyz")
    assert response.status_code == 503
    assert response.json()["problems"] == {"records": "disk full"}

    assert (await get(app, "/livez")).status_code == 200
    pipeline.progress.in_progress = 1
    await get(app, "/livez")
    pipeline.clock.now += 500
    response = await get(app, "/livez")
    assert response.status_code == 503
    assert "1 records wait" in response.json()["reason"]

    metrics.dead_letters.labels(stage="images", error="invalid-json").inc()
    text = (await get(app, "/metrics")).text
    assert 'astrolens_dead_letters_total{error="invalid-json",stage="images"} 1.0' in text
    assert 'astrolens_service_info{service="analyzer"' in text


async def test_off_loopback_strangers_learn_yes_or_no_and_the_token_opens_the_rest(pipeline: Pipeline) -> None:
    condition = Condition()
    condition.phase = "running"

    async def ping() -> None:
        raise StoreUnavailable("the record store at mongodb.internal does not answer")

    token = "a long random token"
    app = health_app(
        registry=Metrics("analyzer").registry,
        condition=condition,
        liveness=pipeline.liveness,
        checks={"records": ping},
        access=HealthAccess(is_loopback=False, tokens=[token]),
    )
    assert (await get(app, "/livez")).json() == {"alive": True}
    unready = await get(app, "/readyz")
    assert (unready.status_code, unready.json()) == (503, {"ready": False})
    for value in ("", "Bearer", "Bearer wrong", f"Basic {token}", f"Bearer {token}x", "Bearer ünïcode".encode()):
        refused = await get(app, "/metrics", headers={"authorization": value})
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "ASTROLENS_METRICS_TOKEN" in refused.text
    known = {"authorization": f"Bearer {token}"}
    assert "astrolens_service_info" in (await get(app, "/metrics", headers=known)).text
    assert (await get(app, "/readyz", headers=known)).json()["problems"] == {
        "records": "the record store at mongodb.internal does not answer"
    }
    assert (await get(app, "/livez", headers=known)).json() == {"alive": True, "reason": None}


async def test_what_a_proxy_on_this_machine_passes_on_is_no_local_request(pipeline: Pipeline) -> None:
    app = health_app(
        registry=Metrics("console").registry,
        condition=Condition(),
        liveness=pipeline.liveness,
        checks={},
        access=HealthAccess(is_loopback=True),
    )
    assert (await get(app, "/metrics")).status_code == 200
    assert (await get(app, "/metrics", headers={"x-forwarded-for": "203.0.113.9"})).status_code == 401


async def test_strangers_cause_no_more_than_one_round_of_checks_a_second() -> None:
    clock, rounds = Clock(), 0

    async def ping() -> None:
        nonlocal rounds
        rounds += 1

    condition = Condition()
    condition.phase = "running"
    readiness = Readiness(condition, {"records": ping}, clock=clock)
    assert await asyncio.gather(*(readiness.is_ready() for _ in range(50))) == [True] * 50
    assert rounds == 1
    clock.now += CACHE_TTL_S + 0.1
    assert await readiness.is_ready()
    assert rounds == 2


def test_a_short_token_for_metrics_is_refused_where_others_reach_the_service(tmp_path: Path) -> None:
    given = {"home": tmp_path, "metrics_token": "short", "_env_file": None}
    HealthAccess.of(Settings(**given))
    with pytest.raises(ConfigurationError, match=r"ASTROLENS_METRICS_TOKEN has 5 characters"):
        HealthAccess.of(Settings(host="0.0.0.0", **given))


async def test_health_beside_a_web_application(pipeline: Pipeline) -> None:
    async def hello(_: Any) -> PlainTextResponse:
        return PlainTextResponse("hello")

    web = Starlette(routes=[Route("/", hello), Route("/livez", hello)])
    health = health_app(
        registry=Metrics("console").registry,
        condition=Condition(),
        liveness=pipeline.liveness,
        checks={},
        access=HealthAccess(is_loopback=True),
    )
    app = add_health_endpoints(web, health)
    assert (await get(app, "/")).text == "hello"
    assert (await get(app, "/livez")).json() == {"alive": True, "reason": None}


def test_each_service_has_its_own_registry() -> None:
    assert Metrics("a").registry is not Metrics("a").registry


def test_a_condition_reports_each_issue_once_and_remembers_errors() -> None:
    condition = Condition()
    condition.phase = "running"
    states: list[str] = [condition.state]
    assert condition.set_issue("a", "a is away")
    assert not condition.set_issue("a", "a is still away")
    condition.set_issue("b", "b is away")
    states.append(condition.state)
    assert condition.detail == "a is still away; b is away"
    assert condition.clear_issue("a")
    assert not condition.clear_issue("a")
    condition.clear_issue("b")
    states.append(condition.state)
    assert states == ["running", "degraded", "running"]
    for number in range(9):
        condition.record_error(f"error {number}")
    assert condition.last_errors == tuple(f"error {number}" for number in range(4, 9))


async def test_the_heartbeat_shows_the_condition_of_the_service(records: FlakyRecords) -> None:
    condition = Condition()
    condition.phase = "running"
    condition.set_issue("model", "the model server does not answer")
    info: dict[str, Any] = {}

    async def measure() -> tuple[int, int | None]:
        return 42, 7

    heartbeat = Heartbeat(records, condition, service="analyzer", instance="analyzer@here", info=info, measure=measure)
    info["model"] = "first-light"
    await heartbeat.beat()
    await heartbeat.beat()
    (document,) = (await records.find(Collection.SERVICES, Query())).documents
    status = ServiceStatus.model_validate(document)
    assert (status.service, status.instance, status.processed, status.lag) == ("analyzer", "analyzer@here", 42, 7)
    assert (status.state, status.ready, status.detail) == ("degraded", False, "the model server does not answer")
    assert status.last_errors == ("the model server does not answer",)
    assert status.info == {"model": "first-light"}
