"""Documents as MongoDB keeps them: `_id` is the declared key, names are escaped, pending events are stored elsewhere.

Binary fields are BSON binary; reading decodes them to base64 text again.

MongoDB reads a dot in a field name as a path and a leading `$` as an operator, and BSON cannot hold a NUL there. Column
names of strangers' CSV files contain all of these, so such characters (and the escape itself) are written as `%xx`.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from time import time_ns
from typing import Any
from urllib.parse import unquote

from astrolens.platform.errors import PermanentError
from astrolens.platform.stores.binary import to_base64, value_with_bytes
from astrolens.platform.stores.collections import Declaration
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.hash_index import parse_hash, stored_keys
from astrolens.platform.stores.records import Document

HASH_KEYS = "_hash_keys"
"""The hidden field with the keys of the hash index; absent where the document has no hash."""
HASH_AGE = "_hash_age"
"""The hidden field that orders the documents of a hash index: it grows from one new document to the next."""

_HIDDEN = frozenset({"_id", HASH_KEYS, HASH_AGE})
_last_age = 0

_SPECIAL = re.compile(r"[%.$\0]")
_INT64 = 2**63


@lru_cache(maxsize=2048)  # a document has a hundred names, the same in every document
def escape(name: str) -> str:
    """A field name that MongoDB takes as nothing but a name.

    Raises:
        PermanentError: It is no Unicode.
    """
    return _SPECIAL.sub(lambda match: f"%{ord(match[0]):02x}", _text(name))


def path_of(field: str, *, key: str) -> str:
    """The path of a dotted field in MongoDB."""
    return "_id" if field == key else ".".join(escape(step) for step in field.split("."))


def encode(value: Any) -> Any:
    """A JSON value as MongoDB keeps it.

    Raises:
        PermanentError: A number is too large for 64 bits, or a text is no Unicode.
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return {escape(name): encode(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise PermanentError("document-refused", f"{value} is too large a number for the record store")
    return value


def decode(value: Any) -> Any:
    """What `encode` was given."""
    if isinstance(value, dict):
        return {unquote(name) if "%" in name else name: decode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [decode(item) for item in value]
    return to_base64(value) if isinstance(value, bytes) else value


def to_mongo(declared: Declaration, document: Document) -> Document:
    """A document as stored, without its pending events: `MongoOutbox` keeps them beside it."""
    stored: Document = {"_id": document[declared.key]}
    apart = {declared.key, "pending"} if declared.has_pending else {declared.key}
    for name, value in document.items():
        if name not in apart:
            stored[escape(name)] = encode(value_with_bytes(declared, name, value))
    if declared.hash_field is not None:
        stored[HASH_AGE] = next_age()
        if keys := hash_keys(get_path(document, declared.hash_field)):
            stored[HASH_KEYS] = keys
    return stored


def from_mongo(declared: Declaration, stored: Document) -> Document:
    """The document that `to_mongo` was given, without its pending events."""
    document = {declared.key: stored["_id"]}
    for name, value in stored.items():
        if name not in _HIDDEN:
            document[unquote(name) if "%" in name else name] = decode(value)
    return document


def hash_keys(value: Any) -> list[int]:
    """The keys of a hash, none for what is no hash."""
    number = parse_hash(value)
    return [] if number is None else stored_keys(number)


def next_age() -> int:
    """Microseconds since 1970, larger at every call of this process."""
    global _last_age  # noqa: PLW0603 - one order for all stores of the process
    _last_age = max(_last_age + 1, time_ns() // 1000)
    return _last_age


def now() -> str:
    """This moment, as text that sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _text(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PermanentError("document-refused", f"{text[:80]!r} is no Unicode text") from None
    return text
