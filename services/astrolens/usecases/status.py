"""The books and everything else that `astrolens status --json` prints, all from tallies: O(1) at any archive size."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.records import ImageState, Outcome
from astrolens.contracts.status import Books, ServiceStatus, SourceStatus
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Order, Query, RecordStore
from astrolens.usecases.errors import NotFound
from astrolens.usecases.model_status import ModelStatus
from astrolens.usecases.views import View

_PAGE = 200

_BOOKS: Final = ((Collection.RECEIPTS, "outcome"), (Collection.IMAGES, "state"))
"""The tallies that the books are made of."""

_MAX_RECOUNTS: Final = 2
"""How often a difference is looked at again."""

_RECENT_ARRIVALS = 20
"""Arrivals among which the last success of a source is looked for."""

_TAKEN = frozenset({Outcome.RECEIVED, Outcome.ACCEPTED, Outcome.DUPLICATE})

Tally = Mapping[tuple[str, ...], int]

SILENT_AFTER_S = 10.0
"""Seconds without a heartbeat (one every 2 s) after which a service counts as silent."""

MAX_CLOCK_AHEAD_S = 5.0
"""Seconds that a heartbeat may lie in the future: clocks of instances differ a little. Beyond it says nothing, as after
the clock was set back: the service may hang since."""

FORGOTTEN_AFTER_S = 24 * 3600.0
"""Seconds after which an instance that no longer reports is forgotten: pods come and go under new names."""


class ServiceView(View):
    """A service as its last heartbeat reported it, and whether that is fresh."""

    service: str
    instance: str
    state: str = Field(
        description="`running`, `starting`, `degraded`, `stopped`; `silent` without a believable heartbeat."
    )
    ready: bool
    detail: str | None
    pid: int
    version: str
    started_at: datetime
    seen_at: datetime
    silent_s: float = Field(description="Seconds since its last heartbeat.")
    processed: int
    lag: int | None = Field(description="Records waiting in the topics it reads.")
    last_errors: list[str]
    info: dict[str, Any]
    instances: int = Field(default=1, description="How many instances report.")


class SourceView(SourceStatus):
    """A source with its receipts by outcome."""

    outcomes: dict[str, int] = Field(default_factory=dict, description="Receipts by outcome.")


class Status(View):
    """The state of everything, as `astrolens status --json` prints it."""

    received: int = Field(
        description="All arrivals; the sum of analyzed, duplicates, rejected, dead_lettered and in_flight is as large."
    )
    analyzed: int = Field(description="Images whose last analysis is done.")
    duplicates: int = Field(description="Arrivals with the same bytes as an earlier one: counted, not analysed again.")
    rejected: int = Field(description="Arrivals that are no usable image; `reasons` says why.")
    dead_lettered: int = Field(description="Arrivals and images that no service could work on.")
    in_flight: int = Field(description="Arrivals that are not settled yet, and images that are analysed again.")
    imbalance: str | None = Field(default=None, description="One sentence where the numbers above contradict.")
    verdicts: dict[str, int] = Field(
        description="Images by their last verdict, those that are analysed again among them: `analyzed` and "
        "`analyzed_again` together, and dead-lettered images that had one."
    )
    analyzed_again: int = Field(
        default=0,
        description="Images in flight now that keep their last verdict until another analysis is done. Those that a "
        "survey has still to ask for are not among them: `rejudging` in `GET /api/surveys` says where some wait.",
    )
    alerts: int
    services: dict[str, ServiceView]
    model: dict[str, Any] = Field(description="The model in use; `state` and `detail` where its server is unreachable.")
    sources: dict[str, SourceView]
    reasons: dict[str, int] = Field(description="Rejected and dead-lettered arrivals by reason code.")
    labels: dict[str, int] = Field(description="Images by a person's answer; `none` for unanswered.")
    surveys: dict[str, dict[str, int]] = Field(description="Analysed images by survey and verdict.")
    dead_letters_open: int = Field(description="Dead letters that wait for a person.")
    at: datetime
    batch: "BatchProgress | None" = Field(default=None, description="Progress of the batch asked for.")


class BatchProgress(View):
    """The books of one batch."""

    batch: str
    received: int
    analyzed: int
    duplicates: int
    rejected: int
    dead_lettered: int
    in_flight: int
    settled: bool = Field(description="Whether nothing of the batch is in flight.")


class BooksView(View):
    """Every number that the books are made of, and what contradicts."""

    receipts: dict[str, int] = Field(description="Arrivals by outcome.")
    images: dict[str, int] = Field(description="Accepted images by state.")
    books: Books
    imbalance: str | None = Field(description="One sentence where these numbers contradict each other.")
    recounted: bool = Field(description="Whether the documents themselves were counted.")
    miscounted: list[str] = Field(
        default_factory=list, description="Where the documents are not as many as their counters say."
    )


class StatusReader:
    """Reads the state of everything."""

    def __init__(self, *, records: RecordStore, model: ModelStatus, clock: Callable[[], datetime] = utc_now) -> None:
        self._records = records
        self._model = model
        self._clock = clock
        self._last_accepted: dict[str, tuple[dict[str, int], datetime | None]] = {}

    async def books(self) -> Books:
        """The balance at this moment."""
        return Books.of(*await self._records.tallies(list(_BOOKS)))

    async def check_books(self, *, recount: bool = False) -> BooksView:
        """Every number of the books by itself.

        Args:
            recount: Also count the documents, which reads an index of all of them, and compare.
        """
        outcomes, states = await self._records.tallies(list(_BOOKS))
        books = Books.of(outcomes, states)
        return BooksView(
            receipts={key: count for (key,), count in sorted(outcomes.items())},
            images={key: count for (key,), count in sorted(states.items())},
            books=books,
            imbalance=books.imbalance,
            recounted=recount,
            miscounted=await self._miscounted() if recount else [],
        )

    async def _miscounted(self) -> list[str]:
        # Documents and counters are read one after the other, while others write: a difference that stays is one.
        differences = await self._differences()
        for _ in range(_MAX_RECOUNTS):
            if not differences:
                break
            again = await self._differences()
            differences = {key: pair for key, pair in again.items() if key in differences}
        return [
            f"{collection}: {documents} are {value}, their counter says {counter}"
            for (collection, value), (documents, counter) in sorted(differences.items())
        ]

    async def _differences(self) -> dict[tuple[str, str], tuple[int, int]]:
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for collection, name in _BOOKS:
            documents = await self._records.count_documents(collection, name)
            counters = await self._records.tally(collection, name)
            for key in documents.keys() | counters.keys():
                if (pair := (documents.get(key, 0), counters.get(key, 0))) and pair[0] != pair[1]:
                    found[collection.value, key[0]] = pair
        return found

    async def in_flight(self) -> int:
        """Arrivals that are not settled yet."""
        return (await self.books()).in_flight

    async def batch_progress(self, batch: str) -> BatchProgress:
        """The books of one batch.

        Raises:
            NotFound: Nothing arrived with it.
        """
        outcomes, states = await self._records.tallies(
            [(Collection.RECEIPTS, "batch_outcome"), (Collection.IMAGES, "batch_state")]
        )
        books = Books.of(
            {(key[1],): count for key, count in outcomes.items() if key[0] == batch},
            {(key[1],): count for key, count in states.items() if key[0] == batch},
        )
        if not books.received:
            raise NotFound("batch", batch)
        return BatchProgress(batch=batch, settled=books.in_flight == 0, **books.model_dump())

    async def read(self, *, batch: str | None = None) -> Status:
        """The state of everything."""
        outcomes, states, verdicts, surveys, labels, reasons, sources, alerts, letters = await self._records.tallies(
            [
                (Collection.RECEIPTS, "outcome"),
                (Collection.IMAGES, "state"),
                (Collection.IMAGES, "verdict"),
                (Collection.IMAGES, "survey_verdict"),
                (Collection.IMAGES, "label"),
                (Collection.RECEIPTS, "reason"),
                (Collection.RECEIPTS, "source_outcome"),
                (Collection.ALERTS, "survey"),
                (Collection.DEAD_LETTERS, "state"),
            ]
        )
        books = Books.of(outcomes, states)
        by_verdict = {verdict.value: verdicts.get((verdict,), 0) for verdict in Verdict}
        waiting = states.get((ImageState.INGESTED.value,), 0)
        by_survey: dict[str, dict[str, int]] = {}
        for (survey, verdict), count in surveys.items():
            if verdict and count:
                by_survey.setdefault(survey, {})[verdict] = count
        return Status(
            **books.model_dump(),
            imbalance=books.imbalance,
            verdicts=by_verdict,
            analyzed_again=min(max(sum(by_verdict.values()) - books.analyzed, 0), waiting),
            alerts=sum(alerts.values()),
            services=await self.services(),
            model=await self._model.summary(),
            sources=await self.sources(sources),
            reasons={code: count for (code,), count in reasons.items() if code and count},
            labels={label or "none": count for (label,), count in labels.items() if count},
            surveys=by_survey,
            dead_letters_open=letters.get(("open",), 0),
            at=self._clock(),
            batch=None if batch is None else await self.batch_progress(batch),
        )

    async def services(self) -> dict[str, ServiceView]:
        """Every service by name, its freshest instance; a silent one says so."""
        now = self._clock()
        reported: defaultdict[str, list[ServiceView]] = defaultdict(list)
        forgotten: list[str] = []
        async for page in pages(self._records, Collection.SERVICES, Query(limit=_PAGE)):
            for document in page:
                status = ServiceStatus.model_validate(document)
                silent_s = (now - status.seen_at).total_seconds()
                if silent_s > FORGOTTEN_AFTER_S:
                    forgotten.append(status.instance)
                else:
                    reported[status.service].append(_service_view(status, silent_s))
        if forgotten:
            # Each pod has a name of its own: without this, every restart would leave one behind.
            await self._records.delete(Collection.SERVICES, forgotten)
        return {service: _freshest(views) for service, views in sorted(reported.items())}

    async def sources(self, outcomes: Tally | None = None) -> dict[str, SourceView]:
        """Every source by name: those that report, and those that arrivals name."""
        if outcomes is None:
            outcomes = await self._records.tally(Collection.RECEIPTS, "source_outcome")
        by_source: dict[str, dict[str, int]] = {}
        for (source, outcome), count in outcomes.items():
            if count:
                by_source.setdefault(source, {})[outcome] = count
        views = {
            document["source"]: SourceView(**document | {"outcomes": by_source.get(document["source"], {})})
            async for page in pages(self._records, Collection.SOURCES, Query(limit=_PAGE))
            for document in page
        }
        for source, counts in by_source.items():
            if source not in views:
                # Uploads have no program of their own that would report.
                views[source] = SourceView(
                    source=source,
                    state="idle",
                    delivered=sum(counts.values()),
                    last_success_at=await self._last_accepted_at(source, counts),
                    updated_at=utc_now(),
                    outcomes=counts,
                )
        return dict(sorted(views.items()))

    async def _last_accepted_at(self, source: str, counts: dict[str, int]) -> datetime | None:
        """When the newest arrival of a source came that was not refused.

        One walk of an index, and none while nothing came: the status is read every second. It begins where the last
        one found an arrival; what lies before that is looked at only where that one was refused meanwhile.
        """
        counted, known = self._last_accepted.get(source, (None, None))
        if counted == counts:
            return known
        accepted_at = None if known is None else await self._newest_accepted(source, since=known)
        if accepted_at is None:
            accepted_at = await self._newest_accepted(source)
        self._last_accepted[source] = dict(counts), accepted_at
        return accepted_at

    async def _newest_accepted(self, source: str, *, since: datetime | None = None) -> datetime | None:
        where = [Clause("source", "eq", source)]
        if since is not None:
            where.append(Clause("received_at", "gte", utc_text(since)))
        query = Query(tuple(where), Order("received_at", descending=True), _RECENT_ARRIVALS)
        page = await self._records.find(Collection.RECEIPTS, query)
        taken = (each for each in page.documents if each["outcome"] in _TAKEN)
        return next((datetime.fromisoformat(each["received_at"]) for each in taken), None)


def _service_view(reported: ServiceStatus, silent_s: float) -> ServiceView:
    fault = None
    if silent_s > SILENT_AFTER_S:
        fault = f"no heartbeat for {silent_s:.0f} s"
    elif silent_s < -MAX_CLOCK_AHEAD_S:
        fault = (
            f"its last heartbeat lies {-silent_s:.0f} s in the future: a clock was set back and it has not reported "
            "since, or its clock is wrong"
        )
    silent = fault is not None and reported.state != "stopped"
    return ServiceView(
        **reported.model_dump(exclude={"state", "ready", "detail", "last_errors"}),
        state="silent" if silent else reported.state,
        ready=reported.ready and not silent,
        detail=fault if silent else reported.detail,
        silent_s=round(max(silent_s, 0.0), 1),
        last_errors=list(reported.last_errors),
    )


def _freshest(views: Sequence[ServiceView]) -> ServiceView:
    alive = sum(view.state not in {"silent", "stopped"} for view in views)
    # A time in the future would hide every instance that reports.
    freshest = max(views, key=lambda view: (view.state != "silent", view.seen_at))
    return freshest.model_copy(update={"instances": max(alive, 1)})
