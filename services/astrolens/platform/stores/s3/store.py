"""The image store on MinIO, or any server that speaks S3.

An object is put with `If-None-Match: *`: only the first of two puts is stored, and no request looks first. Keys name
contents: on a server that ignores the condition the second put writes what is there already.
"""

import asyncio
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import certifi
import structlog
import urllib3
from minio import Minio
from minio.commonconfig import ENABLED, AndOperator, Filter, Tags
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, MinioException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from urllib3.exceptions import HTTPError

from astrolens.platform.errors import (
    AstroLensError,
    ConfigurationError,
    ObjectDamaged,
    ObjectMissing,
    StoreUnavailable,
)
from astrolens.platform.stores.images import ORIGINALS, Expiry, is_replaceable, validated_key, verified
from astrolens.platform.time_limits import STORE_CONNECT_S, STORE_OPERATION_S, STORE_TRIES

T = TypeVar("T")
_log = structlog.get_logger(__name__)

_THREADS = 16
"""Requests at a time: more gain nothing on one MinIO (1,480 puts/s with 16, 770 with one)."""
_PART_BYTES = 5 * 2**20
"""S3's smallest part. Everything is put in one piece: only a single put can be conditional."""

_MISSING = frozenset({"NoSuchKey", "ResourceNotFound"})
_ALREADY_EXISTS = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_WRONG_CREDENTIALS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed"})

_RETRYABLE_STATUSES = frozenset({408, 429})
"""Refusals of a request that may be sent again."""

RULE = "astrolens-expendable-originals"
"""Name of the one life-cycle rule."""
EXPENDABLE = ("astrolens", "expendable")
"""The tag that lets the life-cycle rule delete an original; only `mark_expendable` sets it."""


