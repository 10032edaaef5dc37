"""`schemas/` is what the models generate, every topic is described, every example is valid."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from astrolens.contracts import alerts, asyncapi, events, example_documents, records, schemas, topics
from pydantic import BaseModel

FOLDER = Path(__file__).resolve().parents[2] / "schemas"
GENERATED = schemas.documents()
ASYNCAPI = json.loads(GENERATED[schemas.ASYNCAPI])
_NOT_GENERATED = ("released/", "README.md")


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_the_committed_file_is_the_generated_one(name: str, update_golden: bool) -> None:
    path = FOLDER / name
    if update_golden:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GENERATED[name], encoding="utf-8")
    assert path.is_file(), f"schemas/{name} is missing: run `make schemas`"
    assert path.read_text(encoding="utf-8") == GENERATED[name], f"schemas/{name} is not current: run `make schemas`"


def test_schemas_has_no_other_files(update_golden: bool) -> None:
    present = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    left_over = {name for name in present - GENERATED.keys() if not name.startswith(_NOT_GENERATED)}
    if update_golden:
        for name in left_over:
            (FOLDER / name).unlink()
        left_over = set()
    assert left_over == set(), "no model generates these: run `make schemas`"


@pytest.mark.parametrize("name", sorted(schemas.MODELS))
def test_the_example_is_valid_and_survives_a_round_trip(name: str) -> None:
    example = example_documents.by_name()[name]
    schema = json.loads(GENERATED[f"{name}.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    written = json.loads(GENERATED[f"examples/{name}.json"])
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(written)
    assert type(example).model_validate(written) == example


def test_every_schema_has_an_example_and_no_other() -> None:
    assert example_documents.by_name().keys() == schemas.MODELS.keys()


@pytest.mark.parametrize("topic", sorted(events.BY_TOPIC))
def test_every_internal_event_has_a_schema_that_asyncapi_names(topic: str) -> None:
    file = schemas.schema_file(events.BY_TOPIC[topic])
    described = [entry for entry in asyncapi.TOPICS if entry.address == topic]
    assert [entry.model for entry in described] == [events.BY_TOPIC[topic]]
    message = ASYNCAPI["components"]["messages"][described[0].channel]
    assert message["payload"]["schema"] == {"$ref": f"./{file}"}


def test_a_model_without_a_schema_is_refused() -> None:
    with pytest.raises(LookupError, match=r"Reason is not in schemas\.MODELS"):
        schemas.schema_file(records.Reason)


def test_every_record_of_the_store_has_a_schema() -> None:
    documents = {
        model
        for model in vars(records).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and "pending" in model.model_fields
    }
    assert documents
    assert documents <= set(schemas.MODELS.values())


def test_asyncapi_has_every_topic_of_the_contracts() -> None:
    constants = {value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)}
    assert constants >= set(topics.INTERNAL)
    addresses = {channel["address"] for channel in ASYNCAPI["channels"].values()}
    assert addresses >= constants
    assert topics.alert_topic("{survey}", "{class}") in addresses
    assert topics.alert_json_topic("{survey}", "{class}") in addresses
    read = {entry.address for entry in asyncapi.TOPICS if entry.readers}
    assert addresses >= {topics.dead_letter_topic(topic) for topic in read}


def test_the_documentation_names_every_topic_and_every_alert_field() -> None:
    manual = (FOLDER.parent / "docs" / "events.md").read_text(encoding="utf-8")
    for entry in asyncapi.TOPICS:
        assert f"`{entry.address.replace('{', '<').replace('}', '>')}`" in manual
    for field in alerts.Alert.model_fields:
        assert f"`{field}`" in manual, field


_REF = {
    "type": "object",
    "properties": {"$ref": {"type": "string"}},
    "required": ["$ref"],
    "additionalProperties": False,
}
_STRUCTURE: dict[str, Any] = {
    "type": "object",
    "required": ["asyncapi", "info", "channels", "operations", "components"],
    "additionalProperties": False,
    "properties": {
        "asyncapi": {"const": "3.0.0"},
        "id": {"type": "string", "format": "uri"},
        "defaultContentType": {"type": "string"},
        "info": {"type": "object", "required": ["title", "version"]},
        "channels": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": r"^[A-Za-z0-9_\-.]+$"},
            "additionalProperties": {
                "type": "object",
                "required": ["address", "messages"],
                "additionalProperties": False,
                "properties": {
                    "address": {"type": "string", "maxLength": 249},
                    "title": {"type": "string"},
                    "messages": {"type": "object", "minProperties": 1, "additionalProperties": _REF},
                    "parameters": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "description": {"type": "string"},
                                "examples": {"type": "array", "items": {"type": "string"}},
                            },
                        },
                    },
                    "tags": {"type": "array", "items": {"type": "object", "required": ["name"]}},
                },
            },
        },
        "operations": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["action", "channel"],
                "additionalProperties": False,
                "properties": {"action": {"enum": ["send", "receive"]}, "channel": _REF},
            },
        },
        "components": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "messages": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "required": ["name", "title", "contentType", "payload"],
                        "additionalProperties": False,
                        "properties": {
                            "name": {"type": "string"},
                            "title": {"type": "string"},
                            "contentType": {"type": "string"},
                            "payload": {"type": "object"},
                            "headers": {"type": "object"},
                            "bindings": {"type": "object", "required": ["kafka"]},
                        },
                    },
                }
            },
        },
    },
}
"""What AsyncAPI 3.0.0 asks of the parts that the document uses."""


def test_asyncapi_has_the_structure_of_version_3() -> None:
    jsonschema.Draft202012Validator(_STRUCTURE).validate(ASYNCAPI)


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for part in value for found in _references(part)]
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for part in value.values() for found in _references(part)]
    return []


def test_every_reference_of_asyncapi_resolves() -> None:
    references = _references(ASYNCAPI)
    assert references
    for reference in references:
        if reference.startswith("./"):
            assert reference.removeprefix("./") in GENERATED
            continue
        target: Any = ASYNCAPI
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert target


def test_parameters_are_those_of_the_address() -> None:
    for channel in ASYNCAPI["channels"].values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel.get("parameters", ()))
