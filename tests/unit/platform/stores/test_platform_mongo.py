"""What of the MongoDB record store needs no server: names, filters, pipelines, shards, sentences."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from astrolens.platform.errors import PermanentError, StoreUnavailable, UndeclaredField
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.documents import touches
from astrolens.platform.stores.hash_index import stored_keys
from astrolens.platform.stores.mongo.change import fields_to_know, projection, update_of
from astrolens.platform.stores.mongo.codec import (
    HASH_AGE,
    HASH_KEYS,
    decode,
    encode,
    escape,
    from_mongo,
    path_of,
    to_mongo,
)
from astrolens.platform.stores.mongo.counters import SHARDS, CounterShards, increment_updates, sum_shards
from astrolens.platform.stores.mongo.errors import address_of, is_conflict, translate_mongo_errors
from astrolens.platform.stores.mongo.filters import bounded_below, combine, query_filter, without_bound
from astrolens.platform.stores.mongo.outbox import MongoOutbox, pulled_keys
from astrolens.platform.stores.mongo.schema import indexes
from astrolens.platform.stores.mongo.store import MongoRecordStore
from astrolens.platform.stores.records import Change, Clause
from astrolens.platform.stores.tallies import Increments
from hypothesis import given
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure

IMAGES = Collection.IMAGES
DECLARED = DECLARATIONS[IMAGES]

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=4))
def test_documents_come_back_whatever_their_fields_are_called(document: dict[str, object]) -> None:
    assert decode(encode(document)) == document


@given(names)
def test_an_escaped_name_is_only_a_name(name: str) -> None:
    assert not set(escape(name)) & {".", "$", "\0"}


def test_the_key_becomes_the_id_and_pending_events_lie_apart() -> None:
    stored = to_mongo(DECLARED, {"image_id": "a", "state": "ingested", "pending": [{"event_id": "e"}]})
    assert set(stored) == {"_id", "state", HASH_AGE}
    assert (stored["_id"], stored["state"]) == ("a", "ingested")
    assert from_mongo(DECLARED, stored) == {"image_id": "a", "state": "ingested"}
    assert path_of("image_id", key="image_id") == "_id"
    plain = DECLARATIONS[Collection.META]
    assert to_mongo(plain, {"name": "a", "pending": 1}) == {"_id": "a", "pending": 1}


def test_a_hash_is_stored_with_its_keys_and_an_age() -> None:
    document = {"image_id": "a", "phash": "0" * 15 + "1"}
    stored, later = to_mongo(DECLARED, document), to_mongo(DECLARED, document)
    assert stored[HASH_KEYS] == stored_keys(1)
    assert stored[HASH_AGE] < later[HASH_AGE]
    assert from_mongo(DECLARED, stored) == document
    change = update_of(DECLARED, Change(id="a", set={"phash": "0" * 16}))
    assert change == {"$set": {"phash": "0" * 16, HASH_KEYS: stored_keys(0)}}


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "\ud800", {"deep": ["\udfff"]}])
def test_what_bson_cannot_hold_is_refused_for_good(value: object) -> None:
    with pytest.raises(PermanentError) as caught:
        encode({"value": value})
    assert caught.value.reason.code == "document-refused"


def test_queries_name_declared_fields() -> None:
    with pytest.raises(UndeclaredField):
        query_filter(IMAGES, [Clause("credit", "eq", 1)])
    (condition,) = query_filter(IMAGES, [Clause("observation.name", "contains", "M(3")])
    assert condition == {"observation.name": {"$regex": r"M\(3", "$options": "i"}}


def test_two_conditions_on_one_field_do_not_replace_each_other() -> None:
    low, lower, high, value = ({"p_value": each} for each in ({"$gte": 0.1}, {"$gte": 0.01}, {"$lt": 0.5}, 0.2))
    assert combine([low, high]) == {"p_value": {"$gte": 0.1, "$lt": 0.5}}
    assert low == {"p_value": {"$gte": 0.1}}
    assert combine([low, lower]) == {"$and": [low, lower]}
    assert combine([low, value]) == {"$and": [low, value]}
    assert combine([value, value]) == {"$and": [value, value]}
    assert combine([{"_id": "a"}, low]) == {"_id": "a", **low}
    assert combine([]) == {}


def test_only_a_bound_of_one_kind_is_left_out() -> None:
    until, since, prefix = {"a": {"$lt": 5}}, {"a": {"$gte": 1}}, {"a": {"$gte": "x", "$lt": "y"}}
    rest = [since, prefix, {"a": "$lt"}, {"b": {"$lt": 5}}]
    assert without_bound([until, *rest], "a", "$lt") == rest


def test_an_equality_and_a_range_behind_it_are_one_stretch_of_an_index() -> None:
    clauses = [Clause("source", "eq", "upload"), Clause("received_at", "gte", "2026"), Clause("received_at", "lt", "3")]
    found = combine(query_filter(Collection.RECEIPTS, clauses))
    assert found == {"source": "upload", "received_at": {"$gte": "2026", "$lt": "3"}}


@pytest.mark.parametrize(
    ("clause", "bounded"),
    [
        (Clause("verdict", "eq", "anomaly"), True),
        (Clause("verdict", "lt", "b"), False),
        (Clause("verdict", "eq", None), False),
        (Clause("verdict", "ne", "anomaly"), False),
        (Clause("verdict", "exists", False), False),
        (Clause("state", "eq", "analyzed"), False),
    ],
)
def test_only_a_lower_bound_says_that_there_is_a_value(clause: Clause, bounded: bool) -> None:
    assert bounded_below([Clause("p_value", "gt", 0.1), clause], "verdict") is bounded


def test_every_value_of_a_pipeline_is_a_literal() -> None:
    change = Change(id="a", set={"label": "$state", "analysis.x": 1}, push={"labels": ["$x"]}, pull_pending=["$e"])
    text = str(update_of(DECLARED, change))
    for value in ("'$state'", "['$x']"):
        assert f"{{'$literal': {value}}}" in text


def test_plain_fields_need_no_pipeline_and_events_no_update() -> None:
    change = Change(id="a", set={"label": "$state", "image_id": "a"}, push={"pending": [{"event_id": "e"}]})
    assert update_of(DECLARED, change) == {"$set": {"label": "$state", "_id": "a"}}
    assert update_of(DECLARED, Change(id="a", push={"pending": [{"event_id": "e"}]}, pull_pending=["f"])) is None
    with pytest.raises(ValueError, match="never set"):
        update_of(DECLARED, Change(id="a", set={"pending": []}))


def test_a_path_and_what_lies_below_it_are_set_one_after_the_other() -> None:
    stages = update_of(DECLARED, Change(id="a", set={"x": {}, "x.y": 1, "z": 2}))
    assert isinstance(stages, list)
    assert [list(stage["$set"]) for stage in stages] == [["x"], ["x.y"], ["z"]]
    stages = update_of(DECLARED, Change(id="a", set={"x": 1, "xy.z": 2}))
    assert isinstance(stages, list)
    assert [list(stage["$set"]) for stage in stages] == [["x", "xy.z"]]


def test_what_guards_and_tallies_look_at_is_read_and_nothing_twice() -> None:
    changes = [Change(id="a", when=(Clause("state", "eq", "x"), Clause("observation", "exists", True)))]
    fields = fields_to_know(changes, ["observation.survey", "image_id"])
    assert projection(DECLARED, fields) == {"_id": 1, "observation": 1, "state": 1}


def test_an_event_has_one_place_beside_its_document() -> None:
    changes = [Change(id="a", pull_pending=["e", "f"]), Change(id="b", pull_pending=["e"]), Change(id="c")]
    assert pulled_keys(changes) == {"a/e", "a/f", "b/e"}


def test_a_change_touches_parents_and_children_of_what_it_sets() -> None:
    assert touches(Change(id="a", set={"observation": {}}), "observation.survey")
    assert touches(Change(id="a", pull_pending=["e"]), "pending")
    assert not touches(Change(id="a", set={"states": 1}), "state")


class LosesTheFirstAnswer:
    """A collection whose first delete happens, though nobody hears of it."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def delete_many(self, wanted: dict[str, Any], session: object = None) -> Any:
        self.asked.append(wanted["_id"]["$in"])
        if len(self.asked) == 1:
            raise AutoReconnect("the primary went away")
        return SimpleNamespace(deleted_count=0)


