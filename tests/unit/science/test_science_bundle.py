"""A damaged bundle is refused before anything in it is parsed, with the file and the reason."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astrolens.science import bundle as files
from astrolens.science.bundle import (
    Bundle,
    BundleDamaged,
    Combination,
    DetectorEntry,
    Manifest,
    ModelEntry,
    SurveyEntry,
    Training,
    arrays_to_bytes,
    write_bundle,
)
from astrolens.science.preprocessing import PreprocessingSpec


def small_manifest(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "tiny",
        "version": "1.0.0",
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "classes": ("smooth", "spiral"),
        "surveys": {"sdss": SurveyEntry(detector_images=3, combined_images=3)},
        "preprocessing": PreprocessingSpec(),
        "model": ModelEntry(architecture="none", embedding_dim=2, parameters=1),
        "detectors": (DetectorEntry(name="msp", kind="msp", title="MSP"),),
        "combination": Combination(detectors=("msp",)),
        "training": Training(code_version="0", seed=1, draws=1, minutes=0.0, images={}, data_digest="-"),
        "files": {},
    }
    return Manifest(**{**fields, **changes})


def small_contents(**changes: bytes) -> dict[str, bytes]:
    scores = np.array([0.1, 0.2, 0.3])
    calibration = {f"{survey}/{name}": scores for survey in ("sdss", "pooled") for name in ("msp", "combined")}
    contents = {
        files.MODEL: b"no graph, but signed",
        files.DETECTORS: arrays_to_bytes({}),
        files.CALIBRATION: arrays_to_bytes(calibration),
        files.INDEX: arrays_to_bytes({"centroids": np.eye(2, dtype=np.float32)}),
        files.CARD: "# Märchen".encode(),
    }
    return {**contents, **{name.replace("__", "."): data for name, data in changes.items()}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", small_manifest(), small_contents())
    return tmp_path / "bundle"


def test_what_was_written_is_read(folder: Path) -> None:
    bundle = Bundle.load(folder)
    assert bundle.manifest.name == "tiny"
    assert bundle.model == b"no graph, but signed"
    assert bundle.card == "# Märchen"
    assert bundle.centroids.dtype == np.float32
    assert bundle.calibration["sdss/msp"].tolist() == [0.1, 0.2, 0.3]
    assert Bundle.load(folder, expected_digest=bundle.digest).digest == bundle.digest


def test_equal_contents_give_equal_digests(tmp_path: Path, folder: Path) -> None:
    again = write_bundle(tmp_path / "again", small_manifest(), small_contents())
    assert again == Bundle.load(folder).digest


@pytest.mark.parametrize("name", files.REQUIRED)
def test_one_flipped_bit_is_found(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleDamaged, match="digest") as caught:
        Bundle.load(folder)
    assert caught.value.path == folder / name
    assert name in str(caught.value)


@pytest.mark.parametrize("name", [*files.REQUIRED, files.MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleDamaged, match="missing") as caught:
        Bundle.load(folder)
    assert caught.value.path.name == name


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleDamaged, match="no such folder"):
        Bundle.load(tmp_path / "nowhere")


def test_a_truncated_and_an_enlarged_file_are_refused(folder: Path) -> None:
    original = (folder / files.MODEL).read_bytes()
    for data in (original[:-1], original + b"x", b""):
        (folder / files.MODEL).write_bytes(data)
        with pytest.raises(BundleDamaged, match="bytes where the manifest says 20"):
            Bundle.load(folder)


def test_an_unlisted_file_is_refused(folder: Path) -> None:
    (folder / "extra.pkl").write_bytes(b"")
    with pytest.raises(BundleDamaged, match="does not know"):
        Bundle.load(folder)


def test_another_bundle_than_the_one_asked_for_is_refused(folder: Path) -> None:
    with pytest.raises(BundleDamaged, match="as was asked for"):
        Bundle.load(folder, expected_digest="0" * 64)


def _edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        document = json.loads((folder / files.MANIFEST).read_bytes())
        change(document)
        (folder / files.MANIFEST).write_text(json.dumps(document))

    return apply


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / files.MANIFEST).write_bytes(b"{"), "not valid"),
        (lambda folder: (folder / files.MANIFEST).write_bytes(b" " * (2 << 20)), "larger than"),
        (_edit(lambda document: document.update(format=2)), "format"),
        (_edit(lambda document: document.pop("classes")), "classes"),
        (_edit(lambda document: document["files"].pop(files.INDEX)), "does not name index.npz"),
        (_edit(lambda document: document["files"].update({"../x.npz": {"sha256": "0" * 64, "size": 1}})), "not valid"),
        (_edit(lambda document: document["files"][files.MODEL].update(size=1 << 40)), "not valid"),
    ],
)
def test_a_bad_manifest_is_refused(folder: Path, damage: Callable[[Path], object], complaint: str) -> None:
    damage(folder)
    with pytest.raises(BundleDamaged, match=complaint) as caught:
        Bundle.load(folder)
    assert caught.value.path.name == files.MANIFEST


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, evil=np.array([{"a": 1}], dtype=object))
    return buffer.getvalue()


def _bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        for _ in range(1100):
            member.write(bytes(1 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (_pickled, "plain arrays"),
        (lambda: b"not a zip", "plain arrays"),
        (lambda: arrays_to_bytes({"a": np.array([1.0, np.nan])}), "array a"),
        (_bomb, "larger than"),
    ],
)
def test_listed_but_unusable_arrays_are_refused(tmp_path: Path, data: Callable[[], bytes], complaint: str) -> None:
    write_bundle(tmp_path / "b", small_manifest(), small_contents(detectors__npz=data()))
    with pytest.raises(BundleDamaged, match=complaint) as caught:
        Bundle.load(tmp_path / "b")
    assert caught.value.path.name == files.DETECTORS


def test_centroids_must_fit_the_embedding(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", small_manifest(), small_contents(index__npz=arrays_to_bytes({"centroids": np.eye(3)})))
    with pytest.raises(BundleDamaged, match="2 dimensions"):
        Bundle.load(tmp_path / "b")


def test_writing_again_removes_what_was_there(folder: Path) -> None:
    (folder / "old.bin").write_bytes(b"old")
    write_bundle(folder, small_manifest(version="1.0.1"), small_contents())
    assert Bundle.load(folder).manifest.version == "1.0.1"


def test_a_folder_can_be_moved(folder: Path, tmp_path: Path) -> None:
    before = Bundle.load(folder).digest
    shutil.move(folder, tmp_path / "elsewhere")
    assert Bundle.load(tmp_path / "elsewhere").digest == before
