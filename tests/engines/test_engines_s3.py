"""The S3 image store on a real MinIO: the behaviour suite, credentials, buckets, links, the life-cycle rule."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
from astrolens.platform.errors import ConfigurationError, ObjectMissing, StoreUnavailable
from astrolens.platform.stores.images import ImageStore, S3Options, original_key
from astrolens.platform.stores.open import image_store
from astrolens.platform.stores.s3 import S3ImageStore

from tests.behaviour.image_store import JPEG, ImageStoreBehaviour


def options(stack: dict[str, str], **changes: str | int) -> S3Options:
    values: dict[str, str | int] = {
        "access_key": stack["ASTROLENS_S3_ACCESS_KEY"],
        "secret_key": stack["ASTROLENS_S3_SECRET_KEY"],
        **changes,
    }
    return S3Options(**values)  # type: ignore[arg-type]


class TestS3ImageStore(ImageStoreBehaviour):
    @pytest.fixture
    async def store(self, stack: dict[str, str], bucket_url: str) -> AsyncIterator[ImageStore]:
        store = image_store(bucket_url, options(stack))
        await store.open()
        yield store
        await store.close()

    async def test_exactly_one_of_many_concurrent_puts_is_new(self, store: ImageStore) -> None:
        import asyncio

        news = await asyncio.gather(*(store.put("a/one", bytes([n]) * 9_000, media_type=JPEG) for n in range(12)))
        assert sum(news) == 1

    async def test_a_large_original_is_put_in_one_conditional_piece(self, store: ImageStore) -> None:
        large = bytes(range(256)) * (12 * 4096)
        assert await store.put(original_key("cd" * 32), large, media_type="image/fits")
        assert not await store.put(original_key("cd" * 32), b"other", media_type="image/fits")
        assert await store.get(original_key("cd" * 32)) == large

    async def test_a_signed_link_serves_one_object_without_credentials(self, store: S3ImageStore) -> None:
        await store.put("cutouts/ab/x.jpg", b"picture", media_type=JPEG)
        link = await store.presigned_url("cutouts/ab/x.jpg", valid_s=60)
        answer = httpx.get(link)
        assert (answer.content, answer.headers["content-type"]) == (b"picture", JPEG)
        assert httpx.get(link.partition("?")[0]).status_code == 403

    async def test_two_services_may_open_a_new_bucket_together(self, stack: dict[str, str], bucket_url: str) -> None:
        import asyncio

        stores = [image_store(bucket_url, options(stack)) for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(store.close() for store in stores))


async def test_the_life_cycle_takes_only_marked_originals(stack: dict[str, str], bucket_url: str) -> None:
    store = image_store(bucket_url, options(stack, expire_ordinary_days=30))
    assert isinstance(store, S3ImageStore)
    await store.open()
    key = original_key("ab" * 32)
    await store.put(key, b"x", media_type=JPEG)
    await store.mark_expendable([key])
    client, bucket = store._client, urlsplit(bucket_url).path.strip("/")
    configuration = client.get_bucket_lifecycle(bucket)
    assert configuration is not None
    (rule,) = configuration.rules
    assert rule.rule_filter is not None
    assert rule.rule_filter.and_operator is not None
    assert rule.rule_filter.and_operator.prefix == "originals/"
    assert dict(rule.rule_filter.and_operator.tags or {}) == {"astrolens": "expendable"}
    assert rule.expiration is not None
    assert rule.expiration.days == 30
    assert dict(client.get_object_tags(bucket, key) or {}) == {"astrolens": "expendable"}
    await store.keep([key])
    assert not client.get_object_tags(bucket, key)
    await store.close()


async def test_wrong_keys_are_one_sentence_without_them(stack: dict[str, str], bucket_url: str) -> None:
    store = image_store(bucket_url, options(stack, secret_key="not-the-secret"))
    with pytest.raises(ConfigurationError, match="refuses these credentials") as caught:
        await store.open()
    assert "not-the-secret" not in str(caught.value)
    await store.close()


async def test_a_bucket_that_is_gone_later_is_a_trouble(stack: dict[str, str], bucket_url: str) -> None:
    store = image_store(bucket_url, options(stack))
    assert isinstance(store, S3ImageStore)
    await store.open()
    store._client.remove_bucket(urlsplit(bucket_url).path.strip("/"))
    with pytest.raises(StoreUnavailable, match="no such bucket"):
        await store.ping()
    with pytest.raises(StoreUnavailable, match="NoSuchBucket"):
        await store.put("a/b", b"x", media_type=JPEG)
    with pytest.raises((ObjectMissing, StoreUnavailable)):
        await store.get("a/b")
    await store.close()


async def test_a_server_that_is_away_is_told_within_a_bound() -> None:
    store = image_store("s3+http://key:hidden@127.0.0.1:9/bucket")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:9/bucket does not answer") as caught:
        await store.open()
    assert "hidden" not in str(caught.value)
    await store.close()
