"""The model registry: bundles in the image store, one record each, signed as a whole.

`publish` puts a bundle there, `fetch` brings it back and proves that it is what was signed. Which bundle serves is said
by `usecases.model_promotion`.
"""

import asyncio
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from pydantic import ValidationError

from astrolens.contracts.base import utc_now
from astrolens.contracts.ids import content_digest
from astrolens.contracts.models import (
    MAX_HISTORY,
    ModelChange,
    ModelFile,
    ModelRecord,
    ModelState,
    failed_gates,
    signed_bytes,
)
from astrolens.platform.errors import ObjectMissing, SignatureRefused
from astrolens.platform.private_files import create_private_folder
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore, model_file_key
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Change, Clause, Query, RecordStore, to_document
from astrolens.usecases.errors import NotFound

MANIFEST: Final = "manifest.json"
MAX_MODEL_BYTES: Final = 2 << 30
"""Of all files of one bundle: a ViT-B/16 in fp32 with its weights takes 700 MB."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_MEDIA_TYPE: Final = "application/octet-stream"
_PAGE: Final = 100
_UNUSED_AFTER_S: Final = 3600.0
"""A younger folder may be about to be loaded by another task."""

_log = structlog.get_logger(__name__)


class BundleRefused(Exception):
    """A bundle must not be published or used; the message is one clause that says why."""


class StatementSigner(Protocol):
    """Signs bundles; see `astrolens.platform.signing.Signer`."""

    key_id: str

    def sign(self, statement: bytes) -> str:
        """The signature, base64."""


class StatementVerifier(Protocol):
    """Checks signatures of bundles; see `astrolens.platform.signing.Verifier`."""

    def verify(self, statement: bytes, *, signature: str | None, signed_with: str | None) -> None:
        """Raise `SignatureRefused` where the signature proves nothing; its message is a clause that says why."""


class ModelRegistry:
    """Reads and changes the records of bundles, and moves their files.

    Args:
        records: The record store.
        images: The image store.
        clock: The present time.
    """

    def __init__(self, *, records: RecordStore, images: ImageStore, clock: Callable[[], datetime] = utc_now) -> None:
        self._records = records
        self._images = images
        self._clock = clock

    def now(self) -> datetime:
        """The present time, as its records say it."""
        return self._clock()

    async def publish(
        self,
        folder: Path,
        *,
        signer: StatementSigner,
        created_by: str,
        parent_digest: str | None = None,
        gates: Mapping[str, Any] | None = None,
        why: str = "",
    ) -> ModelRecord:
        """Put a bundle into the image store and record it: as `refused` where a gate failed, else as `candidate`.

        The record is written last, so that a bundle is whole or absent. Publishing the same bundle again changes
        nothing and gives the record that is there.

        Args:
            folder: The bundle, with its manifest.
            signer: Signs the digests of all files.
            created_by: A person's name, or the job that made it.
            parent_digest: The bundle whose weights its training began with.
            gates: The report as in `ModelRecord.gates`; `passed` False refuses it.
            why: What to say in its history; by default what the gates said.

        Raises:
            BundleRefused: The folder is no bundle, a file is not what the manifest says, or its name or version has
                characters that do not belong into a log line, an address or a terminal.
            StoreUnavailable: A store is unreachable; the same call may succeed later.
        """
        contents = await asyncio.to_thread(_read_bundle, folder)
        name, version = _plain_name(json.loads(contents[MANIFEST]))
        files = {file: ModelFile(sha256=content_digest(data), size=len(data)) for file, data in contents.items()}
        digest = files[MANIFEST].sha256
        report = dict(gates or {})
        state = ModelState.REFUSED if report.get("passed") is False else ModelState.CANDIDATE
        record = ModelRecord(
            digest=digest,
            name=name,
            version=version,
            parent_digest=parent_digest,
            created_at=self._clock(),
            created_by=created_by,
            files=files,
            key_id=signer.key_id,
            signature=signer.sign(signed_bytes(name, version, digest, files)),
            gates=report,
            state=state,
            history=(ModelChange(state=state, at=self._clock(), by=created_by, why=why or _gates_words(report)),),
        )
        await self._images.put_many(
            [(model_file_key(files[file].sha256), data, _MEDIA_TYPE) for file, data in contents.items()]
        )
        if await self._records.insert(Collection.MODELS, [record]):
            _log.info("model published", digest=digest, model=name, version=version, state=state.value)
            return record
        known = await self.get(digest)
        if not known.is_installed:
            return known
        # It came with the installation and is now in the image store as well.
        adopted = known.model_copy(
            update={"files": files, "key_id": record.key_id, "signature": record.signature, "gates": report}
        )
        await self.save(known, adopted)
        return await self.get(digest)

    async def record_installed(self, *, digest: str, name: str, version: str, created_at: datetime) -> None:
        """Record the bundle of the settings, whose files are on the disk of each model server; once is enough."""
        if digest in await self._records.get(Collection.MODELS, [digest], fields=("name",)):
            return
        change = ModelChange(
            state=ModelState.CANDIDATE, at=self._clock(), by="settings", why="it is the bundle of the settings"
        )
        record = ModelRecord(
            digest=digest,
            name=name,
            version=version,
            created_at=created_at,
            created_by="installation",
            state=ModelState.CANDIDATE,
            history=(change,),
        )
        await self._records.insert(Collection.MODELS, [record])

    async def get(self, digest: str) -> ModelRecord:
        """The record of a bundle.

        Raises:
            NotFound: The registry has none of this digest.
        """
        document = (await self._records.get(Collection.MODELS, [digest])).get(digest)
        if document is None:
            raise NotFound("model", digest)
        return ModelRecord.model_validate(document)

    async def read_all(self) -> list[ModelRecord]:
        """Every bundle, the newest first; a record that cannot be read is logged and left out."""
        found: list[ModelRecord] = []
        async for page in pages(self._records, Collection.MODELS, Query(limit=_PAGE)):
            for document in page:
                try:
                    found.append(ModelRecord.model_validate(document))
                except ValidationError as error:
                    _log.error("the record of a model cannot be read", digest=document["digest"], error=str(error))
        return sorted(found, key=lambda record: (record.created_at, record.digest), reverse=True)

    async def save(self, before: ModelRecord, after: ModelRecord) -> bool:
        """Write a changed record, unless it changed since it was read; return whether it was written."""
        old, new = to_document(before), to_document(after.model_copy(update={"revision": before.revision + 1}))
        values = {name: value for name, value in new.items() if name != "digest" and value != old.get(name)}
        guard = Clause("revision", "eq", before.revision)
        return bool(await self._records.apply(Collection.MODELS, [Change(id=before.digest, set=values, when=(guard,))]))

    async def change_state(self, record: ModelRecord, state: ModelState, *, by: str, why: str) -> bool:
        """Write another state with its reason; return whether it was written."""
        change = ModelChange(state=state, at=self._clock(), by=by, why=why)
        history = (*record.history, change)[-MAX_HISTORY:]
        return await self.save(record, record.model_copy(update={"state": state, "history": history}))

    async def note_served(self, digest: str) -> bool:
        """Write that a model server serves a bundle, the first time; return whether it is written."""
        record = await self.get(digest)
        if record.first_served_at is not None:
            return True
        return await self.save(record, record.model_copy(update={"first_served_at": self._clock()}))

    async def note_refusal(self, digest: str, *, by: str, why: str) -> bool:
        """Write into the history of a promoted bundle why it is not served, once; return whether it is written."""
        record = await self.get(digest)
        if record.state is not ModelState.PROMOTED:
            return False  # Its promotion comes first.
        if record.history and record.history[-1].why == why:
            return True
        return await self.change_state(record, ModelState.PROMOTED, by=by, why=why)

    async def fetch(self, digest: str, cache: Path, *, verifier: StatementVerifier) -> Path:
        """The folder of a bundle on this machine, proven to be what was signed.

        Files come from the image store once; a folder that is there is read and compared again.

        Args:
            digest: The bundle.
            cache: Folder of bundles; this one becomes `cache/<digest>`.
            verifier: Knows the trusted keys.

        Raises:
            NotFound: The registry has none of this digest.
            BundleRefused: It is not signed by a trusted key, or a file is missing, damaged or another.
            StoreUnavailable: A store is unreachable; the same call may succeed later.
        """
        record = await self.get(digest)
        if record.is_installed:
            raise BundleRefused("its files are not in the image store: it was the bundle of an installation")
        try:
            verifier.verify(
                signed_bytes(record.name, record.version, digest, record.files),
                signature=record.signature,
                signed_with=record.key_id,
            )
        except SignatureRefused as error:
            raise BundleRefused(str(error)) from error
        if (manifest := record.files.get(MANIFEST)) is None or manifest.sha256 != digest:
            raise BundleRefused("its record names another manifest than its digest does")
        folder = cache / digest
        if await asyncio.to_thread(_holds, folder, record.files):
            return folder
        contents: dict[str, bytes] = {}
        for name, entry in record.files.items():
            try:
                contents[name] = await self._images.get(model_file_key(entry.sha256))
            except ObjectMissing as error:
                raise BundleRefused(f"its file {name} cannot be had: {error}") from error
        await asyncio.to_thread(_write, folder, contents)
        return folder


def _plain_name(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Name and version of a bundle, which logs and terminals print as they are.

    Raises:
        BundleRefused: One is missing or has other characters.
    """
    name, version = str(manifest.get("name")), str(manifest.get("version"))
    if not _NAME.fullmatch(name):
        raise BundleRefused(f"its name {name!r:.80} is not plain: it has 1 to 63 of a-z, 0-9 and -, no - first")
    if not _VERSION.fullmatch(version):
        raise BundleRefused(
            f"its version {version!r:.80} is not plain: it has 1 to 64 of letters without accents, digits and . + _ -, "
            "a letter or digit first"
        )
    return name, version


