"""An event as bytes and headers."""

import base64
import binascii

from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import PermanentError
from astrolens.platform.telemetry.tracing import TRACEPARENT


def body_of(event: PendingEvent) -> bytes:
    """The bytes to publish: JSON text, or what base64 hid (Avro)."""
    if not event.binary:
        return event.payload.encode()
    try:
        return base64.b64decode(event.payload, validate=True)
    except binascii.Error as error:
        raise PermanentError("bad-payload", f"event {event.event_id} is no base64: {error}") from error


def headers_of(event: PendingEvent, producer: str) -> dict[str, str]:
    """Headers that let a stranger sort events without reading them."""
    headers = {"event_id": event.event_id, "content-type": event.content_type, "producer": producer}
    return headers if event.traceparent is None else headers | {TRACEPARENT: event.traceparent}
