"""Model bundles as console, REST and command line show them, and what a person decides about them."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Self

from pydantic import Field

from astrolens.contracts.base import utc_now
from astrolens.contracts.models import ModelRecord, ModelState, PromotionRecord, ShadowRecord, failed_gates
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Query, RecordStore
from astrolens.usecases.errors import Conflict, InvalidRequest, NotFound
from astrolens.usecases.model_promotion import ModelPromotions, read_current, state_of
from astrolens.usecases.model_registry import ModelRegistry
from astrolens.usecases.plurals import plural
from astrolens.usecases.status import SILENT_AFTER_S
from astrolens.usecases.views import ImageCard, View

_MODEL_SERVER: Final = "model-server"
_PAGE: Final = 200
_MIN_PREFIX_LENGTH: Final = 6
MAX_WHY: Final = 500


class ModelChangeView(View):
    """One change of a bundle's state."""

    state: ModelState
    at: datetime
    by: str
    why: str


class ShadowView(View):
    """How a candidate judged images beside the bundle in use: counts, and the images that differ."""

    champion_digest: str
    wanted: int
    images: int = Field(description="Images compared so far.")
    replayed: int = Field(description="Of them, read from the archive.")
    dropped: int = Field(description="Images that passed by while the comparison was busy.")
    failed: int
    began_at: datetime
    finished_at: datetime | None
    champion_anomalies: int
    candidate_anomalies: int
    newly_anomalous: int
    no_longer_anomalous: int
    rank_correlation: float | None = Field(description="Spearman's, of the rank scores of both.")

    @classmethod
    def of(cls, record: ShadowRecord) -> Self:
        """The view of a record."""
        return cls(images=record.images, **record.model_dump(include=set(cls.model_fields) - {"images"}))


class ModelView(View):
    """One bundle."""

    digest: str
    name: str
    version: str
    state: ModelState
    serves: bool = Field(description="Whether a model server that runs says that it has loaded it.")
    first_served_at: datetime | None = Field(description="When a model server first had; null: not seen.")
    has_late_images: bool = Field(description="Whether it serves and its second pass has found images.")
    installed: bool = Field(description="Whether its files are those of the installation, not of the registry.")
    parent_digest: str | None
    created_at: datetime
    created_by: str
    signed_with: str | None = Field(description="The key that signed it.")
    size_bytes: int
    gates: dict[str, Any] = Field(description="What was measured before it was published; empty: nothing.")
    failed_gates: list[str]
    can_promote: bool
    history: list[ModelChangeView]
    shadow: ShadowView | None

    @classmethod
    def of(
        cls,
        record: ModelRecord,
        current: PromotionRecord | None,
        shadow: ShadowRecord | None,
        loaded: Mapping[str, bool],
    ) -> Self:
        """The view of a record; `loaded` are the bundles that serve, and whether their second pass found images."""
        state = state_of(record, current)
        return cls(
            digest=record.digest,
            name=record.name,
            version=record.version,
            state=state,
            serves=record.digest in loaded,
            has_late_images=loaded.get(record.digest, False),
            first_served_at=record.first_served_at,
            installed=record.is_installed,
            parent_digest=record.parent_digest,
            created_at=record.created_at,
            created_by=record.created_by,
            signed_with=record.key_id,
            size_bytes=sum(file.size for file in record.files.values()),
            gates=record.gates,
            failed_gates=list(failed_gates(record.gates)),
            can_promote=state not in {ModelState.PROMOTED, ModelState.REFUSED},
            history=[ModelChangeView(**change.model_dump()) for change in record.history],
            shadow=None if shadow is None else ShadowView.of(shadow),
        )


class PromotionView(View):
    """The last promotion: which bundle is to serve, and since when."""

    number: int
    digest: str
    previous_digest: str | None = Field(description="What a rollback returns to; null: nothing.")
    at: datetime
    by: str
    why: str
    rollback: bool

    @classmethod
    def of(cls, record: PromotionRecord) -> Self:
        """The view of a record."""
        return cls(**record.model_dump(include=set(cls.model_fields)))


class ModelList(View):
    """Every bundle, the newest first."""

    items: list[ModelView]
    serving: PromotionView | None = Field(
        description="Which is to serve; `serves` of a bundle says which does. Null before the first model server "
        "has started."
    )


class ModelDiff(View):
    """What a candidate would change: images that it would newly flag, and those that it would flag no more."""

    digest: str
    shadow: ShadowView
    newly_anomalous: list[ImageCard]
    no_longer_anomalous: list[ImageCard]


