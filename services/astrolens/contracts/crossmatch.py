"""What the astronomical catalogues say of the place of a candidate: known, unmatched, or undetermined.

A catalogue that did not answer says nothing: the sum is `undetermined`, never "no match". Only `unmatched`, where every
required catalogue covers the place, answered, and had nothing, may be called a possible discovery.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from astrolens.contracts.base import Contract, DecDeg, RaDeg, UtcTime
from astrolens.contracts.catalogues import CatalogueAnswer, CrossmatchStatus, MatchStatus
from astrolens.contracts.records import ImageRecord, PendingEvent, Position, Reason
from astrolens.contracts.verdicts import Verdict


class Crossmatch(Contract):
    """What all catalogues say of one place, summed up."""

    status: CrossmatchStatus
    reason: Reason = Field(description="Why, as a code and a sentence.")
    references: int | None = Field(
        default=None,
        description="References in the literature; 0: no reference; absent: no catalogue that counts them answered.",
    )
    answers: tuple[CatalogueAnswer, ...] = ()

    @property
    def possible_discovery(self) -> bool:
        """Whether it was looked for everywhere it should be, and not found."""
        return self.status is CrossmatchStatus.UNMATCHED

    @property
    def statement(self) -> tuple[object, ...]:
        """What it says: new words for the same failure, another time or distance are no news."""
        return self.status, self.references, tuple(answer.statement for answer in self.answers)


class CrossmatchRecord(Contract):
    """The cross-match of one candidate: a document of the record store.

    `revision` counts what was published: 0 means that the catalogues are being asked for the first time.
    """

    image_id: str
    survey: str
    position: Position | None = None
    observed_at: UtcTime | None = None
    model_digest: str = Field(description="Model of the analysis that was published last.")
    calibration_id: str
    predicted_class: str
    verdict: Verdict
    analyzed_at: UtcTime
    status: CrossmatchStatus = CrossmatchStatus.UNDETERMINED
    crossmatch: Crossmatch | None = Field(default=None, description="None while the catalogues are asked first.")
    revision: int = Field(default=0, ge=0, description="Number of publications; each write names the one before.")
    tries: int = Field(default=0, ge=0, description="How often the catalogues were asked.")
    created_at: UtcTime
    placed_at: UtcTime | None = Field(
        default=None, description="When the place or the time that is asked about changed last; None: never."
    )
    matched_at: UtcTime | None = Field(default=None, description="When the catalogues were last asked.")
    next_try_at: UtcTime | None = Field(default=None, description="When they are asked again; None: it is settled.")
    again: bool = Field(default=False, description="Whether a person asked for new answers: the cache is not used.")
    traceparent: str | None = Field(default=None, description="W3C trace context of the analysis, where traced.")
    pending: tuple[PendingEvent, ...] = ()

    @classmethod
    def of(cls, image: ImageRecord, *, now: datetime) -> Self:
        """The first cross-match of an image, due now.

        Raises:
            ValueError: The image has no analysis.
        """
        analysis, observation = image.analysis, image.observation
        if analysis is None:
            raise ValueError(f"image {image.image_id} has no analysis")
        return cls(
            image_id=image.image_id,
            survey=observation.survey,
            position=observation.position,
            observed_at=observation.observed_at,
            model_digest=analysis.model_digest,
            calibration_id=analysis.calibration_id,
            predicted_class=analysis.predicted_class,
            verdict=analysis.verdict,
            analyzed_at=analysis.analyzed_at,
            created_at=now,
            next_try_at=now,
        )


class PositionQuery(Contract):
    """A person's or script's question what is known at a place, and the answer: a document of the record store."""

    query_id: str
    ra_deg: RaDeg
    dec_deg: DecDeg
    asked_at: UtcTime
    state: Literal["waiting", "answered"] = "waiting"
    crossmatch: Crossmatch | None = None


def sum_up(answers: Iterable[CatalogueAnswer]) -> Crossmatch:
    """Sum up what the catalogues say of a place.

    `known` where any catalogue names an object that can be it, also by a stale answer: an object does not go away.
    `unmatched` where every required catalogue answers `none`, and no other has objects so near, in so crowded a place,
    that they may be it or not: an informative catalogue may be silent, but what it says is not passed over. Anything
    else is `undetermined`: also a stale `none`, and a setting without required catalogues.
    """
    found = tuple(answers)
    references = _references(found)
    known = next(((answer.catalogue, answer.best) for answer in found if answer.best is not None), None)
    if known is not None:
        catalogue, best = known
        detail = f"{catalogue} has {best.name} at {best.separation_arcsec:.1f} arcsec"
        reason = Reason(code="matched", detail=detail)
        return Crossmatch(status=CrossmatchStatus.KNOWN, reason=reason, references=references, answers=found)
    required = [answer for answer in found if answer.required]
    missing = [answer for answer in required if answer.status is not MatchStatus.NONE]
    unclear = [answer for answer in found if answer.status is MatchStatus.MATCHED]
    if required and not missing and unclear:
        detail = "; ".join(f"{answer.catalogue}: {answer.detail or 'it has objects near'}" for answer in unclear)
        reason = Reason(code="ambiguous", detail=detail[:1000])
        return Crossmatch(status=CrossmatchStatus.UNDETERMINED, reason=reason, references=references, answers=found)
    if required and not missing:
        names = ", ".join(answer.catalogue for answer in required)
        reason = Reason(code="not-found", detail=f"looked for and not found: {names}")
        return Crossmatch(status=CrossmatchStatus.UNMATCHED, reason=reason, references=references, answers=found)
    if not required:
        reason = Reason(code="no-required-catalogue", detail="no catalogue is required in the settings")
    else:
        detail = "; ".join(f"{answer.catalogue}: {answer.detail or answer.status.value}" for answer in missing)
        reason = Reason(code=f"catalogue-{missing[0].status.value.replace('_', '-')}", detail=detail[:1000])
    return Crossmatch(status=CrossmatchStatus.UNDETERMINED, reason=reason, references=references, answers=found)


def not_asked(code: str, detail: str) -> Crossmatch:
    """The cross-match of an image that no catalogue can be asked about."""
    return Crossmatch(status=CrossmatchStatus.UNDETERMINED, reason=Reason(code=code, detail=detail))


def _references(answers: Iterable[CatalogueAnswer]) -> int | None:
    counted = [
        counterpart.references
        for answer in answers
        for counterpart in answer.counterparts
        if counterpart.matches and counterpart.references is not None
    ]
    return max(counted, default=None)
