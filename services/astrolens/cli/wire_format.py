"""Alert packets as brokers have them from Kafka: five bytes, then one Avro record without its schema.

The five bytes are a zero and the number of the schema in a schema registry (Confluent's wire format). With the schema
from a file such a message becomes a packet like any other.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, Final

from astrolens.platform.errors import ConfigurationError

HEAD_BYTES: Final = 5
_MARK: Final = 0
_AVRO_MAGIC: Final = b"Obj\x01"

Schema = dict[str, Any]


class WireFormatError(Exception):
    """A message that is none of its schema; the text is a clause that continues its name."""


def load_schema(path: Path) -> Schema:
    """Read a schema: an .avsc file (with those it names beside it), or an Avro packet, which holds its own.

    Raises:
        ConfigurationError: It cannot be read.
    """
    import fastavro  # noqa: PLC0415 - only such messages need it

    try:
        data = path.read_bytes()
        if data.startswith(_AVRO_MAGIC):
            schema = fastavro.parse_schema(json.loads(fastavro.reader(io.BytesIO(data)).metadata["avro.schema"]))
        else:
            schema = fastavro.schema.load_schema(str(path))
    except Exception as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ConfigurationError(f"--schema: {path} is no Avro schema that can be read: {why[:200]}") from error
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise ConfigurationError(f"--schema: {path} is no schema of a record")
    return schema


def is_message(data: bytes) -> bool:
    """Whether bytes begin as a message does."""
    return len(data) > HEAD_BYTES and data[0] == _MARK


def as_packet(data: bytes, schema: Schema) -> bytes:
    """The message as an Avro file with its schema, the same bytes every time.

    Raises:
        WireFormatError: It does not follow the schema.
    """
    import fastavro  # noqa: PLC0415

    number = int.from_bytes(data[1:HEAD_BYTES], "big")
    body = io.BytesIO(data[HEAD_BYTES:])
    try:
        record = fastavro.schemaless_reader(body, schema, None)
    except Exception as error:  # noqa: BLE001 - bytes of another schema make the decoder raise errors of any class
        raise WireFormatError(f"is no message of this schema, but of schema {number}: {error!s:.100}") from None
    if left := len(data) - HEAD_BYTES - body.tell():
        raise WireFormatError(f"is no message of this schema, but of schema {number}: {left} bytes are left over")
    packet = io.BytesIO()
    fastavro.writer(packet, schema, [record], sync_marker=hashlib.md5(data, usedforsecurity=False).digest())
    return packet.getvalue()
