"""What every record store must do. An adapter's test class inherits this and gives the `store` fixture."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from astrolens.platform.errors import PermanentError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Order, Query, RecordStore

from tests.behaviour.record_documents import IMAGES, event, image
from tests.behaviour.record_near import NearHashBehaviour
from tests.behaviour.record_queries import RecordQueryBehaviour


class RecordStoreBehaviour(RecordQueryBehaviour, NearHashBehaviour):
    """Inherit, and give a fixture `store` (an opened store) and `reopen` (a second handle on the same data)."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[RecordStore]:
        raise AssertionError("the adapter's test class gives the store")
        yield  # noqa: PT022 - makes this a generator, as the adapters' fixtures are

    @pytest.fixture
    def reopen(self) -> Callable[[], RecordStore]:
        raise AssertionError("the adapter's test class gives the store")

    async def test_insert_puts_only_what_is_absent(self, store: RecordStore) -> None:
        assert await store.insert(IMAGES, [image(1), image(2)]) == {"img0001", "img0002"}
        assert await store.insert(IMAGES, [image(2, state="analyzed"), image(3)]) == {"img0003"}
        found = await store.get(IMAGES, ["img0001", "img0002", "img0003", "absent"])
        assert {key: document["state"] for key, document in found.items()} == dict.fromkeys(
            ["img0001", "img0002", "img0003"], "ingested"
        )

    async def test_the_same_id_twice_in_one_insert_is_put_once(self, store: RecordStore) -> None:
        assert await store.insert(IMAGES, [image(1), image(1, state="analyzed")]) == {"img0001"}
        assert (await store.get(IMAGES, ["img0001"]))["img0001"]["state"] == "ingested"
        assert await store.tally(IMAGES, "state") == {("ingested",): 1}

    async def test_documents_come_back_as_they_went_in(self, store: RecordStore) -> None:
        document = image(1, analysis={"p": 1e-12, "text": "Ω \u2028 '\"", "big": 2**62, "list": [1, None, {"a": []}]})
        await store.insert(IMAGES, [document])
        assert (await store.get(IMAGES, ["img0001"]))["img0001"] == document

    async def test_a_change_happens_only_where_its_guard_holds(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1), image(2, state="analyzed")])
        changes = [
            Change(
                id=name, set={"state": "analyzed", "analysis.deep.value": 3}, when=(Clause("state", "eq", "ingested"),)
            )
            for name in ("img0001", "img0002", "absent")
        ]
        assert await store.apply(IMAGES, changes) == {"img0001"}
        found = await store.get(IMAGES, ["img0001", "img0002"])
        assert found["img0001"]["analysis"] == {"deep": {"value": 3}}
        assert "analysis" not in found["img0002"]

    async def test_changes_of_one_document_in_one_call_follow_each_other(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        first = Change(id="img0001", push={"labels": [{"n": 1}]})
        second = Change(id="img0001", push={"labels": [{"n": 2}, {"n": 3}]}, set={"label": "artefact"})
        assert await store.apply(IMAGES, [first, second]) == {"img0001"}
        document = (await store.get(IMAGES, ["img0001"]))["img0001"]
        assert [label["n"] for label in document["labels"]] == [1, 2, 3]
        assert document["label"] == "artefact"

    async def test_concurrent_changes_of_one_document_all_count(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        await asyncio.gather(
            *(store.apply(IMAGES, [Change(id="img0001", push={"labels": [{"n": n}]})]) for n in range(20))
        )
        labels = (await store.get(IMAGES, ["img0001"]))["img0001"]["labels"]
        assert sorted(label["n"] for label in labels) == list(range(20))

    async def test_a_guard_on_a_whole_list_or_map_lets_one_of_many_append(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, labels=[{"n": 0, "at": None}], labeled={"a": 1})])
        read = (await store.get(IMAGES, ["img0001"]))["img0001"]
        unchanged = tuple(Clause(field, "eq", read.get(field)) for field in ("labels", "labeled", "absent"))
        changes = [Change(id="img0001", push={"labels": [{"n": n}]}, when=unchanged) for n in range(1, 9)]
        results = await asyncio.gather(*(store.apply(IMAGES, [change]) for change in changes))
        assert sorted(map(len, results)) == [0] * 7 + [1]
        labels = (await store.get(IMAGES, ["img0001"]))["img0001"]["labels"]
        assert (len(labels), labels[0]) == (2, {"n": 0, "at": None})

    async def test_only_one_of_two_guarded_changes_wins(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        guard = (Clause("state", "eq", "ingested"),)
        results = await asyncio.gather(
            *(store.apply(IMAGES, [Change(id="img0001", set={"state": "analyzed"}, when=guard)]) for _ in range(8))
        )
        assert sum(bool(result) for result in results) == 1

    async def test_upsert_replaces_whole_documents(self, store: RecordStore) -> None:
        await store.upsert(Collection.SERVICES, [{"instance": "a", "service": "ingestor", "info": {"x": 1}}])
        await store.upsert(Collection.SERVICES, [{"instance": "a", "service": "ingestor"}, {"instance": "b"}])
        found = await store.get(Collection.SERVICES, ["a", "b"])
        assert found["a"] == {"instance": "a", "service": "ingestor"}
        assert set(found) == {"a", "b"}

    async def test_delete_removes_and_counts(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1), image(2)])
        assert await store.delete(IMAGES, ["img0001", "absent"]) == 1
        assert set(await store.get(IMAGES, ["img0001", "img0002"])) == {"img0002"}
        assert await store.tally(IMAGES, "state") == {("ingested",): 1}

    async def test_tallies_follow_every_write(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(n) for n in range(5)])
        await store.apply(
            IMAGES, [Change(id=f"img{n:04}", set={"state": "analyzed", "verdict": "anomaly"}) for n in (0, 1)]
        )
        await store.delete(IMAGES, ["img0004"])
        assert await store.tally(IMAGES, "state") == {("ingested",): 2, ("analyzed",): 2}
        assert await store.tally(IMAGES, "survey_verdict") == {("sdss", ""): 2, ("sdss", "anomaly"): 2}
        states, receipts = await store.tallies([(IMAGES, "state"), (Collection.RECEIPTS, "outcome")])
        assert states == {("ingested",): 2, ("analyzed",): 2}
        assert receipts == {}
        for name in ("state", "survey_verdict"):
            assert await store.count_documents(IMAGES, name) == await store.tally(IMAGES, name)

    async def test_pending_events_stay_until_pulled(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)]), image(2)])
        await store.apply(IMAGES, [Change(id="img0002", push={"pending": [event(2), event(3)]})])
        waiting = dict(await store.pending(IMAGES, limit=10))
        assert {key: [e.event_id for e in events] for key, events in waiting.items()} == {
            "img0001": ["event1"],
            "img0002": ["event2", "event3"],
        }
        await store.apply(
            IMAGES, [Change(id="img0002", pull_pending=["event2"]), Change(id="img0001", pull_pending=["event1"])]
        )
        waiting = dict(await store.pending(IMAGES, limit=10))
        assert {key: [e.event_id for e in events] for key, events in waiting.items()} == {"img0002": ["event3"]}

    async def test_pending_documents_are_paged_by_age(self, store: RecordStore) -> None:
        for number in (3, 1, 4, 2, 5):
            await store.insert(IMAGES, [image(number, pending=[event(number)])])
            await asyncio.sleep(0.005)  # The age is kept in milliseconds by some engines.
        await store.insert(IMAGES, [image(number, pending=[event(number)]) for number in (7, 6, 8)])
        seen: list[str] = []
        after: str | None = None
        while page := await store.pending(IMAGES, limit=2, after=after):
            seen += [key for key, _ in page]
            after = seen[-1]
        assert seen[:5] == ["img0003", "img0001", "img0004", "img0002", "img0005"]
        assert sorted(seen[5:]) == ["img0006", "img0007", "img0008"]
        await store.apply(IMAGES, [Change(id="img0004", pull_pending=["event4"])])
        whole = [key for key, _ in await store.pending(IMAGES, limit=10)]
        for vanished in ("img0004", "absent"):
            assert [key for key, _ in await store.pending(IMAGES, limit=10, after=vanished)] == whole

    async def test_a_document_carries_its_pending_events_in_their_order(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(2), event(1)]), image(2)])
        await store.apply(IMAGES, [Change(id="img0001", set={"state": "analyzed"}, push={"pending": [event(3)]})])
        whole = (await store.get(IMAGES, ["img0001"]))["img0001"]
        assert whole["pending"] == [event(2), event(1), event(3)]
        page = await store.find(IMAGES, Query(where=(Clause("state", "eq", "analyzed"),)))
        assert page.documents == [whole]
        pull = Change(id="img0001", pull_pending=["event2", "event1"], when=(Clause("state", "eq", "analyzed"),))
        assert await store.apply(IMAGES, [pull]) == {"img0001"}
        left = await store.get(IMAGES, ["img0001", "img0002"])
        assert {key: found["pending"] for key, found in left.items()} == {"img0001": [event(3)], "img0002": []}

    async def test_a_change_that_does_not_happen_leaves_no_event(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)])])
        guard = (Clause("state", "eq", "analyzed"),)
        changes = [
            Change(id="img0001", push={"pending": [event(2)]}, pull_pending=["event1"], when=guard),
            Change(id="absent", push={"pending": [event(3)]}),
        ]
        assert await store.apply(IMAGES, changes) == set()
        ((key, waiting),) = await store.pending(IMAGES, limit=10)
        assert (key, [one.event_id for one in waiting]) == ("img0001", ["event1"])

    async def test_clearing_events_tells_which_documents_exist(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)]), image(2)])
        changes = [Change(id=key, pull_pending=["event1"]) for key in ("img0001", "img0002", "absent")]
        assert await store.apply(IMAGES, changes) == {"img0001", "img0002"}
        assert await store.pending(IMAGES, limit=10) == []

    async def test_a_deleted_document_takes_its_events_along(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)]), image(2, pending=[event(1)])])
        await store.delete(IMAGES, ["img0001"])
        assert [key for key, _ in await store.pending(IMAGES, limit=10)] == ["img0002"]
        await store.insert(IMAGES, [image(1)])
        assert (await store.get(IMAGES, ["img0001"]))["img0001"]["pending"] == []

    async def test_what_was_written_is_there_for_another_handle(
        self, store: RecordStore, reopen: Callable[[], RecordStore]
    ) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)])])
        other = reopen()
        await other.open()
        try:
            assert set(await other.get(IMAGES, ["img0001"])) == {"img0001"}
            assert await other.tally(IMAGES, "state") == {("ingested",): 1}
            await other.apply(IMAGES, [Change(id="img0001", set={"state": "analyzed"})])
        finally:
            await other.close()
        assert (await store.get(IMAGES, ["img0001"]))["img0001"]["state"] == "analyzed"
        assert await store.tally(IMAGES, "state") == {("analyzed",): 1}

    async def test_many_documents_at_once(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(n) for n in range(1500)])
        assert len(await store.get(IMAGES, [f"img{n:04}" for n in range(1500)])) == 1500
        changed = await store.apply(IMAGES, [Change(id=f"img{n:04}", set={"state": "analyzed"}) for n in range(1500)])
        assert len(changed) == 1500

    async def test_binary_fields_come_only_when_asked_for(self, store: RecordStore) -> None:
        analysis = {"model_digest": "a", "embedding": "ADwAQABC"}
        await store.insert(IMAGES, [image(1, analysis=analysis), image(2, analysis=None), image(3, analysis={"a": 1})])
        await store.apply(IMAGES, [Change(id="img0002", set={"analysis": analysis, "state": "analyzed"})])
        whole = await store.get(IMAGES, ["img0001", "img0002", "img0003"])
        assert [whole[key]["analysis"] for key in sorted(whole)] == [{"model_digest": "a"}] * 2 + [{"a": 1}]
        page = await store.find(IMAGES, Query(order=Order("state")))
        assert {document["image_id"]: document for document in page.documents} == whole
        assert await _embeddings(store) == ["ADwAQABC", "ADwAQABC", None]
        for fields in (("image_id", "analysis.embedding"), ("analysis.embedding", "labels")):
            page = await store.find(IMAGES, Query(fields=fields))
            found = {document["image_id"]: document["analysis"]["embedding"] for document in page.documents}
            assert found == {"img0001": "ADwAQABC", "img0002": "ADwAQABC", "img0003": None}
        with_all = await store.get(IMAGES, ["img0001"], fields=("analysis", "analysis.embedding"))
        assert with_all["img0001"] == {"image_id": "img0001", "analysis": analysis}

    async def test_binary_fields_follow_every_write(self, store: RecordStore) -> None:
        def analyzed(embedding: str | None) -> dict[str, Any]:
            return {"model_digest": "a", "embedding": embedding}

        await store.insert(IMAGES, [image(n, analysis=analyzed("AAAA")) for n in (1, 2, 3)])
        # What does not touch it, leaves it; what replaces the analysis, replaces it.
        await store.apply(IMAGES, [Change(id="img0001", set={"state": "analyzed", "analysis.model_digest": "b"})])
        await store.apply(IMAGES, [Change(id="img0002", set={"analysis": analyzed("BBBB")})])
        await store.apply(IMAGES, [Change(id="img0003", set={"analysis": None})])
        assert await _embeddings(store) == ["AAAA", "BBBB", None]
        await store.apply(IMAGES, [Change(id="img0001", set={"analysis.embedding": "CCCC"})])
        await store.apply(IMAGES, [Change(id="img0003", set={"analysis": analyzed("")})])
        await store.upsert(IMAGES, [image(2, analysis=analyzed(None)), image(4, analysis=analyzed("DDDD"))])
        assert await _embeddings(store) == ["CCCC", None, None, "DDDD"]
        with pytest.raises(PermanentError, match="base64"):
            await store.insert(IMAGES, [image(5, analysis=analyzed("no base64!"))])


async def _embeddings(store: RecordStore) -> list[str | None]:
    """The embeddings of all images, by id."""
    ids = [f"img{n:04}" for n in range(1, 5)]
    found = await store.get(IMAGES, ids, fields=["analysis.embedding"])
    return [found[document_id]["analysis"]["embedding"] for document_id in ids if document_id in found]
