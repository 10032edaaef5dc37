"""The S3 image store on a real MinIO: the behaviour suite, credentials, buckets, links, the life-cycle rule."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from astrolens.contracts.ids import content_digest
from astrolens.platform.errors import ConfigurationError, ObjectMissing, StoreUnavailable
from astrolens.platform.settings import S3Options
from astrolens.platform.stores.images import ImageStore, original_key
from astrolens.platform.stores.open import image_store
from astrolens.platform.stores.s3.store import RULE, S3ImageStore
from minio import MinioAdmin
from minio.commonconfig import Filter
from minio.credentials import StaticProvider
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule

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
        news = await asyncio.gather(*(store.put("a/one", bytes([n]) * 9_000, media_type=JPEG) for n in range(12)))
        assert sum(news) == 1

    async def test_a_large_original_is_put_in_one_conditional_piece(self, store: ImageStore) -> None:
        large = bytes(range(256)) * (12 * 4096)
        key = original_key(content_digest(large))
        assert await store.put(key, large, media_type="image/fits")
        assert not await store.put(key, large, media_type="image/fits")
        assert await store.get(key) == large

    async def test_two_services_may_open_a_new_bucket_together(self, stack: dict[str, str], bucket_url: str) -> None:
        stores = [image_store(bucket_url, options(stack)) for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(*(store.close() for store in stores))


async def test_a_link_serves_one_object_without_credentials_and_as_it_says(
    stack: dict[str, str], bucket_url: str
) -> None:
    server = urlsplit(stack["ASTROLENS_IMAGES_URL"]).netloc
    store = image_store(bucket_url, options(stack, public_url=f"http://{server}"))
    await store.open()
    await store.put("cutouts/ab/x.jpg", b"picture", media_type=JPEG)
    await store.put("originals/ab/x", b"<script>alert(1)</script>", media_type="text/html")
    cutout = await store.link("cutouts/ab/x.jpg", media_type=JPEG, expires_s=60.0)
    original = await store.link(
        "originals/ab/x", media_type="application/octet-stream", expires_s=60.0, filename="x.bin"
    )
    assert cutout is not None
    assert original is not None
    answer = httpx.get(cutout)
    assert (answer.content, answer.headers["content-type"]) == (b"picture", JPEG)
    assert answer.headers["cache-control"] == "private, max-age=60"
    answer = httpx.get(original)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == 'attachment; filename="x.bin"'
    # How it is served is signed as well: nobody turns a download into a page.
    assert httpx.get(original.replace("octet-stream", "xhtml%2Bxml")).status_code == 403
    assert httpx.get(original.replace("originals/ab/x", "cutouts/ab/x.jpg")).status_code == 403
    assert httpx.get(cutout.partition("?")[0]).status_code == 403
    short = await store.link("cutouts/ab/x.jpg", media_type=JPEG, expires_s=1.0)
    assert short is not None
    await asyncio.sleep(2.1)
    assert httpx.get(short).status_code == 403
    await store.close()


def rules_of(store: S3ImageStore, bucket: str) -> dict[str, int]:
    configuration = store._client.get_bucket_lifecycle(bucket)
    rules = [] if configuration is None else configuration.rules
    return {str(rule.rule_id): int(rule.expiration.days or 0) for rule in rules if rule.expiration is not None}


async def test_the_server_reports_the_rule_and_takes_only_marked_originals(
    stack: dict[str, str], bucket_url: str
) -> None:
    store = image_store(bucket_url, options(stack))
    assert isinstance(store, S3ImageStore)
    assert store.expiry is store
    await store.open()
    client, bucket = store._client, urlsplit(bucket_url).path.strip("/")
    assert rules_of(store, bucket) == {}
    await store.expire_after(30)
    configuration = client.get_bucket_lifecycle(bucket)
    assert configuration is not None
    (rule,) = configuration.rules
    assert (rule.rule_id, rule.status) == (RULE, "Enabled")
    assert rule.rule_filter is not None
    assert rule.rule_filter.and_operator is not None
    assert rule.rule_filter.and_operator.prefix == "originals/"
    assert dict(rule.rule_filter.and_operator.tags or {}) == {"astrolens": "expendable"}
    assert rule.expiration is not None
    assert rule.expiration.days == 30

    key, gone = original_key("ab" * 32), original_key("cd" * 32)
    await store.put(key, b"x", media_type=JPEG)
    assert not client.get_object_tags(bucket, key)
    await store.mark_expendable([key, gone])
    assert dict(client.get_object_tags(bucket, key) or {}) == {"astrolens": "expendable"}
    await store.unmark_expendable([key, gone])
    assert not client.get_object_tags(bucket, key)
    await store.unmark_expendable([key])
    await store.close()


async def test_the_rules_of_others_stay_whatever_becomes_of_ours(stack: dict[str, str], bucket_url: str) -> None:
    store = image_store(bucket_url, options(stack))
    assert isinstance(store, S3ImageStore)
    await store.open()
    bucket = urlsplit(bucket_url).path.strip("/")
    other = Rule("Enabled", rule_id="theirs", rule_filter=Filter(prefix="tmp/"), expiration=Expiration(days=2))
    store._client.set_bucket_lifecycle(bucket, LifecycleConfig([other]))
    await store.expire_after(0)
    assert rules_of(store, bucket) == {"theirs": 2}
    for days in (30, 60):
        await store.expire_after(days)
        assert rules_of(store, bucket) == {"theirs": 2, RULE: days}
    await store.expire_after(0)
    assert rules_of(store, bucket) == {"theirs": 2}
    store._client.delete_bucket_lifecycle(bucket)
    await store.expire_after(30)
    await store.expire_after(0)
    assert rules_of(store, bucket) == {}
    await store.close()


@contextmanager
def user_who_may(stack: dict[str, str], bucket_url: str, *actions: str) -> Iterator[S3Options]:
    """The credentials of a user of the test's own, who may do this to the bucket and nothing else."""
    parts = urlsplit(bucket_url)
    bucket = user = parts.path.strip("/")
    credentials = StaticProvider(stack["ASTROLENS_S3_ACCESS_KEY"], stack["ASTROLENS_S3_SECRET_KEY"])
    admin = MinioAdmin(endpoint=parts.netloc, credentials=credentials, secure=False)
    places = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    statement = {"Effect": "Allow", "Action": [f"s3:{action}" for action in actions], "Resource": places}
    admin.user_add(user, "a-few-rights")
    admin.policy_add(user, policy={"Version": "2012-10-17", "Statement": [statement]})
    admin.attach_policy([user], user=user)
    try:
        yield S3Options(user, "a-few-rights")
    finally:
        admin.user_remove(user)
        admin.policy_remove(user)


