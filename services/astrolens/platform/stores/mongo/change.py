"""A `Change` as one atomic update of one document, and what has to be read to know whether it may happen."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from astrolens.platform.stores.binary import value_with_bytes
from astrolens.platform.stores.collections import Declaration
from astrolens.platform.stores.documents import overlap
from astrolens.platform.stores.mongo.codec import HASH_KEYS, encode, hash_keys, path_of
from astrolens.platform.stores.records import Change

Stage = dict[str, dict[str, Any]]
Update = Stage | list[Stage]


def update_of(declared: Declaration, change: Change) -> Update | None:
    """The update of a change; None where only its pending events change, which have a collection of their own.

    Raises:
        ValueError: It sets `pending` as a whole: events are only pushed and pulled.
    """
    if declared.has_pending and "pending" in change.set:
        raise ValueError("pending events are pushed and pulled, never set")
    pushes = {field: values for field, values in change.push.items() if not _is_pending(declared, field)}
    paths = {
        path_of(field, key=declared.key): value_with_bytes(declared, field, value)
        for field, value in change.set.items()
    }
    if declared.hash_field is not None and declared.hash_field in change.set:
        paths[HASH_KEYS] = hash_keys(change.set[declared.hash_field])
    if not pushes and not any("." in path for path in paths):
        # Plain fields need no pipeline, whose every value costs the server an expression.
        return {"$set": {path: encode(value) for path, value in paths.items()}} if paths else None
    stages: list[Stage] = [{"$set": assignments} for assignments in _assignments(paths)]
    stages += [
        {"$set": {(path := path_of(field, key=declared.key)): {"$concatArrays": [_list(path), _literal(list(values))]}}}
        for field, values in pushes.items()
    ]
    return stages


def projection(declared: Declaration, fields: Iterable[str]) -> dict[str, int]:
    """What to read to know some fields: a path below another one is part of it, and MongoDB takes only one of them."""
    paths = sorted({path_of(field, key=declared.key) for field in fields} | {"_id"})
    return {path: 1 for path in paths if not any(path.startswith(f"{other}.") for other in paths)}


def fields_to_know(changes: Sequence[Change], counted: Sequence[str]) -> set[str]:
    """The fields that guards look at, and those that are counted."""
    return {clause.field for change in changes for clause in change.when} | set(counted)


def _assignments(paths: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not paths:
        return
    values = {path: _literal(value) for path, value in paths.items()}
    names = list(values)
    if any(overlap(one, other) for index, one in enumerate(names) for other in names[:index]):
        # One stage must not set a path and one below it; stages follow each other.
        yield from ({path: value} for path, value in values.items())
    else:
        yield values


def _is_pending(declared: Declaration, field: str) -> bool:
    return declared.has_pending and field == "pending"


def _list(path: str) -> dict[str, Any]:
    return {"$ifNull": [f"${path}", []]}


def _literal(value: Any) -> dict[str, Any]:
    # Without this a text such as "$state" would be read as a field.
    return {"$literal": encode(value)}
