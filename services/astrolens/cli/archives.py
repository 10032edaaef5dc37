"""Files within files: the members of a tar archive, and the alert packets of an Avro file that holds several.

Nothing is unpacked to disk, and no more than one member is in memory here. Names of members are names, never paths.
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO, Final

from astrolens.cli import wire_format
from astrolens.cli.inputs import Item, Remarks
from astrolens.usecases import archives
from astrolens.usecases.submissions import RefNumbers

MAX_MEMBER_BYTES: Final = 64 * 2**20
"""Of one member: what the console takes by default."""

_AVRO: Final = ".avro"
_IDS: Final = (("candid",), ("diaSourceId",), ("candidate", "candid"), ("diaSource", "diaSourceId"))


def is_archive(item: Item) -> bool:
    """Whether an item is a tar archive, by its name."""
    return item.fault is None and item.refused is None and archives.is_archive(item.path.name)


def expand_archives(
    items: Iterator[Item], remarks: Remarks | None = None, *, schema: wire_format.Schema | None = None
) -> Iterator[Item]:
    """The items, with those in archives and in Avro files of several packets instead of these.

    Args:
        items: What was found.
        remarks: Where it is noted what was left out.
        schema: Of messages in the wire format of a schema registry, which become packets.
    """
    for item in items:
        if is_archive(item):
            for member in _members(item, remarks or Remarks()):
                yield from _packets(_with_schema(member, schema))
        else:
            yield from _packets(_with_schema(item, schema))


def _with_schema(item: Item, schema: wire_format.Schema | None) -> Item:
    """The item, a message in the wire format with its schema."""
    if schema is None or item.fault is not None or item.refused is not None:
        return item
    data = item.data
    try:
        if data is None:
            with item.path.open("rb") as file:
                data = file.read(wire_format.HEAD_BYTES + 1)
                if wire_format.is_message(data):
                    data += file.read(MAX_MEMBER_BYTES)
        return replace(item, data=wire_format.as_packet(data, schema)) if wire_format.is_message(data) else item
    except OSError:
        # Whoever sends it says why it cannot be read.
        return item
    except wire_format.WireFormatError as error:
        return Item(item.path, item.ref, fault=f"it {error}")


def _members(archive: Item, remarks: Remarks) -> Iterator[Item]:
    left_out: list[str] = []
    for member in archives.members(archive.path, max_bytes=MAX_MEMBER_BYTES, on_left_out=left_out.append):
        ref = f"{archive.ref}/{member.name}" if member.name else archive.ref
        if member.fault is not None:
            yield Item(archive.path, ref, fault=member.fault)
        else:
            yield Item(archive.path, ref, archive.metadata, data=member.data)
    remarks.note_left_out(left_out, path=archive.ref)


def _packets(item: Item) -> Iterator[Item]:
    """The item, or one for each record of an Avro file that holds several."""
    if item.fault is not None or item.refused is not None or not item.ref.lower().endswith(_AVRO):
        yield item
        return
    found = 0
    try:
        with io.BytesIO(item.data) if item.data is not None else item.path.open("rb") as file:
            if not _holds_several(file):
                yield item
                return
            numbers = RefNumbers()
            for packet, record in _records(file):
                found += 1
                ref = numbers.unique(f"{item.ref}/{_id_of(record) or found}")
                yield Item(item.path, ref, item.metadata, data=packet)
    except Exception as error:  # noqa: BLE001 - a damaged file makes the decoder raise errors of any class
        if not found:
            # Whoever decodes it in the sandbox says what is wrong with it.
            yield item
            return
        why = str(error) or type(error).__name__
        yield Item(item.path, item.ref, fault=f"it cannot be read beyond its first {found} packets: {why[:120]}")


def _holds_several(file: BinaryIO) -> bool:
    import fastavro  # noqa: PLC0415 - only Avro files need it

    count = 0
    for block in fastavro.block_reader(file):
        count += block.num_records
        if count > 1:
            break
    file.seek(0)
    return count > 1


def _records(file: BinaryIO) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each record as an Avro file of its own, the same bytes every time, with the schema as it was written."""
    import fastavro  # noqa: PLC0415

    reader = fastavro.reader(file)
    schema = fastavro.parse_schema(json.loads(reader.metadata["avro.schema"]))
    for record in reader:
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, record)
        marker = hashlib.md5(body.getvalue(), usedforsecurity=False).digest()
        packet = io.BytesIO()
        fastavro.writer(packet, schema, [record], codec=reader.codec, sync_marker=marker)
        yield packet.getvalue(), record if isinstance(record, dict) else {}


def _id_of(record: dict[str, Any]) -> int | None:
    for path in _IDS:
        value: Any = record
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int):
            return value
    return None
