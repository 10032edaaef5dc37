"""A pending event as the bytes and headers of a record."""

import base64
import binascii
from collections.abc import Iterable
from typing import Final

from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import PermanentError
from astrolens.platform.telemetry.tracing import TRACEPARENT

MAX_REQUEST_BYTES: Final = 1_000_000
"""Kafka's default limit of a record, less its envelope."""
MAX_EVENT_BYTES: Final = MAX_REQUEST_BYTES - 4_096
"""Largest body and key of an event; what is left is room for its headers."""


def event_body(event: PendingEvent) -> bytes:
    """The bytes to publish: JSON text, or the bytes that the payload holds in base64 (Avro).

    Raises:
        PermanentError: The payload is not base64.
    """
    if not event.binary:
        return event.payload.encode()
    try:
        return base64.b64decode(event.payload, validate=True)
    except binascii.Error as error:
        raise PermanentError("bad-payload", f"event {event.event_id} is not base64: {error}") from error


def require_publishable(events: Iterable[PendingEvent]) -> None:
    """Check the size of events before they are written: one that no broker takes would wait for ever.

    Raises:
        PermanentError: An event is larger than `MAX_EVENT_BYTES`.
    """
    for event in events:
        size = len(event.payload) * 3 // 4 if event.binary else len(event.payload.encode())
        if (size := size + len(event.key.encode())) > MAX_EVENT_BYTES:
            raise PermanentError(
                "event-too-large",
                f"an event for {event.topic} has {size} bytes, {MAX_EVENT_BYTES} at most are published",
            )


def event_headers(event: PendingEvent, producer: str) -> dict[str, str]:
    """The headers to publish: enough to sort events without reading them, and the trace context."""
    headers = {
        "event_id": event.published_id or event.event_id,
        "content-type": event.content_type,
        "producer": producer,
    }
    return headers if event.traceparent is None else headers | {TRACEPARENT: event.traceparent}
