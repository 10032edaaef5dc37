"""The life of a service process: what is opened in which order, what is closed at the end, and the exit code.

A service's `main.py` builds a `ServiceApp`, declares what it consumes, its hooks, tasks and periodic work, and returns
it; `run` does the rest. Building opens nothing.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog
from starlette.types import ASGIApp

from astrolens.platform.bus import Bus, create_bus
from astrolens.platform.bus.consumer import Progress
from astrolens.platform.bus.outbox import RELAY_INTERVAL_S, RELAY_ISSUE, RELAY_TASK, Outbox
from astrolens.platform.errors import AstroLensError, TransientError
from astrolens.platform.private_apis import check_private_apis
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.exit_codes import EXIT_OK, exit_code, print_error, transient_as_configuration_error
from astrolens.platform.runtime.health import Check, Liveness, health_app
from astrolens.platform.runtime.health_access import HealthAccess
from astrolens.platform.runtime.heartbeat import HEARTBEAT_INTERVAL_S, Heartbeat, instance_name
from astrolens.platform.runtime.http_server import HttpServer, add_health_endpoints, listen
from astrolens.platform.runtime.parent_watch import watch_parent
from astrolens.platform.runtime.periodic import PeriodicTask, Work
from astrolens.platform.runtime.private_memory import hide_memory
from astrolens.platform.runtime.shutdown import Shutdown
from astrolens.platform.runtime.start import open_with_retries
from astrolens.platform.runtime.tasks import Tasks
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.leases import LEASE_S, Lease
from astrolens.platform.stores.metered import MeteredImageStore, MeteredRecordStore
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.create_tracing import create_tracing
from astrolens.platform.telemetry.logs import configure_logs
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.platform.telemetry.tracing import Tracing

Hook = Callable[[], Awaitable[None]]
_log = structlog.get_logger(__name__)


class ServiceApp:
    """The parts that every service shares.

    Attributes:
        settings, service: As given.
        instance: Name of this process, the same after a restart.
        owner: Owns leases; unique among all processes there ever were, or the instance with the embedded broker.
        records, images: The stores; open inside `running`.
        metrics: What `/metrics` shows.
        condition: State, open issues and last errors.
        info: What the service adds to its heartbeat, JSON-ready.
        processed: Records processed without the bus, added to what the consumers count.
        stopping: Set when the service is to end; graceful tasks watch it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        service: str,
        port: int | None = None,
        with_bus: bool = True,
        outbox: Sequence[Collection] = (),
        records: RecordStore | None = None,
        images: ImageStore | None = None,
        tracing: Tracing | None = None,
        private_memory: bool = False,
    ) -> None:
        """Compose; nothing is opened.

        Args:
            settings: All settings.
            service: Name, as in `astrolens serve <service>`.
            port: Port of health and metrics (and of `serve_web`); None for no HTTP server.
            with_bus: Whether the service publishes or consumes events.
            outbox: Collections whose pending events this service relays.
            records: A record store other than the settings' (tests).
            images: An image store other than the settings' (tests).
            tracing: Traces, where they were created already (`create_tracing`).
            private_memory: Whether `serve` hides this process's memory from others of the same user.

        Raises:
            ConfigurationError: A URL names no adapter, or the token for metrics is short.
        """
        self.settings = settings
        self.service = service
        self.instance = instance_name(service, port)
        # With the embedded broker there is one of each service: after a crash it takes its own leases back at once.
        process = "" if settings.embedded_broker else f"/{os.getpid()}/{secrets.token_hex(4)}"
        self.owner = f"{self.instance}{process}"
        self.tracing = tracing or create_tracing(settings, service=service, instance=self.instance)
        self.metrics = Metrics(service)
        self.records: RecordStore = MeteredRecordStore(
            records or record_store(settings.records_url), self.metrics.stores
        )
        self.images: ImageStore = MeteredImageStore(
            images or image_store(settings.images_url, settings.s3_options), self.metrics.stores
        )
        self.condition = Condition()
        self.info: dict[str, Any] = {}
        self.processed = 0
        self.stopping = asyncio.Event()
        self._exit: tuple[int, str | None] = (EXIT_OK, None)
        self._port = port
        self._access = HealthAccess.of(settings)
        self._private_memory = private_memory
        self._web: ASGIApp | None = None
        self._checks: dict[str, Check] = {"records": self.records.ping, "images": self.images.ping}
        self._on_start: list[tuple[str, Hook]] = []
        self._on_stop: list[tuple[str, Hook]] = []
        self._tasks = Tasks(self._task_failed)
        self._heartbeat_task = Tasks(self._task_failed)
        self.liveness = Liveness(self._progress, self._waiting)
        self._bus: Bus | None = None
        self._outbox: Outbox | None = None
        if with_bus:
            self._bus = create_bus(
                settings,
                service=service,
                records=self.records,
                metrics=self.metrics,
                condition=self.condition,
                tracing=self.tracing,
            )
            self._bus.on_failure = self.fail
            self._outbox = Outbox(self._bus, self.records, collections=outbox, metrics=self.metrics)
            self._checks["events"] = self._bus.ping
            self.liveness.watch_fetches(self._bus.last_fetches_ms, ping_broker=self._bus.ping)
        self._heartbeat = Heartbeat(
            self.records,
            self.condition,
            service=service,
            instance=self.instance,
            info=self.info,
            measure=self._measure,
        )

    @property
    def bus(self) -> Bus:
        """The bus; only there with `with_bus`."""
        if self._bus is None:
            raise AstroLensError(f"{self.service} was built without a bus")
        return self._bus

    @property
    def outbox(self) -> Outbox:
        """The outbox; only there with `with_bus`."""
        if self._outbox is None:
            raise AstroLensError(f"{self.service} was built without a bus")
        return self._outbox

    def on_start(self, name: str, hook: Hook) -> None:
        """Call `hook` once stores and broker are connected, before anything is consumed."""
        self._on_start.append((name, hook))

    def on_stop(self, name: str, hook: Hook) -> None:
        """Call `hook` at the end, last declared first, when nothing is consumed any more and stores are still open.

        It is also called when the start failed half way.
        """
        self._on_stop.append((name, hook))

    def check(self, name: str, check: Check) -> None:
        """Add a condition of readiness: `check` raises an `AstroLensError` when something does not answer."""
        self._checks[name] = check

    def spawn(self, name: str, factory: Callable[[], Coroutine[Any, Any, None]], *, graceful: bool = False) -> None:
        """Run a task beside the service, from its start (or now, if it runs already).

        It may end by itself; an exception stops the service. At the end it is cancelled, a `graceful` one only after
        its share of the grace period. For work that is done again and again use `every`.
        """
        self._tasks.spawn(name, factory, graceful=graceful)

    def every(
        self,
        name: str,
        work: Work,
        *,
        interval_s: float,
        issue: str | None = None,
        lease: Lease | None = None,
        wake: asyncio.Event | None = None,
        fixed_rate: bool = False,
        graceful: bool = True,
    ) -> None:
        """Do something when the service starts and then again and again; `PeriodicTask` explains the arguments.

        A `ConfigurationError` of a pass ends the service; any other failure is an issue until a pass succeeds. At the
        end of the service a pass may finish within its share of the grace period, or with `graceful=False` it is
        cancelled at once.
        """
        task = PeriodicTask(
            name,
            work,
            interval_s=interval_s,
            condition=self.condition,
            issue=issue,
            lease=lease,
            wake=wake,
            fixed_rate=fixed_rate,
        )
        self.spawn(name, lambda: task.run(self.stopping), graceful=graceful)

    def lease(self, name: str, *, lasts_s: float = LEASE_S) -> Lease:
        """A lease of this process on something that several instances share, such as `source:sdss`."""
        return Lease(self.records, name, owner=self.owner, lasts_s=lasts_s)

    def serve_web(self, web: ASGIApp) -> None:
        """Serve an application on `port` beside the health endpoints; to be called before `running`."""
        self._web = web

    def request_stop(self) -> None:
        """End the service gracefully."""
        self.stopping.set()

    def fail(self, error: AstroLensError) -> None:
        """End the service gracefully, with the exit code of `error`."""
        if self._exit[0] == EXIT_OK:
            self._exit = (exit_code(error), str(error))
            self.condition.record_error(str(error))
            _log.error("service stops", reason=str(error))
        self.stopping.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ServiceApp"]:
        """Open everything and run; close everything in order at the end of the context.

        A stop that is requested during the opening ends it; the body sees `stopping` set.

        Raises:
            ConfigurationError: A setting is wrong, a port is taken, or a store or the broker did not answer.
            PrivateApiMoved: A library is installed in a version that does not fit.
            TransientError: What a hook called did not answer within its bound.
        """
        configure_logs(self.settings, service=self.service, instance=self.instance)
        check_private_apis()
        listening = self._listen()
        shutdown = Shutdown(self.settings.shutdown_grace_s)
        shutdown.register("traces", self._close_traces)
        try:
            self.tracing.open()
            if await self._open_unless_stopped(shutdown, listening):
                self.condition.phase = "running"
                _log.info("service runs", port=self._port)
            yield self
        finally:
            self.stopping.set()
            await shutdown.run()

    async def serve(self) -> int:
        """Run until a signal or a failure; return the exit code."""
        if self._private_memory:
            hide_memory()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.request_stop)
        watch_parent()
        async with self.running():
            await self.stopping.wait()
        code, sentence = self._exit
        if sentence is not None:
            print_error(sentence)
        return code

    async def _open_unless_stopped(self, shutdown: Shutdown, listening: socket.socket | None) -> bool:
        opening = asyncio.create_task(self._open(shutdown, listening))
        stop = asyncio.create_task(self.stopping.wait())
        await asyncio.wait((opening, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not opening.done():
            opening.cancel()
        try:
            await opening
        except (asyncio.CancelledError, TransientError):
            # A stop was requested while something was awaited: whether it would have answered does not matter any more.
            if not self.stopping.is_set():
                raise
            return False
        return True

    async def _open(self, shutdown: Shutdown, listening: socket.socket | None) -> None:
        # Each step registers its end first, so that what is half open is closed as well.
        if listening is not None:
            self._serve_http(shutdown, listening)
        shutdown.register("record store", self.records.close)
        await open_with_retries(self.records.open, condition=self.condition, stopping=self.stopping)
        shutdown.register("image store", self.images.close)
        await open_with_retries(self.images.open, condition=self.condition, stopping=self.stopping)
        shutdown.register("last heartbeat", self._last_heartbeat)
        shutdown.register("heartbeat", lambda: self._heartbeat_task.stop(1.0))
        self._start_heartbeat()
        if self._bus is not None:
            shutdown.register("bus", self._bus.stop)
            with transient_as_configuration_error(unless=self.stopping):
                await self._bus.connect()
        for name, hook in self._on_stop:
            shutdown.register(name, hook)
        for _, hook in self._on_start:
            await hook()
        shutdown.register("tasks", lambda: self._tasks.stop(self.settings.shutdown_grace_s * 0.3))
        if self._outbox is not None:
            self.every(RELAY_TASK, self._outbox.relay_once, interval_s=RELAY_INTERVAL_S, issue=RELAY_ISSUE)
        self._tasks.start()
        if self._bus is not None:
            shutdown.register("consumers", self._bus.stop_consuming)
            await self._bus.start()

    def _listen(self) -> socket.socket | None:
        if self._port is None:
            return None
        name = "ASTROLENS_PORT" if self._web is not None else f"ASTROLENS_{self.service.replace('-', '_').upper()}_PORT"
        return listen(self.settings.host, self._port, setting=name)

    def _serve_http(self, shutdown: Shutdown, listening: socket.socket) -> None:
        health = health_app(
            registry=self.metrics.registry,
            condition=self.condition,
            liveness=self.liveness,
            checks=self._checks,
            access=self._access,
        )
        app = health if self._web is None else add_health_endpoints(self._web, health)
        web = self._web is not None
        server = HttpServer(app, listening, lifespan=web, web_sockets=web, on_failure=self._task_failed)
        shutdown.register("HTTP", lambda: server.stop(self.settings.shutdown_grace_s * 0.3))
        server.start()

    def _start_heartbeat(self) -> None:
        # Not with the other tasks, which begin when everything is open: it also shows what a start waits for.
        task = PeriodicTask(
            "heartbeat",
            self._heartbeat.beat,
            interval_s=HEARTBEAT_INTERVAL_S,
            condition=self.condition,
            issue="the heartbeat cannot be written",
        )
        self._heartbeat_task.spawn("heartbeat", lambda: task.run(self.stopping), graceful=True)
        self._heartbeat_task.start()

    async def _close_traces(self) -> None:
        # Last of all, so that the spans of the other steps are exported; an unreachable collector costs little.
        await asyncio.to_thread(self.tracing.close, min(2.0, self.settings.shutdown_grace_s * 0.15))

    async def _last_heartbeat(self) -> None:
        self.condition.phase = "stopped"
        await self._heartbeat.beat()

    async def _measure(self) -> tuple[int, int | None]:
        # Called at every heartbeat, so that liveness knows since when records wait.
        await self.liveness.reason()
        processed = self.processed + sum(progress.processed for _, progress in self._progress())
        if self._bus is None or not self._bus.consumers:
            return processed, None
        lag = await self._bus.lag()
        for topic, waiting in lag.items():
            self.metrics.lag.labels(topic=topic).set(waiting)
        return processed, sum(lag.values())

    def _progress(self) -> list[tuple[str, Progress]]:
        return [] if self._bus is None else [(consumer.topic, consumer.progress) for consumer in self._bus.consumers]

    async def _waiting(self) -> dict[str, int]:
        return {} if self._bus is None else await self._bus.lag()

    def _task_failed(self, name: str, error: BaseException) -> None:
        if isinstance(error, AstroLensError):
            self.fail(error)
        else:
            self.fail(AstroLensError(f"{self.service}: the task {name!r} failed: {type(error).__name__}: {error}"))


def run(build: Callable[[], ServiceApp]) -> int:
    """Build a service and run it to its end.

    Args:
        build: Builds the service, such as `lambda: create_app(load_settings())`.

    Returns:
        The exit code: 0 stopped on request, 1 something failed, 2 a setting is wrong, 3 too many dead letters. All
        but 0 come with one sentence on standard error.
    """
    try:
        return asyncio.run(build().serve())
    except AstroLensError as error:
        print_error(str(error))
        return exit_code(error)