def _gates_words(gates: Mapping[str, Any]) -> str:
    if not gates:
        return "published without measured gates"
    if failed := failed_gates(gates):
        return f"gates failed: {', '.join(failed)}"
    return "its gates passed" if gates.get("passed") else "its gates failed"


def _read_bundle(folder: Path) -> dict[str, bytes]:
    """Every file of a bundle, compared with the manifest.

    Raises:
        BundleRefused: It is none.
    """
    try:
        manifest_bytes = (folder / MANIFEST).read_bytes()
        listed = json.loads(manifest_bytes)["files"]
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise BundleRefused(f"its {MANIFEST} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BundleRefused(f"its {MANIFEST} does not name its files: {error}") from error
    if set(names) != {MANIFEST, *listed}:
        odd = sorted(set(names) ^ {MANIFEST, *listed})
        raise BundleRefused(f"folder and {MANIFEST} do not name the same files: {', '.join(odd[:3])}")
    contents = {MANIFEST: manifest_bytes}
    for name in sorted(listed):
        data = (folder / name).read_bytes()
        if (content_digest(data), len(data)) != (listed[name].get("sha256"), listed[name].get("size")):
            raise BundleRefused(f"its {name} is not what the manifest says")
        contents[name] = data
    if sum(map(len, contents.values())) > MAX_MODEL_BYTES:
        raise BundleRefused(f"it has more than {MAX_MODEL_BYTES} bytes")
    return contents


def _holds(folder: Path, files: Mapping[str, ModelFile]) -> bool:
    """Whether a folder holds exactly these files."""
    if not folder.is_dir() or {entry.name for entry in folder.iterdir()} != set(files):
        return False
    return all(content_digest((folder / name).read_bytes()) == entry.sha256 for name, entry in files.items())


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Put a folder in place as a whole; one that was there and is damaged goes."""
    create_private_folder(folder.parent)
    draft = folder.with_name(f".{folder.name[:16]}.{secrets.token_hex(4)}")
    draft.mkdir(mode=0o700)
    try:
        for name, data in contents.items():
            (draft / name).write_bytes(data)
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def remove_unused(cache: Path, keep: Sequence[str]) -> None:
    """Delete bundles of the cache folder that nothing needs any more."""
    if not cache.is_dir():
        return
    for entry in cache.iterdir():
        if entry.name not in keep and entry.stat().st_mtime < time.time() - _UNUSED_AFTER_S:
            shutil.rmtree(entry, ignore_errors=True)
