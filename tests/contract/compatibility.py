"""Says what a change of a schema breaks, for readers of old records and for old readers of new ones.

Additions of optional fields, new definitions, wider bounds and new enumeration values pass (readers are told to expect
values they do not know); what is removed, renamed, retyped, newly required or narrowed does not.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")


def json_breaks(old: Schema, new: Schema) -> list[str]:
    """Every way in which a JSON Schema breaks an older version of itself, as sentences."""
    return list(_JsonComparison(old, new).breaks())


def avro_breaks(old: Schema, new: Schema) -> list[str]:
    """Every way in which an Avro record schema breaks an older version of itself, as sentences."""
    return list(_AvroComparison(old, new).breaks())


class _JsonComparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str]] = set()

    def breaks(self) -> Iterator[str]:
        yield from self._compare("$", self._old, self._new)

    def _compare(self, where: str, old: Any, new: Any) -> Iterator[str]:
        old_ref, new_ref = old.get("$ref", ""), new.get("$ref", "")
        if old_ref and new_ref:
            if (old_ref, new_ref) in self._seen:
                return
            self._seen.add((old_ref, new_ref))
        old, new = _resolve(self._old, old), _resolve(self._new, new)
        old_kinds, new_kinds = _by_kind(self._old, old), _by_kind(self._new, new)
        if old_kinds.keys() != new_kinds.keys():
            yield f"{where}: type changed from {_names(old_kinds)} to {_names(new_kinds)}"
            return
        for kind, old_branch in old_kinds.items():
            yield from self._branch(where, kind, old_branch, new_kinds[kind])

    def _branch(self, where: str, kind: str, old: Schema, new: Schema) -> Iterator[str]:
        yield from _narrowed(where, old, new)
        if kind == "object":
            yield from self._object(where, old, new)
        elif kind == "array":
            yield from self._compare(f"{where}[]", old.get("items", {}), new.get("items", {}))

    def _object(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        old_fields, new_fields = old.get("properties", {}), new.get("properties", {})
        for name in sorted(old_fields.keys() - new_fields.keys()):
            yield f"{where}.{name}: field removed"
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{where}.{name}: newly required"
        for name in sorted((set(old.get("required", ())) - set(new.get("required", ()))) & new_fields.keys()):
            yield f"{where}.{name}: no longer always there"
        for name in sorted(old_fields.keys() & new_fields.keys()):
            yield from self._compare(f"{where}.{name}", old_fields[name], new_fields[name])
        old_values, new_values = old.get("additionalProperties"), new.get("additionalProperties")
        if isinstance(old_values, dict) and isinstance(new_values, dict):
            yield from self._compare(f"{where}.*", old_values, new_values)
        elif new_values is False and old_values is not False:
            yield f"{where}: further fields are no longer allowed"
        elif isinstance(old_values, dict) != isinstance(new_values, dict):
            yield f"{where}.*: type changed"


def _resolve(root: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def _by_kind(root: Schema, schema: Schema) -> dict[str, Schema]:
    """The alternatives of a schema by their JSON type: `X | None` gives two."""
    branches = schema.get("anyOf") or schema.get("oneOf") or [schema]
    kinds: dict[str, Schema] = {}
    for part in branches:
        branch = _resolve(root, part)
        types = branch.get("type", "any")
        for kind in types if isinstance(types, list) else [types]:
            kinds[kind] = branch
    return kinds


def _names(kinds: dict[str, Schema]) -> str:
    return "|".join(sorted(kinds))


def _narrowed(where: str, old: Schema, new: Schema) -> Iterator[str]:
    old_values, new_values = _values(old), _values(new)
    if new_values is not None and (old_values is None or not old_values <= new_values):
        lost = sorted(map(repr, old_values - new_values)) if old_values is not None else ["any other value"]
        yield f"{where}: values no longer allowed: {', '.join(lost)}"
    if old_values is not None and new_values is None:
        yield f"{where}: no longer an enumeration"
    for key in _LOWER:
        if key in new and new[key] > old.get(key, float("-inf")):
            yield f"{where}: {key} narrowed to {new[key]}"
    for key in _UPPER:
        if key in new and new[key] < old.get(key, float("inf")):
            yield f"{where}: {key} narrowed to {new[key]}"
    for key in ("pattern", "format", "contentEncoding"):
        if new.get(key) != old.get(key):
            yield f"{where}: {key} changed from {old.get(key)!r} to {new.get(key)!r}"


def _values(schema: Schema) -> set[Any] | None:
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None


class _AvroComparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._old_names = _named(old)
        self._new_names = _named(new)

    def breaks(self) -> Iterator[str]:
        if _full_name(self._old) != _full_name(self._new):
            yield f"$: renamed from {_full_name(self._old)} to {_full_name(self._new)}"
        for name, old in self._old_names.items():
            if name not in self._new_names:
                yield f"{name}: record removed or renamed"
            else:
                yield from self._record(name, old, self._new_names[name])

    def _record(self, where: str, old: Schema, new: Schema) -> Iterator[str]:
        old_fields = {field["name"]: field for field in old["fields"]}
        new_fields = {field["name"]: field for field in new["fields"]}
        for name in sorted(old_fields.keys() - new_fields.keys()):
            yield f"{where}.{name}: field removed"
        for name in sorted(new_fields.keys() - old_fields.keys()):
            if "default" not in new_fields[name]:
                yield f"{where}.{name}: new field without a default"
        for name in sorted(old_fields.keys() & new_fields.keys()):
            was, now = old_fields[name], new_fields[name]
            if _shape(was["type"]) != _shape(now["type"]):
                yield f"{where}.{name}: type changed from {_shape(was['type'])!r} to {_shape(now['type'])!r}"
            if "default" in was and "default" not in now:
                yield f"{where}.{name}: default removed"


def _full_name(schema: Schema) -> str:
    return f"{schema.get('namespace', '')}.{schema['name']}"


def _named(schema: Any) -> dict[str, Schema]:
    """Every record inside a schema, by full name."""
    if isinstance(schema, list):
        return {name: record for part in schema for name, record in _named(part).items()}
    if not isinstance(schema, dict):
        return {}
    found = {_full_name(schema): schema} if schema.get("type") == "record" else {}
    for part in (schema.get("items"), schema.get("values"), *(field["type"] for field in schema.get("fields", ()))):
        found |= _named(part)
    return found


def _shape(schema: Any) -> Any:
    """A type without what may change freely, with records as their names: they are compared by themselves."""
    if isinstance(schema, list):
        return [_shape(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "record":
        return _full_name(schema)
    return {key: _shape(value) for key, value in sorted(schema.items()) if key not in {"doc", "namespace"}}
