"""No released schema is broken; and the checker that says so sees every kind of break."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts import schemas
from astrolens.contracts.alerts import ALERT_AVRO_SCHEMA

from tests.contract.compatibility import avro_breaks, json_breaks
from tests.contract.freeze import RELEASED, breaks_of, freeze, frozen_kind

FROZEN = sorted(
    name for name in (path.relative_to(RELEASED).as_posix() for path in RELEASED.rglob("*")) if frozen_kind(name)
)

Change = Callable[[dict[str, Any]], object]


def test_something_is_frozen() -> None:
    assert "alerts/alert.v1.avsc" in FROZEN
    assert "alerts/alert.v1.schema.json" in FROZEN


@pytest.mark.parametrize("name", FROZEN)
def test_what_was_released_can_still_be_read_and_written(name: str) -> None:
    generated = schemas.documents()
    assert name in generated, f"{name} was released and is no longer generated"
    breaks = breaks_of(name, (RELEASED / name).read_text(), generated[name])
    assert not breaks, "\n".join(breaks)


def test_freezing_adds_what_is_new_and_refuses_what_breaks(tmp_path: Path) -> None:
    assert freeze(tmp_path, anew=False) == []
    receipt = tmp_path / "records" / "receipt.schema.json"
    released = json.loads(receipt.read_text())
    released["properties"]["weight"] = {"type": "number"}
    receipt.write_text(json.dumps(released))
    (tmp_path / "records" / "books.schema.json").unlink()
    assert freeze(tmp_path, anew=False) == ["records/receipt.schema.json: $.weight: field removed"]
    assert not (tmp_path / "records" / "books.schema.json").exists()
    assert freeze(tmp_path, anew=True) == []
    assert freeze(tmp_path, anew=False) == []


_JSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "kind": {"enum": ["a", "b"], "type": "string"},
        "version": {"const": 1, "type": "integer"},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "note": {"anyOf": [{"type": "string", "maxLength": 10}, {"type": "null"}]},
        "parts": {"type": "array", "items": {"$ref": "#/$defs/Part"}},
        "scores": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "required": ["id", "kind"],
    "$defs": {"Part": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}


def _set(*path: str | int, to: Any) -> Change:
    def change(schema: dict[str, Any]) -> None:
        target: Any = schema
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to

    return change


_JSON_BREAKS: dict[str, tuple[Change, str]] = {
    "field removed": (lambda s: s["properties"].pop("note"), "$.note: field removed"),
    "type changed": (_set("properties", "id", "type", to="integer"), "$.id: type changed from string to integer"),
    "null no longer allowed": (
        _set("properties", "note", to={"type": "string", "maxLength": 10}),
        "$.note: type changed from null|string to string",
    ),
    "null newly allowed": (
        _set("properties", "id", to={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "$.id: type changed from string to null|string",
    ),
    "new required field": (
        lambda s: (s["properties"].update(more={"type": "string"}), s["required"].append("more")),
        "$.more: newly required",
    ),
    "old field newly required": (lambda s: s["required"].append("note"), "$.note: newly required"),
    "old field no longer always there": (lambda s: s["required"].remove("id"), "$.id: no longer always there"),
    "enumeration narrowed": (
        _set("properties", "kind", "enum", to=["a", "c"]),
        "$.kind: values no longer allowed: 'b'",
    ),
    "enumeration introduced": (
        _set("properties", "id", "enum", to=["x"]),
        "$.id: values no longer allowed: any other value",
    ),
    "enumeration dropped": (lambda s: s["properties"]["kind"].pop("enum"), "$.kind: no longer an enumeration"),
    "constant changed": (_set("properties", "version", "const", to=2), "$.version: values no longer allowed: 1"),
    "minimum raised": (_set("properties", "share", "minimum", to=0.1), "$.share: minimum narrowed to 0.1"),
    "maximum lowered": (_set("properties", "share", "maximum", to=0.9), "$.share: maximum narrowed to 0.9"),
    "length limit introduced": (_set("properties", "id", "maxLength", to=5), "$.id: maxLength narrowed to 5"),
    "limit narrowed inside a union": (
        _set("properties", "note", "anyOf", 0, to={"type": "string", "maxLength": 5}),
        "$.note: maxLength narrowed to 5",
    ),
    "pattern introduced": (
        _set("properties", "id", "pattern", to="^a"),
        "$.id: pattern changed from None to '^a'",
    ),
    "field of a nested record removed": (
        lambda s: s["$defs"]["Part"]["properties"].pop("name"),
        "$.parts[].name: field removed",
    ),
    "values of a map retyped": (
        _set("properties", "scores", "additionalProperties", to={"type": "string"}),
        "$.scores.*: type changed from number to string",
    ),
    "further fields forbidden": (
        _set("additionalProperties", to=False),
        "$: further fields are no longer allowed",
    ),
}

_JSON_HARMLESS: dict[str, Change] = {
    "nothing": lambda s: s,
    "new optional field": _set("properties", "more", to={"type": "string", "default": ""}),
    "description": _set("properties", "id", "description", to="another text"),
    "enumeration widened": _set("properties", "kind", "enum", to=["a", "b", "c"]),
    "limit widened": _set("properties", "share", "maximum", to=2),
    "definition renamed": lambda s: (
        s["$defs"].update(Piece=s["$defs"].pop("Part")),
        s["properties"]["parts"].update(items={"$ref": "#/$defs/Piece"}),
    ),
}


def _changed(schema: dict[str, Any], change: Change) -> dict[str, Any]:
    copied = copy.deepcopy(schema)
    change(copied)
    return copied


@pytest.mark.parametrize("kind", _JSON_BREAKS)
def test_a_breaking_json_change_is_seen(kind: str) -> None:
    change, expected = _JSON_BREAKS[kind]
    assert expected in json_breaks(_JSON, _changed(_JSON, change))


@pytest.mark.parametrize("kind", _JSON_HARMLESS)
def test_a_harmless_json_change_passes(kind: str) -> None:
    assert json_breaks(_JSON, _changed(_JSON, _JSON_HARMLESS[kind])) == []


def _field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(field for field in schema["fields"] if field["name"] == name)


def _without(name: str) -> Change:
    return lambda s: s["fields"].remove(_field(s, name))


_AVRO_BREAKS: dict[str, tuple[Change, str]] = {
    "field removed": (_without("credit"), ".Alert.credit: field removed"),
    "field renamed": (lambda s: _field(s, "ra_deg").update(name="ra"), ".Alert.ra_deg: field removed"),
    "type changed": (lambda s: _field(s, "p_value").update(type="float"), ".Alert.p_value: type changed"),
    "optional made required": (
        lambda s: _field(s, "ra_deg").update(type="double"),
        ".Alert.ra_deg: type changed",
    ),
    "union order changed": (
        lambda s: _field(s, "ra_deg").update(type=["double", "null"]),
        ".Alert.ra_deg: type changed",
    ),
    "new field without a default": (
        lambda s: s["fields"].append({"name": "flux", "type": "double", "doc": "Flux [nJy]."}),
        ".Alert.flux: new field without a default",
    ),
    "default removed": (lambda s: _field(s, "credit").pop("default"), ".Alert.credit: default removed"),
    "nested field removed": (
        lambda s: _field(s, "provenance")["type"]["fields"].pop(0),
        ".AlertProvenance.original_sha256: field removed",
    ),
    "nested record renamed": (
        lambda s: _field(s, "provenance")["type"].update(name="Origin"),
        ".AlertProvenance: record removed or renamed",
    ),
    "record renamed": (lambda s: s.update(name="Notice"), "$: renamed"),
}


@pytest.mark.parametrize("kind", _AVRO_BREAKS)
def test_a_breaking_avro_change_is_seen(kind: str) -> None:
    change, expected = _AVRO_BREAKS[kind]
    changed = copy.deepcopy(ALERT_AVRO_SCHEMA)
    change(changed)
    assert any(expected in sentence for sentence in avro_breaks(ALERT_AVRO_SCHEMA, changed))


def test_harmless_avro_changes_pass() -> None:
    changed = copy.deepcopy(ALERT_AVRO_SCHEMA)
    _field(changed, "p_value")["doc"] = "another text [1]."
    changed["fields"].append({"name": "flux_njy", "type": ["null", "double"], "default": None, "doc": "Flux [nJy]."})
    assert avro_breaks(ALERT_AVRO_SCHEMA, changed) == []
