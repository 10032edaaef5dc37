"""A part of a text in MongoDB: no index finds it, so what it may cost is bounded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pymongo
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from astrolens.platform.errors import PermanentError
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.mongo.filters import PRESENT, Filter, declared_path, query_filter
from astrolens.platform.stores.records import MAX_CONTAINING, Query

SEARCH_TIMEOUT_S: Final = 5.0
"""One page of a query that looks for a part of a text, which reads all names of the archive."""


@contextmanager
def bounded_search(query: Query) -> Iterator[None]:
    """Bound a query that looks for a part of a text by `SEARCH_TIMEOUT_S`; the server gives up then, too.

    Raises:
        PermanentError: `search-too-slow`.
    """
    texts = [clause.value for clause in query.where if clause.op == "contains"]
    if not texts:
        yield
        return
    try:
        with pymongo.timeout(SEARCH_TIMEOUT_S):
            yield
    except PyMongoError as error:
        if not error.timeout:
            raise
        raise PermanentError(
            "search-too-slow",
            f"the record store did not find {texts[0]!r} in the names within {SEARCH_TIMEOUT_S:g} s; search by id or "
            "position, or narrow by survey, state or date",
        ) from error


async def narrowed_to_ids(rows: AsyncCollection[dict[str, Any]], collection: Collection, query: Query) -> list[Filter]:
    """The filter of a query, narrowed to the documents with the text that it looks for, where these are few.

    Otherwise the walk in the query's order would read every document to find a few. The index of the field holds all
    that this needs, its value and the id; as in SQLite, where a text is frequent the walk meets enough soon.
    """
    conditions = query_filter(collection, query.where)
    clause = next((clause for clause in query.where if clause.op in {"prefix", "contains"}), None)
    if clause is None or (clause.field,) not in DECLARATIONS[collection].indexes:
        return conditions
    path = declared_path(collection, clause.field)
    holding = query_filter(collection, [clause])[0][path]
    cursor = rows.find({path: {**PRESENT["text"], **holding}}, {"_id": 1}, hint=[(path, 1), ("_id", 1)])
    found = await cursor.limit(MAX_CONTAINING + 1).to_list()
    return conditions if len(found) > MAX_CONTAINING else [*conditions, {"_id": {"$in": [row["_id"] for row in found]}}]
