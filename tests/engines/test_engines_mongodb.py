"""The MongoDB record store on the wire: the behaviour suite, and what only a MongoDB meets."""

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from astrolens.platform.errors import ConfigurationError, PermanentError, StoreUnavailable
from astrolens.platform.stores import collections
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.mongo import text_search
from astrolens.platform.stores.mongo.store import MongoRecordStore
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Order, Query, RecordStore
from pymongo import AsyncMongoClient, MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from tests.behaviour.record_documents import IMAGES, event, image
from tests.behaviour.record_store import RecordStoreBehaviour

# PyMongo 4.20 forgets the socket of a monitor whose connecting is cancelled by `close`: its `_async_create_connection`
# closes it on errors, not on a cancellation. The garbage collector closes it, and its warning must meet these tests and
# no later ones. A connection that this project forgets is another warning: "unclosed transport".
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket :pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def sockets_of_cancelled_monitors() -> Iterator[None]:
    yield
    gc.collect()


class TestMongoRecordStore(RecordStoreBehaviour):
    @pytest.fixture
    async def store(self, mongodb_url: str) -> AsyncIterator[RecordStore]:
        store = MongoRecordStore(mongodb_url)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    def reopen(self, mongodb_url: str) -> Callable[[], RecordStore]:
        return lambda: MongoRecordStore(mongodb_url)

    async def test_strange_field_names_survive(self, store: RecordStore) -> None:
        extra = {"a.b": "1", "$set": "2", "100%": "3", "%2e": "4", "é.$": "5", "": "6", "nul\0": "7", "_id": "8"}
        document = image(1, observation={"survey": "sdss", "name": None, "extra": extra})
        await store.insert(IMAGES, [document])
        await store.apply(IMAGES, [Change(id="img0001", set={"analysis": {"$state": "$verdict", "x.y": ["$$NOW"]}})])
        found = (await store.get(IMAGES, ["img0001"]))["img0001"]
        assert found == {**document, "analysis": {"$state": "$verdict", "x.y": ["$$NOW"]}}

    async def test_values_that_look_like_expressions_are_values(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        await store.apply(
            IMAGES, [Change(id="img0001", set={"label": "$state"}, push={"labels": [{"$add": [1, "$x"]}]})]
        )
        found = (await store.get(IMAGES, ["img0001"]))["img0001"]
        assert (found["label"], found["labels"]) == ("$state", [{"$add": [1, "$x"]}])

    async def test_what_bson_cannot_hold_is_refused_for_good(self, store: RecordStore) -> None:
        for value in (2**63, "\ud800"):
            with pytest.raises(PermanentError):
                await store.insert(IMAGES, [image(1, analysis={"value": value})])

    async def test_overlapping_paths_are_set_in_their_order(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        await store.apply(IMAGES, [Change(id="img0001", set={"analysis": {"a": 1}, "analysis.b": 2})])
        assert (await store.get(IMAGES, ["img0001"]))["img0001"]["analysis"] == {"a": 1, "b": 2}

    async def test_the_oldest_pending_document_comes_first_and_keeps_its_place(self, store: RecordStore) -> None:
        for number in (3, 1, 2):
            await store.insert(IMAGES, [image(number, pending=[event(number)])])
        await store.apply(IMAGES, [Change(id="img0003", push={"pending": [event(9)]})])
        assert [key for key, _ in await store.pending(IMAGES, limit=2)] == ["img0003", "img0001"]

    async def test_two_changes_of_one_document_are_counted_once(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        steps = [Change(id="img0001", set={"state": state}) for state in ("analyzed", "ingested", "analyzed")]
        assert await store.apply(IMAGES, steps) == {"img0001"}
        assert await store.tally(IMAGES, "state") == {("analyzed",): 1}

    async def test_a_new_tally_is_counted_at_the_next_start(
        self, store: RecordStore, reopen: Callable[[], RecordStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await store.insert(IMAGES, [image(1, credit="a"), image(2, credit="b"), image(3)])
        declared = collections.DECLARATIONS[Collection.IMAGES]
        grown = replace(
            declared, fields={**declared.fields, "credit": "text"}, tallies={"credit": ("credit",), "state": ("state",)}
        )
        monkeypatch.setitem(collections.DECLARATIONS, Collection.IMAGES, grown)
        other = reopen()
        await other.open()
        await other.insert(IMAGES, [image(4, credit="b")])
        assert await other.tally(IMAGES, "credit") == {("a",): 1, ("b",): 2, ("",): 1}
        assert await other.tally(IMAGES, "state") == {("ingested",): 4}
        page = await other.find(IMAGES, Query(where=(Clause("credit", "eq", "b"),), order=Order("credit")))
        assert [document["image_id"] for document in page.documents] == ["img0002", "img0004"]
        await other.close()

    @pytest.mark.timeout(600)
    async def test_the_books_balance_at_any_moment(self, store: RecordStore, reopen: Callable[[], RecordStore]) -> None:
        """Four writers on the same documents, and a reader who looks all the time."""
        count = 120
        writers = [reopen() for _ in range(4)]
        await asyncio.gather(*(writer.open() for writer in writers))
        await store.insert(IMAGES, [image(n) for n in range(count)])
        done = False
        looks = 0

        async def look() -> None:
            nonlocal looks
            while not done:
                states, verdicts = await store.tallies([(IMAGES, "state"), (IMAGES, "survey_verdict")])
                assert sum(states.values()) == sum(verdicts.values()) == count
                looks += 1

        async def write(writer: RecordStore, seed: int) -> int:
            order = random.Random(seed).sample(range(count), count)
            guard = (Clause("state", "eq", "ingested"),)
            won = 0
            for start in range(0, count, 8):
                changes = [
                    Change(id=f"img{n:04}", set={"state": "analyzed", "verdict": "anomaly"}, when=guard)
                    for n in order[start : start + 8]
                ]
                won += len(await _apply_with_retries(writer, changes))
            return won

        looking = asyncio.create_task(look())
        won = await asyncio.gather(*(write(writer, seed) for seed, writer in enumerate(writers)))
        done = True
        await looking
        assert sum(won) == count  # each change was won by exactly one
        assert await store.tally(IMAGES, "state") == {("analyzed",): count}
        assert await store.tally(IMAGES, "survey_verdict") == {("sdss", "anomaly"): count}
        assert looks > 3
        await asyncio.gather(*(writer.close() for writer in writers))


async def _apply_with_retries(writer: RecordStore, changes: list[Change]) -> set[str]:
    """As the bus does: a store that is unavailable for a moment is asked again."""
    for _ in range(5):
        try:
            return await writer.apply(IMAGES, changes)
        except StoreUnavailable:
            await asyncio.sleep(0.2)
    return await writer.apply(IMAGES, changes)


async def test_a_wrong_password_is_one_sentence_without_it(stack: dict[str, str]) -> None:
    host = urlsplit(stack["ASTROLENS_RECORDS_URL"]).netloc.rpartition("@")[2]
    store = MongoRecordStore(f"mongodb://astrolens:not-the-password@{host}/astrolens?authSource=admin")
    with pytest.raises(ConfigurationError, match="refuses the user name or password") as caught:
        await store.open()
    assert "not-the-password" not in str(caught.value)


async def test_a_server_that_is_away_is_told_within_a_bound() -> None:
    store = MongoRecordStore("mongodb://user:hidden@127.0.0.1:9/astrolens")
    began = monotonic()
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9 does not answer") as caught:
        await store.open()
    assert monotonic() - began < 12
    assert "hidden" not in str(caught.value)


async def test_a_search_for_a_part_of_a_name_that_takes_too_long_says_what_to_do(
    mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MongoRecordStore(mongodb_url)
    await store.open()
    try:
        await store.insert(IMAGES, [image(n) for n in range(20)])
        monkeypatch.setattr(text_search, "SEARCH_TIMEOUT_S", 1e-4)
        with pytest.raises(
            PermanentError, match=r"did not find 'J00' in the names within 0\.0001 s; search by"
        ) as caught:
            await store.find(IMAGES, Query(where=(Clause("observation.name", "contains", "J00"),)))
        assert caught.value.reason.code == "search-too-slow"
        assert (await store.find(IMAGES, Query())).documents, "queries that an index serves are not bounded by it"
    finally:
        await store.close()


async def test_an_index_that_cannot_be_built_is_named(mongodb_url: str) -> None:
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        # Somebody's own, with the keys of one of ours.
        client.get_default_database()["images"].create_index(
            [("state", 1), ("offered_at", 1), ("_id", 1)], name="somebody's"
        )
    with pytest.raises(ConfigurationError, match="cannot build an index of images"):
        await MongoRecordStore(mongodb_url).open()


async def test_indexes_of_an_earlier_version_give_way_and_others_stay(mongodb_url: str) -> None:
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        images = client.get_default_database()["images"]
        images.create_index(
            [("state", 1), ("offered_at", 1), ("_id", 1)], name="astrolens_state__offered_at", sparse=True
        )
        images.create_index([("phash", 1)], name="astrolens_phash")
        images.create_index([("observation.credit", 1)], name="somebody's")
        for _ in range(2):  # the second start finds everything as it should be
            store = MongoRecordStore(mongodb_url)
            await store.open()
            await store.close()
            found = images.index_information()
            assert "sparse" not in found["astrolens_state__offered_at"]
            assert "astrolens_phash" not in found
            assert "somebody's" in found


class Commands(CommandListener):
    """The names of the commands that a client sends, and its finds."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.finds: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        self.names.add(event.command_name)
        if event.command_name == "find":
            self.finds.append(
                {name: event.command[name] for name in ("find", "filter", "sort") if name in event.command}
            )

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


async def test_opening_what_is_declared_alike_only_reads(mongodb_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    client = partial(AsyncMongoClient, event_listeners=[commands])
    monkeypatch.setattr("astrolens.platform.stores.mongo.store.AsyncMongoClient", client)
    store = MongoRecordStore(mongodb_url)
    await store.open()
    await store.close()
    assert {"create", "createIndexes"} <= commands.names
    commands.names.clear()
    await store.open()
    await store.close()
    connecting = {"hello", "saslStart", "saslContinue", "endSessions"}
    assert commands.names - connecting <= {"listCollections", "listIndexes", "find", "getMore"}


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("bounds", [(), (Clause("labeled_at", "lt", "2026-03"),)])
async def test_every_page_of_a_rare_field_walks_its_index(
    mongodb_url: str, monkeypatch: pytest.MonkeyPatch, bounds: tuple[Clause, ...], *, descending: bool
) -> None:
    """An index of the documents that have a value serves only a query that shows that it wants no others."""
    commands = Commands()
    client = partial(AsyncMongoClient, event_listeners=[commands])
    monkeypatch.setattr("astrolens.platform.stores.mongo.store.AsyncMongoClient", client)
    store = MongoRecordStore(mongodb_url)
    await store.open()
    labelled = [image(n, labeled_at=f"2026-01-{1 + n // 2:02}") for n in range(20)]
    await store.insert(IMAGES, [*labelled, *(image(n) for n in range(20, 60))])
    commands.finds.clear()
    query = Query(where=bounds, order=Order("labeled_at", descending=descending), limit=7)
    found = [document["image_id"] async for page in pages(store, IMAGES, query) for document in page]
    await store.close()
    assert found == sorted((f"img{n:04}" for n in range(20)), reverse=descending)
    finds = [find for find in commands.finds if find["find"] == IMAGES.value]
    assert len(finds) == 5
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        for find in finds:
            plan = client.get_default_database().command("explain", find)["queryPlanner"]["winningPlan"]
            assert "COLLSCAN" not in str(plan), find["filter"]


async def test_documents_of_an_earlier_version_enter_the_hash_index_and_show_their_embeddings(mongodb_url: str) -> None:
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        images = client.get_default_database()["images"]
        images.insert_many(
            {"_id": f"img{n:04}", "phash": f"{n:016x}", "analysis": {"embedding": "ADwAQABC"}} for n in range(1200)
        )
        images.insert_one({"_id": "none", "phash": None})
    store = MongoRecordStore(mongodb_url)
    await store.open()
    (found,) = await store.near(IMAGES, ["0" * 16], radius=1, limit=20)
    assert sorted(found)[:3] == [("img0000", 0), ("img0001", 1), ("img0002", 1)]
    assert len(found) == 12
    assert (await store.get(IMAGES, ["img0001"]))["img0001"]["analysis"] == {}
    asked = await store.get(IMAGES, ["img0001"], fields=["analysis.embedding"])
    assert asked["img0001"]["analysis"] == {"embedding": "ADwAQABC"}
    await store.close()


async def test_images_of_an_earlier_version_are_sorted_with_the_others(mongodb_url: str) -> None:
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        images = client.get_default_database()["images"]
        images.insert_many({"_id": f"img{n:04}", "p_value": 1.0 - n / 1200} for n in range(1200))
        images.insert_one({"_id": "waits", "p_value": None})
        images.insert_one({"_id": "newer", "p_value": 1 / 606, "rank_score": 11.5})
    store = MongoRecordStore(mongodb_url)
    await store.open()
    page = await store.find(IMAGES, Query(order=Order("rank_score", descending=True), limit=2000))
    found = {document["image_id"]: document["rank_score"] for document in page.documents}
    assert list(found) == ["newer", *(f"img{n:04}" for n in range(1199, -1, -1))]
    assert found["img1080"] == pytest.approx(1.0)
    await store.close()
