import base64
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from astrolens.contracts.rankings import RankingRecord, personal_ranking
from astrolens.contracts.records import Answer
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import to_document
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.rpc.model_client import ModelClient, Neighbour, UnknownToModel
from astrolens.trainer.metrics import TrainerMetrics
from astrolens.trainer.ranking import pool
from astrolens.trainer.ranking.service import POOL_LASTS, InterestRanker
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.image_queries import ImageFilter, Sort
from astrolens.usecases.labelling import Labelling, LabelRequest
from astrolens.usecases.rankings import Rankings

from tests.made_records import make_image

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class World:
    def __init__(self, folder: Path) -> None:
        self.records = SqliteRecordStore(folder / "records.sqlite")
        self.now = NOW
        self.digest = "m1"
        self.away = False
        self.alike: dict[str, list[str]] = {}
        self.index_digest = "m1"
        self.ranker = self.new_ranker()
        self.rankings = Rankings(records=self.records)

    def new_ranker(self, *, personal: bool = False) -> InterestRanker:
        return InterestRanker(
            records=self.records,
            model=cast("ModelClient", self),
            metrics=TrainerMetrics(Metrics("trainer")),
            personal=personal,
            clock=lambda: self.now,
        )

    async def describe(self) -> Any:
        if self.away:
            raise ModelUnavailable("away")
        return SimpleNamespace(digest=self.digest)

    async def similar(self, image_id: str, k: int) -> tuple[str, list[Neighbour]]:
        if self.away:
            raise ModelUnavailable("away")
        if image_id not in self.alike:
            raise UnknownToModel(image_id)
        return self.index_digest, [Neighbour(each, 0.9) for each in self.alike[image_id][:k]]

    async def add(self, seeds: Sequence[int], verdict: str, *, like: int = 0, digest: str = "m1") -> list[str]:
        """Images whose embedding leans to axis `like`."""
        documents = [_document(seed, verdict, like=like, digest=digest) for seed in seeds]
        await self.records.insert(Collection.IMAGES, documents)
        return [document["image_id"] for document in documents]

    async def answer(self, images: Sequence[str], answer: Answer | None, *, user: str = "vera") -> None:
        labelling = Labelling(records=self.records, releaser=_Silent(), originals=cast("Any", _NoOriginals()))
        await labelling.answer(LabelRequest(image_ids=list(images), answer=answer), user=user)

    async def ranking(self, name: str = "shared") -> RankingRecord | None:
        found = (await self.records.get(Collection.RANKINGS, [name])).get(name)
        return RankingRecord.model_validate(found) if found else None

    async def page(self, sort: Sort = Sort.INTEREST, **more: Any) -> Any:
        wanted = more.pop("wanted", ImageFilter())
        return await self.rankings.page(wanted, user="vera", sort=sort, limit=more.pop("limit", 50), **more)


class _Silent:
    async def release(self, *_: Any) -> None:
        return None


class _NoOriginals:
    def protect_from_expiry(self, _: Any) -> Any:
        return self

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def _document(seed: int, verdict: str, *, like: int, digest: str) -> dict[str, Any]:
    vector = np.random.default_rng(seed).normal(size=12)
    vector[like] += 5.0
    p_value = {"anomaly": 0.002, "near_miss": 0.02, "ordinary": 0.5}[verdict]
    kinds = {"arc": 0.8 if like == 1 else 0.1, "trail": 0.8 if like == 2 else 0.1}
    record, _ = make_image(f"{seed}", p_value=p_value, rank_score=3.0 - p_value + seed * 1e-6, kinds=kinds)
    document = to_document(record)
    embedding = base64.b64encode(vector.astype("<f2").tobytes()).decode()
    document["analysis"] |= {"model_digest": digest, "embedding": embedding}
    return document


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.records.open()
    yield world
    await world.records.close()


async def test_an_answer_moves_the_ranking_and_taking_it_back_moves_it_back(world: World) -> None:
    arcs = await world.add(range(1, 21), "anomaly", like=1)
    trails = await world.add(range(21, 41), "anomaly", like=2)
    await world.add(range(100, 160), "ordinary")
    await world.ranker.run_pass()
    first = await world.ranking()
    assert first is not None
    assert (first.version, first.answers, len(first.image_ids)) == (1, {}, 100)
    assert first.image_ids[0] == trails[-1], "the largest rank score"

    await world.answer(arcs[:3], Answer.INTERESTING)
    await world.answer(trails[:3], Answer.ARTEFACT)
    await world.ranker.run_pass()
    second = await world.ranking()
    assert second is not None
    assert (second.version, second.answers) == (2, {"interesting": 3, "artefact": 3})
    assert second.last_answer_at is not None
    assert len(set(second.image_ids[:20]) & set(arcs)) >= 15
    assert (second.prefers, second.avoids) == (("arc",), ("trail",))

    await world.answer([*arcs[:3], *trails[:3]], None)
    await world.ranker.run_pass()
    third = await world.ranking()
    assert third is not None
    assert (third.version, third.image_ids, third.answers) == (3, first.image_ids, {})


