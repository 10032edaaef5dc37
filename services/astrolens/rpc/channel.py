"""The gRPC channel to the model servers: calls are shared among all that are healthy."""

import json
from typing import Final

import grpc

SERVICE_NAME: Final = "astrolens.rpc.v1.Inference"
"""Full name of the gRPC service; also the name under which its health is asked for."""

MAX_MESSAGE_BYTES: Final = 64 << 20
"""64 cutouts of the largest size allowed; 256 of the usual size."""

_SCHEMES: Final = ("dns:", "ipv4:", "ipv6:", "unix:")
_SERVICE_CONFIG: Final = json.dumps(
    {
        # Calls take turns among all servers behind the name that are SERVING: one that loads or ends gets none.
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": SERVICE_NAME},
    }
)
_OPTIONS: Final = (
    ("grpc.service_config", _SERVICE_CONFIG),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A model server that was restarted is found again within a second, not after two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # The name is resolved again whenever a connection ends, as all do after a while; the default is half a minute.
    ("grpc.dns_min_time_between_resolutions_ms", 5000),
    # A server whose host vanished (power or network loss) must not hold a batch until its deadline.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)


def balanced_channel(address: str) -> "grpc.aio.Channel":
    """A channel that shares calls among the model servers; it connects when it is used.

    Args:
        address: host:port of one model server, or of many: every address that the name resolves to gets its share. Or
            a gRPC target, such as `ipv4:10.0.0.1:8081,10.0.0.2:8081`.
    """
    target = address if address.startswith(_SCHEMES) else f"dns:///{address}"
    return grpc.aio.insecure_channel(target, options=_OPTIONS)
