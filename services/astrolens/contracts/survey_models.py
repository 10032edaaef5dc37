"""Survey models: what was learned from a survey's own images, and which calibration serves the survey.

There is one document for each survey. A *revision* is one fitted survey model; its bytes are in the image store.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import Field

from astrolens.contracts.base import Contract, Slug, UtcTime
from astrolens.contracts.records import PendingEvent

MAX_EARLIER_REVISIONS: Final = 20
"""Replaced revisions that a document names; their bytes stay in the image store."""
MAX_EARLIER_ADJUSTMENTS: Final = 50
MAX_STRANGEST: Final = 40
"""Images that a person is asked to look at: of 300, answers to the 40 strangest double the recall at 5 %."""


class SurveyState(StrEnum):
    """Which calibration serves a survey.

    ```
    (first image) ─ the bundle knows the survey ─► own ──── images look different ────► does-not-fit
          │                                         ▲ ◄──────── person clears ───────────────┤
          └── it does not ─► learning ── fit ──► ready ◄──────────────── fit ────────────────┤
                                                   └───── later images look different ───────┘
    ```
    From `ready`, `does-not-fit` keeps the revision, and waits for a person: a fit on the newest images, or a return.
    `ready` goes to `ready` with each new revision, and back to `own` or `learning` when a person clears it or the
    bundle changes.
    """

    OWN = "own"
    """The bundle's calibration of the survey."""
    LEARNING = "learning"
    """The pooled calibration: the bundle does not know the survey, and it has too few images for a survey model."""
    DOES_NOT_FIT = "does-not-fit"
    """The pooled calibration: the images of the survey do not look like those of the bundle, or of its survey model."""
    READY = "ready"
    """The survey model of the current revision."""


class SurveyRevision(Contract):
    """One fitted survey model. It is a function of the bundle and of the images that it was fitted on."""

    digest: str = Field(description="Its id: the SHA-256 of its manifest, which has the digests of its arrays.")
    key: str = Field(description="Key of its bytes in the image store; it ends with their SHA-256.")
    size_bytes: int
    model_digest: str = Field(description="The bundle whose outputs it was fitted on.")
    images: int = Field(description="Images that it was fitted on.")
    images_digest: str = Field(description="SHA-256 of their ids, sorted, one a line.")
    excluded: tuple[str, ...] = Field(default=(), description="Images left out because a person called them strange.")
    format: int = Field(default=1, description="Of its bytes; a model of an earlier format is fitted again.")
    fitted_at: UtcTime


class FitCheck(Contract):
    """The comparison of recent images with those that the bundle was calibrated on."""

    images: int = Field(description="Images that were compared.")
    seen: int = Field(default=0, description="Images that the survey had then.")
    seen_complete: int | None = Field(
        default=None,
        description="Images that the survey had when half as many as a survey model needs were last compared.",
    )
    at_1_percent: int | None = Field(
        default=None, description="Of them, those whose p-value by the bundle's calibration of the survey is <= .01."
    )
    fits: bool
    undecided: bool = Field(
        default=False,
        description="Whether it says neither that they fit nor that they do not: held anomalies wait for more images.",
    )
    decided_at: UtcTime | None = Field(
        default=None,
        description="When an undecided one followed another comparison, the time of the last that decided.",
    )
    detail: str = Field(description="What was measured, one sentence.")
    checked_at: UtcTime

    @property
    def last_decided_at(self) -> datetime | None:
        """When a comparison last decided; None where none has."""
        return self.decided_at if self.undecided else self.checked_at


class DriftMeasure(Contract):
    """How far the p-values of recent images have moved from those of the calibration; see `science.drift_adjustment`.

    (0, 1) is no change. An adjustment that serves is one of these.
    """

    shift: float = Field(description="Of the normal deviates of ordinary images, standard deviations; 0 or more.")
    scale: float = Field(description="Their spread, against that of the calibration.")
    images: int = Field(description="Recent images that it was measured on.")
    seen: int = Field(default=0, description="Images that the survey had then.")
    measured_at: UtcTime


