"""The current labels of an image: the last one of each person, unless it was withdrawn. Nobody overwrites another."""

from collections.abc import Mapping, Sequence
from typing import Any


def current_labels(labels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The current labels, the last given one last; it is what lists, filters and the ranking go by.

    Args:
        labels: Every label of an image, as recorded, in order.
    """
    current: dict[str, Mapping[str, Any]] = {}
    for label in labels:
        current.pop(label["user"], None)
        if label["answer"]:
            current[label["user"]] = label
    return list(current.values())


def current_tags(labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tags of the current labels, each once, the last answer's first."""
    return list(dict.fromkeys(tag for label in current_labels(labels)[::-1] for tag in label.get("tags") or ()))


def answers_by_person(labels: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The current answer of each person."""
    return {label["user"]: label["answer"] for label in current_labels(labels)}
