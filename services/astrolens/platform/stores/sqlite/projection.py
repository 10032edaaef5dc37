"""Which columns a read needs, and documents made from them."""

from collections.abc import Sequence
from json import loads
from typing import Any

from astrolens.platform.stores.binary import to_base64
from astrolens.platform.stores.collections import Declaration
from astrolens.platform.stores.documents import get_path, projected
from astrolens.platform.stores.records import Document
from astrolens.platform.stores.sqlite.columns import binary_column_name, column_name


class Projection:
    """The fields of a read; none for whole documents.

    Where columns hold all that is asked for, the JSON text is neither read nor parsed.

    Attributes:
        columns: What to select: the id, then what `document` takes.
    """

    def __init__(self, declared: Declaration, fields: Sequence[str] = ()) -> None:
        self._key = declared.key
        self._whole = not fields
        in_columns = {*declared.fields, *declared.binary, declared.key}
        self._parses = not in_columns.issuperset(fields)
        # With the JSON text at hand, only binary fields need their columns.
        self._from_columns = [field for field in dict.fromkeys(fields) if field in declared.binary or not self._parses]
        self._from_json = [field for field in fields if field not in self._from_columns]
        self._binary = declared.binary
        self._bools = {field for field, kind in declared.fields.items() if kind == "bool"}
        self.columns = ["id", *map(self._column, self._from_columns)]
        if self._whole or self._parses:
            self.columns.append("doc")

    def document(self, values: Sequence[Any]) -> Document:
        """A document from the values of `columns`."""
        if self._whole:
            document: Document = loads(values[1])
            return document
        count = len(self._from_columns)
        found = {
            field: self._value(field, value)
            for field, value in zip(self._from_columns, values[1 : count + 1], strict=True)
        }
        if self._parses:
            whole = loads(values[count + 1])
            found.update((field, get_path(whole, field)) for field in self._from_json)
        return projected({self._key: values[0]}, found)

    def _column(self, field: str) -> str:
        if field in self._binary:
            return binary_column_name(field)
        return "id" if field == self._key else column_name(field)

    def _value(self, field: str, value: Any) -> Any:
        if field in self._binary:
            return to_base64(value)
        return bool(value) if field in self._bools and value is not None else value
