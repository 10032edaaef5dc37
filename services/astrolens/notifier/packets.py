"""Alert packets: one alert in an Avro object container file, the form that alert brokers and marshals read."""

import hashlib
from io import BytesIO
from typing import Final

import fastavro
from fastavro.types import AvroMessage, Schema

from astrolens.contracts.alerts import ALERT_AVRO_SCHEMA, Alert
from astrolens.platform.errors import PermanentError

CONTENT_TYPE: Final = "application/avro"

_SCHEMA: Final[Schema] = fastavro.parse_schema(ALERT_AVRO_SCHEMA)
_CODEC: Final = "null"
"""No compression: nearly all of a packet is a JPEG, and readers need no codec library."""


def encode_packet(alert: Alert) -> bytes:
    """The packet of an alert. It is deterministic: the sync marker is derived from the event id."""
    buffer = BytesIO()
    marker = hashlib.sha256(alert.event_id.encode()).digest()[:16]
    fastavro.writer(buffer, _SCHEMA, [alert.model_dump()], codec=_CODEC, sync_marker=marker)
    return buffer.getvalue()


def decode_packet(packet: bytes) -> Alert:
    """The alert in a packet of any version.

    Raises:
        PermanentError: The packet is not one alert in an Avro object container file.
    """
    try:
        records: list[AvroMessage] = list(fastavro.reader(BytesIO(packet)))
        (fields,) = records
        return Alert.model_validate(fields)
    except (ValueError, EOFError, KeyError, IndexError, TypeError) as error:
        raise PermanentError("bad-packet", f"no alert packet: {type(error).__name__}") from error


def encode_json(alert: Alert) -> str:
    """The alert as JSON text: the cutout in base64, 64-bit ids as text."""
    return alert.model_dump_json()
