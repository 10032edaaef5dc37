"""The columns of a collection's table.

A row is `row INTEGER PRIMARY KEY, id, declared fields, pending_since, doc, binary fields`. What queries look at stands
before `doc`, the document as JSON text, so that reading it does not walk through the pages of a long document.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from astrolens.platform.stores.collections import Collection, Declaration
from astrolens.platform.stores.documents import get_path
from astrolens.platform.stores.records import Document

_TYPES: Final = {"text": "TEXT", "real": "REAL", "bool": "INTEGER"}


@dataclass(frozen=True)
class Column:
    """A column: its name, its type, and the SQL expression that finds its value in `doc`."""

    name: str
    type: str
    expression: str


def column_name(field: str) -> str:
    """The column of a dotted field."""
    return "f_" + field.replace(".", "__")


def binary_column_name(field: str) -> str:
    """The column of a binary field."""
    return "b_" + field.replace(".", "__")


def field_columns(declared: Declaration) -> list[Column]:
    """The columns before `doc`."""
    columns = [Column(column_name(name), _TYPES[kind], extract(name)) for name, kind in declared.fields.items()]
    if declared.has_pending:
        # When the events came is not known any more; they go after all whose time is known.
        since = f"CASE WHEN json_array_length(doc, {json_path('pending')}) > 0 THEN 'rebuilt' END"
        columns.append(Column("pending_since", "TEXT", since))
    return columns


def binary_columns(declared: Declaration) -> list[Column]:
    """The columns behind `doc`."""
    return [
        Column(binary_column_name(field), "BLOB", f"from_base64({extract(field)})") for field in sorted(declared.binary)
    ]


def doc_without_binary(declared: Declaration) -> str:
    """The SQL expression of `doc` without its binary fields."""
    paths = [json_path(field) for field in sorted(declared.binary)]
    return f"json_remove(doc, {', '.join(paths)})" if paths else "doc"


def table_sql(collection: Collection, declared: Declaration) -> str:
    """The statement that creates the table of a collection."""
    before = [f"{column.name} {column.type}" for column in field_columns(declared)]
    behind = [f"{column.name} {column.type}" for column in binary_columns(declared)]
    columns = ["row INTEGER PRIMARY KEY", "id TEXT NOT NULL UNIQUE", *before, "doc TEXT NOT NULL", *behind]
    return f"CREATE TABLE {collection} ({', '.join(columns)})"


def index_sql(collection: Collection, declared: Declaration) -> dict[str, str]:
    """The statements that create the indexes of a collection, by name.

    SQLite ends every index with the row number, which breaks ties: paging is an index walk.
    """
    statements: dict[str, str] = {}
    for fields in declared.indexes:
        names = [column_name(field) for field in fields]
        name = f"{collection}_{'_'.join(names)}"
        condition = f" WHERE {names[0]} IS NOT NULL" if fields[0] in declared.rare else ""
        statements[name] = f"CREATE INDEX {name} ON {collection} ({', '.join(names)}){condition}"
    if declared.has_pending:
        name = f"{collection}_pending"
        statements[name] = f"CREATE INDEX {name} ON {collection} (pending_since) WHERE pending_since IS NOT NULL"
    return statements


def column_values(declared: Declaration, document: Document) -> dict[str, Any]:
    """The values of the columns before `doc`, by column."""
    values = {column_name(name): get_path(document, name) for name in declared.fields}
    if declared.has_pending:
        values["pending_since"] = datetime.now(UTC).isoformat() if document.get("pending") else None
    return values


def extract(field: str) -> str:
    """The SQL expression of a field's value."""
    return f"json_extract(doc, {json_path(field)})"


def counted(declared: Declaration, field: str) -> str:
    """The SQL expression of a field's value as tallies write it."""
    if declared.fields.get(field) == "text":
        return column_name(field)
    path = json_path(field)
    return f"CASE json_type(doc, {path}) WHEN 'true' THEN 'True' WHEN 'false' THEN 'False' ELSE {extract(field)} END"


def json_path(field: str) -> str:
    """A dotted field as an SQL literal of SQLite's JSON path."""
    steps = "".join(f'."{step}"' for step in field.split("."))
    return f"'${steps}'"
