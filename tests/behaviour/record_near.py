"""What every record store must do with perceptual hashes: find the near ones."""

import random

import pytest
from astrolens.platform.errors import UndeclaredField
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.hash_index import KEY_LIMIT
from astrolens.platform.stores.records import Change, Query, RecordStore

from tests.behaviour.record_documents import IMAGES, image


class NearHashBehaviour:
    """A part of `RecordStoreBehaviour`."""

    @pytest.mark.parametrize("radius", range(9))
    async def test_near_finds_what_brute_force_finds(self, store: RecordStore, radius: int) -> None:
        chance = random.Random(radius)
        seeds = [chance.getrandbits(64) for _ in range(6)]
        values = [_flipped(chance.choice(seeds), chance.randrange(12), chance) for _ in range(300)]
        await store.insert(IMAGES, [image(n, phash=f"{value:016x}") for n, value in enumerate(values)])
        wanted = [*seeds, chance.getrandbits(64)]
        expected = [
            sorted((bits, n) for n, value in enumerate(values) if (bits := (value ^ one).bit_count()) <= radius)[:10]
            for one in wanted
        ]
        assert any(expected)
        found = await store.near(IMAGES, [f"{one:016x}" for one in wanted], radius=radius, limit=10)
        assert found == [[(f"img{n:04}", bits) for bits, n in hits] for hits in expected]

    async def test_near_follows_every_write(self, store: RecordStore) -> None:
        async def at(value: int) -> list[tuple[str, int]]:
            (found,) = await store.near(IMAGES, [f"{value:016x}"], radius=2, limit=10)
            return found

        old, new = 0, 2**64 - 1
        await store.insert(IMAGES, [image(n, phash=f"{old:016x}") for n in (1, 2, 3)])
        await store.insert(
            IMAGES, [image(1, phash=f"{new:016x}"), image(5), image(6, phash=None), image(7, phash="no")]
        )
        assert await at(old) == [("img0001", 0), ("img0002", 0), ("img0003", 0)]
        assert await at(new) == []
        await store.upsert(IMAGES, [image(1, phash=f"{new:016x}"), image(4, phash=f"{new ^ 1:016x}")])
        await store.apply(IMAGES, [Change(id="img0002", set={"state": "analyzed"})])
        assert await at(old) == [("img0002", 0), ("img0003", 0)]
        assert await at(new) == [("img0001", 0), ("img0004", 1)]
        await store.apply(IMAGES, [Change(id="img0003", set={"phash": f"{new ^ 3:016x}"})])
        await store.delete(IMAGES, ["img0001", "img0002"])
        assert await at(old) == []
        assert await at(new) == [("img0004", 1), ("img0003", 2)]
        await store.upsert(IMAGES, [image(4)])
        assert await at(new) == [("img0003", 2)]

    async def test_near_shows_nothing_of_itself(self, store: RecordStore) -> None:
        document = image(1, phash="0" * 16)
        await store.insert(IMAGES, [document])
        await store.apply(IMAGES, [Change(id="img0001", set={"phash": "1" * 16})])
        page = await store.find(IMAGES, Query())
        assert page.documents == [{**document, "phash": "1" * 16}]
        assert await store.get(IMAGES, ["img0001"]) == {"img0001": {**document, "phash": "1" * 16}}

    async def test_crowded_keys_stay_bounded_and_answer(self, store: RecordStore) -> None:
        blank, lonely = "0" * 16, "f" * 16
        count = 12 * KEY_LIMIT
        await store.insert(IMAGES, [image(n, phash=blank) for n in range(count)] + [image(9999, phash=lonely)])
        crowded, alone = await store.near(IMAGES, [blank, lonely], radius=4, limit=5)
        assert alone == [("img9999", 0)]
        assert len(crowded) == 5
        assert {bits for _, bits in crowded} == {0}
        # The newest are looked at, and the older of these come first.
        numbers = [int(document_id[3:]) for document_id, _ in crowded]
        assert numbers == sorted(numbers)
        assert numbers[0] > 0

    async def test_near_of_nothing_and_of_no_hash(self, store: RecordStore) -> None:
        assert await store.near(IMAGES, [], radius=4, limit=10) == []
        assert await store.near(IMAGES, ["0" * 16, "f" * 16], radius=4, limit=10) == [[], []]
        with pytest.raises(UndeclaredField, match="sources"):
            await store.near(Collection.SOURCES, ["0" * 16], radius=4, limit=10)


def _flipped(value: int, bits: int, chance: random.Random) -> int:
    for bit in chance.sample(range(64), bits):
        value ^= 1 << bit
    return value
