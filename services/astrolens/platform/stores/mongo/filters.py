"""Clauses as MongoDB filters, and pages as plain index walks."""

import re
from collections.abc import Iterable
from typing import Any, TypeGuard

from astrolens.platform.errors import UndeclaredField
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.mongo.codec import encode, path_of
from astrolens.platform.stores.records import Clause

Filter = dict[str, Any]

PRESENT: dict[str, Filter] = {"text": {"$gte": ""}, "real": {"$gte": float("-inf")}, "bool": {"$gte": False}}
"""Everything of a type: a range walks an index where `$ne: null` may not; it leaves out null and absent values."""

_FROM_BELOW = frozenset({"eq", "gt", "gte", "prefix"})
"""Operators that bound a value from below, unless they compare with null."""


def declared_path(collection: Collection, field: str) -> str:
    """The path of a declared field in MongoDB.

    Raises:
        UndeclaredField: No index serves it, so a query on it would read the whole archive.
    """
    declared = DECLARATIONS[collection]
    if field != declared.key and field not in declared.fields:
        raise UndeclaredField(collection, field)
    return path_of(field, key=declared.key)


def has_value(collection: Collection, field: str) -> Filter:
    """Documents that have a value in a declared field."""
    return {declared_path(collection, field): PRESENT[DECLARATIONS[collection].fields.get(field, "text")]}


def query_filter(collection: Collection, clauses: Iterable[Clause]) -> list[Filter]:
    """Conditions of a query, on declared fields only."""
    return [{declared_path(collection, clause.field): _operator(clause)} for clause in clauses]


def bounded_below(clauses: Iterable[Clause], field: str) -> bool:
    """Whether clauses leave out the documents without a value in a field, as `has_value` does."""
    return any(clause.field == field and clause.op in _FROM_BELOW and clause.value is not None for clause in clauses)


def without_bound(conditions: list[Filter], path: str, operator: str) -> list[Filter]:
    """The conditions without those that are nothing but a bound of this kind on a path."""
    return [each for each in conditions if not (_are_operators(bound := each.get(path)) and bound.keys() == {operator})]


def combine(conditions: list[Filter]) -> Filter:
    """All conditions at once: in one document unless two state the same of one field.

    Every planner understands that one, and sees in it an equality and the range behind it as one stretch of an index.
    """
    flat: Filter = {}
    for path, wanted in (item for condition in conditions for item in condition.items()):
        if path not in flat:
            flat[path] = wanted
        elif _are_operators(flat[path]) and _are_operators(wanted) and flat[path].keys().isdisjoint(wanted):
            flat[path] = {**flat[path], **wanted}
        else:
            return {"$and": conditions}
    return flat


def _are_operators(wanted: Any) -> TypeGuard[Filter]:
    return isinstance(wanted, dict) and all(name.startswith("$") for name in wanted)


def _operator(clause: Clause) -> Any:
    value = encode(clause.value)
    match clause.op:
        case "eq":
            # The value itself: `$eq` means the same, but not every planner looks for a range on the next field of an
            # index behind it. Null counts an absent field, as the port says.
            return value
        case "ne" | "in" | "lt" | "lte" | "gt" | "gte":
            # `$ne` counts an absent field as null, and ranges leave null out: as the port says.
            return {f"${clause.op}": value}
        case "exists":
            return {"$ne": None} if value else None
        case "prefix":
            # A range uses the index, and reads nothing in the value as a wildcard.
            return {"$gte": value, "$lt": value + "\U0010ffff"}
        case "contains":
            return {"$regex": re.escape(value), "$options": "i"}