async def make_bucket(stack: dict[str, str], bucket_url: str) -> None:
    owner = image_store(bucket_url, options(stack))
    await owner.open()
    await owner.close()


async def test_who_may_not_set_the_rule_is_told_and_without_an_age_asks_for_none(
    stack: dict[str, str], bucket_url: str
) -> None:
    await make_bucket(stack, bucket_url)
    with user_who_may(stack, bucket_url, "ListBucket", "GetBucketLocation", "GetObject", "PutObject") as user:
        store = image_store(bucket_url, user)
        assert isinstance(store, S3ImageStore)
        await store.open()
        await store.expire_after(0)
        with pytest.raises(ConfigurationError, match=r"ASTROLENS_S3_EXPIRE_ORDINARY_DAYS.*AccessDenied.*or set 0"):
            await store.expire_after(30)
        await store.close()


@pytest.mark.parametrize("exists", [True, False])
async def test_who_may_not_see_the_bucket_is_told_what_is_needed(
    stack: dict[str, str], bucket_url: str, *, exists: bool
) -> None:
    if exists:
        await make_bucket(stack, bucket_url)
    with user_who_may(stack, bucket_url, "GetObject", "PutObject") as user:
        store = image_store(bucket_url, user)
        with pytest.raises(ConfigurationError, match=r"may not see the bucket .*s3:GetBucketLocation"):
            await store.open()
        await store.close()


async def test_wrong_keys_are_one_sentence_without_them(stack: dict[str, str], bucket_url: str) -> None:
    store = image_store(bucket_url, options(stack, secret_key="not-the-secret"))
    with pytest.raises(ConfigurationError, match="refuses these credentials") as caught:
        await store.open()
    assert "not-the-secret" not in str(caught.value)
    await store.close()


async def test_a_bucket_that_is_gone_later_is_a_fault(stack: dict[str, str], bucket_url: str) -> None:
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
