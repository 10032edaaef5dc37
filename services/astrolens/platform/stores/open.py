"""Chooses the adapter of a store by its URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import S3Options
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.stores.sqlite.store import SqliteRecordStore


def record_store(url: str) -> RecordStore:
    """The record store behind `url` (`sqlite:///file`, `mongodb://...`, `mongodb+srv://...`), not yet opened.

    Raises:
        ConfigurationError: No adapter serves this scheme, or its package is not installed.
    """
    parts = _split("ASTROLENS_RECORDS_URL", url)
    if parts.scheme == "sqlite":
        return SqliteRecordStore(_local_path("ASTROLENS_RECORDS_URL", url, parts.netloc, parts.path))
    if parts.scheme in {"mongodb", "mongodb+srv"}:
        with _optional_package("ASTROLENS_RECORDS_URL"):
            from astrolens.platform.stores.mongo.store import MongoRecordStore  # noqa: PLC0415 - an optional dependency
        return MongoRecordStore(url)
    raise ConfigurationError(
        f"ASTROLENS_RECORDS_URL: no record store serves {parts.scheme!r}://; use sqlite:///file or mongodb://host/name"
    )


def image_store(url: str, options: S3Options | None = None) -> ImageStore:
    """The image store behind `url` (`file:///folder`, `s3+http(s)://[key:secret@]host:port/bucket`), not yet opened.

    Args:
        url: As above; S3 takes `?region=...`.
        options: What S3 needs beside the URL, from the settings.

    Raises:
        ConfigurationError: No adapter serves this scheme, its package is not installed, or the URL is incomplete.
    """
    parts = _split("ASTROLENS_IMAGES_URL", url)
    if parts.scheme == "file":
        return FolderImageStore(_local_path("ASTROLENS_IMAGES_URL", url, parts.netloc, parts.path))
    if parts.scheme in {"s3+http", "s3+https"}:
        return _s3(parts, options or S3Options())
    raise ConfigurationError(
        f"ASTROLENS_IMAGES_URL: no image store serves {parts.scheme!r}://; use file:///folder or "
        "s3+https://host:port/bucket"
    )


def _s3(parts: SplitResult, options: S3Options) -> ImageStore:
    with _optional_package("ASTROLENS_IMAGES_URL"):
        from astrolens.platform.stores.s3.store import S3ImageStore  # noqa: PLC0415 - an optional dependency
    user, _, endpoint = parts.netloc.rpartition("@")
    access_key, _, secret_key = (unquote(part) for part in user.partition(":"))
    bucket = parts.path.strip("/")
    access_key = options.access_key or access_key
    secret_key = options.secret_key or secret_key
    if not endpoint or not bucket or "/" in bucket:
        raise ConfigurationError("ASTROLENS_IMAGES_URL: an S3 store is written s3+https://host:port/bucket")
    if not access_key or not secret_key:
        raise ConfigurationError(
            f"ASTROLENS_IMAGES_URL: the bucket {endpoint}/{bucket} needs credentials: set ASTROLENS_S3_ACCESS_KEY and "
            "ASTROLENS_S3_SECRET_KEY"
        )
    return S3ImageStore(
        endpoint,
        bucket,
        access_key=access_key,
        secret_key=secret_key,
        secure=parts.scheme == "s3+https",
        region=next(iter(parse_qs(parts.query).get("region", [])), None),
        public_url=options.public_url,
    )


@contextmanager
def _optional_package(setting: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("astrolens"):
            raise
        raise ConfigurationError(f"{setting} needs the package {error.name!r}: install astrolens[engines]") from None


def _split(setting: str, url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ConfigurationError(f"{setting} is no URL") from None


def _local_path(setting: str, url: str, netloc: str, path: str) -> Path:
    # `sqlite:////abs` (four slashes) and `sqlite:///abs` both mean the absolute path.
    if netloc or not path.strip("/"):
        raise ConfigurationError(f"{setting}: {url!r} names no absolute path; write it with three slashes")
    return Path("/" + unquote(path).lstrip("/"))
