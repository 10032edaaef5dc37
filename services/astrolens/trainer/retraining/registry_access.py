"""What a run takes from the model registry, the promoted bundle, and what it puts there, its challenger."""

from pathlib import Path
from typing import Final

from astrolens.contracts.ids import content_digest
from astrolens.contracts.training_runs import GateReport
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings
from astrolens.platform.signing import load_signer, load_verifier
from astrolens.platform.stores.images import ImageStore, model_file_key
from astrolens.platform.stores.records import RecordStore
from astrolens.science.bundle import MANIFEST
from astrolens.usecases.model_promotion import read_current
from astrolens.usecases.model_registry import BundleRefused, ModelRegistry

CHAMPION: Final = "champion"
"""File in a run's folder with the digest of its champion: a promotion meanwhile changes nothing for it."""


async def champion_folder(records: RecordStore, images: ImageStore, settings: Settings, run: Path) -> Path:
    """The folder of the bundle that a run starts from: the promoted one, or that of the settings.

    Raises:
        ConfigurationError: The promoted bundle cannot be had, or is not signed by a trusted key.
        StoreUnavailable: A store is unreachable.
    """
    note = run / CHAMPION
    installed = content_digest((settings.bundle / MANIFEST).read_bytes())
    if not note.is_file():
        current = await read_current(records)
        note.write_text(installed if current is None else current.digest)
    digest = note.read_text()
    if digest == installed:
        return settings.bundle
    registry = ModelRegistry(records=records, images=images)
    verifier = load_verifier(settings.model_trusted_keys)
    try:
        return await registry.fetch(digest, settings.home / "training" / "bundles", verifier=verifier)
    except BundleRefused as error:
        raise ConfigurationError(f"the promoted bundle {digest[:12]} cannot be retrained: {error}") from error


async def publish_challenger(
    records: RecordStore,
    images: ImageStore,
    settings: Settings,
    *,
    folder: Path,
    report: GateReport,
    manifest: bytes,
    run_id: str,
) -> str:
    """Publish a challenger with its gates, refused or not, and its data manifest; return the key of the manifest.

    Raises:
        ConfigurationError: The key that signs cannot be read.
        StoreUnavailable: A store is unreachable; doing it again is harmless.
    """
    key = model_file_key(content_digest(manifest))
    await images.put(key, manifest, media_type="application/x-ndjson")
    registry = ModelRegistry(records=records, images=images)
    await registry.publish(
        folder,
        signer=load_signer(settings.model_signing_key, create=True),
        created_by=f"training run {run_id}",
        parent_digest=report.champion,
        gates=report.model_dump(mode="json"),
    )
    return key
