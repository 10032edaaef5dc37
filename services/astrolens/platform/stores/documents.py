"""What guards and changes mean, on plain documents: the one definition that embedded engines share."""

import operator
from collections.abc import Callable
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


def _set_path(document: "Document", path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for step in parents:
        child = document.get(step)
        if not isinstance(child, dict):
            child = document[step] = {}
        else:
            child = document[step] = dict(child)
        document = child
    document[last] = value


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
        _set_path(result, path, value)
    for path, values in change.push.items():
        _set_path(result, path, [*(get_path(result, path) or []), *values])
    if change.pull_pending:
        gone = set(change.pull_pending)
        result["pending"] = [event for event in result.get("pending") or [] if event["event_id"] not in gone]
    return result
