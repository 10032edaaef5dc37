"""Model bundles in the registry: what is stored of each, who promoted which, and how a candidate would judge.

There is one document for each bundle, one that says which bundle serves, and one for each comparison in shadow.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from astrolens.contracts.base import Contract, UtcTime
from astrolens.contracts.records import PendingEvent

MAX_HISTORY: Final = 100
"""Changes of state and promotions that a document names, the newest last."""
MAX_DIFFERENT: Final = 100
"""Images of each kind that a comparison names, the strangest first."""
DEFAULT_SHADOW_IMAGES: Final = 300
"""Images of a comparison in shadow where nobody says how many."""
CURRENT: Final = "current"
"""Name of the one document that says which bundle serves."""


class ModelState(StrEnum):
    """What became of a bundle.

    ```
    published ─► candidate ─► shadow ─┬─► promoted ─► retired
        └─► refused   └───────────────┘      ▲───────────┘
    ```
    A person may promote a candidate without a shadow run, and a retired one again. A refused one never serves.
    """

    CANDIDATE = "candidate"
    """Its gates passed, or nobody measured them."""
    REFUSED = "refused"
    """A gate failed; the gates report says by which figure."""
    SHADOW = "shadow"
    """It is, or was, compared with the bundle in use."""
    PROMOTED = "promoted"
    """It is to serve; a model server that cannot load it says why in its history, and serves the one before."""
    RETIRED = "retired"
    """Another was promoted since. Whether it has served is in `ModelRecord.first_served_at`."""


FileName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*\.[a-z0-9]+$", max_length=64)]
"""Name of a file of a bundle: it never leads out of its folder."""


class ModelFile(Contract):
    """One file of a bundle. Its bytes are in the image store, under its digest."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, description="Bytes.")


class ModelChange(Contract):
    """One change of a bundle's state."""

    state: ModelState
    at: UtcTime
    by: str = Field(description="A person's name, or the service or rule that did it.")
    why: str


class ModelRecord(Contract):
    """One bundle. Its files and their signature never change; state, gates and history do."""

    digest: str = Field(description="`model_digest`: SHA-256 of its manifest, which has those of the other files.")
    name: str
    version: str
    parent_digest: str | None = Field(default=None, description="The bundle whose weights its training began with.")
    created_at: UtcTime
    created_by: str = Field(description="A person's name, or the job that made it.")
    files: dict[FileName, ModelFile] = Field(
        default_factory=dict, description="Every file, the manifest too; none where it is not in the image store."
    )
    key_id: str | None = Field(default=None, description="The key that signed it: 16 digits of its SHA-256.")
    signature: str | None = Field(
        default=None, description="Ed25519 signature of `signed_bytes`, base64; none: trusted where it is installed."
    )
    gates: dict[str, Any] = Field(
        default_factory=dict,
        description="What was measured before it was published: `passed`, and `gates`, each with `name`, `passed` and "
        "`detail`, a sentence. Empty: nobody measured.",
    )
    state: ModelState
    first_served_at: UtcTime | None = Field(
        default=None, description="When a model server had first loaded it to answer with it; null: none has."
    )
    history: tuple[ModelChange, ...] = ()
    revision: int = Field(default=0, description="Number of changes; each is written on condition of the last.")

    @property
    def is_installed(self) -> bool:
        """Whether it came with the installation instead of through the registry."""
        return not self.files


def signed_bytes(name: str, version: str, digest: str, files: Mapping[str, ModelFile]) -> bytes:
    """What the signature of a bundle covers: its name, version and digest, and the digest of every file."""
    statement = {
        "type": "astrolens-model-bundle.v1",
        "name": name,
        "version": version,
        "digest": digest,
        "files": {file: {"sha256": entry.sha256, "size": entry.size} for file, entry in files.items()},
    }
    return json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()


def failed_gates(gates: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the figures that failed in a gates report."""
    return tuple(str(gate.get("name")) for gate in gates.get("gates") or () if gate.get("passed") is False)


class Promotion(Contract):
    """One change of the bundle that serves."""

    digest: str
    previous_digest: str | None = Field(default=None, description="What a rollback of this promotion returns to.")
    at: UtcTime
    by: str
    why: str
    rollback: bool = False


class PromotionRecord(Contract):
    """Which bundle serves: the one document that every model server follows."""

    name: str = CURRENT
    number: int = Field(description="Promotions so far; 0: the bundle of the settings serves.")
    digest: str
    previous_digest: str | None = None
    at: UtcTime
    by: str
    why: str
    rollback: bool = False
    history: tuple[Promotion, ...] = Field(default=(), description="Promotions, the newest last.")
    pending: tuple[PendingEvent, ...] = ()


class ShadowRecord(Contract):
    """How a candidate judged images beside the bundle in use. Columns have one value an image, in order of arrival.

    Only images that both bundles measure with a calibration of their own are compared: what a survey model judges, the
    candidate cannot judge before it serves. Anomalies are counted under the same budget for both, the survey's present
    one, and without the drift of either.
    """

    digest: str = Field(description="The candidate.")
    champion_digest: str
    wanted: int = Field(ge=1, description="Images to compare.")
    began_at: UtcTime
    finished_at: UtcTime | None = None
    image_ids: tuple[str, ...] = ()
    champion_rank_scores: tuple[float, ...] = ()
    candidate_rank_scores: tuple[float, ...] = ()
    replayed: int = Field(default=0, description="Of the images, those read from the archive, not from the stream.")
    dropped: int = Field(default=0, description="Images that passed by while the comparison was busy.")
    failed: int = Field(default=0, description="Images that the candidate could not judge.")
    newly_anomalous: int = 0
    no_longer_anomalous: int = 0
    champion_anomalies: int = 0
    candidate_anomalies: int = 0
    newly_anomalous_ids: tuple[str, ...] = ()
    no_longer_anomalous_ids: tuple[str, ...] = ()
    rank_correlation: float | None = Field(
        default=None, description="Spearman's, of the rank scores of both; null with fewer than ten images."
    )

    @property
    def images(self) -> int:
        """Images compared so far."""
        return len(self.image_ids)
