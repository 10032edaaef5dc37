"""What the model registry must do on every pair of stores. An adapter's test class gives the `registry` fixtures."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from astrolens.contracts.ids import content_digest
from astrolens.contracts.models import ModelState
from astrolens.platform.signing import Signer, Verifier, load_signer, load_verifier, public_key_path
from astrolens.platform.stores.images import ImageStore, model_file_key
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.errors import NotFound
from astrolens.usecases.model_registry import BundleRefused, ModelRegistry

PASSED = {"passed": True, "gates": [{"name": "oddity AUROC", "passed": True, "detail": "0.92 after 0.91"}]}
FAILED = {"passed": False, "gates": [{"name": "macro F1", "passed": False, "detail": "0.70 after 0.82"}]}


def write_folder(folder: Path, *, name: str = "made", version: str = "1", graph: bytes = b"graph") -> str:
    """A bundle as far as the registry looks at it; its digest."""
    folder.mkdir(parents=True)
    files = {"model.onnx": graph, "model_card.md": b"# Card\n"}
    for file, data in files.items():
        (folder / file).write_bytes(data)
    entries = {file: {"sha256": content_digest(data), "size": len(data)} for file, data in files.items()}
    manifest = json.dumps({"name": name, "version": version, "files": entries}).encode()
    (folder / "manifest.json").write_bytes(manifest)
    return content_digest(manifest)


class ModelRegistryBehaviour:
    """Inherit, and give fixtures `records` and `images` with opened, empty stores."""

    @pytest.fixture
    def registry(self, records: RecordStore, images: ImageStore) -> ModelRegistry:
        return ModelRegistry(records=records, images=images)

    @pytest.fixture
    def signer(self, tmp_path: Path) -> Signer:
        return load_signer(tmp_path / "keys" / "model-signing.key", create=True)

    @pytest.fixture
    def verifier(self, tmp_path: Path, signer: Signer) -> Verifier:
        assert signer.key_id
        return load_verifier([public_key_path(tmp_path / "keys" / "model-signing.key")])

    async def test_what_is_published_comes_back_as_it_was(
        self, registry: ModelRegistry, signer: Signer, verifier: Verifier, tmp_path: Path
    ) -> None:
        digest = write_folder(tmp_path / "bundle")
        record = await registry.publish(
            tmp_path / "bundle", signer=signer, created_by="run 1", parent_digest="p" * 64, gates=PASSED
        )
        assert (record.digest, record.state) == (digest, ModelState.CANDIDATE)
        assert record == await registry.get(digest)
        folder = await registry.fetch(digest, tmp_path / "cache", verifier=verifier)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
            path.name: path.read_bytes() for path in (tmp_path / "bundle").iterdir()
        }

    async def test_publishing_twice_is_publishing_once(
        self, registry: ModelRegistry, signer: Signer, tmp_path: Path
    ) -> None:
        write_folder(tmp_path / "bundle")
        first = await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1", gates=PASSED)
        assert await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 2", gates=FAILED) == first
        assert await registry.read_all() == [first]

    async def test_a_failed_gate_refuses_and_says_which(
        self, registry: ModelRegistry, signer: Signer, tmp_path: Path
    ) -> None:
        write_folder(tmp_path / "bundle")
        record = await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1", gates=FAILED)
        assert record.state is ModelState.REFUSED
        assert record.history[-1].why == "gates failed: macro F1"

    async def test_a_folder_that_is_not_what_its_manifest_says_is_refused(
        self, registry: ModelRegistry, signer: Signer, tmp_path: Path
    ) -> None:
        write_folder(tmp_path / "bundle")
        (tmp_path / "bundle" / "model.onnx").write_bytes(b"grapH")
        with pytest.raises(BundleRefused, match=r"model\.onnx is not what the manifest says"):
            await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1")
        assert await registry.read_all() == []

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"version": "1\x1b[31m"}, r"its version '1\\x1b\[31m' is not plain"),
            ({"version": ""}, "its version '' is not plain"),
            ({"version": "1" * 65}, "is not plain"),
            ({"name": "<b>made</b>"}, "its name '<b>made</b>' is not plain"),
            ({"name": "../made"}, "its name '../made' is not plain"),
        ],
    )
    async def test_a_bundle_whose_name_would_change_a_log_line_is_refused(
        self, registry: ModelRegistry, signer: Signer, tmp_path: Path, given: dict[str, str], said: str
    ) -> None:
        write_folder(tmp_path / "bundle", **given)  # type: ignore[arg-type]
        with pytest.raises(BundleRefused, match=said):
            await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1")
        assert await registry.read_all() == []

    async def test_a_version_of_a_retraining_run_is_plain(
        self, registry: ModelRegistry, signer: Signer, tmp_path: Path
    ) -> None:
        write_folder(tmp_path / "bundle", name="second-light", version="0.3.3+0123abcd")
        record = await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1")
        assert (record.name, record.version) == ("second-light", "0.3.3+0123abcd")

    async def test_an_unknown_bundle_is_named(
        self, registry: ModelRegistry, verifier: Verifier, tmp_path: Path
    ) -> None:
        with pytest.raises(NotFound, match="No model"):
            await registry.fetch("0" * 64, tmp_path / "cache", verifier=verifier)

    async def test_a_bundle_of_a_stranger_is_refused(
        self, registry: ModelRegistry, verifier: Verifier, tmp_path: Path
    ) -> None:
        stranger = load_signer(tmp_path / "elsewhere" / "model-signing.key", create=True)
        digest = write_folder(tmp_path / "bundle")
        await registry.publish(tmp_path / "bundle", signer=stranger, created_by="stranger")
        with pytest.raises(BundleRefused, match=f"key {stranger.key_id}, which is not trusted"):
            await registry.fetch(digest, tmp_path / "cache", verifier=verifier)
        assert not (tmp_path / "cache" / digest).exists()

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"signature": None, "key_id": None}, "not signed"),
            ({"signature": "AAAA"}, "changed after it was signed"),
            ({"signature": "no base64 at all!"}, "changed after it was signed"),
            ({"version": "9"}, "changed after it was signed"),
        ],
    )
    async def test_a_record_that_was_changed_is_refused(
        self,
        registry: ModelRegistry,
        signer: Signer,
        verifier: Verifier,
        tmp_path: Path,
        change: dict[str, str | None],
        reason: str,
    ) -> None:
        digest = write_folder(tmp_path / "bundle")
        record = await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1")
        assert await registry.save(record, record.model_copy(update=change))
        with pytest.raises(BundleRefused, match=reason):
            await registry.fetch(digest, tmp_path / "cache", verifier=verifier)

    async def test_a_missing_file_is_named(
        self, registry: ModelRegistry, images: ImageStore, signer: Signer, verifier: Verifier, tmp_path: Path
    ) -> None:
        digest = write_folder(tmp_path / "bundle")
        record = await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1")
        await images.delete([model_file_key(record.files["model.onnx"].sha256)])
        with pytest.raises(BundleRefused, match=r"its file model\.onnx cannot be had"):
            await registry.fetch(digest, tmp_path / "cache", verifier=verifier)

    async def test_a_damaged_copy_is_fetched_again(
        self, registry: ModelRegistry, signer: Signer, verifier: Verifier, tmp_path: Path
    ) -> None:
        digest = write_folder(tmp_path / "bundle")
        await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1")
        folder = await registry.fetch(digest, tmp_path / "cache", verifier=verifier)
        (folder / "model.onnx").write_bytes(b"damaged")
        folder = await registry.fetch(digest, tmp_path / "cache", verifier=verifier)
        assert (folder / "model.onnx").read_bytes() == b"graph"

    async def test_of_two_changes_at_once_one_is_written(
        self, registry: ModelRegistry, signer: Signer, tmp_path: Path
    ) -> None:
        write_folder(tmp_path / "bundle")
        record = await registry.publish(tmp_path / "bundle", signer=signer, created_by="run 1")
        assert await registry.change_state(record, ModelState.SHADOW, by="vera", why="look")
        assert not await registry.change_state(record, ModelState.REFUSED, by="edwin", why="no")
        after = await registry.get(record.digest)
        assert (after.state, after.history[-1].by, after.revision) == (ModelState.SHADOW, "vera", 1)

    async def test_a_bundle_of_the_installation_is_recorded_once_and_can_be_published(
        self, registry: ModelRegistry, signer: Signer, verifier: Verifier, tmp_path: Path
    ) -> None:
        digest = write_folder(tmp_path / "bundle")
        for _ in range(2):
            await registry.record_installed(
                digest=digest, name="made", version="1", created_at=datetime(2026, 1, 1, tzinfo=UTC)
            )
        [record] = await registry.read_all()
        assert record.is_installed
        with pytest.raises(BundleRefused, match="bundle of an installation"):
            await registry.fetch(digest, tmp_path / "cache", verifier=verifier)
        published = await registry.publish(tmp_path / "bundle", signer=signer, created_by="vera")
        assert not published.is_installed
        shutil.rmtree(tmp_path / "bundle")
        assert (await registry.fetch(digest, tmp_path / "cache", verifier=verifier)).is_dir()
