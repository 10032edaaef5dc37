"""Packets: one alert in an object container file, and nothing else is read as one."""

from io import BytesIO

import fastavro
import pytest
from astrolens.contracts import examples
from astrolens.contracts.alerts import ALERT_AVRO_SCHEMA
from astrolens.notifier.packets import decode_packet, encode_json, encode_packet
from astrolens.platform.errors import PermanentError

from tests.shared_data import shared_data


def test_any_avro_reader_reads_a_packet() -> None:
    reader = fastavro.reader(BytesIO(encode_packet(examples.alert())))
    (alert,) = list(reader)
    assert reader.writer_schema["name"] == "astrolens.alerts.v1.Alert"
    assert alert["survey_object_id"] == 587722984435351614
    assert alert["cutout"][:2] == b"\xff\xd8"
    assert alert["published_at"].isoformat() == "2026-11-01T04:03:30.250000+00:00"


def test_a_round_trip_changes_nothing() -> None:
    bare = examples.alert().model_copy(update={"cutout": None, "ra_deg": None, "observed_at": None, "links": ()})
    for alert in (examples.alert(), bare):
        assert decode_packet(encode_packet(alert)) == alert
        assert type(alert).model_validate_json(encode_json(alert)) == alert


def _two_records() -> bytes:
    buffer = BytesIO()
    fields = examples.alert().model_dump()
    fastavro.writer(buffer, ALERT_AVRO_SCHEMA, [fields, fields])
    return buffer.getvalue()


def _other_schema() -> bytes:
    buffer = BytesIO()
    schema = {"type": "record", "name": "Other", "fields": [{"name": "n", "type": "long"}]}
    fastavro.writer(buffer, schema, [{"n": 1}])
    return buffer.getvalue()


_PACKET = encode_packet(examples.alert())


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"{}",
        b"Obj\x01",
        _PACKET[:100],
        _PACKET[:-20],
        _PACKET[: len(_PACKET) // 2],
        _PACKET.replace(b"record", b"rocord", 1),
        _two_records(),
        _other_schema(),
    ],
)
def test_other_bytes_are_refused(packet: bytes) -> None:
    with pytest.raises(PermanentError, match="no alert packet"):
        decode_packet(packet)


def test_damaged_packets_and_those_of_other_surveys_are_refused() -> None:
    folder = shared_data() / "alerts"
    packets = [*sorted((folder / "ztf").glob("*.avro"))[:10], *sorted((folder / "ztf-damaged").glob("*.avro"))]
    assert packets
    for path in packets:
        with pytest.raises(PermanentError, match="no alert packet"):
            decode_packet(path.read_bytes())
