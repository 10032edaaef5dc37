"""The public alert: units in every doc, JSON without lossy numbers, and packets of every version that stay readable."""

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from astrolens.contracts import avro, examples
from astrolens.contracts.alerts import ALERT_AVRO_SCHEMA, ALERT_SCHEMA_VERSION, Alert
from astrolens.contracts.base import Contract
from astrolens.notifier.packets import decode_packet, encode_packet
from pydantic import Field, ValidationError

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.stem.removeprefix("alert-") for path in GOLDEN.glob("alert-*.avro"))
UNIT = re.compile(r"\[(1|deg|arcsec|mas|bit|pixel|s|arcsec/pixel|per 1000 ordinary images|us since 1970-01-01)\]\.$")


def _fields(schema: Any) -> list[tuple[str, dict[str, Any]]]:
    if isinstance(schema, list):
        return [found for part in schema for found in _fields(part)]
    if not isinstance(schema, dict):
        return []
    own = [(f"{schema['name']}.{field['name']}", field) for field in schema.get("fields", ())]
    parts = [schema.get("items"), schema.get("values"), *(field["type"] for field in schema.get("fields", ()))]
    return own + [found for part in parts for found in _fields(part)]


FIELDS = dict(_fields(ALERT_AVRO_SCHEMA))


def _is_number(kind: Any) -> bool:
    if isinstance(kind, list):
        return any(_is_number(part) for part in kind)
    return (kind["type"] if isinstance(kind, dict) else kind) in {"int", "long", "float", "double"}


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_field_is_documented_and_every_number_has_its_unit(name: str) -> None:
    field = FIELDS[name]
    assert field["doc"]
    assert bool(UNIT.search(field["doc"])) == _is_number(field["type"]), field["doc"]


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_optional_fields_are_null_first_and_null_by_default(name: str) -> None:
    field = FIELDS[name]
    if isinstance(field["type"], list):
        assert field["type"][0] == "null"
        assert field["default"] is None


def test_the_golden_packet_of_this_version_exists(update_golden: bool) -> None:
    packet, twin = GOLDEN / f"alert-{ALERT_SCHEMA_VERSION}.avro", GOLDEN / f"alert-{ALERT_SCHEMA_VERSION}.json"
    if update_golden and not packet.exists():
        packet.write_bytes(encode_packet(examples.alert()))
        twin.write_text(examples.alert().model_dump_json(indent=2) + "\n", encoding="utf-8")
    assert packet.is_file(), "run `make schemas`"
    with packet.open("rb") as file:
        kept = fastavro.reader(file).metadata["avro.schema"]
    assert _without_docs(json.loads(kept)) == _without_docs(json.loads(_schema_of(encode_packet(examples.alert())))), (
        f"the alert changed: raise ALERT_SCHEMA_VERSION (now {ALERT_SCHEMA_VERSION}) and run `make schemas`; "
        "packets of released versions are never written anew"
    )


def _schema_of(packet: bytes) -> str:
    return str(fastavro.reader(BytesIO(packet)).metadata["avro.schema"])


def _without_docs(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_docs(part) for part in schema]
    if isinstance(schema, dict):
        return {key: _without_docs(value) for key, value in schema.items() if key != "doc"}
    return schema


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_of_every_version_are_readable(version: str) -> None:
    alert = decode_packet((GOLDEN / f"alert-{version}.avro").read_bytes())
    assert alert.schema_version == version
    assert alert == Alert.model_validate_json((GOLDEN / f"alert-{version}.json").read_bytes())


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_of_every_version_resolve_to_the_present_schema(version: str) -> None:
    with (GOLDEN / f"alert-{version}.avro").open("rb") as file:
        (fields,) = fastavro.reader(file, reader_schema=ALERT_AVRO_SCHEMA)
    assert isinstance(fields, dict)
    assert fields.keys() == {field["name"] for field in ALERT_AVRO_SCHEMA["fields"]}
    assert Alert.model_validate(fields).schema_version == version


def test_the_first_version_is_among_them() -> None:
    assert (GOLDEN / "alert-1.0.avro").is_file()


def test_packets_are_the_same_bytes_every_time() -> None:
    assert encode_packet(examples.alert()) == encode_packet(examples.alert())


def test_the_json_form_has_the_same_values_without_rounding() -> None:
    alert = examples.alert()
    twin = json.loads(alert.model_dump_json())
    assert twin["survey_object_id"] == "587722984435351614"
    assert isinstance(twin["cutout"], str)
    assert Alert.model_validate(twin) == decode_packet(encode_packet(alert)) == alert


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_an_object_id_beyond_64_bits_is_refused(number: int) -> None:
    with pytest.raises(ValidationError):
        Alert.model_validate({**examples.alert().model_dump(), "survey_object_id": number})


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    newer = {**examples.alert().model_dump(), "schema_version": "1.9", "flux_njy": 3.5}
    assert Alert.model_validate(newer).schema_version == "1.9"


def test_a_field_without_description_is_refused() -> None:
    class Bare(Contract):
        flux: float

    with pytest.raises(TypeError, match=r"Bare\.flux needs a description"):
        avro.avro_schema(Bare, namespace="n")


def test_a_type_without_avro_equivalent_is_refused() -> None:
    class Odd(Contract):
        pair: complex | None = Field(default=None, description="A pair [1].")

    with pytest.raises(TypeError, match=r"Odd\.pair: there is no Avro type for"):
        avro.avro_schema(Odd, namespace="n")


def test_a_nested_record_is_defined_once_and_then_named() -> None:
    class Point(Contract):
        x: float = Field(description="Place [1].")

    class Line(Contract):
        start: Point = Field(description="Start.")
        end: Point | None = Field(default=None, description="End.")
        flags: dict[str, bool] = Field(default_factory=dict, description="Flags.")

    schema = avro.avro_schema(Line, namespace="n")
    assert schema["fields"][0]["type"]["name"] == "Point"
    assert schema["fields"][1]["type"] == ["null", "n.Point"]
    assert schema["fields"][2]["default"] == {}
    fastavro.parse_schema(schema)
