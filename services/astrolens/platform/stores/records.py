"""The record-store port: documents with deterministic ids, changed one at a time and atomically.

The verbs are what SQLite and MongoDB both do well, so that an adapter is small. A query may only name fields that
`collections.py` declares together with the indexes that serve it, so that no page takes longer in a larger archive.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from astrolens.contracts.base import Contract
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import PermanentError
from astrolens.platform.stores.collections import Collection

Document = dict[str, Any]
Operator = Literal["eq", "ne", "in", "lt", "lte", "gt", "gte", "prefix", "contains", "exists"]

MAX_CONTAINING: Final = 1_000
"""Documents that hold a part of a text and narrow a query. More are so frequent that the walk in order meets enough."""


@dataclass(frozen=True)
class Clause:
    """One condition. `ne` also holds where the field is absent; `contains` ignores case; `exists` takes a bool."""

    field: str
    op: Operator
    value: Any


@dataclass(frozen=True)
class Order:
    """Sort order; ties are broken in an order of the engine's own. Documents without the field are left out."""

    field: str
    descending: bool = False


@dataclass(frozen=True)
class Query:
    """A page to find. `after` is the cursor that the page before gave.

    With `fields`, documents hold only these dotted paths and their key, each None where the document has no value;
    without, they hold all but the binary fields.
    """

    where: tuple[Clause, ...] = ()
    order: Order | None = None
    limit: int = 100
    after: str | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """Documents found, and the cursor of the next page or None."""

    documents: list[Document]
    next: str | None


@dataclass(frozen=True)
class Change:
    """One atomic change of one document: nothing happens unless every clause of `when` holds.

    Keys of `set` and `push` are dotted paths; values are JSON-ready. Pending events are pushed as `pending`, never set;
    `pull_pending` removes them by id.
    """

    id: str
    set: Mapping[str, Any] = field(default_factory=dict)
    push: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    pull_pending: Sequence[str] = ()
    when: tuple[Clause, ...] = ()


class RecordStore(Protocol):
    """The truth about every image.

    Every verb may raise `StoreUnavailable` (try again) and acknowledges only what survives a crash.
    """

    async def open(self) -> None:
        """Connect, create what is missing, within a bounded wait."""

    async def close(self) -> None:
        """Release everything."""

    async def ping(self) -> None:
        """Raise unless the store answers."""

    async def insert(self, collection: Collection, documents: Sequence[Contract | Document]) -> set[str]:
        """Put documents that are absent; return the ids that are new."""

    async def upsert(self, collection: Collection, documents: Sequence[Contract | Document]) -> None:
        """Put or replace whole documents, their binary fields included."""

    async def apply(self, collection: Collection, changes: Sequence[Change]) -> set[str]:
        """Change documents, each atomically; return the ids that exist and whose guard held."""

    async def get(
        self, collection: Collection, ids: Sequence[str], *, fields: Sequence[str] = ()
    ) -> dict[str, Document]:
        """Documents by id; absent ones are left out. `fields` as in `Query`."""

    async def find(self, collection: Collection, query: Query) -> Page:
        """One page of documents."""

    async def count(
        self, collection: Collection, where: Sequence[Clause], *, limit: int, within_s: float
    ) -> int | None:
        """How many documents fulfil all conditions, at most `limit`; None where counting takes longer than `within_s`.

        A condition on the key is met first: those documents alone are looked at.
        """

    async def delete(self, collection: Collection, ids: Sequence[str]) -> int:
        """Remove documents; return how many there were."""

    async def tally(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """Counts by the values of a declared tally's fields, kept with every write, so that reading costs O(1)."""

    async def tallies(self, wanted: Sequence[tuple[Collection, str]]) -> list[dict[tuple[str, ...], int]]:
        """Several tallies, of one moment where the engine can."""

    async def count_documents(self, collection: Collection, name: str) -> dict[tuple[str, ...], int]:
        """What `tally` should give, counted from the documents themselves: for checks, as it reads all of them."""

    async def near(
        self, collection: Collection, hashes: Sequence[str], *, radius: int, limit: int
    ) -> list[list[tuple[str, int]]]:
        """Documents whose hash differs from each of these in at most `radius` bits, 0 <= radius <= 8.

        For each hash (16 hexadecimal digits) at most `limit` ids with their distances in bits: the nearest first, the
        older first among equals. Exact as long as no more than `hash_index.KEY_LIMIT` documents share a key of the
        index; beyond that only the newest of them are looked at.
        """

    async def pending(
        self, collection: Collection, *, limit: int, after: str | None = None
    ) -> list[tuple[str, list[PendingEvent]]]:
        """Documents with unpublished events, oldest first.

        With `after`, the id of a document, only those behind it; all where it has no unpublished events any more.
        """


def to_document(model: Contract | Document) -> Document:
    """A document as stored: times as UTC text of one width, so that they sort as they follow each other."""
    return model.model_dump(mode="json") if isinstance(model, Contract) else model


def encode_cursor(order: Order | None, value: Any, last: str) -> str:
    """An opaque cursor behind the last document of a page: the order, the value in it, and what breaks ties."""
    text = json.dumps([_order_name(order), value, last])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, order: Order | None) -> tuple[Any, str]:
    """Value and tie breaker that `encode_cursor` was given.

    Raises:
        PermanentError: The text is no cursor of ours, or one of another order, or of a version that named no order.
    """
    try:
        name, value, last = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, binascii.Error) as error:
        raise bad_cursor(cursor) from error
    if not isinstance(last, str):
        raise bad_cursor(cursor)
    if name != _order_name(order):
        raise PermanentError(
            "bad-cursor", f"{cursor[:80]!r} is a cursor of another order: begin again with the first page of this one"
        )
    return value, last


def _order_name(order: Order | None) -> str:
    return "" if order is None else f"{'-' if order.descending else '+'}{order.field}"


def bad_cursor(cursor: str) -> PermanentError:
    """The error for a text that is no cursor of this store."""
    return PermanentError("bad-cursor", f"{cursor[:80]!r} is no cursor: take `next` from the page before")
