"""Loads the current survey models into the model server, from the record store and the image store."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from astrolens.contracts.survey_models import SurveyModelRecord, SurveyRevision, SurveyState
from astrolens.platform.errors import ObjectMissing
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.science.drift_adjustment import Adjustment
from astrolens.science.survey_model import SurveyModel, SurveyModelDamaged
from astrolens.science.survey_scoring import SurveyCalibrations, SurveyTerms
from astrolens.usecases.survey_models import MAX_SURVEYS, read_survey_models

ISSUE: Final = "damaged survey models"
_NAMED: Final = 3

logger = structlog.get_logger(__name__)


class SurveyModelLoader:
    """Reads which calibration serves each survey, and the bytes of survey models that are new.

    A survey model that cannot be read is an issue; the pooled calibration serves its survey until it can.

    Args:
        records: The record store.
        images: The image store.
        model_digest: The bundle; survey models of another one are of no use.
        condition: Where survey models that cannot be used are reported.
        on_loaded: Called with what serves from now on, after something changed.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        model_digest: str,
        condition: Condition,
        on_loaded: Callable[[SurveyCalibrations], None],
    ) -> None:
        self._records = records
        self._images = images
        self._model_digest = model_digest
        self._condition = condition
        self._on_loaded = on_loaded
        self._loaded: dict[str, SurveyModel] = {}
        self._unfit: frozenset[str] = frozenset()
        self._terms: dict[str, SurveyTerms] = {}

    async def run_pass(self) -> None:
        """Load what changed.

        Raises:
            StoreUnavailable: A store is unreachable; what is loaded goes on serving.
        """
        documents = {
            survey: record
            for survey, record in (await read_survey_models(self._records)).items()
            if record.model_digest == self._model_digest
        }
        models, faults = await self._models(documents)
        unfit = frozenset(
            survey for survey, record in documents.items() if record.state is SurveyState.DOES_NOT_FIT
        ) | {survey for survey in faults if documents[survey].known}
        terms = {survey: found for survey, record in documents.items() if (found := terms_of(record)) is not None}
        if (unfit, terms) != (self._unfit, self._terms) or _digests(models) != _digests(self._loaded):
            self._loaded, self._unfit, self._terms = models, unfit, terms
            self._on_loaded(SurveyCalibrations(models=models, unfit=unfit, terms=terms))
            logger.info("survey models loaded", surveys=sorted(models), unfit=sorted(unfit), terms=sorted(terms))
        self._report(faults)

    async def _models(
        self, documents: Mapping[str, SurveyModelRecord]
    ) -> tuple[dict[str, SurveyModel], dict[str, str]]:
        """The survey models that are to serve, and why others cannot, by survey."""
        models: dict[str, SurveyModel] = {}
        faults: dict[str, str] = {}
        for survey, record in list(documents.items())[:MAX_SURVEYS]:
            if record.state is not SurveyState.READY or record.revision is None:
                continue
            loaded = self._loaded.get(survey)
            if loaded is not None and loaded.digest == record.revision.digest:
                models[survey] = loaded
                continue
            try:
                models[survey] = await self._load(survey, record.revision)
            except (ObjectMissing, SurveyModelDamaged) as error:
                faults[survey] = str(error)
        return models, faults

    async def _load(self, survey: str, revision: SurveyRevision) -> SurveyModel:
        data = await self._images.get(revision.key)
        model = await asyncio.to_thread(SurveyModel.from_bytes, data, expected_digest=revision.digest)
        manifest = model.manifest
        if (manifest.survey, manifest.model_digest) != (survey, self._model_digest):
            raise SurveyModelDamaged(f"survey model {model.digest}: it is of {manifest.survey} or of another bundle")
        return model

    def _report(self, faults: Mapping[str, str]) -> None:
        if not faults:
            if self._condition.clear_issue(ISSUE):
                logger.info("all survey models can be used again")
            return
        named = "; ".join(f"{survey}: {why}" for survey, why in list(faults.items())[:_NAMED])
        sentence = (
            f"{len(faults)} survey models cannot be used, and the pooled calibration serves their surveys until the "
            f"analyzer has fitted them again ({named})"
        )
        if self._condition.set_issue(ISSUE, sentence):
            logger.error(sentence)


def terms_of(record: SurveyModelRecord) -> SurveyTerms | None:
    """The budget and the adjustment of a survey; None where it has neither."""
    measured = record.adjustment if record.state is SurveyState.OWN else None
    adjustment = None if measured is None else Adjustment(measured.shift, measured.scale)
    if record.false_alarms_per_1000 is None and adjustment is None:
        return None
    return SurveyTerms(false_alarms_per_1000=record.false_alarms_per_1000, adjustment=adjustment)


def _digests(models: Mapping[str, SurveyModel]) -> dict[str, str]:
    return {survey: model.digest for survey, model in models.items()}
