"""From a URL to the adapter that serves it."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.stores.folder import FolderImageStore
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.stores.sqlite import SqliteRecordStore


def record_store(url: str) -> RecordStore:
    """The record store behind `url` (`sqlite:///file`), not yet opened.

    Raises:
        ConfigurationError: No adapter serves this scheme.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return SqliteRecordStore(_local_path("ASTROLENS_RECORDS_URL", url, parts.netloc, parts.path))
    raise ConfigurationError(f"ASTROLENS_RECORDS_URL: no record store serves {parts.scheme!r}://; use sqlite:///file")


def image_store(url: str) -> ImageStore:
    """The image store behind `url` (`file:///folder`), not yet opened.

    Raises:
        ConfigurationError: No adapter serves this scheme.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderImageStore(_local_path("ASTROLENS_IMAGES_URL", url, parts.netloc, parts.path))
    raise ConfigurationError(f"ASTROLENS_IMAGES_URL: no image store serves {parts.scheme!r}://; use file:///folder")


def _local_path(setting: str, url: str, netloc: str, path: str) -> Path:
    # `sqlite:////abs` (four slashes) and `sqlite:///abs` both mean the absolute path.
    if netloc or not path.strip("/"):
        raise ConfigurationError(f"{setting}: {url!r} names no absolute path; write it with three slashes")
    return Path("/" + unquote(path).lstrip("/"))
