"""Model bundles of the made-up archive: one that serves, a candidate that was compared, and one that was refused."""

from collections.abc import Sequence
from datetime import UTC, datetime

from astrolens.contracts.models import ModelChange, ModelFile, ModelRecord, ModelState, ShadowRecord
from astrolens.contracts.survey_models import FitCheck, SurveyModelRecord, SurveyState
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.model_promotion import record_settings_bundle

SERVING = "ab" * 32
CANDIDATE = "c0" * 32
REFUSED = "bad0" * 16
_MADE = datetime(2026, 11, 20, 8, tzinfo=UTC)


def _record(digest: str, version: str, state: ModelState, gates: dict[str, object]) -> ModelRecord:
    return ModelRecord(
        digest=digest,
        name="first-light",
        version=version,
        created_at=_MADE,
        created_by="training run 3" if gates else "installation",
        files={"manifest.json": ModelFile(sha256=digest, size=7000)} if gates else {},
        gates=gates,
        state=state,
        history=(ModelChange(state=state, at=_MADE, by="training run 3", why="its gates passed"),),
    )


def _survey() -> SurveyModelRecord:
    """A known survey under whose name another sky came."""
    detail = "of 150 recent images 80 % too many have small p-values"
    check = FitCheck(images=150, at_1_percent=84, fits=False, detail=detail, checked_at=_MADE)
    return SurveyModelRecord(
        survey="sdss",
        state=SurveyState.DOES_NOT_FIT,
        since=_MADE,
        reason=f"another sky than the bundle's calibration of sdss: {detail}",
        known=True,
        model_digest=SERVING,
        images=150,
        images_needed=300,
        check=check,
    )


async def fill_models(records: RecordStore, images: Sequence[str]) -> None:
    """Write them; the candidate newly flags the first image and the last no longer."""
    gate = {"name": "oddity AUROC, sdss", "passed": True, "detail": "0.931 after 0.925"}
    failed = {"name": "macro F1, sdss", "passed": False, "detail": "0.70 after 0.82 <b>markup</b>"}
    await records.upsert(
        Collection.MODELS,
        [
            _record(SERVING, "1", ModelState.CANDIDATE, {}),
            _record(CANDIDATE, "2", ModelState.SHADOW, {"passed": True, "gates": [gate]}),
            _record(REFUSED, "3", ModelState.REFUSED, {"passed": False, "gates": [gate, failed]}),
        ],
    )
    await records.upsert(Collection.SURVEY_MODELS, [_survey()])
    await record_settings_bundle(records, SERVING, at=_MADE)
    scores = tuple(float(index) for index in range(len(images)))
    shadow = ShadowRecord(
        digest=CANDIDATE,
        champion_digest=SERVING,
        wanted=len(images),
        began_at=_MADE,
        finished_at=_MADE,
        image_ids=tuple(images),
        champion_rank_scores=scores,
        candidate_rank_scores=scores,
        newly_anomalous=1,
        no_longer_anomalous=1,
        newly_anomalous_ids=tuple(images[:1]),
        no_longer_anomalous_ids=tuple(images[-1:]),
        rank_correlation=0.87,
    )
    await records.upsert(Collection.SHADOWS, [shadow])
