"""The trainer's service: composition root."""

import asyncio
from collections.abc import Sequence
from typing import Final

from astrolens.contracts.events import LabelRecorded
from astrolens.contracts.topics import LABELS_RECORDED
from astrolens.platform.bus import Refusal
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.rpc.model_client import ModelClient
from astrolens.trainer.metrics import TrainerMetrics, TrainingMetrics
from astrolens.trainer.promotion_rule import PromotionRule
from astrolens.trainer.ranking.service import InterestRanker
from astrolens.trainer.retraining.jobs import TrainingJobs
from astrolens.trainer.retraining.process import RunProcess, training_available
from astrolens.usecases.model_promotion import ModelPromotions
from astrolens.usecases.model_registry import ModelRegistry
from astrolens.usecases.training_runs import CAN_TRAIN

SERVICE: Final = "trainer"
_RANK_EVERY_S: Final = 30.0
"""Between passes without answers: new candidates are ranked too."""
_TRAIN_EVERY_S: Final = 1.0
"""Between looks at the retraining run: so long a cancelled one may go on."""
_RULE_EVERY_S: Final = 10.0
"""Between looks for candidates whose comparison has ended; a comparison takes minutes."""
_DEBOUNCE_S: Final = 0.1
"""Answers that come within this time are learned at once."""


def create_app(settings: Settings) -> ServiceApp:
    """The trainer, not yet running."""
    app = ServiceApp(settings, service=SERVICE, port=settings.trainer_port, outbox=(Collection.PROMOTIONS,))
    model = ModelClient(settings.inference_address, stopping=app.stopping, tracing=app.tracing)
    ranker = InterestRanker(
        records=app.records, model=model, metrics=TrainerMetrics(app.metrics), personal=settings.personal_rankings
    )
    answered = asyncio.Event()

    async def handle(events: Sequence[LabelRecorded]) -> Sequence[Refusal]:
        for event in events:
            ranker.note_answerer(event.user)
        await asyncio.sleep(_DEBOUNCE_S)
        answered.set()
        return ()

    app.bus.consume(LABELS_RECORDED, LabelRecorded, handle)
    app.on_stop("model client", model.close)
    app.check("model", model.ping)
    app.every(
        "interest ranking",
        ranker.run_pass,
        interval_s=_RANK_EVERY_S,
        issue="answers do not move the ranking",
        lease=app.lease("trainer:ranking"),
        wake=answered,
        graceful=False,
    )
    _run_training(app)
    if settings.model_promotion == "rule":
        _promote_by_rule(app)
    return app


def _promote_by_rule(app: ServiceApp) -> None:
    registry = ModelRegistry(records=app.records, images=app.images)
    rule = PromotionRule(
        records=app.records,
        registry=registry,
        promotions=ModelPromotions(records=app.records, registry=registry, releaser=app.outbox, service=SERVICE),
        false_alarms_per_1000=app.settings.false_alarms_per_1000,
    )
    app.every(
        "promotion rule",
        rule.run_pass,
        interval_s=_RULE_EVERY_S,
        issue="candidates are not promoted by rule",
        lease=app.lease("trainer:promotion"),
    )


def _run_training(app: ServiceApp) -> None:
    settings = app.settings
    available, detail = training_available()
    app.info[CAN_TRAIN] = {"available": available, "detail": detail}
    jobs = TrainingJobs(
        records=app.records,
        settings=settings,
        process=RunProcess(settings),
        metrics=TrainingMetrics(app.metrics),
        owner=app.instance,
        champion=lambda: settings.bundle,
    )
    app.every(
        "retraining",
        jobs.run_pass,
        interval_s=_TRAIN_EVERY_S,
        issue="retraining runs are not followed",
        lease=app.lease("trainer:retraining"),
        graceful=False,
    )
    app.on_stop("retraining process", jobs.close)