async def test_deleting_events_is_tried_again_where_the_answer_was_lost() -> None:
    rows = LosesTheFirstAnswer()
    outbox = MongoOutbox(cast("Any", {"images_outbox": rows}), IMAGES)
    assert await outbox.delete(["a/e"], None) == 0
    assert rows.asked == [["a/e"], ["a/e"]]


async def test_in_a_transaction_deleting_events_is_tried_again_with_everything_else() -> None:
    rows = LosesTheFirstAnswer()
    with pytest.raises(AutoReconnect):
        await MongoOutbox(cast("Any", {"images_outbox": rows}), IMAGES).delete(["a/e"], cast("Any", object()))
    assert len(rows.asked) == 1


def test_every_index_ends_with_the_id_so_that_paging_is_a_walk() -> None:
    models = {model.document["name"]: list(model.document["key"]) for model in indexes(DECLARED)}
    assert models["astrolens_verdict__rank_score"] == ["verdict", "rank_score", "_id"]
    assert models.pop("astrolens_hash") == [HASH_KEYS, HASH_AGE]  # no query pages through it
    assert all(keys[-1] == "_id" for keys in models.values())
    assert len(models) < 60  # MongoDB takes 64 a collection


def test_an_index_of_what_most_documents_lack_holds_only_the_others() -> None:
    conditions = {model.document["name"]: model.document.get("partialFilterExpression") for model in indexes(DECLARED)}
    assert conditions["astrolens_label__labeled_at"] == {"label": {"$gte": ""}}
    assert conditions["astrolens_verdict__rank_score"] is None


