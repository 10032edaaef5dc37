"""Reading a query to its end, a page at a time: the one pager for everything that reads many documents."""

from collections.abc import AsyncIterator
from dataclasses import replace

from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Document, Page, Query, RecordStore


async def pages(records: RecordStore, collection: Collection, query: Query) -> AsyncIterator[list[Document]]:
    """The pages of a query, none of them empty, each of at most `query.limit` documents.

    A page is read when it is asked for; documents that come or go meanwhile are seen where the order puts them.

    Raises:
        StoreUnavailable: The store does not answer; a caller that goes on later needs a cursor or a condition.
    """
    async for page in pages_with_cursors(records, collection, query):
        yield page.documents


async def pages_with_cursors(records: RecordStore, collection: Collection, query: Query) -> AsyncIterator[Page]:
    """As `pages`, with the cursor behind each page: for a caller that continues there later with `query.after`."""
    while True:
        page = await records.find(collection, query)
        if page.documents:
            yield page
        if page.next is None:
            return
        query = replace(query, after=page.next)
