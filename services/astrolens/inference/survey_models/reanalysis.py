"""Earlier images of a survey are analysed again after its calibration or budget changed, or another bundle serves.

A walk through the images of the survey requests an analysis for each that another calibration has judged; walks follow
each other until one finds none. Where the walk is, is in the document of the survey, so that a crash repeats a page at
most: an image that is on its way already is not requested again.

What another bundle causes, its *second pass*, is of the whole archive, and nobody waits for it: it uses idle time only.
"""

from collections.abc import Callable, Container, Iterable
from datetime import datetime, timedelta
from typing import Final

import structlog

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.records import ImageState
from astrolens.contracts.survey_models import Rejudging, SurveyModelRecord, SurveyState
from astrolens.contracts.verdicts import calibration_fit_of
from astrolens.inference.survey_models.bursts import held_until
from astrolens.inference.survey_models.keeper import Describer, in_second_pass
from astrolens.inference.survey_models.loading import terms_of
from astrolens.inference.survey_models.metrics import SurveyModelMetrics
from astrolens.platform.errors import ModelUnavailable, PermanentError
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Document, Order, Page, Query, RecordStore
from astrolens.rpc.messages import Description
from astrolens.science.survey_scoring import id_on_terms
from astrolens.usecases.reanalysis import Reanalysis
from astrolens.usecases.survey_models import SurveyModelStore

MAX_WAITING: Final = 128
"""Images that wait for their analysis while earlier ones are requested: the sky of tonight comes first."""
MIN_RELEASED: Final = 16
"""Held anomalies of a survey that are requested in a pass, however many images wait: people wait for their alerts."""
MAX_WAITING_WHEN_IDLE: Final = 8
"""Images that may wait for their analysis while the pipeline counts as idle."""
PAGE: Final = 256
WALK_INTERVAL: Final = timedelta(seconds=30)
"""From one walk to the next: the analyses of the last one need some time."""
MAX_WALKS: Final = 40
"""Walks before it is given up. So many mean that a model server judges by another calibration for good."""
PROPAGATION_TIME: Final = timedelta(minutes=1)
"""So long after a change every model server serves the new calibration. Images that are ingested later need no walk."""
ISSUE: Final = "earlier images"
_JUDGED_BY: Final = (
    "model_digest",
    "calibration_id",
    "calibration_fit",
    "calibration_survey",
    "false_alarms_per_1000",
)
"""Fields of an analysis that say which bundle, calibration and budget judged."""

_log = structlog.get_logger(__name__)


