"""Generate Avro schemas from pydantic models."""

import types
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

_PRIMITIVES: dict[Any, Any] = {
    str: "string",
    bool: "boolean",
    int: "long",
    float: "double",
    bytes: "bytes",
    AwareDatetime: {"type": "long", "logicalType": "timestamp-micros"},
    datetime: {"type": "long", "logicalType": "timestamp-micros"},
}
"""Integers are 64-bit and floats double, because survey ids and positions need the range and precision."""


def avro_schema(model: type[BaseModel], *, namespace: str) -> dict[str, Any]:
    """Generate the Avro record schema of a model, as JSON values.

    Optional fields become `["null", T]` with default null, and collections with a default are empty by default, so
    that readers and packets of all minor versions are compatible. Enumerations become strings, because an old reader
    cannot decode an Avro enum with an unknown symbol.

    Raises:
        TypeError: A field has a type without an Avro equivalent, or no description.
    """
    return _record(model, namespace, set())


def _record(model: type[BaseModel], namespace: str, seen: set[str]) -> dict[str, Any]:
    seen.add(model.__name__)
    return {
        "type": "record",
        "name": model.__name__,
        "namespace": namespace,
        "doc": _first_line(model),
        "fields": [_field(model, name, info, namespace, seen) for name, info in model.model_fields.items()],
    }


def _field(model: type[BaseModel], name: str, info: FieldInfo, namespace: str, seen: set[str]) -> dict[str, Any]:
    if not info.description:
        raise TypeError(f"{model.__name__}.{name} needs a description, with its unit")
    schema: dict[str, Any] = {
        "name": name,
        "type": _type(f"{model.__name__}.{name}", info.annotation, namespace, seen),
        "doc": info.description,
    }
    if not info.is_required():
        default = info.get_default(call_default_factory=True, validated_data={})
        schema["default"] = list(default) if isinstance(default, tuple) else default
    return schema


def _type(where: str, annotation: Any, namespace: str, seen: set[str]) -> Any:  # noqa: PLR0911  one return a type
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(where, arguments[0], namespace, seen)
    if origin in (Union, types.UnionType):
        return ["null", *(_type(where, part, namespace, seen) for part in arguments if part is not type(None))]
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return {"type": "array", "items": _type(where, arguments[0], namespace, seen)}
    if origin is dict and arguments[0] is str:
        return {"type": "map", "values": _type(where, arguments[1], namespace, seen)}
    if origin is Literal and all(isinstance(value, str) for value in arguments):
        return "string"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "string"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        full_name = f"{namespace}.{annotation.__name__}"
        return full_name if annotation.__name__ in seen else _record(annotation, namespace, seen)
    raise TypeError(f"{where}: there is no Avro type for {annotation!r}")


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or model.__name__).strip().splitlines()[0]
