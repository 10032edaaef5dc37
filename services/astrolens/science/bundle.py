"""The model bundle: a folder with a backbone, its detectors, their calibration, and a manifest with their digests.

```
manifest.json     description of the bundle; SHA-256 and size of every other file
model.onnx        pixels [n, channels, size, size] uint8 -> logits [n, classes], embedding [n, d],
                  kinds [n, kinds] logits of ordinary and of each kind of oddity, and taps [n, d_tap] (both optional)
detectors.npz     fitted arrays of the detectors, named `<detector>.<array>`, see `astrolens.science.detectors`
calibration.npz   sorted scores of held-out ordinary images, see `astrolens.science.calibration`
index.npz         coarse centroids of the embedding space, for the similarity index
golden.npz        optional: cutouts and what the bundle says of them, see `astrolens.science.golden`
model_card.md     data, method, figures and limits, for people
```
Each file is compared with its digest before it is parsed. Arrays are read without pickle.
"""

import io
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from astrolens.contracts.base import Contract, Slug, UtcTime
from astrolens.contracts.ids import content_digest
from astrolens.science.preprocessing import PreprocessingSpec, preprocessing_digest

Arrays = Mapping[str, NDArray[Any]]

MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
DETECTORS: Final = "detectors.npz"
CALIBRATION: Final = "calibration.npz"
INDEX: Final = "index.npz"
CARD: Final = "model_card.md"
GOLDEN: Final = "golden.npz"
REQUIRED: Final = (MODEL, DETECTORS, CALIBRATION, INDEX, CARD)

_MAX_MANIFEST_BYTES = 1 << 20
_MAX_FILE_BYTES = 1 << 30
"""A ViT-B/16 in fp32 takes 350 MB."""

_FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*\.[a-z0-9]+$", max_length=64)]


TapName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
"""Name of an output of the graph with pooled features."""


class BundleDamaged(Exception):
    """The bundle must not be used: a file is missing, changed or malformed, or its parts are inconsistent.

    Attributes:
        path: The file or folder at fault.
        reason: A clause that says what is wrong.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"model bundle {path}: {reason}")
        self.path = path
        self.reason = reason


class FileEntry(Contract):
    """Digest and size of one file."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=_MAX_FILE_BYTES, description="Bytes.")


class DetectorEntry(Contract):
    """One detector: a formula and its constants. The fitted arrays are in `detectors.npz`."""

    name: Slug = Field(description="Key in analyses and calibration.")
    kind: Slug = Field(description="Formula, a key of `astrolens.science.detectors.DETECTOR_KINDS`.")
    title: str = Field(description="For people.")
    feature: TapName = Field(default="embedding", description="`embedding`, or the tap that the formula reads.")
    parameters: dict[str, float] = Field(default_factory=dict)
    by_class: bool = Field(
        default=False,
        description="Scores are given in units of the ordinary images of the same survey and predicted class: 0 is "
        "their median, 1 their 95 % quantile.",
    )


class Combination(Contract):
    """How the p-values of the detectors are combined into one."""

    method: Literal["fisher"] = "fisher"
    detectors: tuple[Slug, ...] = Field(
        min_length=1, description="Detectors that are combined; others are only reported."
    )
    tail_share: float = Field(
        default=0.02, gt=0.0, lt=0.5, description="Share of the largest scores that the tail is fitted to."
    )


class SurveyEntry(Contract):
    """Numbers of held-out ordinary images that calibrate a survey."""

    detector_images: int = Field(ge=1, description="For each detector.")
    combined_images: int = Field(ge=1, description="For their combination.")


class ModelEntry(Contract):
    """Input, outputs and size of the ONNX graph."""

    architecture: str
    input: str = "pixels"
    logits: str = "logits"
    embedding: str = "embedding"
    embedding_dim: int = Field(ge=1)
    kinds: str | None = Field(default=None, description="Output with the logits of `Manifest.kinds`, if there is one.")
    taps: dict[TapName, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="Outputs with pooled features of earlier layers, and their dimensions."
    )
    parameters: int = Field(ge=1, description="Number of weights.")


class Training(Contract):
    """How the backbone was trained."""

    code_version: str
    seed: int
    draws: int = Field(ge=0, description="Augmented images used.")
    minutes: float
    by_clock: bool = Field(
        default=False, description="A time limit ended it, so that the seed alone does not reproduce it."
    )
    images: dict[str, dict[str, int]] = Field(description="Number of images by split and survey.")
    data_digest: str = Field(description="SHA-256 of the label table.")


