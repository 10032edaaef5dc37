"""What guards, changes and projections mean, on plain documents: the one definition that all engines share."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astrolens.platform.stores.records import Change, Clause, Document


def get_path(document: "Document", path: str) -> Any:
    """The value at a dotted path, None where any step is absent."""
    value: Any = document
    for step in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def set_path(document: "Document", path: str, value: Any) -> None:
    """Set the value at a dotted path in place; nested dicts are copied before they are changed."""
    *parents, last = path.split(".")
    for step in parents:
        child = document.get(step)
        if not isinstance(child, dict):
            child = document[step] = {}
        else:
            child = document[step] = dict(child)
        document = child
    document[last] = value


def without_path(document: "Document", path: str) -> "Document":
    """A copy of the document without the value at a dotted path; nested dicts are copied before they are changed."""
    first, _, rest = path.partition(".")
    if not rest:
        return {name: value for name, value in document.items() if name != first}
    inner = document.get(first)
    return {**document, first: without_path(inner, rest)} if isinstance(inner, dict) else dict(document)


def project(document: "Document", fields: Sequence[str], *, key: str) -> "Document":
    """A document of nothing but its key and the values at dotted paths; see `Query.fields`."""
    return projected({key: document[key]}, {field: get_path(document, field) for field in fields})


def projected(document: "Document", values: Mapping[str, Any]) -> "Document":
    """Set values by dotted path into a document and return it, the outer ones first."""
    for field in sorted(values):
        value = values[field]
        # An outer value that was asked for as well says already that there is nothing inside.
        if value is not None or not any(field.startswith(f"{outer}.") for outer in values):
            set_path(document, field, value)
    return document


def touches(change: "Change", field: str) -> bool:
    """Whether a change may alter a field."""
    if field == "pending" and change.pull_pending:
        return True
    return any(overlap(path, field) for path in (*change.set, *change.push))


def overlap(one: str, other: str) -> bool:
    """Whether one of two dotted paths is the other, or is inside it."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "prefix": lambda value, start: str(value).startswith(start),
    "contains": lambda value, part: part.lower() in str(value).lower(),
}


def matches(document: "Document", clause: "Clause") -> bool:
    """Whether a document fulfils a clause. An absent value fulfils only `ne`, `eq None` and `exists False`."""
    value = get_path(document, clause.field)
    match clause.op:
        case "eq":
            return bool(value == clause.value)
        case "ne":
            return bool(value != clause.value)
        case "in":
            return bool(value in clause.value)
        case "exists":
            return bool((value is not None) == clause.value)
        case comparison:
            return value is not None and bool(_COMPARISONS[comparison](value, clause.value))


def apply_change(document: "Document", change: "Change") -> "Document":
    """The document after a change; the one given stays as it is."""
    result = dict(document)
    for path, value in change.set.items():
        set_path(result, path, value)
    for path, values in change.push.items():
        set_path(result, path, [*(get_path(result, path) or []), *values])
    if change.pull_pending:
        published = set(change.pull_pending)
        result["pending"] = [event for event in result.get("pending") or [] if event["event_id"] not in published]
    return result
