"""A `Change` as one atomic update of one document: an update pipeline, every value a literal."""

from collections.abc import Iterator
from typing import Any

from astrolens.platform.stores.collections import Declaration
from astrolens.platform.stores.mongo_codec import BEFORE, CHANGE, PENDING_SINCE, encode, path_of
from astrolens.platform.stores.records import Change

Stage = dict[str, dict[str, Any]]


def update_of(declared: Declaration, change: Change, *, now: str, token: str | None, counted: list[str]) -> list[Stage]:
    """The pipeline of a change.

    Args:
        declared: The collection's declaration.
        change: What to change.
        now: Since when events that it adds are pending.
        token: Marks the documents that are really changed; None marks nothing.
        counted: Tallied fields whose values before the change are kept beside the mark.
    """
    stages: list[Stage] = []
    if token is not None:
        stages.append({"$set": _mark(declared, token, counted)})
    stages += [{"$set": assignments} for assignments in _assignments(declared, change)]
    stages += [
        {"$set": {(path := path_of(field, key=declared.key)): {"$concatArrays": [_list(path), _literal(list(values))]}}}
        for field, values in change.push.items()
    ]
    if change.pull_pending:
        kept = {"$not": [{"$in": ["$$event.event_id", _literal(list(change.pull_pending))]}]}
        stages.append({"$set": {"pending": {"$filter": {"input": _list("pending"), "as": "event", "cond": kept}}}})
    if declared.has_pending and touches(change, "pending"):
        waits = {"$gt": [{"$size": _list("pending")}, 0]}
        since = {"$ifNull": [f"${PENDING_SINCE}", _literal(now)]}
        stages.append({"$set": {PENDING_SINCE: {"$cond": [waits, since, "$$REMOVE"]}}})
    return stages


def touches(change: Change, field: str) -> bool:
    """Whether a change may alter a field."""
    if field == "pending" and change.pull_pending:
        return True
    return any(_overlap(path, field) for path in (*change.set, *change.push))


def _mark(declared: Declaration, token: str, counted: list[str]) -> dict[str, Any]:
    values = [{"$ifNull": [f"${path_of(field, key=declared.key)}", None]} for field in counted]
    # Several changes of one document in one call: what counts is how it was before the first.
    before = {"$cond": [{"$eq": [f"${CHANGE}", _literal(token)]}, f"${BEFORE}", values]}
    return {CHANGE: _literal(token), BEFORE: before}


def _assignments(declared: Declaration, change: Change) -> Iterator[dict[str, Any]]:
    if not change.set:
        return
    values = {path_of(field, key=declared.key): _literal(value) for field, value in change.set.items()}
    paths = list(values)
    if any(_overlap(one, other) for index, one in enumerate(paths) for other in paths[:index]):
        # One stage must not set a path and what lies below it; stages follow each other.
        yield from ({path: value} for path, value in values.items())
    else:
        yield values


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _list(path: str) -> dict[str, Any]:
    return {"$ifNull": [f"${path}", []]}


def _literal(value: Any) -> dict[str, Any]:
    # Without this a text such as "$state" would be read as a field.
    return {"$literal": encode(value)}
