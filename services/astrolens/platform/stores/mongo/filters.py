"""Clauses as MongoDB filters, and pages as plain index walks."""

import re
from collections.abc import Iterable
from typing import Any

from astrolens.platform.errors import UndeclaredField
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.mongo.codec import encode, path_of
from astrolens.platform.stores.records import Clause

Filter = dict[str, Any]

PRESENT: dict[str, Filter] = {"text": {"$gte": ""}, "real": {"$gte": float("-inf")}, "bool": {"$gte": False}}
"""Everything of a type: a range walks an index where `$ne: null` may not; it leaves out null and absent values."""


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


def combine(conditions: list[Filter]) -> Filter:
    """All conditions at once: in one document where each names another field, which every planner understands."""
    flat: Filter = {}
    for condition in conditions:
        if not flat.keys().isdisjoint(condition):
            return {"$and": conditions}
        flat.update(condition)
    return flat


def _operator(clause: Clause) -> Filter:
    value = encode(clause.value)
    match clause.op:
        case "eq" | "ne" | "in" | "lt" | "lte" | "gt" | "gte":
            # `$eq: null` and `$ne` count an absent field as null, and ranges leave null out: as the port says.
            return {f"${clause.op}": value}
        case "exists":
            return {"$ne": None} if value else {"$eq": None}
        case "prefix":
            # A range uses the index, and reads nothing in the value as a wildcard.
            return {"$gte": value, "$lt": value + "\U0010ffff"}
        case "contains":
            return {"$regex": re.escape(value), "$options": "i"}
