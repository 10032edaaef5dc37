"""Retraining runs: what was asked for, how far it is, what it learned from, and what its gates said.

There is one document for each run. The console writes the request and the wish to cancel; the trainer all else.
"""

from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import Field

from astrolens.contracts.base import Contract, UtcTime

MAX_LOG_LINES: Final = 40
"""Last lines of a run's log that its document keeps; the whole log is a file of the trainer."""


BACKBONE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?$"
"""Names of checkpoints: no path leads out of their folder."""


class RunState(StrEnum):
    """Where a run is. `queued` and `running` end in one of the other three."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    """A challenger was built and measured; `TrainingRunRecord.gates` says whether it may be promoted."""
    CANCELLED = "cancelled"
    FAILED = "failed"


OPEN_STATES: Final = frozenset({RunState.QUEUED, RunState.RUNNING})


class RunReason(StrEnum):
    """Why a run was queued."""

    REQUEST = "request"
    SCHEDULE = "schedule"
    LABELS = "labels"
    """Enough images have been answered since the last run."""


class RunStep(StrEnum):
    """The steps of a run, in order. Each is complete before the next begins, and is not repeated after a kill."""

    DATA = "data"
    VIEWS = "views"
    FINE_TUNING = "fine-tuning"
    CHALLENGER = "challenger"
    GATES = "gates"
    PUBLISHING = "publishing"


class TrainingOptions(Contract):
    """What a run does beside its defaults."""

    views: int = Field(default=6000, ge=200, le=200_000, description="Pictures that are drawn to train on.")
    network: bool = Field(
        default=False,
        description="Train the transformer on, too, and not only the heads of the kinds. A checkpoint is always "
        "trained as a whole.",
    )
    epochs: float = Field(
        default=2.0, gt=0.0, le=20.0, description="How often each is read where a network is trained; otherwise once."
    )
    seed: int = Field(default=20, ge=0, le=2**31)
    replay: int = Field(
        default=1200, ge=0, le=20_000, description="Most unanswered images of the archive that are read, a survey."
    )
    simulated: int = Field(default=600, ge=40, le=20_000, description="Simulated images to train on.")
    backbone: str | None = Field(
        default=None,
        pattern=BACKBONE_NAME,
        description="A `ViTForImageClassification` checkpoint to start from: a folder in `backbones` of the home "
        "folder, or `owner/name` of the hub; null: the promoted bundle.",
    )


class Gate(Contract):
    """One comparison of challenger and champion.

    `difference` is the challenger's figure minus the champion's, `interval` its 95 % interval over the same images.
    """

    name: str = Field(description="Figure and where it was measured, such as `oddity AUROC, sdss`.")
    passed: bool
    champion: float | None = None
    challenger: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    images: int | None = Field(default=None, description="Images that it was measured on.")
    detail: str = Field(description="What was compared with what bound, one sentence.")


class GateReport(Contract):
    """The comparison of a challenger with the champion; it is stored with the model."""

    format: Literal[1] = 1
    champion: str = Field(description="Digest of the bundle in use.")
    challenger: str = Field(description="Digest of the new bundle.")
    measured_at: UtcTime
    benchmarks: tuple[str, ...] = Field(description="Sets of images that were measured on, each with its number.")
    missing: tuple[str, ...] = Field(default=(), description="Sets that were not there, one sentence each.")
    gates: tuple[Gate, ...]
    passed: bool = Field(description="Every gate is passed.")

    @property
    def refusal(self) -> str | None:
        """Why the challenger is refused, by its figures; None where it is not."""
        failed = [gate for gate in self.gates if not gate.passed]
        return "; ".join(f"{gate.name}: {gate.detail}" for gate in failed) if failed else None


class DataSummary(Contract):
    """What a run learned from; the manifest with every image and label has this digest."""

    digest: str = Field(description="SHA-256 of the data manifest.")
    key: str | None = Field(default=None, description="Key of the manifest in the image store.")
    images: dict[str, dict[str, int]] = Field(description="Number of images by split and survey.")
    labels: dict[str, int] = Field(default_factory=dict, description="Labelled images by answer that were trained on.")
    held_out: dict[str, int] = Field(default_factory=dict, description="Labelled images by answer that only measure.")
    origins: dict[str, int] = Field(default_factory=dict, description="Number of images by where they came from.")


class RunFigures(Contract):
    """What a bundle scores on the benchmark of a run."""

    accuracy: float | None = Field(default=None, description="Morphology, of all surveys with known classes together.")
    auroc: dict[str, float] = Field(default_factory=dict, description="Oddity AUROC by survey.")
    by_survey: dict[str, Any] = Field(default_factory=dict, description="Accuracy by survey.")


class TrainingRunRecord(Contract):
    """One run."""

    run_id: str
    state: RunState
    reason: RunReason
    requested_by: str
    requested_at: UtcTime
    options: TrainingOptions = Field(default_factory=TrainingOptions)
    cancel_requested_by: str | None = None
    started_at: UtcTime | None = None
    finished_at: UtcTime | None = None
    owner: str | None = Field(default=None, description="The trainer that runs it, or ran it last.")
    attempts: int = Field(default=0, description="Processes that were started for it; a killed one is followed by one.")
    fruitless_attempts: int = Field(default=0, description="Of them, those since it last got further.")
    step: RunStep | None = None
    progress: float = Field(default=0.0, ge=0.0, le=1.0, description="Share of the whole run.")
    progressed_at: UtcTime | None = None
    champion: str | None = Field(default=None, description="Digest of the bundle that it started from.")
    challenger: str | None = Field(default=None, description="Digest of the bundle that it made.")
    data: DataSummary | None = None
    answers: int = Field(default=0, description="Answered images that there were when it began.")
    changes: tuple[str, ...] = Field(default=(), description="What it changed, one sentence each.")
    before: RunFigures | None = Field(default=None, description="The champion on the run's benchmark.")
    after: RunFigures | None = Field(default=None, description="The challenger on the same images.")
    gates: GateReport | None = None
    cpu_s: float | None = Field(default=None, description="Processor time of its processes, seconds.")
    failure: str | None = Field(default=None, description="Why it failed, one sentence.")
    log: tuple[str, ...] = Field(default=(), description="The last lines of its log.")