class Models:
    """Shows bundles, and writes what a person decides.

    Args:
        records: The record store.
        images: The image store.
        releaser: Publishes the events of promotions.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        images: ImageStore,
        releaser: EventReleaser,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._records = records
        self._clock = clock
        self._registry = ModelRegistry(records=records, images=images, clock=clock)
        self._promotions = ModelPromotions(
            records=records, registry=self._registry, releaser=releaser, service="console", clock=clock
        )

    async def overview(self) -> ModelList:
        """Every bundle, and which one serves."""
        current = await read_current(self._records)
        found = await self._registry.read_all()
        shadows = await self._shadows([record.digest for record in found])
        loaded = await self._loaded()
        return ModelList(
            items=[ModelView.of(record, current, shadows.get(record.digest), loaded) for record in found],
            serving=None if current is None else PromotionView.of(current),
        )

    async def show(self, digest: str) -> ModelView:
        """One bundle.

        Args:
            digest: Its digest, or the first six digits or more of it.

        Raises:
            NotFound: There is none.
            InvalidRequest: There are several.
        """
        record = await self._find(digest)
        shadow = (await self._shadows([record.digest])).get(record.digest)
        return ModelView.of(record, await read_current(self._records), shadow, await self._loaded())

    async def diff(self, digest: str) -> ModelDiff:
        """What a candidate would change, with the images.

        Raises:
            NotFound: There is no such bundle.
            Conflict: It was not compared yet.
        """
        record = await self._find(digest)
        shadow = (await self._shadows([record.digest])).get(record.digest)
        if shadow is None:
            if record.digest in await self._loaded():
                detail = f"The model {record.digest[:12]} is the one in use, and was compared with none before it."
            else:
                detail = f"The model {record.digest[:12]} was not compared with the one in use yet: start a shadow run."
            raise Conflict("Not compared yet", detail)
        return ModelDiff(
            digest=record.digest,
            shadow=ShadowView.of(shadow),
            newly_anomalous=await self._cards(shadow.newly_anomalous_ids),
            no_longer_anomalous=await self._cards(shadow.no_longer_anomalous_ids),
        )

    async def promote(self, digest: str, *, user: str, why: str) -> PromotionView:
        """Let a bundle serve.

        Raises:
            NotFound: There is none.
            Conflict: It serves already, or a gate refused it.
        """
        record = await self._find(digest)
        return PromotionView.of(await self._promotions.promote(record.digest, by=user, why=why.strip()))

    async def rollback(self, *, user: str, why: str) -> PromotionView:
        """Return to the bundle before.

        Raises:
            Conflict: There is none.
        """
        return PromotionView.of(await self._promotions.rollback(by=user, why=why.strip()))

    async def request_shadow(self, digest: str, *, user: str, images: int) -> ModelView:
        """Compare a candidate with the bundle in use, on so many images; an earlier comparison goes.

        Raises:
            NotFound: There is none.
            Conflict: It serves or is promoted, was refused, or its files are not in the image store.
        """
        record = await self._find(digest)
        current = await read_current(self._records)
        state = state_of(record, current)
        loaded = await self._loaded()
        serves = record.digest in loaded
        if current is None or serves or state in {ModelState.PROMOTED, ModelState.REFUSED} or record.is_installed:
            why = "its files are not in the image store" if record.is_installed else f"it is {state.value}"
            why = "it is the one in use" if serves else why
            raise Conflict("Cannot be compared", f"The model {record.digest[:12]} cannot be compared: {why}.")
        # Where model servers refuse the promoted bundle, another is in use.
        champion = current.digest if current.digest in loaded or not loaded else min(loaded)
        shadow = ShadowRecord(
            digest=record.digest, champion_digest=champion, wanted=images, began_at=self._registry.now()
        )
        await self._records.upsert(Collection.SHADOWS, [shadow])
        if record.state is not ModelState.SHADOW:
            why = f"compared on {plural(images, 'image')}"
            await self._registry.change_state(record, ModelState.SHADOW, by=user, why=why)
        return await self.show(record.digest)

    async def _loaded(self) -> dict[str, bool]:
        """Bundles that model servers have loaded, as their heartbeats say, and whether a second pass found images."""
        now = self._clock()
        found: set[str] = set()
        async for page in pages(self._records, Collection.SERVICES, Query(limit=_PAGE)):
            for service in page:
                silent_s = (now - datetime.fromisoformat(service["seen_at"])).total_seconds()
                digest = (service.get("info") or {}).get("model_digest")
                if service["service"] == _MODEL_SERVER and digest and silent_s <= SILENT_AFTER_S:
                    found.add(digest)
        late: dict[str, bool] = {}
        for digest in sorted(found):
            query = Query(where=(Clause("late_by", "eq", digest),), limit=1, fields=("late_by",))
            late[digest] = bool((await self._records.find(Collection.IMAGES, query)).documents)
        return late

    async def _find(self, digest: str) -> ModelRecord:
        if len(digest) < _MIN_PREFIX_LENGTH:
            raise InvalidRequest("Ambiguous digest", f"{digest!r} is too short: give at least six digits of a digest.")
        found = [record for record in await self._registry.read_all() if record.digest.startswith(digest)]
        if not found:
            raise NotFound("model", digest)
        if len(found) > 1:
            raise InvalidRequest("Ambiguous digest", f"{len(found)} models begin with {digest}: give more digits.")
        return found[0]

    async def _shadows(self, digests: list[str]) -> dict[str, ShadowRecord]:
        documents = await self._records.get(Collection.SHADOWS, digests)
        return {digest: ShadowRecord.model_validate(document) for digest, document in documents.items()}

    async def _cards(self, image_ids: tuple[str, ...]) -> list[ImageCard]:
        documents = await self._records.get(Collection.IMAGES, image_ids)
        return [ImageCard.of(documents[image]) for image in image_ids if image in documents]
