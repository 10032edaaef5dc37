"""A real Prometheus on the real services: every query of every panel and rule has something to show.

All services run in their own processes on the embedded default, as `astrolens up` starts them, but for the ingestor,
which may fetch from this machine: SkyServer is replayed here.
"""

import asyncio
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiohttp import web
from astrolens.contracts.topics import IMAGES_INGESTED
from astrolens.local.broker import EmbeddedBroker
from astrolens.science.simulation import simulate
from confluent_kafka import Producer

from deploy.stack.prometheus import configuration
from tests.deploy_files import HTTP_PORT
from tests.e2e.system import System, wait_until
from tests.promql import panel_queries, rule_queries, selectors, without_variables
from tests.skyserver import Sky

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus here (Debian's package of that name)"),
]

EVERY = "1s"
INTERVAL = "20s"
"""What Grafana would send for `$__rate_interval`: longer than a few scrapes."""


class World:
    """The services, a Prometheus that scrapes them, and what stands for the world outside."""

    def __init__(self, system: System, prometheus: httpx.Client, sky_url: str, broker: str) -> None:
        self.system = system
        self.prometheus = prometheus
        self.sky_url = sky_url
        self.broker = broker

    def ask(self, expr: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        answer = self.prometheus.get("/api/v1/query", params={"query": expr}).json()
        assert answer["status"] == "success", f"{expr}: {answer.get('error')}"
        found = answer["data"]["result"]
        assert isinstance(found, list)
        return found

    def has_values(self, expr: str) -> bool:
        """Whether a query gives a number; a share of nothing is none."""
        return any(not math.isnan(float(series["value"][1])) for series in self.ask(expr))


NEED_A_RETRAINING_RUN = ("model: Accuracy A",)
"""Panels that are empty until a run has ended, which takes hours."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("prometheus")
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker())
        sky = Sky(2000, picture=lambda ra: simulate(5, round(float(ra) * 100), oddity_rate=0.0).jpeg)
        outside = stack.enter_context(serving(sky))
        system = System(
            folder / "home",
            events_url=broker.url,
            sources="simulated,sdss",
            simulated_rate_per_min="240",
            simulated_oddity_rate="0.3",
            sdss_base_url=f"{outside}/dr17",
            sdss_rate_per_min="120",
            fetch_hosts=outside.removeprefix("http://"),
            false_alarms_per_1000="50",
            notify_urls=outside.replace("http://", "json://") + "/told",
        )
        stack.enter_context(services(system))
        prometheus = stack.enter_context(scraping(folder, system))
        wait_until(lambda: running(system), timeout_s=240, what=lambda: f"all services running\n{system.logs()}")
        yield World(system, prometheus, outside, broker.url.removeprefix("kafka://"))


def test_every_query_of_every_panel_and_rule_has_something_to_show(world: World) -> None:
    # A metric selector of a rule must have series; the rule's own expression has none while all is well.
    wanted = {f"{name} {each}": str(each) for name, expr in rule_queries() for each in selectors(expr)}
    wanted |= {name: without_variables(expr, interval=INTERVAL) for name, expr in panel_queries()}
    assert len(wanted) > 100
    assert not world.has_values('up{job="nobody"}')

    poison(world)

    for name in NEED_A_RETRAINING_RUN:
        del wanted[name]

    def missing() -> dict[str, str]:
        feed(world)
        # What was seen once is not asked again: a rate of what has ceased meanwhile has no quantile.
        for name in [name for name, expr in wanted.items() if world.has_values(expr)]:
            del wanted[name]
        return wanted

    def listed() -> str:
        return "".join(f"\n{name}: {expr}" for name, expr in missing().items()) + world.system.logs(5)

    wait_until(lambda: not missing(), timeout_s=240, what=lambda: f"series for:{listed()}", every_s=2.0)


def test_prometheus_evaluates_every_rule_and_the_books_balance(world: World) -> None:
    groups = world.prometheus.get("/api/v1/rules").json()["data"]["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert set(rules) == {name for name, _ in rule_queries()}
    assert {name: rule.get("lastError") for name, rule in rules.items() if rule["health"] != "ok"} == {}
    balanced = "min(abs(astrolens:books_unexplained)) == 0 and sum(astrolens_receipts) > 50"
    wait_until(lambda: world.ask(balanced), timeout_s=240, what=lambda: f"books of 50 arrivals\n{world.system.logs()}")
    assert rules["AstroLensBooksDoNotBalance"]["state"] != "firing"


def feed(world: World) -> None:
    """What sources do not bring: a bad file, a duplicate, an address, an answer."""
    http = world.system.http
    picture = simulate(6, 1, oddity_rate=0.0).jpeg
    files = [("files", (name, data)) for name, data in (("one.jpg", picture), ("two.jpg", picture), ("bad.jpg", b"no"))]
    batch = os.urandom(4).hex()
    http.post("/api/images", files=files, data={"batch": batch, "survey": "sdss"}).raise_for_status()
    address = f"{world.sky_url}/dr17/SkyServerWS/ImgCutout/getjpeg?ra=90.{int(batch[:4], 16)}"
    http.post("/api/images", json={"urls": [address], "survey": "sdss"}).raise_for_status()
    if images := http.get("/api/images", params={"limit": 1}).json()["items"]:
        answer = {"image_id": images[0]["image_id"], "answer": "ordinary"}
        http.post("/api/labels", json=answer).raise_for_status()


def poison(world: World) -> None:
    """A record that nobody can read; one only, or the analyzer would stop for too many."""
    producer = Producer({"bootstrap.servers": world.broker})
    producer.produce(IMAGES_INGESTED, b"{")
    assert producer.flush(10) == 0


def running(system: System) -> bool:
    found = system.status()["services"]
    return len(found) == 7 and all(service["state"] == "running" for service in found.values())


@contextmanager
def services(system: System) -> Iterator[None]:
    """Every service in a process of its own."""
    (system.home / "logs").mkdir(parents=True)
    environment = {**system.environment, "ASTROLENS_EMBEDDED_BROKER": "1", "OMP_NUM_THREADS": "1"}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for service in HTTP_PORT:
            with (system.home / "logs" / f"{service}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-m", *_module(service)],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        yield
    finally:
        end(started)
        system.http.close()


def _module(service: str) -> list[str]:
    return ["tests.e2e.loopback_ingestor"] if service == "ingestor" else ["astrolens.cli", "serve", service]


@contextmanager
def scraping(folder: Path, system: System) -> Iterator[httpx.Client]:
    """A Prometheus with the deployment's own configuration and rules, on other targets and faster."""
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration(system.port, every=EVERY)))
    with socket.socket() as probe:  # from the range of outgoing connections: the block of the services is not bound yet
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={path}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://{address}", timeout=30) as client:
            wait_until(
                lambda: client.get("/-/ready").status_code == 200,
                timeout_s=240,
                what=lambda: (folder / "prometheus.log").read_text()[-2000:],
            )
            yield client
    finally:
        end([process])


def end(processes: list["subprocess.Popen[bytes]"]) -> None:
    """Ask all to stop, then wait for each."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


@contextmanager
def serving(sky: Sky) -> Iterator[str]:
    """The world outside on a loopback port: SkyServer, failing now and then, and a channel that takes alerts."""

    async def busy(_: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async def told(request: web.Request) -> web.StreamResponse:
        json.loads(await request.text())
        return web.Response(text="ok")

    sky.picture_faults += [busy, busy]
    loop = asyncio.new_event_loop()
    app = sky.app()
    app.router.add_post("/told", told)
    runner = web.AppRunner(app)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, name="outside", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
