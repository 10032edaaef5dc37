"""Keeps the state of every survey: counts its images, fits its survey model, and notices when the sky is another.

Each pass looks at every survey as it is, so that a crash between two steps costs nothing but the next pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.survey_models import Rejudging, SurveyModelRecord, SurveyRevision, SurveyState
from astrolens.inference.survey_models.features import ModelChanged
from astrolens.inference.survey_models.fitting import CannotFit, SurveyModelFitter
from astrolens.inference.survey_models.images import SurveyImage, first_images
from astrolens.inference.survey_models.learned import LearnedSurveyWatcher
from astrolens.inference.survey_models.metrics import SurveyModelMetrics
from astrolens.inference.survey_models.watching import KnownSurveyWatcher
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.rpc.messages import Description
from astrolens.science.survey_model import FORMAT
from astrolens.usecases.survey_models import MAX_SURVEYS, SurveyModelStore, without_revision

REFIT_DELAY: Final = timedelta(minutes=2)
"""So long after the last answer of a person a survey model is fitted again: answers come in rows."""
INITIAL_RETRY: Final = timedelta(minutes=1)
MAX_RETRY: Final = timedelta(hours=1)
"""Wait before a fit that failed is tried again; doubled after each failure in a row. More images may help."""
FITS_PER_PASS: Final = 1
"""A fit reads hundreds of cutouts: the other surveys wait for the next pass."""
INTEGRITY_CHECK_INTERVAL: Final = timedelta(minutes=10)
"""From one reading of a stored survey model to the next: a damaged one is fitted again."""
_log = structlog.get_logger(__name__)


class Describer(Protocol):
    """The model server, as far as its description is asked for."""

    async def describe(self) -> Description:
        """What is loaded.

        Raises:
            ModelUnavailable: It does not answer.
        """


@dataclass
class _Pass:
    """What one pass knows and may do."""

    now: datetime
    model_digest: str
    bundle_surveys: frozenset[str]
    can_learn: bool
    fits_left: int = FITS_PER_PASS


class SurveyModelKeeper:
    """One pass over all surveys; of several analyzers one runs it.

    Args:
        records: The record store.
        store: Reads and changes the documents.
        model: Describes the model in use.
        fitter: Fits survey models.
        watcher: Watches the surveys that the bundle knows.
        learned: Watches the surveys that have a survey model.
        metrics: Counts states and fits.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        store: SurveyModelStore,
        model: Describer,
        fitter: SurveyModelFitter,
        watcher: KnownSurveyWatcher,
        learned: LearnedSurveyWatcher,
        metrics: SurveyModelMetrics,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._store = store
        self._model = model
        self._fitter = fitter
        self._watcher = watcher
        self._learned = learned
        self._metrics = metrics
        self._clock = clock
        self._intact: dict[str, datetime] = {}

    async def run_pass(self) -> None:
        """Bring the state of every survey up to date.

        Raises:
            StoreUnavailable: A store is unreachable; the next pass goes on.
        """
        try:
            described = await self._model.describe()
        except ModelUnavailable:
            return  # The readiness check says so; without a model there is nothing to fit.
        now = self._clock()
        current = _Pass(
            now=now,
            model_digest=described.digest,
            bundle_surveys=frozenset(described.surveys),
            can_learn=set(self._fitter.taps) <= set(described.taps),
        )
        documents = await self._store.read_all()
        counts = await self._counts()
        most = sorted(counts, key=lambda survey: (survey not in documents, -counts[survey], survey))
        for survey in most[:MAX_SURVEYS]:
            try:
                documents[survey] = await self._step(survey, documents.get(survey), counts[survey], current)
            except ModelUnavailable as error:
                _log.info("a survey model waits for the model server", survey=survey, reason=str(error))
                break
            except ModelChanged:
                break
        self._metrics.set_states(documents.values())

    async def _counts(self) -> dict[str, int]:
        """Analysed images by survey."""
        counts: dict[str, int] = {}
        for (survey, verdict), images in (await self._records.tally(Collection.IMAGES, "survey_verdict")).items():
            if verdict and survey and images > 0:
                counts[survey] = counts.get(survey, 0) + images
        return counts

    async def _step(
        self, survey: str, record: SurveyModelRecord | None, images: int, current: _Pass
    ) -> SurveyModelRecord:
        known = survey in current.bundle_surveys
        if record is None:
            new = self._initial(survey, images, current, known=known)
            await self._store.save(None, new, announce=False)
            return new
        if record.model_digest != current.model_digest or record.known != known:
            after = self._with_new_bundle(record, current, known=known)
            return await self._save(record, after, announce=record.state is not after.state or bool(record.revision))
        if record.images != images:
            record = await self._save(record, record.model_copy(update={"images": images}))
        match record.state:
            case SurveyState.LEARNING | SurveyState.DOES_NOT_FIT:
                return await self._learn(record, current)
            case SurveyState.READY:
                renewed = await self._renew(record, current)
                if renewed != record:
                    return renewed
                after = await self._learned.watch(record)
                return await self._save(record, after, announce=after.state is not record.state)
            case _:
                after = await self._watcher.watch(record)
                changed = (after.state, after.adjustment) != (record.state, record.adjustment)
                return await self._save(record, after, announce=changed)

    def _initial(self, survey: str, images: int, current: _Pass, *, known: bool) -> SurveyModelRecord:
        return SurveyModelRecord(
            survey=survey,
            state=SurveyState.OWN if known else SurveyState.LEARNING,
            since=current.now,
            reason=_why(known=known),
            known=known,
            model_digest=current.model_digest,
            images=images,
            images_needed=self._fitter.images_needed,
        )

    def _with_new_bundle(self, record: SurveyModelRecord, current: _Pass, *, known: bool) -> SurveyModelRecord:
        """The state under another bundle: what was learned from the outputs of the last one is of no use.

        Its second pass through the images of the survey begins.
        """
        first = self._initial(record.survey, record.images, current, known=known)
        update = {name: getattr(first, name) for name in ("state", "since", "reason", "known", "model_digest")}
        fresh = {
            "learn_from": None,
            "learned": None,
            "check": None,
            "own_check": None,
            "drift": None,
            "adjustment": None,
            "rejudging": Rejudging(begun_at=current.now, second_pass=True) if record.images else None,
            "failures": 0,
            "failure": None,
            "retry_at": None,
        }
        return without_revision(record).model_copy(update={**update, **fresh})

    async def _learn(self, record: SurveyModelRecord, current: _Pass) -> SurveyModelRecord:
        """Fit the first survey model, once there are enough images."""
        if record.waits_for_a_person:
            return record
        needed = self._fitter.images_needed
        if not current.can_learn:
            return await self._fail_once(record, "the bundle gives no feature maps that a survey model reads")
        if record.learn_from is None and record.images < needed:
            return record
        wanted = await first_images(self._records, record.survey, count=needed, since=record.learn_from)
        if record.learn_from is not None and record.learned != len(wanted):
            record = await self._save(record, record.model_copy(update={"learned": len(wanted)}))
        if len(wanted) < needed:
            if record.learn_from is not None:
                return record
            reason = f"{len(wanted)} of its images differ, {needed} are needed: copies of one picture count once"
            return await self._save(record, record.model_copy(update={"reason": reason}))
        return await self._fit(record, wanted, current, reason=f"a survey model was fitted on {needed} of its images")

    async def _renew(self, record: SurveyModelRecord, current: _Pass) -> SurveyModelRecord:
        """Fit again where a person has called images strange, and where the bytes are gone or of an earlier format."""
        assert record.revision is not None  # noqa: S101 - the state says so
        if not await self._is_intact(record):
            _log.warning("a survey model is missing or damaged and is fitted again", survey=record.survey)
            wanted = await self._reviewed_images(record)
            return await self._fit(record, wanted, current, reason=record.reason)
        if current.can_learn and (reason := _why_again(record, record.revision)):
            return await self._fit(record, await self._reviewed_images(record), current, reason=reason)
        if not record.strangest or not current.can_learn:
            return record
        documents = await self._records.get(Collection.IMAGES, record.strangest, fields=("label", "labeled_at"))
        answered = [document["labeled_at"] for document in documents.values() if document.get("labeled_at")]
        if not answered or current.now - datetime.fromisoformat(max(answered)) < REFIT_DELAY:
            return record
        wanted = await self._reviewed_images(record)
        excluded = tuple(sorted(image.image_id for image in wanted if image.is_strange))
        if excluded == record.revision.excluded:
            return record
        reason = f"fitted again without {len(excluded)} images that a person called strange"
        return await self._fit(record, wanted, current, reason=reason)

    async def _reviewed_images(self, record: SurveyModelRecord) -> list[SurveyImage]:
        """The images that the survey model was fitted on, with their answers."""
        return await first_images(
            self._records, record.survey, count=self._fitter.images_needed, since=record.learn_from
        )

    async def _is_intact(self, record: SurveyModelRecord) -> bool:
        """Whether the bytes are there; looked at now and then."""
        assert record.revision is not None  # noqa: S101 - the state says so
        now = self._clock()
        read_at = self._intact.get(record.revision.key)
        if read_at is not None and now - read_at < INTEGRITY_CHECK_INTERVAL:
            return True
        if not await self._fitter.is_intact(record.revision):
            return False
        self._intact[record.revision.key] = now
        return True

    async def _fit(
        self, record: SurveyModelRecord, wanted: Sequence[SurveyImage], current: _Pass, *, reason: str
    ) -> SurveyModelRecord:
        if current.fits_left == 0 or (record.retry_at is not None and current.now < record.retry_at):
            return record
        current.fits_left -= 1
        try:
            fitted = await self._fitter.fit(record.survey, wanted, model_digest=current.model_digest)
        except CannotFit as error:
            self._metrics.fits.labels("failed").inc()
            return await self._failed(record, str(error), current)
        self._metrics.fits.labels("fitted").inc()
        self._intact[fitted.revision.key] = current.now
        succeeded: dict[str, Any] = {"failures": 0, "failure": None, "retry_at": None, "fit_requested": False}
        if record.revision is not None and record.revision.digest == fitted.revision.digest:
            # The same images give the same revision: nothing is judged by another measure.
            same = {"revision": fitted.revision, **succeeded}
            return await self._save(record, record.model_copy(update=same))
        after = without_revision(record).model_copy(
            update={
                "state": SurveyState.READY,
                "since": current.now,
                "reason": reason,
                "images_needed": self._fitter.images_needed,
                "learned": None,
                "own_check": None,
                "revision": fitted.revision,
                "strangest": fitted.strangest,
                "rejudging": Rejudging(
                    begun_at=current.now, since=record.accepted_until, second_pass=in_second_pass(record)
                ),
                **succeeded,
            }
        )
        _log.info("survey model fitted", survey=record.survey, revision=fitted.revision.digest, reason=reason)
        return await self._save(record, after, announce=True)

    async def _failed(self, record: SurveyModelRecord, why: str, current: _Pass) -> SurveyModelRecord:
        failures = record.failures + 1
        wait = min(INITIAL_RETRY * 2 ** min(failures - 1, 10), MAX_RETRY)
        _log.warning("a survey model cannot be fitted", survey=record.survey, reason=why)
        update = {"failures": failures, "failure": why[:500], "retry_at": current.now + wait}
        return await self._save(record, record.model_copy(update=update))

    async def _fail_once(self, record: SurveyModelRecord, why: str) -> SurveyModelRecord:
        if record.failure == why:
            return record
        return await self._save(record, record.model_copy(update={"failure": why}))

    async def _save(
        self, before: SurveyModelRecord, after: SurveyModelRecord, *, announce: bool = False
    ) -> SurveyModelRecord:
        """Write a change; where another has changed the document meanwhile, the next pass looks again."""
        if after == before:
            return before
        if not await self._store.save(before, after, announce=announce):
            return before
        return after.model_copy(update={"version": before.version + announce})


def in_second_pass(record: SurveyModelRecord) -> bool:
    """Whether the second pass of another bundle through the images of a survey is under way."""
    return record.rejudging is not None and record.rejudging.is_second_pass


def _why_again(record: SurveyModelRecord, revision: SurveyRevision) -> str | None:
    """Why a survey model is fitted again whatever people have answered; None where it is not."""
    if revision.format < FORMAT:
        return "fitted again: before, it compared its own images with themselves"
    return "fitted on its newest images, as a person asked" if record.fit_requested else None


def _why(*, known: bool) -> str:
    if known:
        return "the bundle is calibrated for it"
    return "the bundle does not know it: the pooled calibration serves until there are enough images"
