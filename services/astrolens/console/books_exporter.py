"""Shows Prometheus the books, which survive every restart, and how many of the simulated sky's oddities were found."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from astrolens.console.metrics import BooksMetrics
from astrolens.contracts.records import Answer, ImageState, Outcome
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Query, RecordStore
from astrolens.platform.telemetry.label_limiter import LabelLimiter

EXPORT_INTERVAL_S: Final = 5.0
"""As often as anybody scrapes; reading the tallies costs the same at any size of the archive."""

_PAGE: Final = 256
_MAX_UNANALYZED: Final = 5000
"""Oddities remembered while nobody analyses; of more the oldest are not counted."""

_NO_VALUE: Final = ""
"""A tally counts documents without the field under the empty text."""


class BooksExporter:
    """Copies tallies of the record store into gauges; what fails leaves the last figures standing."""

    def __init__(self, *, records: RecordStore, metrics: BooksMetrics) -> None:
        self._records = records
        self._metrics = metrics
        self._survey = LabelLimiter()
        self._oddities = OddityCount(records)

    async def export(self) -> None:
        """Show the state of this moment.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        outcomes, states, verdicts, labels, letters = await self._records.tallies(
            [
                (Collection.RECEIPTS, "outcome"),
                (Collection.IMAGES, "state"),
                (Collection.IMAGES, "survey_verdict"),
                (Collection.IMAGES, "label"),
                (Collection.DEAD_LETTERS, "state"),
            ]
        )
        for outcome in Outcome:
            self._metrics.receipts.labels(outcome.value).set(outcomes.get((outcome.value,), 0))
        for state in ImageState:
            self._metrics.images.labels(state.value).set(states.get((state.value,), 0))
        for answer in Answer:
            self._metrics.labels.labels(answer.value).set(labels.get((answer.value,), 0))
        self._metrics.dead_letters_open.set(letters.get(("open",), 0))
        for (survey, verdict), count in self._by_survey(verdicts).items():
            self._metrics.verdicts.labels(survey, verdict).set(count)
        for (oddity, verdict), count in (await self._oddities.update()).items():
            self._metrics.oddities.labels(oddity, verdict).set(count)

    def _by_survey(self, tally: Mapping[tuple[str, ...], int]) -> Counter[tuple[str, str]]:
        counts: Counter[tuple[str, str]] = Counter()
        for survey, verdict in tally:
            if verdict == _NO_VALUE:
                continue
            # All verdicts of a survey are there as soon as one is: a share needs the zeros as well.
            for each in Verdict:
                counts[self._survey(survey), each.value] += tally[survey, verdict] * (each.value == verdict)
        return counts


class OddityCount:
    """Verdicts on the simulated sky's oddities, each counted once, when it is analysed. A page of them an update."""

    def __init__(self, records: RecordStore) -> None:
        self._records = records
        self._after = ""
        self._unanalyzed: dict[str, str] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    async def update(self) -> Counter[tuple[str, str]]:
        """Read another page; return analysed images that hold an oddity, by kind and verdict.

        Raises:
            StoreUnavailable: The store does not answer.
        """
        await self._read_truths()
        asked = list(self._unanalyzed)[:_PAGE]
        documents = await self._records.get(Collection.IMAGES, asked) if asked else {}
        for image in asked:
            oddity = self._unanalyzed.pop(image)
            given = documents.get(image, {}).get("verdict")
            if given is None:
                self._unanalyzed[image] = oddity  # to the end of the queue
                continue
            # All verdicts of a kind are there as soon as one is: a share needs the zeros as well.
            for verdict in Verdict:
                self._counts[oddity, verdict.value] += verdict.value == given
        return self._counts

    async def _read_truths(self) -> None:
        # A truth's key is its sky and its number in it, written so that they sort: what is new comes behind.
        where = (Clause("oddity", "exists", value=True), Clause("ref", "gt", self._after))
        page = await self._records.find(Collection.TRUTHS, Query(where=where, limit=_PAGE))
        for truth in page.documents:
            self._after = truth["ref"]
            self._unanalyzed[truth["image_id"]] = truth["oddity"]
        while len(self._unanalyzed) > _MAX_UNANALYZED:
            self._unanalyzed.pop(next(iter(self._unanalyzed)))