class Rejudging(Contract):
    """How far the earlier images of a survey have been analysed again after its calibration or budget changed."""

    begun_at: UtcTime = Field(description="When the calibration, the budget or the bundle changed.")
    since: UtcTime | None = Field(
        default=None, description="Images ingested before keep their verdicts and alerts; None: all are judged again."
    )
    after: str | None = Field(default=None, description="Cursor of the walk through the survey's images.")
    walks: int = Field(default=0, description="Complete walks.")
    open: int = Field(default=0, description="Images of this walk that had another calibration.")
    judged: int = Field(default=0, description="Images of this walk that were judged again since it began.")
    requested: int = Field(default=0, description="Analyses requested in all walks; of some images more than one.")
    images: int | None = Field(
        default=None, description="Images whose analysis was requested, each counted once; None: an older version."
    )
    finished_at: UtcTime | None = Field(default=None, description="When a walk found none.")
    second_pass: bool = Field(
        default=False, description="Another bundle serves: its second pass through the archive uses idle time only."
    )

    @property
    def is_second_pass(self) -> bool:
        """Whether the second pass of another bundle is under way."""
        return self.second_pass and self.finished_at is None

    @property
    def rejudged_images(self) -> int:
        """Images whose analysis was requested again; older versions counted each request."""
        return self.requested if self.images is None else self.images


class SurveyModelRecord(Contract):
    """The state of one survey. Each change of the state is written on condition of the previous `version`."""

    survey: Slug
    state: SurveyState
    since: UtcTime = Field(description="When this state or revision began.")
    reason: str = Field(description="Why, one sentence.")
    known: bool = Field(description="Whether the bundle has a calibration for the survey.")
    model_digest: str = Field(description="The bundle that the state is about.")
    images: int = Field(default=0, description="Analysed images.")
    images_needed: int = Field(description="Images that a survey model is fitted on.")
    revision: SurveyRevision | None = None
    earlier: tuple[SurveyRevision, ...] = Field(default=(), description="Replaced revisions, the newest first.")
    strangest: tuple[str, ...] = Field(
        default=(), description="The strangest images that the revision was fitted on, for a person to look at."
    )
    learn_from: UtcTime | None = Field(
        default=None, description="The survey model is fitted on images ingested since then; None: on the first ones."
    )
    learned: int | None = Field(
        default=None,
        description="Different analysed images since `learn_from`, `images_needed` at most, until the fit.",
    )
    check: FitCheck | None = None
    own_check: FitCheck | None = Field(
        default=None, description="The last comparison of later images with those that the survey model was fitted on."
    )
    check_after: UtcTime | None = Field(
        default=None,
        description="Images ingested before are not compared again, and keep what the bundle's calibration says of "
        "them: a person accepted them.",
    )
    rejudging: Rejudging | None = None
    false_alarms_per_1000: float | None = Field(
        default=None, gt=0.0, lt=1000.0, description="The survey's own budget; None: that of the settings."
    )
    drift: DriftMeasure | None = Field(default=None, description="The last measurement; not what serves.")
    adjustment: DriftMeasure | None = Field(
        default=None, description="What verdicts allow for since then; only beside the bundle's calibration."
    )
    earlier_adjustments: tuple[DriftMeasure, ...] = Field(default=(), description="Replaced ones, the newest first.")
    fit_requested: bool = Field(default=False, description="A person asked for a fit on its newest images.")
    failures: int = Field(default=0, description="Fits in a row that failed.")
    failure: str | None = Field(default=None, description="Why the last fit failed.")
    retry_at: UtcTime | None = None
    version: int = 0
    pending: tuple[PendingEvent, ...] = ()

    @property
    def waits_for_a_person(self) -> bool:
        """Whether later images no longer look like those of the survey model, and nobody asked for another one."""
        return self.state is SurveyState.DOES_NOT_FIT and self.revision is not None and not self.fit_requested

    @property
    def accepted_until(self) -> datetime | None:
        """Images ingested before keep the verdicts of the bundle's calibration; None where no person accepted any."""
        return self.check_after if self.known else None
