"""The gRPC server: limits, health, reflection, start and end."""

from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from astrolens.inference.call_limits import CallLimits
from astrolens.inference.handlers import InferenceHandlers
from astrolens.inference.model_service import ModelService
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.telemetry.tracing import NO_TRACING, Tracing
from astrolens.rpc.channel import MAX_MESSAGE_BYTES, SERVICE_NAME
from astrolens.rpc.v1.inference_pb2_grpc import add_InferenceServicer_to_server

_MAX_CONCURRENT_RPCS: Final = 512
"""Each client keeps one call open that watches the health of this server; beside that it has one or two."""
_CONNECTION_AGE_MS: Final = 60_000
"""How long a connection lasts, a tenth more or less; then a client resolves the name again and finds new servers."""
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Otherwise two servers could share the port unnoticed, and half of the calls would go to the wrong one.
    ("grpc.so_reuseport", 0),
    # What is sent waits at the client until the call is read (call_limits.py): windows that grow with the speed of the
    # network would take most of it in before. A call that is read gets a window of its own size.
    ("grpc.http2.bdp_probe", 0),
    # A client whose connection ends resolves the name again. Calls under way may finish.
    ("grpc.max_connection_age_ms", _CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", 70_000),
    # Clients send a keepalive ping every 20 s; by default the server would close such a connection.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class RpcServer:
    """Listens at once; its health is SERVING only while it has a model.

    Args:
        address: host:port; port 0 lets the system choose.
        tracing: Continues the traces of callers.
        limits: What the calls of all clients together may hold.
    """

    def __init__(self, address: str, *, tracing: Tracing = NO_TRACING, limits: CallLimits | None = None) -> None:
        self._address = address
        self._limits = limits or CallLimits()
        self._handlers = InferenceHandlers(tracing)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            ConfigurationError: The address cannot be listened on.
        """
        server = grpc.aio.server(
            interceptors=(self._limits,), options=_OPTIONS, maximum_concurrent_rpcs=_MAX_CONCURRENT_RPCS
        )
        add_InferenceServicer_to_server(self._handlers, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection.enable_server_reflection((SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        try:
            self.port = server.add_insecure_port(self._address)
        except RuntimeError:
            self.port = 0
        if self.port == 0:
            raise ConfigurationError(
                f"ASTROLENS_INFERENCE_ADDRESS: cannot listen on {self._address}; is another model server running there?"
            )
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.start()
        self._server = server

    async def serve(self, service: ModelService) -> None:
        """Answer with this model."""
        self._handlers.serve(service)
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def close(self, grace_s: float) -> None:
        """Refuse what is new, give what runs `grace_s` seconds, stop listening."""
        await self._health.enter_graceful_shutdown()
        self._handlers.serve(None)
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None

    async def _set_health(self, status: int) -> None:
        for name in ("", SERVICE_NAME):
            await self._health.set(name, status)