def test_tallies_are_the_sum_of_their_shards() -> None:
    rows = [
        {"of": "images.state", "key": '["ingested"]', "n": 5},
        {"of": "images.state", "key": '["ingested"]', "n": -2},
        {"of": "images.state", "key": '["analyzed"]', "n": 0},
    ]
    assert sum_shards([(IMAGES, "state"), (Collection.RECEIPTS, "outcome")], rows) == [{("ingested",): 3}, {}]


def test_only_what_changed_is_incremented() -> None:
    increments: Increments = Counter({("state", '["a"]'): 2, ("state", '["b"]'): 0})
    assert len(increment_updates(IMAGES, increments, 3)) == 1


async def test_a_lone_writer_stays_in_its_shard_and_one_with_a_conflict_is_used_last() -> None:
    shards = CounterShards(seed=1)
    async with shards.acquire() as first:
        first.attempts = 1
    async with shards.acquire() as second:
        assert second.number == first.number
        second.attempts = 2
    async with shards.acquire() as third:
        assert third.number != first.number


async def test_no_two_transactions_of_a_process_share_a_shard() -> None:
    shards, held, most = CounterShards(), set[int](), 0

    async def use() -> None:
        nonlocal most
        async with shards.acquire() as shard:
            assert shard.number not in held
            held.add(shard.number)
            most = max(most, len(held))
            await asyncio.sleep(0)
            held.remove(shard.number)

    await asyncio.gather(*(use() for _ in range(100)))
    assert most == SHARDS


def test_sentences_hold_the_address_and_no_password() -> None:
    assert address_of("mongodb://u:p%40ss@a:1,b:2/db?x=1") == "a:1,b:2"
    with pytest.raises(StoreUnavailable, match="a:1 does not answer"), translate_mongo_errors("a:1"):
        raise AutoReconnect("mongodb://u:secret@a:1 went away")


def test_conflicts_are_tried_again_and_too_large_is_for_good() -> None:
    assert is_conflict(OperationFailure("conflict", 112))
    assert is_conflict(BulkWriteError({"writeErrors": [{"code": 11000}]}))
    assert not is_conflict(OperationFailure("away", 91))
    with pytest.raises(PermanentError, match="16 MB"), translate_mongo_errors("a"):
        raise OperationFailure("too large", 10334)


async def test_a_store_that_is_not_open_says_so() -> None:
    with pytest.raises(StoreUnavailable, match="is not open"):
        await MongoRecordStore("mongodb://a/b").ping()