class SurveyReanalyzer:
    """Requests analyses of earlier images, a bounded number a pass; of several analyzers one runs it.

    Args:
        records: The record store.
        store: Reads and changes the documents of survey models.
        model: Says which calibration serves each survey.
        reanalysis: Puts images back in flight.
        metrics: Counts requests.
        condition: Where it is reported that images stay behind.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        store: SurveyModelStore,
        model: Describer,
        reanalysis: Reanalysis,
        metrics: SurveyModelMetrics,
        condition: Condition,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._store = store
        self._model = model
        self._reanalysis = reanalysis
        self._metrics = metrics
        self._condition = condition
        self._clock = clock

    async def run_pass(self) -> int:
        """Look at one page of each survey whose images are to be judged again; return how many were requested.

        Raises:
            StoreUnavailable: The record store is unreachable; the next pass goes on where this one was.
        """
        surveys = (await self._store.read_all()).values()
        requested = await self._release_held(surveys)
        open_records = [
            record for record in surveys if record.rejudging is not None and record.rejudging.finished_at is None
        ]
        if not open_records:
            return requested
        try:
            described = await self._model.describe()
        except ModelUnavailable:
            return requested
        for record in open_records:
            calibration = served_calibration(record, described)
            if calibration is None or _waits_for_survey_model(record):
                continue  # The model server has not loaded the revision, or there is none yet.
            if (room := await self._room()) <= 0:
                break
            if in_second_pass(record) and room < MAX_WAITING - MAX_WAITING_WHEN_IDLE:
                continue
            requested += await self._go_on(record, calibration, room=room)
        return requested

    async def _release_held(self, surveys: Iterable[SurveyModelRecord]) -> int:
        """Request analyses of held anomalies whose survey was compared and fits: those raise their alerts."""
        requested = 0
        for record in surveys:
            if record.state is not SurveyState.OWN or record.check is None or not record.check.fits:
                continue
            room = max(await self._room(), MIN_RELEASED)
            held = await held_until(self._records, record.survey, record.check.checked_at, limit=room)
            if held:
                requested += len(await self._reanalysis.analyze_all_again(held, release=True))
        return requested

    async def _room(self) -> int:
        """How many more images may wait for their analysis."""
        states = await self._records.tally(Collection.IMAGES, "state")
        return MAX_WAITING - states.get((ImageState.INGESTED.value,), 0)

    async def _go_on(self, record: SurveyModelRecord, calibration: str, *, room: int) -> int:
        again = record.rejudging
        assert again is not None  # noqa: S101 - the caller has looked
        now = self._clock()
        if again.after is None and now < again.begun_at + again.walks * WALK_INTERVAL:
            return 0
        page = await self._page(record.survey, again)
        if page is None:
            await self._save(record, again.model_copy(update={"after": None, "open": 0, "judged": 0}))
            return 0
        behind = [document for document in page.documents if _is_behind(document, record, calibration)]
        chosen = [document for document in behind if document["state"] == ImageState.ANALYZED.value][:room]
        requested = await self._reanalysis.analyze_all_again(await self._whole(chosen)) if chosen else set()
        self._metrics.rejudged.inc(len(requested))
        analyzed = sum(document["state"] == ImageState.ANALYZED.value for document in behind)
        complete = analyzed <= room
        judged = sum(_was_judged_again(document, again) for document in page.documents)
        update: dict[str, object] = {
            "requested": again.requested + len(requested),
            "images": (again.images or 0) + _first_requests(chosen, requested, again),
        }
        if complete:
            again = again.model_copy(update={"judged": again.judged + judged})
            update |= {"after": page.next, "open": again.open + len(behind), "judged": again.judged}
        if complete and page.next is None:
            update |= self._end_of_walk(record, again, open_images=again.open + len(behind), now=now)
        await self._save(record, again.model_copy(update=update))
        return len(requested)

    def _end_of_walk(
        self, record: SurveyModelRecord, again: Rejudging, *, open_images: int, now: datetime
    ) -> dict[str, object]:
        walks = again.walks + 1
        if open_images == 0 and now >= again.begun_at + PROPAGATION_TIME:
            self._condition.clear_issue(f"{ISSUE} of {record.survey}")
            _log.info("earlier images judged again", survey=record.survey, requested=again.requested)
            # A crash may have lost the count of a page whose images were on their way.
            return {"walks": walks, "finished_at": now, "images": max(again.images or 0, again.judged)}
        if walks >= MAX_WALKS:
            sentence = (
                f"{open_images} images of {record.survey} are still judged by an earlier calibration: see whether all "
                "model servers have loaded its survey model, then request their analysis again"
            )
            if self._condition.set_issue(f"{ISSUE} of {record.survey}", sentence):
                _log.error(sentence, survey=record.survey)
            return {"walks": walks, "finished_at": now}
        return {"walks": walks, "open": 0, "judged": 0}

    async def _page(self, survey: str, again: Rejudging) -> Page | None:
        """The next page of the walk; None where the cursor is of a store of another kind."""
        where = [
            Clause("observation.survey", "eq", survey),
            Clause("ingested_at", "lt", utc_text(again.begun_at + PROPAGATION_TIME)),
        ]
        if again.since is not None:
            where.append(Clause("ingested_at", "gte", utc_text(again.since)))
        query = Query(
            where=tuple(where),
            order=Order("ingested_at"),
            limit=PAGE,
            after=again.after,
            fields=("state", "analyzed_at", "offered_at", "ingested_at", *(f"analysis.{name}" for name in _JUDGED_BY)),
        )
        try:
            return await self._records.find(Collection.IMAGES, query)
        except PermanentError as error:
            if error.reason.code != "bad-cursor":
                raise
            return None

    async def _whole(self, chosen: list[Document]) -> list[Document]:
        return list((await self._records.get(Collection.IMAGES, [each["image_id"] for each in chosen])).values())

    async def _save(self, record: SurveyModelRecord, again: Rejudging) -> None:
        # Where the calibration changed meanwhile, its walk begins anew and this one's progress does not matter.
        await self._store.save(record, record.model_copy(update={"rejudging": again}), announce=False)


def served_calibration(record: SurveyModelRecord, described: Description) -> str | None:
    """Id of the calibration that serves a survey; None while the model server serves another than the record says."""
    if record.model_digest != described.digest:
        return None
    served = described.survey_models.get(record.survey)
    match record.state:
        case SurveyState.READY:
            revision = record.revision.digest if record.revision else None
            return served.calibration_id if served and served.revision == revision else None
        case SurveyState.DOES_NOT_FIT:
            return served.calibration_id if served and served.revision is None else None
        case state:
            terms, bundle = terms_of(record), described.calibration_id
            if terms is None:
                return bundle if served is None else None
            # Until it has read a new budget the model server gives verdicts under the one before.
            wanted = id_on_terms(bundle, terms, adjusted=state is SurveyState.OWN)
            return wanted if served and (served.calibration_id, served.revision) == (wanted, None) else None


def _waits_for_survey_model(record: SurveyModelRecord) -> bool:
    """Whether a survey model is fitted first: what the pooled calibration would say now is soon of no use."""
    learning = record.state is SurveyState.LEARNING and record.images >= record.images_needed
    return in_second_pass(record) and learning and record.failure is None


def _is_behind(document: Document, record: SurveyModelRecord, calibration: str) -> bool:
    """Whether the last analysis of an image used another bundle, calibration or budget, or is being done.

    Drift revises a survey's own calibration without judging earlier images again: they are not behind for that.
    """
    if document["state"] == ImageState.INGESTED.value:
        return True
    if document["state"] != ImageState.ANALYZED.value:
        return False
    analysis = document["analysis"]
    if analysis["model_digest"] != record.model_digest:
        return True
    if record.state is SurveyState.OWN and calibration_fit_of(analysis) == "own":
        return bool(analysis.get("false_alarms_per_1000") != record.false_alarms_per_1000)
    return bool(analysis["calibration_id"] != calibration)


def _was_judged_again(document: Document, again: Rejudging) -> bool:
    """Whether an image that was there before this began has been analysed since, because that was requested."""
    if document["state"] != ImageState.ANALYZED.value:
        return False
    begun = utc_text(again.begun_at)
    offered = document.get("offered_at") or ""
    return bool(document["ingested_at"] < begun <= offered)


def _first_requests(chosen: Iterable[Document], requested: Container[str], again: Rejudging) -> int:
    """How many of the requested images were last analysed before this began: those of a later walk count once."""
    begun = utc_text(again.begun_at)
    return sum(document["image_id"] in requested and document["analyzed_at"] < begun for document in chosen)
