"""Waiting for the broker, and finding out why it cannot be used.

aiokafka's clients time out alike on a wrong password, an unknown certificate and a missing topic. A request of our own,
on a connection of its own, tells them apart.
"""

import asyncio
import ssl
from collections.abc import Sequence
from time import monotonic
from typing import Any

import aiokafka.errors as kafka_errors
from aiokafka.errors import KafkaError

from astrolens.platform.bus.access import KafkaAccess
from astrolens.platform.errors import BusUnavailable, ConfigurationError
from astrolens.platform.private_apis import AIOKafkaConnection, MetadataRequest

_ATTEMPT_TIMEOUT_S = 3.0
_RETRY_WAIT_S = 0.25
_CONFIRM_REFUSAL_S = 5.0
"""A refusal must last so long: a broker that has just started may not know its users yet."""

_REFUSALS = (
    kafka_errors.SaslAuthenticationFailed,
    kafka_errors.AuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
)
_MISSING = frozenset({kafka_errors.UnknownTopicOrPartitionError.errno, kafka_errors.InvalidTopicError.errno})
_FORBIDDEN = kafka_errors.TopicAuthorizationFailedError.errno


async def await_broker(access: KafkaAccess, *, timeout_s: float, topics: Sequence[str] = ()) -> None:
    """Return as soon as one server accepts the log-in and has `topics` (or creates them, where it does so by itself).

    Raises:
        BusUnavailable: No server did within `timeout_s`.
        ConfigurationError: An address is not `host:port`, password or certificate is refused, or a topic is missing.
    """
    addresses = access.addresses
    deadline = monotonic() + timeout_s
    refused_since: float | None = None
    while True:
        problem: ConfigurationError | None = None
        for host, port in addresses:
            try:
                async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
                    problem = await _find_problem(access, host, port, topics)
            except (OSError, TimeoutError, KafkaError) as error:
                problem = _access_problem(access, error)
            else:
                if problem is None:
                    return
        now = monotonic()
        refused_since = (refused_since or now) if problem is not None else None
        if problem is not None and (now - (refused_since or now) >= _CONFIRM_REFUSAL_S or now > deadline):
            raise problem
        if now > deadline:
            raise BusUnavailable(
                f"the event broker at {access.name} did not answer for {timeout_s:g} s; is ASTROLENS_EVENTS_URL "
                "right, and does it want TLS or a log-in (ASTROLENS_KAFKA_TLS, ASTROLENS_KAFKA_USER)?"
            )
        await asyncio.sleep(_RETRY_WAIT_S)


async def find_access_problem(access: KafkaAccess, topics: Sequence[str]) -> str | None:
    """One sentence about a refused log-in or certificate, or about topics that cannot be used.

    None where there is no such problem, or where no server answers.
    """
    problem: ConfigurationError | None = None
    for host, port in access.addresses:
        try:
            async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
                problem = await _find_problem(access, host, port, topics)
        except (OSError, TimeoutError, KafkaError) as error:
            problem = problem or _access_problem(access, error)
        else:
            break
    return None if problem is None else str(problem)


async def _find_problem(access: KafkaAccess, host: str, port: int, topics: Sequence[str]) -> ConfigurationError | None:
    connection = AIOKafkaConnection(
        host, port, client_id="astrolens", request_timeout_ms=int(_ATTEMPT_TIMEOUT_S * 1000), **access.client_options()
    )
    try:
        await connection.connect()
        # Sent even for no topics: a server that wants a log-in closes the connection at the first request, not before.
        codes = await _topic_codes(connection, topics)
        if any(codes.get(topic) in _MISSING for topic in topics):
            # Where the broker creates topics by itself, the first request does it and the second finds them.
            await asyncio.sleep(_RETRY_WAIT_S)
            codes = await _topic_codes(connection, topics)
    finally:
        connection.close()
    if missing := sorted(topic for topic, code in codes.items() if code in _MISSING):
        return ConfigurationError(
            f"Kafka at {access.name} has no topic {', '.join(missing)}: `astrolens topics create` makes it"
        )
    if forbidden := sorted(topic for topic, code in codes.items() if code == _FORBIDDEN):
        return ConfigurationError(
            f"Kafka at {access.name} does not let this user see the topic {', '.join(forbidden)}: "
            "it is missing, or an ACL is"
        )
    return None


async def _topic_codes(connection: AIOKafkaConnection, topics: Sequence[str]) -> dict[str, int]:
    answer: Any = await connection.send(MetadataRequest(list(topics)))
    return {entry[1]: entry[0] for entry in answer.topics if entry[1] in topics}


def _access_problem(access: KafkaAccess, error: Exception) -> ConfigurationError | None:
    if isinstance(error, _REFUSALS):
        return ConfigurationError(
            f"Kafka at {access.name} refuses the log-in of ASTROLENS_KAFKA_USER (wrong name, password or mechanism)"
        )
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ConfigurationError(
            f"Kafka at {access.name} shows a certificate that ASTROLENS_KAFKA_CA_FILE does not vouch for "
            f"({cause.verify_message})"
        )
    return None