async def test_nothing_new_writes_nothing(world: World) -> None:
    await world.add(range(1, 11), "anomaly")
    for _ in range(3):
        await world.ranker.run_pass()
        world.now += 2 * POOL_LASTS
    found = await world.ranking()
    assert found is not None
    assert found.version == 1
    await world.new_ranker().run_pass()
    assert await world.ranking() == found


async def test_new_candidates_come_with_the_next_pool(world: World) -> None:
    await world.add(range(1, 11), "anomaly")
    await world.ranker.run_pass()
    (new,) = await world.add([11], "anomaly")
    world.now += POOL_LASTS
    await world.ranker.run_pass()
    found = await world.ranking()
    assert found is not None
    assert new in found.image_ids


async def test_an_answer_about_an_ordinary_image_outside_the_pool_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MAX_SAMPLE", 1)
    await world.add(range(1, 11), "anomaly")
    far = await world.add(range(100, 130), "ordinary", like=1)
    await world.ranker.run_pass()
    found = await world.ranking()
    assert found is not None
    (missing, *_) = [image for image in far if image not in found.image_ids]
    await world.answer([missing], Answer.INTERESTING)
    await world.ranker.run_pass()
    found = await world.ranking()
    assert found is not None
    assert (missing in found.image_ids, found.answers) == (True, {"interesting": 1})


async def test_images_of_another_bundle_are_left_out(world: World) -> None:
    await world.add(range(1, 11), "anomaly", digest="m0")
    await world.ranker.run_pass()
    assert await world.ranking() is None
    new = await world.add(range(11, 16), "anomaly")
    world.now += POOL_LASTS
    await world.ranker.run_pass()
    found = await world.ranking()
    assert found is not None
    assert set(found.image_ids) == set(new)


async def test_without_a_model_server_the_last_ranking_stands(world: World) -> None:
    world.away = True
    await world.ranker.run_pass()
    assert await world.ranking() is None


async def test_people_may_have_rankings_of_their_own(world: World) -> None:
    arcs = await world.add(range(1, 21), "anomaly", like=1)
    trails = await world.add(range(21, 41), "anomaly", like=2)
    await world.add(range(100, 160), "ordinary")
    await world.answer(arcs[:3], Answer.INTERESTING, user="vera")
    await world.answer(trails[:3], Answer.INTERESTING, user="edwin")
    ranker = world.new_ranker(personal=True)
    for user in ("vera", "edwin"):
        ranker.note_answerer(user)
    await ranker.run_pass()
    vera = await world.ranking(personal_ranking("vera"))
    edwin = await world.ranking(personal_ranking("edwin"))
    assert vera is not None
    assert edwin is not None
    assert (vera.prefers, edwin.prefers) == (("arc",), ("trail",))
    rankings = Rankings(records=world.records, personal=True)
    assert (await rankings.summary("vera")).ranking == "user:vera"
    assert (await rankings.summary("cecilia")).ranking == "shared"


async def test_pages_follow_the_ranking(world: World) -> None:
    await world.add(range(1, 21), "anomaly", like=1)
    await world.add(range(21, 41), "near_miss", like=2)
    await world.ranker.run_pass()
    ranking = await world.ranking()
    assert ranking is not None
    first = await world.page(limit=15)
    second = await world.page(limit=15, after=first.next)
    third = await world.page(limit=15, after=second.next)
    shown = [card.image_id for page in (first, second, third) for card in page.items]
    assert shown == list(ranking.image_ids)
    assert third.next is None
    assert [card.interest for card in first.items] == list(ranking.interest[:15])
    narrowed = await world.page(wanted=ImageFilter(verdicts=("near_miss",)))  # type: ignore[arg-type]
    assert {card.verdict for card in narrowed.items} == {"near_miss"}
    assert len(narrowed.items) == 20


async def test_the_queue_goes_on_after_an_answer(world: World) -> None:
    await world.add(range(1, 21), "anomaly", like=1)
    await world.ranker.run_pass()
    first = await world.page(Sort.USEFUL, limit=5)
    answered = first.items[-1].image_id
    await world.answer([answered], Answer.ORDINARY)
    again = await world.page(Sort.USEFUL)
    assert answered not in {card.image_id for card in again.items}, "before the ranking is learned again"
    await world.ranker.run_pass()
    onward = await world.page(Sort.USEFUL, after=answered)
    assert len(onward.items) == 19


