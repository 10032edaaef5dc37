"""The image-store port: immutable bytes under content-addressed keys."""

import hashlib
from collections.abc import Sequence
from typing import Protocol

from astrolens.platform.errors import ObjectDamaged, PermanentError

ORIGINALS = "originals/"
CUTOUTS = "cutouts/"
SURVEY_MODELS = "survey-models/"
MODEL_FILES = "models/"
PATCH_CODEBOOKS = "patch-codebooks/"


class ImageStore(Protocol):
    """Originals, cutouts, survey models, patch codebooks, files of bundles. Every verb may raise `StoreUnavailable`."""

    @property
    def expiry(self) -> "Expiry | None":
        """The store's expiry of marked originals; None where it has none."""

    async def open(self) -> None:
        """Connect and create what is missing, within a bounded wait."""

    async def close(self) -> None:
        """Release everything."""

    async def ping(self) -> None:
        """Raise unless the store answers."""

    async def put(self, key: str, data: bytes, *, media_type: str) -> bool:
        """Put bytes where there are none yet, atomically and durably; return whether they are new.

        The first bytes under a key stay, except where the key names an image (`is_replaceable`) and what lies there is
        of another size: that is damaged, or of an attempt that was never recorded, and is replaced.
        """

    async def put_many(self, items: Sequence[tuple[str, bytes, str]]) -> None:
        """Put several (key, bytes, media type)."""

    async def get(self, key: str) -> bytes:
        """Get bytes.

        Raises:
            ObjectMissing: Nothing is stored under this key.
            ObjectDamaged: What lies there is not what was put (`verified`).
        """

    async def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Get several; missing and damaged ones are left out."""

    async def exists(self, key: str) -> bool:
        """Whether something is stored under this key."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Remove; a missing key is no error."""

    async def link(self, key: str, *, media_type: str, expires_s: float, filename: str | None = None) -> str | None:
        """An address at which these bytes are served for some time; None where the store gives none.

        It is a secret: it belongs into the answer to the one who asked, and into no log. It is not checked whether
        anything is stored under the key.

        Args:
            key: Key of the object.
            media_type: Media type of the answer, whatever the bytes were put as.
            expires_s: How long the address is good for, seconds.
            filename: Serve them as a download of this name, never shown in a page: for what strangers sent.
        """


class Expiry(Protocol):
    """A rule by which a store deletes marked originals by itself.

    A missing key is no error: what is deleted needs no mark.
    """

    async def expire_after(self, days: int) -> None:
        """Delete marked originals at this age; 0 removes the rule, and nothing expires any more.

        Raises:
            ConfigurationError: The credentials may not set the rule.
        """

    async def mark_expendable(self, keys: Sequence[str]) -> None:
        """Let the rule delete these originals once they are old enough."""

    async def unmark_expendable(self, keys: Sequence[str]) -> None:
        """Remove the mark; where there is none, nothing happens."""


def original_key(sha256: str) -> str:
    """The key of the original bytes."""
    return f"{ORIGINALS}{sha256[:2]}/{sha256}"


def cutout_key(image_id: str) -> str:
    """The key of an image's canonical cutout."""
    return f"{CUTOUTS}{image_id[:2]}/{image_id}.jpg"


def survey_model_key(sha256: str) -> str:
    """The key of the bytes of a survey model."""
    return f"{SURVEY_MODELS}{sha256[:2]}/{sha256}"


def model_file_key(sha256: str) -> str:
    """The key of one file of a model bundle; bundles that share a file share its bytes."""
    return f"{MODEL_FILES}{sha256[:2]}/{sha256}"


def patch_codebook_key(model_digest: str, survey: str, images: int) -> str:
    """The key of the patches of `images` ordinary images of a survey; the first that are stored stay."""
    return f"{PATCH_CODEBOOKS}{model_digest[:16]}/{survey}-{images}"


def is_replaceable(key: str) -> bool:
    """Whether a put may replace what lies under this key: it names the content, so it is the same in every put."""
    return key.startswith((ORIGINALS, CUTOUTS, SURVEY_MODELS, MODEL_FILES))


def verified(key: str, data: bytes) -> bytes:
    """The bytes, when they can be what was put under this key.

    The key of anything but a cutout ends with its SHA-256. A cutout is never empty; its digest is in its
    record, and whoever has the record compares it.

    Raises:
        ObjectDamaged: They cannot.
    """
    if (
        key.startswith((ORIGINALS, SURVEY_MODELS, MODEL_FILES))
        and hashlib.sha256(data).hexdigest() != key.rpartition("/")[2]
    ):
        raise ObjectDamaged(key, f"its {len(data)} bytes have another SHA-256 than its name")
    if key.startswith(CUTOUTS) and not data:
        raise ObjectDamaged(key, "it is empty")
    return data


def validated_key(key: str) -> str:
    """The key, unchanged.

    Raises:
        PermanentError: It is empty, has an empty or relative step, or a NUL: on some engine it would leave the store.
    """
    if not key or any(part in {"", ".", ".."} or "\0" in part for part in key.split("/")):
        raise PermanentError("bad-key", f"{key[:200]!r} is no image-store key")
    return key