class Manifest(Contract):
    """The content of `manifest.json`."""

    format: Literal[1] = 1
    name: Slug
    version: str
    created_at: UtcTime
    classes: tuple[Slug, ...] = Field(min_length=2)
    kinds: tuple[Slug, ...] = Field(default=(), description="`ordinary`, then the kinds of oddity, as in the graph.")
    surveys: dict[Slug, SurveyEntry] = Field(min_length=1)
    preprocessing: PreprocessingSpec
    model: ModelEntry
    detectors: tuple[DetectorEntry, ...] = Field(min_length=1)
    combination: Combination
    training: Training
    figures: dict[str, Any] = Field(default_factory=dict, description="Measured on the test split; see the model card.")
    files: dict[_FileName, FileEntry]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files agree with its manifest.

    Attributes:
        path: The folder it was read from.
        manifest: The parsed manifest.
        digest: `model_digest`: SHA-256 of `manifest.json`, which has the digests of the other files.
        model: The serialized ONNX graph.
        detectors: Fitted arrays, `<detector>.<array>`.
        calibration: Sorted scores, see `astrolens.science.calibration`.
        index: `centroids` [k, d], unit length.
        card: The model card, Markdown.
        golden: Golden inputs with their outputs; empty where it has none.
    """

    path: Path
    manifest: Manifest
    digest: str
    model: bytes = field(repr=False)
    detectors: Arrays = field(repr=False)
    calibration: Arrays = field(repr=False)
    index: Arrays = field(repr=False)
    card: str = field(repr=False)
    golden: Arrays = field(repr=False, default_factory=dict)

    @classmethod
    def load(cls, path: Path | str, *, expected_digest: str | None = None) -> Self:
        """Read and check a bundle.

        Args:
            path: Its folder.
            expected_digest: The `model_digest` that it must have, if known.

        Raises:
            BundleDamaged: A file is missing, unlisted, too large, changed or malformed.
        """
        folder = Path(path)
        manifest, digest = _read_manifest(folder)
        if expected_digest is not None and digest != expected_digest:
            raise BundleDamaged(folder / MANIFEST, f"its digest is {digest}, not {expected_digest} as was asked for")
        contents = _read_files(folder, manifest)
        index = _load_arrays(folder / INDEX, contents[INDEX])
        centroids = index.get("centroids")
        if centroids is None or centroids.ndim != 2 or centroids.shape[1] != manifest.model.embedding_dim:
            raise BundleDamaged(folder / INDEX, f"it has no centroids of {manifest.model.embedding_dim} dimensions")
        return cls(
            path=folder,
            manifest=manifest,
            digest=digest,
            model=contents[MODEL],
            detectors=_load_arrays(folder / DETECTORS, contents[DETECTORS]),
            calibration=_load_arrays(folder / CALIBRATION, contents[CALIBRATION]),
            index=index,
            card=contents[CARD].decode("utf-8", errors="replace"),
            golden=_load_arrays(folder / GOLDEN, contents[GOLDEN]) if GOLDEN in contents else {},
        )

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """The preprocessing of the backbone's input."""
        return self.manifest.preprocessing

    @property
    def preprocessing_digest(self) -> str:
        """SHA-256 of the preprocessing spec."""
        return preprocessing_digest(self.manifest.preprocessing)

    @property
    def centroids(self) -> NDArray[np.float32]:
        """Coarse centroids of the embedding space, [k, d], unit length, for an inverted-file index."""
        return np.asarray(self.index["centroids"], dtype=np.float32)


def file_entry(data: bytes) -> FileEntry:
    """Digest and size of a file's content."""
    return FileEntry(sha256=content_digest(data), size=len(data))


def write_bundle(folder: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> str:
    """Write a bundle. The manifest is written last, so that an incomplete bundle is never valid.

    Args:
        folder: Created if missing; files in it are removed.
        manifest: Its `files` are computed here.
        contents: Content of the other files, by name.

    Returns:
        The `model_digest`.
    """
    complete = manifest.model_copy(
        update={"files": {name: file_entry(data) for name, data in sorted(contents.items())}}
    )
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    text = (complete.model_dump_json(indent=2) + "\n").encode()
    (folder / MANIFEST).write_bytes(text)
    return content_digest(text)


def arrays_to_bytes(arrays: Arrays) -> bytes:
    """Serialize arrays as an uncompressed `.npz`; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            # np.savez writes the current time into the archive, which would change the bundle's digest.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), content.getvalue())
    return buffer.getvalue()


_UNREADABLE: Final = (
    ValueError,
    OSError,
    EOFError,
    MemoryError,
    NotImplementedError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile and numpy raise for damaged bytes, by where the damage is."""


class ArraysDamaged(Exception):
    """The bytes are no archive of plain, finite arrays; the message is a clause that says why."""


def arrays_from_bytes(data: bytes, *, limit: int = _MAX_FILE_BYTES) -> dict[str, NDArray[Any]]:
    """Load the arrays of an `.npz` without pickle.

    Args:
        data: What `arrays_to_bytes` gave.
        limit: Bytes that the arrays may take together.

    Raises:
        ArraysDamaged: The bytes are malformed, the arrays too large, or a value is not finite.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > limit:
                raise ArraysDamaged(f"its arrays are larger than {limit} bytes")
        with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except _UNREADABLE as error:
        raise ArraysDamaged("it is no archive of plain arrays") from error
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ArraysDamaged(f"array {name} holds values that are not finite")
    return arrays


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BundleDamaged(folder, "there is no such folder")
    if not path.is_file():
        raise BundleDamaged(path, "the file is missing")
    data = _read(path, _MAX_MANIFEST_BYTES)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise BundleDamaged(path, f"the manifest is not valid at {where}: {first['msg']}") from error
    return manifest, content_digest(data)


def _read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    unlisted = [name for name in REQUIRED if name not in manifest.files]
    if unlisted:
        raise BundleDamaged(folder / MANIFEST, f"the manifest does not name {unlisted[0]}")
    for entry in sorted(folder.iterdir()):
        if entry.name != MANIFEST and entry.name not in manifest.files:
            raise BundleDamaged(entry, "the manifest does not know this file")
    contents = {}
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise BundleDamaged(path, "the file is missing")
        size = path.stat().st_size
        if size != expected.size:
            raise BundleDamaged(path, f"it has {size} bytes where the manifest says {expected.size}")
        data = _read(path, expected.size)
        if file_entry(data) != expected:
            raise BundleDamaged(path, "its SHA-256 digest is not the one in the manifest")
        contents[name] = data
    return contents


def _read(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes, whatever size its directory entry gives."""
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise BundleDamaged(path, f"it cannot be read ({error.strerror})") from error
    if len(data) > limit:
        raise BundleDamaged(path, f"it is larger than {limit} bytes")
    return data


def _load_arrays(path: Path, data: bytes) -> dict[str, NDArray[Any]]:
    try:
        return arrays_from_bytes(data)
    except ArraysDamaged as error:
        raise BundleDamaged(path, str(error)) from error