async def test_the_images_beside_one_follow_the_ranking(world: World) -> None:
    await world.add(range(1, 21), "anomaly", like=1)
    await world.add(range(21, 41), "near_miss", like=2)
    await world.ranker.run_pass()
    ranking = await world.ranking()
    assert ranking is not None
    ids = ranking.image_ids
    beside = await world.rankings.neighbours(ids[3], ImageFilter(), user="vera", sort=Sort.INTEREST)
    assert (beside.previous, beside.next) == (ids[2], ids[4])
    ends = await world.rankings.neighbours(ids[0], ImageFilter(), user="vera", sort=Sort.INTEREST)
    assert (ends.previous, ends.next) == (None, ids[1])
    started = await world.page(start=ids[5], limit=2)
    assert [card.image_id for card in started.items] == list(ids[5:7])
    queue = [card.image_id for card in (await world.page(Sort.USEFUL)).items]
    await world.answer(queue[:1], Answer.ORDINARY)
    await world.ranker.run_pass()
    after = await world.rankings.neighbours(queue[0], ImageFilter(), user="vera", sort=Sort.USEFUL)
    assert (after.previous, after.next) == (None, (await world.page(Sort.USEFUL)).items[0].image_id)


async def test_artefacts_can_be_left_out(world: World) -> None:
    await world.add(range(1, 21), "anomaly", like=1)
    trails = await world.add(range(21, 41), "anomaly", like=2)
    await world.answer(trails[:5], Answer.ARTEFACT)
    await world.ranker.run_pass()
    wanted = ImageFilter(max_artefact=0.5)
    shown = await world.page(wanted=wanted)
    assert 0 < len(shown.items) < 40
    assert all(card.artefact_score <= 0.5 for card in shown.items)
    assert (await world.rankings.total(wanted, user="vera", sort=Sort.INTEREST)).count == len(shown.items)
    last = await world.rankings.neighbours(shown.items[-1].image_id, wanted, user="vera", sort=Sort.INTEREST)
    assert (last.previous, last.next) == (shown.items[-2].image_id, None)


async def test_a_wrong_cursor_or_a_position_is_refused(world: World) -> None:
    assert (await world.page()).items == []
    await world.add(range(1, 4), "anomaly")
    await world.ranker.run_pass()
    with pytest.raises(InvalidRequest, match="begin again"):
        await world.page(after="no such image")
    with pytest.raises(InvalidRequest, match="strangeness"):
        await world.page(wanted=ImageFilter(cone=cast("Any", object())))


async def test_what_looks_like_an_interesting_image_joins_the_pool_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MAX_SAMPLE", 1)
    monkeypatch.setattr(pool, "NEIGHBOURS_EACH", 3)
    arcs = await world.add(range(1, 11), "anomaly", like=1)
    alike = await world.add(range(100, 130), "ordinary", like=1)
    await world.ranker.run_pass()
    first = await world.ranking()
    assert first is not None
    hidden = [image for image in alike if image not in first.image_ids]
    world.alike = {arcs[0]: hidden[:5], arcs[1]: [*hidden[5:10]]}
    await world.answer([arcs[1]], Answer.ARTEFACT)
    await world.answer([arcs[0], arcs[2]], Answer.INTERESTING)
    await world.ranker.run_pass()
    found = await world.ranking()
    assert found is not None
    joined = set(found.image_ids) - set(first.image_ids)
    assert joined == set(hidden[:3]), "three neighbours of the interesting image that the index knows, no others"
    world.now += POOL_LASTS
    await world.ranker.run_pass()
    found = await world.ranking()
    assert found is not None
    assert joined <= set(found.image_ids), "a pool that is read again has them, too"


async def test_neighbours_by_another_bundle_or_without_a_server_are_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MAX_SAMPLE", 1)
    arcs = await world.add(range(1, 11), "anomaly", like=1)
    hidden = await world.add(range(100, 130), "ordinary", like=1)
    world.alike = {arcs[0]: hidden[:5]}
    world.index_digest = "m0"
    await world.answer([arcs[0]], Answer.INTERESTING)
    await world.ranker.run_pass()
    found = await world.ranking()
    assert found is not None
    assert len(set(found.image_ids) & set(hidden)) <= 1


async def test_an_answer_is_learned_before_an_old_pool_is_read_again(world: World) -> None:
    arcs = await world.add(range(1, 11), "anomaly")
    await world.ranker.run_pass()
    (late,) = await world.add([50], "anomaly")
    world.now += POOL_LASTS
    await world.answer(arcs[:1], Answer.INTERESTING)
    stored: list[RankingRecord] = []
    upsert = world.records.upsert

    async def watched(collection: Collection, documents: Sequence[Any]) -> None:
        stored.extend(documents)
        await upsert(collection, documents)

    world.records.upsert = watched  # type: ignore[method-assign]
    await world.ranker.run_pass()
    assert [(late in each.image_ids, each.answers) for each in stored] == [
        (False, {"interesting": 1}),
        (True, {"interesting": 1}),
    ]
