"""How Kafka is reached: addresses, TLS and log-in from the settings, in the forms that the clients take."""

import ssl
from dataclasses import dataclass, field
from typing import Any

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.private_apis import parse_security
from astrolens.platform.settings import Settings

_KAFKA_PORT = 9092
_LOCAL_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})
_MECHANISMS = {"SCRAM-SHA-512": SASLScram512, "SCRAM-SHA-256": SASLScram256, "PLAIN": SASLPlaintext}


@dataclass(frozen=True)
class KafkaAccess:
    """Addresses, and FastStream's security (None: neither TLS nor log-in)."""

    servers: tuple[str, ...]
    security: BaseSecurity | None = field(default=None, repr=False)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each server.

        Raises:
            ConfigurationError: One is not `host:port`.
        """
        return [_parse_address(server) for server in self.servers]

    @property
    def is_local(self) -> bool:
        """Whether all servers run on this machine."""
        return all(server.rpartition(":")[0] in _LOCAL_HOSTS for server in self.servers)

    @property
    def name(self) -> str:
        """The servers, for sentences."""
        return ",".join(self.servers)

    def client_options(self) -> dict[str, Any]:
        """TLS and log-in as arguments of aiokafka's own clients."""
        return parse_security(self.security)


def kafka_access(settings: Settings) -> KafkaAccess:
    """The access to Kafka that the settings describe.

    Raises:
        ConfigurationError: The URL is not `kafka://`, user or password is missing, or the certificates cannot be read.
    """
    servers = tuple(settings.bootstrap_servers)
    context = _tls_context(settings)
    if not settings.kafka_user:
        if settings.kafka_password is not None:
            raise ConfigurationError("ASTROLENS_KAFKA_USER is empty, but ASTROLENS_KAFKA_PASSWORD is set: set both")
        return KafkaAccess(servers, BaseSecurity(ssl_context=context) if context else None)
    if settings.kafka_password is None:
        raise ConfigurationError("ASTROLENS_KAFKA_PASSWORD is not set, but ASTROLENS_KAFKA_USER is: set both")
    login = _MECHANISMS[settings.kafka_mechanism]
    return KafkaAccess(
        servers, login(settings.kafka_user, settings.kafka_password.get_secret_value(), ssl_context=context)
    )


def _tls_context(settings: Settings) -> ssl.SSLContext | None:
    if not settings.kafka_tls:
        if settings.kafka_ca_file is not None:
            raise ConfigurationError("ASTROLENS_KAFKA_CA_FILE is set, but ASTROLENS_KAFKA_TLS is not true")
        return None
    try:
        return ssl.create_default_context(cafile=settings.kafka_ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"ASTROLENS_KAFKA_CA_FILE: {settings.kafka_ca_file} holds no readable PEM certificates ({error.strerror})"
        ) from None


def _parse_address(server: str) -> tuple[str, int]:
    host, separator, port = server.rpartition(":")
    if not separator:
        return server, _KAFKA_PORT
    if not port.isdigit() or not host:
        raise ConfigurationError(f"ASTROLENS_EVENTS_URL: {server!r} is not an address (host:port)")
    return host.strip("[]"), int(port)
