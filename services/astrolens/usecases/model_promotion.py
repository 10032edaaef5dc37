"""Which bundle serves: promoted by a person or by the rule, and back to the one before.

One document says it, so that a promotion is one atomic write together with its event. The states in the records of the
bundles follow from it; `state_of` tells them whatever a crash left unwritten.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.events import ModelPromoted
from astrolens.contracts.models import (
    CURRENT,
    MAX_HISTORY,
    ModelRecord,
    ModelState,
    Promotion,
    PromotionRecord,
    failed_gates,
)
from astrolens.contracts.topics import MODELS_PROMOTED
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, RecordStore, to_document
from astrolens.usecases.errors import Conflict
from astrolens.usecases.model_registry import ModelRegistry

BY_SETTINGS: Final = "settings"

_log = structlog.get_logger(__name__)


def state_of(record: ModelRecord, current: PromotionRecord | None) -> ModelState:
    """The state of a bundle, by the document that says which one serves."""
    if current is not None and record.digest == current.digest:
        return ModelState.PROMOTED
    served = {digest for each in (current.history if current else ()) for digest in (each.digest, each.previous_digest)}
    has_served = record.digest in served
    return ModelState.RETIRED if has_served or record.state is ModelState.PROMOTED else record.state


async def read_current(records: RecordStore) -> PromotionRecord | None:
    """Which bundle serves; None before the first model server has started."""
    document = (await records.get(Collection.PROMOTIONS, [CURRENT])).get(CURRENT)
    return None if document is None else PromotionRecord.model_validate(document)


async def record_settings_bundle(records: RecordStore, digest: str, *, at: datetime) -> PromotionRecord:
    """Say that the bundle of the settings serves, unless one was promoted; return what serves."""
    current = await read_current(records)
    if current is not None and (current.number > 0 or current.digest == digest):
        return current
    first = PromotionRecord(number=0, digest=digest, at=at, by=BY_SETTINGS, why="it is the bundle of the settings")
    if current is None:
        await records.insert(Collection.PROMOTIONS, [first])
    else:
        values = {name: value for name, value in to_document(first).items() if name not in {"name", "pending"}}
        change = Change(id=CURRENT, set=values, when=(Clause("number", "eq", 0),))
        await records.apply(Collection.PROMOTIONS, [change])
    return await read_current(records) or first


class ModelPromotions:
    """Promotes bundles, with the event that follows.

    Args:
        records: The record store.
        registry: The bundles.
        releaser: Publishes the event.
        service: Producer of the event.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        registry: ModelRegistry,
        releaser: EventReleaser,
        service: str,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._registry = registry
        self._releaser = releaser
        self._service = service
        self._clock = clock

    async def promote(self, digest: str, *, by: str, why: str) -> PromotionRecord:
        """Let a bundle serve. Model servers verify and load it; where one cannot, it continues with its old one.

        Raises:
            NotFound: The registry has none of this digest.
            Conflict: It serves already, a gate refused it, or somebody promoted another meanwhile.
        """
        record = await self._registry.get(digest)
        if record.state is ModelState.REFUSED:
            failed = ", ".join(failed_gates(record.gates)) or "its gates"
            raise Conflict("Refused by its gates", f"The model {digest[:12]} does not serve: it failed {failed}.")
        current = await read_current(self._records)
        if current is not None and current.digest == digest:
            raise Conflict("Serves already", f"The model {digest[:12]} serves already.")
        previous = None if current is None else current.digest
        entry = Promotion(digest=digest, previous_digest=previous, at=self._clock(), by=by, why=why)
        return await self._write(current, entry)

    async def rollback(self, *, by: str, why: str) -> PromotionRecord:
        """Return to the bundle that served before the present one was promoted.

        Raises:
            Conflict: Nothing served before, or somebody promoted another meanwhile.
        """
        current = await read_current(self._records)
        if current is None or current.previous_digest is None:
            raise Conflict("Nothing to return to", "No model served before the present one: promote another instead.")
        target = current.previous_digest
        # A second rollback goes one further back, not forth again.
        earlier = [each for each in current.history if each.digest == target and not each.rollback]
        previous = earlier[-1].previous_digest if earlier else None
        entry = Promotion(digest=target, previous_digest=previous, at=self._clock(), by=by, why=why, rollback=True)
        return await self._write(current, entry)

    async def _write(self, current: PromotionRecord | None, entry: Promotion) -> PromotionRecord:
        history = () if current is None else current.history
        number = 1 if current is None else current.number + 1
        after = PromotionRecord(number=number, **entry.model_dump(), history=(*history, entry)[-MAX_HISTORY:])
        event = ModelPromoted.of(after, service=self._service).pending(topic=MODELS_PROMOTED, key=after.digest)
        if current is None:
            written = await self._records.insert(
                Collection.PROMOTIONS, [after.model_copy(update={"pending": (event,)})]
            )
        else:
            values = {name: value for name, value in to_document(after).items() if name not in {"name", "pending"}}
            change = Change(
                id=CURRENT,
                set=values,
                push={"pending": [event.model_dump(mode="json")]},
                when=(Clause("number", "eq", current.number),),
            )
            written = await self._records.apply(Collection.PROMOTIONS, [change])
        if not written:
            raise Conflict("Changed meanwhile", "Another model was promoted meanwhile: look again before you decide.")
        _log.info("model promoted", digest=after.digest, number=number, by=entry.by, rollback=entry.rollback)
        await self._releaser.release(Collection.PROMOTIONS, [(CURRENT, (event,))])
        await self._note_states(after, by=entry.by, why=entry.why)
        return after

    async def _note_states(self, current: PromotionRecord, *, by: str, why: str) -> None:
        """Bring the states of the records up to date; what a crash leaves is made up by the next promotion."""
        for record in await self._registry.read_all():
            state = state_of(record, current)
            if state is not record.state:
                await self._registry.change_state(record, state, by=by, why=why)
