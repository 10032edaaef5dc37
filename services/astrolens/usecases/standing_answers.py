"""Which answers of people stand: the last one of each person, unless it was taken back. Nobody overwrites another."""

from collections.abc import Mapping, Sequence
from typing import Any


def standing_answers(labels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The labels that stand, the last given one last; it is what lists, filters and the ranking go by.

    Args:
        labels: Every label of an image, as recorded, in order.
    """
    standing: dict[str, Mapping[str, Any]] = {}
    for label in labels:
        standing.pop(label["user"], None)
        if label["answer"]:
            standing[label["user"]] = label
    return list(standing.values())


def standing_tags(labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tags of the answers that stand, each once, the last answer's first."""
    return list(dict.fromkeys(tag for label in standing_answers(labels)[::-1] for tag in label.get("tags") or ()))


def answers_by_person(labels: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The answer of each person that stands."""
    return {label["user"]: label["answer"] for label in standing_answers(labels)}
