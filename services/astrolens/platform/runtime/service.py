"""One service, one process: what is opened, in which order, what happens at the end, and with which exit code.

A service's `main.py` builds a `ServiceApp`, declares what it consumes, hooks and tasks, and returns it; `run` does
the rest. Building opens nothing.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

import structlog
from starlette.types import ASGIApp

from astrolens.platform.bus import Bus, TooManyDeadLetters, create_bus
from astrolens.platform.bus.consumer import Progress
from astrolens.platform.bus.outbox import Outbox
from astrolens.platform.errors import AstroLensError, ConfigurationError, TransientError
from astrolens.platform.retry import RetryPolicy, retry
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.health import Check, Liveness, health_app
from astrolens.platform.runtime.heartbeat import Heartbeat, instance_name
from astrolens.platform.runtime.http_server import bind, server_of, with_health
from astrolens.platform.runtime.parent_watch import watch_parent
from astrolens.platform.runtime.periodic import PeriodicTask, Work
from astrolens.platform.runtime.shutdown import Shutdown
from astrolens.platform.runtime.tasks import Tasks
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.leases import LEASE_S, Lease
from astrolens.platform.stores.metered import measure
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.create_tracing import create_tracing
from astrolens.platform.telemetry.logs import configure_logs
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.platform.telemetry.tracing import Tracing

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
EXIT_TOO_MANY_DEAD_LETTERS = 3

START_RETRY = RetryPolicy(timeout_s=30.0, max_wait_s=2.0)
"""How long a service waits for its stores: they may be starting as well."""

_START = "start"
Hook = Callable[[], Awaitable[None]]
_log = structlog.get_logger(__name__)


class ServiceApp:
    """The parts that every service shares.

    Attributes:
        settings, service: As given.
        instance: Name of this process, the same after a restart.
        owner: Unique among all processes there ever were; it owns leases.
        records, images: The stores; open inside `running`.
        metrics, condition: What `/metrics` shows; what troubles the service.
        info: The service's own lines of its heartbeat, JSON-ready.
        processed: Work done beside the bus, added to what the consumers count.
        stopping: Set when the service is to end; long tasks watch it.
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
    ) -> None:
        """Compose; nothing is opened.

        Args:
            settings: All settings.
            service: Name, as in `astrolens serve <service>`.
            port: Port of health and metrics (and of `serve_web`); None for no HTTP at all.
            with_bus: Whether the service publishes or consumes events.
            outbox: Collections whose pending events this service relays.
            records: A record store other than the settings' (tests).
            images: An image store other than the settings' (tests).
            tracing: Traces that were made already (`create_tracing`).

        Raises:
            ConfigurationError: A URL names no adapter.
        """
        self.settings = settings
        self.service = service
        self.instance = instance_name(service, port)
        self.owner = f"{self.instance}/{os.getpid()}/{secrets.token_hex(4)}"
        self.records = records or record_store(settings.records_url)
        self.images = images or image_store(settings.images_url, settings.s3_options)
        self.tracing = tracing or create_tracing(settings, service=service, instance=self.instance)
        self.metrics = Metrics(service)
        measure(records=self.records, images=self.images, metrics=self.metrics.stores)
        self.condition = Condition()
        self.info: dict[str, Any] = {}
        self.processed = 0
        self.stopping = asyncio.Event()
        self._exit: tuple[int, str | None] = (EXIT_OK, None)
        self._port = port
        self._web: ASGIApp | None = None
        self._checks: dict[str, Check] = {"records": self.records.ping, "images": self.images.ping}
        self._on_start: list[tuple[str, Hook]] = []
        self._on_stop: list[tuple[str, Hook]] = []
        self._tasks = Tasks(self._task_failed)
        self._upkeep = Tasks(self._task_failed)
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
            self._outbox = Outbox(
                self._bus, self.records, collections=outbox, condition=self.condition, metrics=self.metrics
            )
            self._checks["events"] = self._bus.ping
        self.liveness = Liveness(self._progress, self._waiting)
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
        """Ask one thing more before `/readyz` says yes; the check raises an `AstroLensError` when it is away."""
        self._checks[name] = check

    def spawn(self, name: str, factory: Callable[[], Coroutine[Any, Any, None]], *, graceful: bool = False) -> None:
        """Run a task beside the service, from its start (or now, if it runs already).

        It may end by itself; an exception stops the service. At the end it is cancelled; with `graceful` only after
        it had its share of the grace period to see `stopping`.
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
        """Do something at the start of the service and then again and again (see `PeriodicTask`).

        Args:
            name: Name of the task, key of its issue and name in logs.
            work: One pass. A `ConfigurationError` ends the service; any other failure is an issue until one succeeds.
            interval_s: Seconds from the end of a pass to the next; with `fixed_rate` from begin to begin.
            issue: What a failed pass means, such as `events wait to be published`. The name by default.
            lease: Of several instances only its holder works (see `lease`).
            wake: Begins the next pass at once when it is set.
            fixed_rate: Keep the rate constant however long a pass takes.
            graceful: At the end of the service, let a pass finish within its share of the grace period; without, it is
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
            self._exit = (_exit_code(error), str(error))
            self.condition.record_error(str(error))
            _log.error("stops", reason=str(error))
        self.stopping.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ServiceApp"]:
        """Everything open and under way inside, everything closed in order at the end.

        A stop that is requested while things are being opened ends the opening; the body sees `stopping` set.

        Raises:
            ConfigurationError: A setting is wrong, a port is taken, or a store or the broker did not answer at all.
            TransientError: Something that a hook asked did not answer within its bound.
        """
        configure_logs(self.settings, service=self.service, instance=self.instance)
        taken = self._bind()
        shutdown = Shutdown(self.settings.shutdown_grace_s)
        shutdown.then("traces", self._close_traces)
        try:
            self.tracing.open()
            if await self._opened(shutdown, taken):
                self.condition.phase = "running"
                _log.info("runs", port=self._port)
            yield self
        finally:
            self.stopping.set()
            await shutdown.run()

    async def serve(self) -> int:
        """Run until a signal or a failure; return the exit code."""
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

    async def _opened(self, shutdown: Shutdown, taken: socket.socket | None) -> bool:
        opening = asyncio.create_task(self._open(shutdown, taken))
        stop = asyncio.create_task(self.stopping.wait())
        await asyncio.wait((opening, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not opening.done():
            opening.cancel()
        try:
            await opening
        except (asyncio.CancelledError, TransientError):
            # Asked to stop while waiting for something: whether it would have come does not matter any more.
            if not self.stopping.is_set():
                raise
            return False
        return True

    async def _open(self, shutdown: Shutdown, taken: socket.socket | None) -> None:
        # Each step registers its end first, so that what is half open is closed as well. They end in reverse.
        if taken is not None:
            self._serve_http(shutdown, taken)
        shutdown.then("record store", self.records.close)
        await self._retry_at_start(self.records.open)
        shutdown.then("image store", self.images.close)
        await self._retry_at_start(self.images.open)
        shutdown.then("last heartbeat", self._last_heartbeat)
        shutdown.then("heartbeat", lambda: self._upkeep.stop(1.0))
        self._upkeep.spawn("heartbeat", lambda: self._heartbeat.run(self.stopping), graceful=True)
        self._upkeep.start()
        if self._bus is not None:
            shutdown.then("bus", self._bus.stop)
            with _at_start(unless=self.stopping):
                await self._bus.connect()
        for name, hook in self._on_stop:
            shutdown.then(name, hook)
        for _, hook in self._on_start:
            await hook()
        shutdown.then("tasks", lambda: self._tasks.stop(self.settings.shutdown_grace_s * 0.3))
        if self._outbox is not None:
            outbox = self._outbox
            self.spawn("outbox relay", lambda: outbox.run(self.stopping), graceful=True)
        self._tasks.start()
        if self._bus is not None:
            shutdown.then("consumers", self._bus.stop_consuming)
            await self._bus.start()

    def _bind(self) -> socket.socket | None:
        if self._port is None:
            return None
        name = "ASTROLENS_PORT" if self._web is not None else f"ASTROLENS_{self.service.replace('-', '_').upper()}_PORT"
        return bind(self.settings.host, self._port, setting=name)

    def _serve_http(self, shutdown: Shutdown, taken: socket.socket) -> None:
        health = health_app(
            registry=self.metrics.registry, condition=self.condition, liveness=self.liveness, checks=self._checks
        )
        app = health if self._web is None else with_health(self._web, health)
        server = server_of(app, lifespan=self._web is not None)
        owner = Tasks(self._task_failed)

        async def serve() -> None:
            await server.serve(sockets=[taken])
            if not self.stopping.is_set():
                raise AstroLensError("the HTTP server ended")

        async def end() -> None:
            server.should_exit = True
            await owner.stop(self.settings.shutdown_grace_s * 0.3)
            taken.close()

        shutdown.then("HTTP", end)
        owner.spawn("HTTP", serve, graceful=True)
        owner.start()

    async def _retry_at_start(self, attempt: Hook) -> None:
        with _at_start(unless=self.stopping):
            await retry(attempt, retry_policy=START_RETRY, stopping=self.stopping, on_failure=self._waits)
        self.condition.clear_issue(_START)

    def _waits(self, error: TransientError) -> None:
        if self.condition.set_issue(_START, str(error)):
            _log.warning("waits to start", error=str(error))

    async def _close_traces(self) -> None:
        # Last of all, so that the spans of the others' ends are there; a collector that is away costs a moment only.
        await asyncio.to_thread(self.tracing.close, min(2.0, self.settings.shutdown_grace_s * 0.15))

    async def _last_heartbeat(self) -> None:
        self.condition.phase = "stopped"
        await self._heartbeat.beat()

    async def _measure(self) -> tuple[int, int | None]:
        # Asked at every heartbeat, so that liveness knows since when records wait.
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
            self.fail(AstroLensError(f"{self.service}: the task {name!r} died: {type(error).__name__}: {error}"))


@contextlib.contextmanager
def _at_start(*, unless: asyncio.Event) -> Iterator[None]:
    """What did not answer with all the patience of a start is, first of all, an address to be looked at: exit code 2.

    Once a service runs, the same failure is only a trouble, and it waits.
    """
    try:
        yield
    except TransientError as error:
        if unless.is_set():
            raise
        raise ConfigurationError(str(error)) from error


def run(build: Callable[[], ServiceApp]) -> int:
    """Build a service and run it to its end.

    Args:
        build: Makes the application, such as `lambda: create_app(load_settings())`.

    Returns:
        The exit code: 0 stopped as asked, 1 something failed, 2 a setting is wrong, 3 too many dead letters. Anything
        but 0 comes with one sentence on standard error.
    """
    try:
        return asyncio.run(build().serve())
    except AstroLensError as error:
        print_error(str(error))
        return _exit_code(error)


def print_error(sentence: str) -> None:
    """One sentence for people, on standard error."""
    sys.stderr.write(f"astrolens: {sentence}\n")
    sys.stderr.flush()


def _exit_code(error: AstroLensError) -> int:
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIGURATION
    return EXIT_TOO_MANY_DEAD_LETTERS if isinstance(error, TooManyDeadLetters) else EXIT_FAILED
