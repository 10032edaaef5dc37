"""A pending event as the bytes and headers of a record."""

import base64
import binascii

from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import PermanentError
from astrolens.platform.telemetry.tracing import TRACEPARENT


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


def event_headers(event: PendingEvent, producer: str) -> dict[str, str]:
    """The headers to publish: enough to sort events without reading them, and the trace context."""
    headers = {"event_id": event.event_id, "content-type": event.content_type, "producer": producer}
    return headers if event.traceparent is None else headers | {TRACEPARENT: event.traceparent}