class _ConditionalPutPool(urllib3.PoolManager):
    """Adds `If-None-Match: *` to every put: `minio` has no argument for it, but takes an HTTP client."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **arguments: Any) -> Any:  # type: ignore[override]
        if method == "PUT":
            arguments["headers"] = {**arguments.get("headers", {}), "If-None-Match": "*"}
        return super().urlopen(method, url, redirect, **arguments)


class S3ImageStore:
    """`ImageStore` in one bucket."""

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        access_key: str,
        secret_key: str,
        secure: bool,
        region: str | None = None,
        public_url: str = "",
    ) -> None:
        """Compose; nothing is opened.

        Args:
            endpoint: `host:port`.
            bucket: Name of the bucket; created where it is missing and the keys allow it.
            access_key: User name.
            secret_key: Password.
            secure: Whether to speak TLS.
            region: Region, where the server has several.
            public_url: Address at which browsers reach the server, for `link`; empty: it gives no links.

        Raises:
            ConfigurationError: Endpoint or bucket is no valid name.
        """
        self._name = f"{endpoint}/{bucket}"
        self._bucket = bucket
        self._public_url = public_url
        self._region = region
        self._keys = access_key, secret_key
        self._signer: Minio | None = None
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="images")
        try:
            self._client, self._putter = (
                Minio(
                    endpoint,
                    access_key=access_key,
                    secret_key=secret_key,
                    secure=secure,
                    region=region,
                    http_client=_pool(kind),
                )
                for kind in (urllib3.PoolManager, _ConditionalPutPool)
            )
        except ValueError as error:
            raise ConfigurationError(f"ASTROLENS_IMAGES_URL: {self._name}: {error}") from None

    @property
    def expiry(self) -> Expiry | None:
        """This store: the bucket's life-cycle rule deletes marked originals."""
        return self

    async def open(self) -> None:
        """Find or create the bucket.

        Raises:
            ConfigurationError: The keys are refused, or the bucket is missing and may not be created.
            StoreUnavailable: The server does not answer.
        """
        await self._run(self._open)

    async def close(self) -> None:
        """Let running requests end."""
        await asyncio.to_thread(self._threads.shutdown)

    async def ping(self) -> None:
        """Raise unless the bucket is there."""
        if not await self._run(lambda: self._client.bucket_exists(self._bucket)):
            raise StoreUnavailable(f"the image store {self._name} is missing: there is no such bucket")

    async def put(self, key: str, data: bytes, *, media_type: str) -> bool:
        """See `ImageStore`."""
        return await self._run(partial(self._put, validated_key(key), data, media_type))

    async def put_many(self, items: Sequence[tuple[str, bytes, str]]) -> None:
        """Put several (key, bytes, media type)."""
        await asyncio.gather(*(self.put(key, data, media_type=media_type) for key, data, media_type in items))

    async def get(self, key: str) -> bytes:
        """Get bytes.

        Raises:
            ObjectMissing: Nothing is stored under this key.
            ObjectDamaged: What lies there is not what was put.
        """
        return await self._run(partial(self._get, validated_key(key)))

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Get several; missing and damaged ones are left out."""

        async def get_one(key: str) -> tuple[str, bytes] | None:
            try:
                return key, await self.get(key)
            except ObjectDamaged as error:
                _log.error("image is damaged", key=key, error=str(error))
                return None
            except ObjectMissing:
                return None  # the port's contract: the caller sees it by its absence

        return dict(found for found in await asyncio.gather(*map(get_one, keys)) if found is not None)

    async def exists(self, key: str) -> bool:
        """Whether something is stored under this key."""
        try:
            await self._run(partial(self._client.stat_object, self._bucket, validated_key(key)), key=key)
        except ObjectMissing:
            return False
        return True

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove; a missing key is no error."""
        await self._run(partial(self._delete, [validated_key(key) for key in keys]))

    async def link(self, key: str, *, media_type: str, expires_s: float, filename: str | None = None) -> str | None:
        """A presigned address at the public URL; None where there is no such URL.

        Signing asks no server, but for its region: once, and only where the store's URL does not name it.
        """
        validated_key(key)
        if not self._public_url:
            return None
        if self._signer is None:
            self._signer = await self._run(self._make_signer)
        served_as = {"response-content-type": media_type, "response-cache-control": f"private, max-age={expires_s:.0f}"}
        if filename is not None:
            served_as["response-content-disposition"] = f'attachment; filename="{filename}"'
        return self._signer.presigned_get_object(
            self._bucket,
            key,
            expires=timedelta(seconds=expires_s),
            response_headers=served_as,  # type: ignore[arg-type]  # a dict is invariant in what it holds
        )

    async def expire_after(self, days: int) -> None:
        """Delete marked originals at this age, by one life-cycle rule of the bucket; 0 removes the rule.

        Rules of others in the bucket stay.

        Raises:
            ConfigurationError: The credentials may not set the rule, or the server knows none.
        """
        await self._run(partial(self._expire_after, days))

    async def mark_expendable(self, keys: Sequence[str]) -> None:
        """Let the life-cycle rule delete these originals once they are old enough."""
        await self._tag(keys, partial(self._client.set_object_tags, tags=_mark()))

    async def unmark_expendable(self, keys: Sequence[str]) -> None:
        """Remove the mark; where there is none, nothing happens."""
        await self._tag(keys, self._client.delete_object_tags)

    async def _tag(self, keys: Sequence[str], change: Callable[..., Any]) -> None:
        async def change_one(key: str) -> None:
            # The port's contract: what is deleted needs no mark.
            with suppress(ObjectMissing):
                await self._run(partial(change, self._bucket, validated_key(key)))

        await asyncio.gather(*map(change_one, keys))

    def _make_signer(self) -> Minio:
        public, (access_key, secret_key) = urlsplit(self._public_url), self._keys
        return Minio(
            public.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=public.scheme == "https",
            region=self._region or self._server_region(),
        )

    def _server_region(self) -> str:
        # The client asks the server for its region, and shows it only in what it signs.
        signed = urlsplit(self._client.presigned_get_object(self._bucket, "any"))
        return parse_qs(signed.query)["X-Amz-Credential"][0].split("/")[2]

    def _expire_after(self, days: int) -> None:
        try:
            before = self._client.get_bucket_lifecycle(self._bucket)
            rules = [] if before is None else before.rules
            others = [rule for rule in rules if rule.rule_id != RULE]
            if days:
                self._client.set_bucket_lifecycle(self._bucket, lifecycle(days, others=others))
            elif others and len(others) < len(rules):
                self._client.set_bucket_lifecycle(self._bucket, LifecycleConfig(others))
            elif rules and not others:
                self._client.delete_bucket_lifecycle(self._bucket)
        except S3Error as error:
            if not _is_final(error):
                raise
            if days:
                raise ConfigurationError(
                    f"ASTROLENS_S3_EXPIRE_ORDINARY_DAYS: {self._name} takes no life-cycle rule from these credentials "
                    f"({error.code}); allow it, or set 0"
                ) from None
            # Credentials that may not set a rule have set none: there is nothing to remove.

    def _open(self) -> None:
        try:
            if not self._client.bucket_exists(self._bucket):
                self._create()
        except S3Error as error:
            if error.code in _WRONG_CREDENTIALS:
                raise ConfigurationError(
                    f"ASTROLENS_IMAGES_URL: the server of {self._name} refuses these credentials ({error.code}); "
                    "see ASTROLENS_S3_ACCESS_KEY and ASTROLENS_S3_SECRET_KEY"
                ) from None
            if error.code == "AccessDenied":
                # A server may say so for keys that it does not know, too.
                raise ConfigurationError(
                    f"ASTROLENS_IMAGES_URL: these credentials may not see the bucket {self._name} (AccessDenied), or "
                    "there is none; allow them s3:GetBucketLocation, s3:ListBucket, s3:GetObject and s3:PutObject "
                    "there, and see ASTROLENS_S3_ACCESS_KEY and ASTROLENS_S3_SECRET_KEY"
                ) from None
            if error.code in {"InvalidBucketName", "RequestTimeTooSkewed"}:
                raise ConfigurationError(f"ASTROLENS_IMAGES_URL: {self._name}: {error.message}") from None
            raise

    def _create(self) -> None:
        try:
            self._client.make_bucket(self._bucket)
        except S3Error as error:
            if error.code in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                return  # another service was faster
            raise ConfigurationError(
                f"ASTROLENS_IMAGES_URL: there is no bucket {self._name}, and these credentials may not create it "
                f"({error.code}); create it, or take others"
            ) from None

    def _put(self, key: str, data: bytes, media_type: str) -> bool:
        try:
            self._put_with(self._putter, key, data, media_type)
        except S3Error as error:
            if error.code not in _ALREADY_EXISTS:
                raise
            if not is_replaceable(key) or self._client.stat_object(self._bucket, key).size == len(data):
                return False
            _log.warning("image is replaced: its object differs", key=key, size_bytes=len(data))
            self._put_with(self._client, key, data, media_type)
        return True

    def _put_with(self, client: Minio, key: str, data: bytes, media_type: str) -> None:
        part_size = max(_PART_BYTES, len(data))
        client.put_object(self._bucket, key, io.BytesIO(data), len(data), content_type=media_type, part_size=part_size)

    def _get(self, key: str) -> bytes:
        response = self._client.get_object(self._bucket, key)
        try:
            return verified(key, bytes(response.read()))
        finally:
            response.close()
            response.release_conn()

    def _delete(self, keys: Sequence[str]) -> None:
        refused = list(self._client.remove_objects(self._bucket, [DeleteObject(key) for key in keys]))
        if refused:
            raise StoreUnavailable(f"the image store {self._name} did not delete {len(refused)} objects")

    async def _run(self, call: Callable[[], T], *, key: str = "") -> T:
        """Call in a thread of the pool; errors become ours, without credentials."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except AstroLensError:
            raise
        except S3Error as error:
            if error.code in _MISSING:
                raise ObjectMissing(key or (error.object_name or "")) from None
            raise StoreUnavailable(f"the image store {self._name} does not serve: {error.code}") from error
        except (HTTPError, OSError, InvalidResponseError, MinioException) as error:
            raise StoreUnavailable(f"the image store {self._name} does not answer: {type(error).__name__}") from error


def lifecycle(days: int, *, others: Sequence[Rule] = ()) -> LifecycleConfig:
    """The rule beside the bucket's others: marked originals expire at this age, and nothing else ever does."""
    rule = Rule(
        status=ENABLED,
        rule_id=RULE,
        rule_filter=Filter(and_operator=AndOperator(prefix=ORIGINALS, tags=_mark())),
        expiration=Expiration(days=days),
    )
    return LifecycleConfig([*others, rule])


def _is_final(error: S3Error) -> bool:
    """Whether the same request fails again: it is not allowed, or this server does not implement it."""
    status = error.response.status
    return (400 <= status < 500 and status not in _RETRYABLE_STATUSES) or status == 501


def _pool(kind: type[urllib3.PoolManager]) -> urllib3.PoolManager:
    return kind(
        maxsize=_THREADS,
        timeout=urllib3.Timeout(connect=STORE_CONNECT_S, read=STORE_OPERATION_S),
        retries=urllib3.Retry(total=STORE_TRIES - 1, backoff_factor=0.1, status_forcelist=[500, 502, 503, 504]),
        cert_reqs="CERT_REQUIRED",
        ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
    )


def _mark() -> Tags:
    tags = Tags.new_object_tags()
    tags[EXPENDABLE[0]] = EXPENDABLE[1]
    return tags
