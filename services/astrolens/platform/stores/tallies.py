"""How tallies count documents: the keys and the increments that every engine writes."""

from collections import Counter
from collections.abc import Sequence
from json import dumps
from typing import TYPE_CHECKING, Any

from astrolens.platform.stores.collections import Declaration
from astrolens.platform.stores.documents import get_path

if TYPE_CHECKING:
    from astrolens.platform.stores.records import Document

Increments = Counter[tuple[str, str]]
"""(tally, key) to how many more."""


def tally_key(values: Sequence[Any]) -> str:
    """The key a document is counted under; an absent value counts as the empty text."""
    return dumps(["" if value is None else str(value) for value in values])


def counted_fields(declared: Declaration) -> list[str]:
    """Every field that a tally counts by, sorted."""
    return sorted({field for fields in declared.tallies.values() for field in fields})


def count(increments: Increments, declared: Declaration, document: "Document", step: int) -> None:
    """Count a document in (+1) or out (-1)."""
    for name, fields in declared.tallies.items():
        increments[name, tally_key([get_path(document, field) for field in fields])] += step
