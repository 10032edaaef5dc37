"""Clauses as SQL conditions over declared columns."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from astrolens.platform.errors import UndeclaredField
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.sqlite.columns import column_name

if TYPE_CHECKING:
    from astrolens.platform.stores.records import Clause

_OPERATORS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


def column_of(collection: Collection, field: str) -> str:
    """The column of a declared field.

    Raises:
        UndeclaredField: Nothing indexes it, so a query on it would read the whole archive.
    """
    declared = DECLARATIONS[collection]
    if field == declared.key:
        return "id"
    if field not in declared.fields:
        raise UndeclaredField(collection, field)
    return column_name(field)


def where_sql(
    collection: Collection, clauses: Sequence["Clause"], *, frequent: bool = False
) -> tuple[list[str], list[Any]]:
    """Conditions, to be joined by AND, and the values they bind.

    Args:
        collection: The collection.
        clauses: The conditions.
        frequent: Many rows begin with the text of a `prefix`: its index is left alone, for all that it finds would have
            to be sorted, where the walk in order meets enough soon.
    """
    conditions: list[str] = []
    values: list[Any] = []
    for clause in clauses:
        name = column_of(collection, clause.field)
        match clause.op:
            case "eq" if clause.value is None:
                conditions.append(f"{name} IS NULL")
            case "eq":
                # `=` and not `IS`: SQLite infers from it that the value is not NULL, as a partial index requires.
                conditions.append(f"{name} = ?")
                values.append(clause.value)
            case "ne":
                conditions.append(f"{name} IS NOT ?")
                values.append(clause.value)
            case "in":
                conditions.append(f"{name} IN ({', '.join('?' * len(clause.value))})")
                values += list(clause.value)
            case "exists":
                conditions.append(f"{name} IS {'NOT ' if clause.value else ''}NULL")
            case "prefix":
                # A range uses the index; LIKE would not, and would read % and _ in the value as wildcards.
                bare = f"+{name}" if frequent else name
                conditions.append(f"({bare} >= ? AND {bare} < ?)")
                values += [clause.value, clause.value + "\U0010ffff"]
            case "contains":
                conditions.append(f"instr(lower({name}), ?)")
                values.append(clause.value.lower())
            case comparison:
                conditions.append(f"{name} {_OPERATORS[comparison]} ?")
                values.append(clause.value)
    return conditions, values
