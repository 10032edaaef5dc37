"""What every image store must do. An adapter's test class inherits this and gives the `store` fixture."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
from astrolens.platform.errors import ObjectDamaged, ObjectMissing, PermanentError
from astrolens.platform.stores.images import ImageStore, cutout_key, original_key

JPEG = "image/jpeg"

ORIGINAL = bytes(range(256)) * 100
ORIGINAL_KEY = original_key(hashlib.sha256(ORIGINAL).hexdigest())
CUTOUT_KEY = cutout_key("5c" * 16)

DAMAGED = [pytest.param(b"", id="empty"), pytest.param(ORIGINAL[:777], id="truncated")]
"""What a power cut leaves of a file that was never synced."""


class ImageStoreBehaviour:
    """Inherit, and give a fixture `store` with an opened, empty store."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[ImageStore]:
        raise AssertionError("the adapter's test class gives the store")
        yield  # noqa: PT022 - makes this a generator, as the adapters' fixtures are

    async def test_bytes_come_back(self, store: ImageStore) -> None:
        assert await store.put(ORIGINAL_KEY, ORIGINAL, media_type=JPEG)
        assert await store.get(ORIGINAL_KEY) == ORIGINAL
        assert await store.exists(ORIGINAL_KEY)

    async def test_the_same_bytes_again_are_not_new(self, store: ImageStore) -> None:
        assert await store.put(ORIGINAL_KEY, ORIGINAL, media_type=JPEG)
        assert not await store.put(ORIGINAL_KEY, ORIGINAL, media_type=JPEG)
        await store.put_many([(ORIGINAL_KEY, ORIGINAL, JPEG)] * 3)
        assert await store.get(ORIGINAL_KEY) == ORIGINAL

    @pytest.mark.parametrize("damaged", [*DAMAGED, pytest.param(bytes(len(ORIGINAL)), id="zeros")])
    async def test_a_damaged_original_is_never_served(self, store: ImageStore, damaged: bytes) -> None:
        await store.put(ORIGINAL_KEY, damaged, media_type=JPEG)
        with pytest.raises(ObjectDamaged, match=r"damaged .* SHA-256 .* put it there again"):
            await store.get(ORIGINAL_KEY)
        assert await store.get_many([ORIGINAL_KEY]) == {}

    @pytest.mark.parametrize("damaged", DAMAGED)
    async def test_putting_an_original_again_heals_it(self, store: ImageStore, damaged: bytes) -> None:
        await store.put(ORIGINAL_KEY, damaged, media_type=JPEG)
        assert await store.put(ORIGINAL_KEY, ORIGINAL, media_type=JPEG)
        assert await store.get(ORIGINAL_KEY) == ORIGINAL

    @pytest.mark.parametrize("damaged", DAMAGED)
    async def test_putting_many_heals_those_that_are_damaged(self, store: ImageStore, damaged: bytes) -> None:
        await store.put_many([(ORIGINAL_KEY, damaged, JPEG), (CUTOUT_KEY, damaged, JPEG)])
        await store.put_many([(ORIGINAL_KEY, ORIGINAL, JPEG), (CUTOUT_KEY, ORIGINAL, JPEG)])
        assert await store.get_many([ORIGINAL_KEY, CUTOUT_KEY]) == {ORIGINAL_KEY: ORIGINAL, CUTOUT_KEY: ORIGINAL}

    async def test_an_empty_cutout_is_never_served(self, store: ImageStore) -> None:
        await store.put(CUTOUT_KEY, b"", media_type=JPEG)
        with pytest.raises(ObjectDamaged, match="empty"):
            await store.get(CUTOUT_KEY)
        assert await store.get_many([CUTOUT_KEY]) == {}

    async def test_the_first_put_wins(self, store: ImageStore) -> None:
        assert await store.put("a/b", b"first", media_type=JPEG)
        assert not await store.put("a/b", b"second", media_type=JPEG)
        assert await store.get("a/b") == b"first"

    async def test_one_of_many_concurrent_puts_wins_whole(self, store: ImageStore) -> None:
        bodies = [bytes([n]) * 50_000 for n in range(8)]
        news = await asyncio.gather(*(store.put("a/race", body, media_type=JPEG) for body in bodies))
        assert sum(news) >= 1
        assert await store.get("a/race") in bodies

    async def test_a_missing_key_is_named(self, store: ImageStore) -> None:
        with pytest.raises(ObjectMissing, match="no/such"):
            await store.get("no/such")
        assert not await store.exists("no/such")

    async def test_many_at_once_leave_out_the_missing(self, store: ImageStore) -> None:
        await store.put_many([(cutout_key(f"{n:032x}"), b"%d" % n, JPEG) for n in range(50)])
        found = await store.get_many([cutout_key(f"{n:032x}") for n in range(60)])
        assert found == {cutout_key(f"{n:032x}"): b"%d" % n for n in range(50)}

    async def test_delete_is_idempotent(self, store: ImageStore) -> None:
        await store.put("a/b", b"x", media_type=JPEG)
        await store.delete(["a/b", "a/c"])
        assert not await store.exists("a/b")

    async def test_empty_bytes_are_bytes(self, store: ImageStore) -> None:
        await store.put("a/empty", b"", media_type=JPEG)
        assert await store.get("a/empty") == b""

    @pytest.mark.parametrize("key", ["", "../x", "a/../../x", "/etc/passwd", "a//b", "a/\0"])
    async def test_a_key_cannot_leave_the_store(self, store: ImageStore, key: str) -> None:
        with pytest.raises(PermanentError, match="no image-store key"):
            await store.put(key, b"x", media_type=JPEG)

    async def test_a_store_without_a_public_address_gives_no_links(self, store: ImageStore) -> None:
        await store.put("a/b", b"x", media_type=JPEG)
        assert await store.link("a/b", media_type=JPEG, expires_s=60.0) is None
        with pytest.raises(PermanentError, match="no image-store key"):
            await store.link("../b", media_type=JPEG, expires_s=60.0)

    async def test_ping(self, store: ImageStore) -> None:
        await store.ping()
