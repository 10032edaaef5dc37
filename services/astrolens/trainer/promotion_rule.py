"""The rule that promotes a bundle without a person, where the settings say so."""

from typing import Final

import structlog

from astrolens.contracts.models import ModelRecord, ModelState, PromotionRecord, ShadowRecord
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.errors import Conflict
from astrolens.usecases.model_promotion import ModelPromotions, read_current, state_of
from astrolens.usecases.model_registry import ModelRegistry

BY_RULE: Final = "rule"
MAX_VOLUME: Final = 2.0
"""Anomalies of the candidate, in units of those of the bundle in use or of the budget, whichever is more."""
MIN_CORRELATION: Final = 0.5
"""Of the rank scores of both: a candidate that orders the sky anew is for a person to look at."""

_log = structlog.get_logger(__name__)


class PromotionRule:
    """Promotes a bundle whose gates passed and whose comparison in shadow is within bounds; others wait for a person.

    Args:
        records: The record store.
        registry: The bundles.
        promotions: Promotes.
        false_alarms_per_1000: The budget.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        registry: ModelRegistry,
        promotions: ModelPromotions,
        false_alarms_per_1000: float,
    ) -> None:
        self._records = records
        self._registry = registry
        self._promotions = promotions
        self._budget = false_alarms_per_1000 / 1000.0
        self._reported: set[tuple[str, str]] = set()

    async def run_pass(self) -> None:
        """Promote the newest bundle that fulfils the rule, if there is one.

        Raises:
            StoreUnavailable: A store is unreachable; the next pass looks again.
        """
        current = await read_current(self._records)
        if current is None:
            return
        for record in await self._registry.read_all():
            shadow = await self._finished_shadow(record, current)
            if shadow is None:
                continue
            objection = self.objection(shadow)
            if objection is not None:
                if (record.digest, objection) not in self._reported:
                    self._reported.add((record.digest, objection))
                    _log.warning("a candidate waits for a person", digest=record.digest, reason=objection)
                continue
            why = (
                f"its gates passed; of {shadow.images} images in shadow {shadow.newly_anomalous} are newly anomalous "
                f"and {shadow.no_longer_anomalous} no longer"
            )
            try:
                await self._promotions.promote(record.digest, by=BY_RULE, why=why)
            except Conflict as error:
                _log.info("another model was promoted meanwhile", reason=str(error))
            return

    def objection(self, shadow: ShadowRecord) -> str | None:
        """Why the rule does not promote after this comparison; None where it does."""
        if shadow.images < shadow.wanted:
            return f"it was compared on {shadow.images} images instead of {shadow.wanted}"
        allowed = MAX_VOLUME * max(shadow.champion_anomalies, self._budget * shadow.images)
        if shadow.candidate_anomalies > allowed:
            return f"it calls {shadow.candidate_anomalies} of {shadow.images} images anomalies, more than {allowed:.0f}"
        if shadow.rank_correlation is None or shadow.rank_correlation < MIN_CORRELATION:
            return f"its ranks agree too little with those of the model in use: {shadow.rank_correlation}"
        return None

    async def _finished_shadow(self, record: ModelRecord, current: PromotionRecord) -> ShadowRecord | None:
        """The finished comparison of a candidate with the bundle in use; None where it has none, or served before."""
        if state_of(record, current) is not ModelState.SHADOW or record.gates.get("passed") is not True:
            return None
        document = (await self._records.get(Collection.SHADOWS, [record.digest])).get(record.digest)
        shadow = None if document is None else ShadowRecord.model_validate(document)
        if shadow is None or shadow.finished_at is None or shadow.champion_digest != current.digest:
            return None
        return shadow
