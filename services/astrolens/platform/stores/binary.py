"""Binary fields: base64 text in a document of the contract, bytes apart from the JSON in a store."""

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from astrolens.platform.errors import PermanentError
from astrolens.platform.stores.collections import Declaration
from astrolens.platform.stores.documents import get_path, set_path, without_path

if TYPE_CHECKING:
    from astrolens.platform.stores.records import Document


def detach(declared: Declaration, document: "Document") -> tuple["Document", dict[str, bytes | None]]:
    """The document without its binary fields, and their bytes by field, None for each that it does not hold.

    Raises:
        PermanentError: A value is no base64 text.
    """
    found: dict[str, bytes | None] = {}
    for field in declared.binary:
        found[field] = from_base64(get_path(document, field))
        document = without_path(document, field)
    return document, found


def attach(document: "Document", values: Mapping[str, bytes | None]) -> "Document":
    """The document with binary fields as base64 text, None where there are no bytes."""
    result = dict(document)
    for field, data in values.items():
        set_path(result, field, to_base64(data))
    return result


def value_with_bytes(declared: Declaration, path: str, value: Any) -> Any:
    """A value that is stored at a dotted path, the binary fields in it as bytes; those without bytes are left out.

    Raises:
        PermanentError: A value is no base64 text.
    """
    for field in declared.binary:
        if field == path:
            return from_base64(value)
        if field.startswith(f"{path}.") and isinstance(value, dict):
            inner = field.removeprefix(f"{path}.")
            data = from_base64(get_path(value, inner))
            value = without_path(value, inner)
            if data is not None:
                set_path(value, inner, data)
    return value


def from_base64(text: Any) -> bytes | None:
    """The bytes; None for None and for the empty text.

    Raises:
        PermanentError: It is no base64 text.
    """
    if text is None or text == "":
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise PermanentError("document-refused", f"{str(text)[:40]!r} is no base64 text") from error


def to_base64(data: bytes | None) -> str | None:
    """Base64 text; None for None."""
    return None if data is None else base64.b64encode(data).decode()
