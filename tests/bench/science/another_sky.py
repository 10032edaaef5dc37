"""`python -m tests.bench.science.another_sky`: after how many images another sky under a known name is called so.

Ordinary SDSS galaxies come first, then the images of another set as `sdss`, in a fixed random order. The
product's engine judges them, its burst detector holds anomalies, and the watcher of known surveys compares and follows
drifts, on records in a SQLite file. *Slow* images come two minutes apart: each is compared, where it is held, before
the next; *fast* ones come a second apart. One set is more of SDSS: nothing is to be found there.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from astrolens.contracts.survey_models import SurveyModelRecord, SurveyState
from astrolens.contracts.verdicts import DetectorResult, Verdict
from astrolens.inference.engine import Engine, Item, ItemResult
from astrolens.inference.survey_models.bursts import BurstDetector
from astrolens.inference.survey_models.checking import SurveyChecker
from astrolens.inference.survey_models.tracking import DriftTracker
from astrolens.inference.survey_models.watching import KnownSurveyWatcher
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.science.scoring import ImageScores
from astrolens.science.survey_model import MINIMUM_IMAGES

from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.options import has_data, options_of
from tests.bench.science.pictures import Cutouts, cutouts_of
from tests.bench.science.tables import FIT, galaxy_tables, pack_tables
from tests.bench.science.text import table
from tests.made_records import NIGHT, make_image

_NAME: Final = "sdss"
_FED: Final = 300
_BEFORE: Final = (0, 100, 300)
_PACES: Final = {"fast": (10, timedelta(seconds=1)), "slow": (1, timedelta(minutes=2))}
"""Images between two passes of the watcher, and the time between two images."""
_PASS_AFTER: Final = timedelta(seconds=70)
"""A slow image is compared, where it is held, before the next one comes."""


@dataclass
class Night:
    """One survey as an analyzer sees it, from its first image on."""

    records: SqliteRecordStore
    batch: int
    pace: timedelta

    def __post_init__(self) -> None:
        self.now = NIGHT
        self.alerts = self.held = self.drifts = 0
        self._bursts = BurstDetector()
        self._watcher = KnownSurveyWatcher(
            records=self.records,
            checker=SurveyChecker(clock=lambda: self.now),
            tracker=DriftTracker(records=self.records, clock=lambda: self.now),
            images_needed=MINIMUM_IMAGES,
            clock=lambda: self.now,
        )
        self.state = SurveyModelRecord(
            survey=_NAME,
            state=SurveyState.OWN,
            since=NIGHT,
            reason="",
            known=True,
            model_digest="d" * 64,
            images_needed=MINIMUM_IMAGES,
        )

    async def feed(self, scores: Sequence[ImageScores]) -> None:
        """Images that are analysed, with passes of the watcher, until it calls another sky."""
        for start in range(0, len(scores), self.batch):
            if self.state.state is not SurveyState.OWN:
                return
            await self._add(scores[start : start + self.batch])
            came, self.now = self.now, self.now + min(_PASS_AFTER, self.pace)
            before = self.state
            self.state = await self._watcher.watch(before)
            self.drifts += self.state.adjustment not in {None, before.adjustment}
            check = self.state.check
            if check is not None and check != before.check and check.fits:
                self.alerts, self.held = self.alerts + self.held, 0
            self.now = came

    async def _add(self, scores: Sequence[ImageScores]) -> None:
        came = self.state.images
        changes = []
        for number, own in enumerate(scores, start=came):
            self.now += self.pace
            made, _ = make_image(str(number), p_value=own.p_value)
            assert made.analysis is not None  # It has a p-value.
            detectors = {
                name: DetectorResult(score=each.score, p_value=each.p_value) for name, each in own.detectors.items()
            }
            judged = made.analysis.model_copy(update={"verdict": own.verdict, "detectors": detectors})
            observation = {"survey": _NAME, "injected": False, "simulated": False}
            document = {"image_id": made.image_id, "observation": observation, "phash": made.phash}
            judged = self._bursts.mark({"one": document}, {"one": judged})["one"]
            self.held += judged.burst_survey is not None
            self.alerts += judged.verdict is Verdict.ANOMALY and judged.burst_survey is None
            await self.records.insert(
                Collection.IMAGES, [made.model_copy(update={"analysis": judged, "ingested_at": self.now})]
            )
            changes.append(Change(id=made.image_id, set={"analyzed_at": self.now.isoformat()}))
        await self.records.apply(Collection.IMAGES, changes)
        self.state = self.state.model_copy(update={"images": came + len(scores)})


async def night_row(known: Sequence[ImageScores], other: Sequence[ImageScores], pace: str) -> tuple[Any, ...]:
    """Images of the other sky until it is called so, what was compared, alerts of it and drifts until then."""
    with tempfile.TemporaryDirectory() as folder:
        records = SqliteRecordStore(Path(folder) / "records.sqlite")
        await records.open()
        night = Night(records, *_PACES[pace])
        await night.feed(known)
        alerts, drifts = night.alerts, night.drifts
        await night.feed(other)
        await records.close()
    check = night.state.check
    found = night.state.state is not SurveyState.OWN
    compared = f"{check.at_1_percent} of {check.images}" if found and check else ""
    after = night.state.images - len(known) if found else "not"
    return after, compared, night.alerts - alerts, night.drifts - drifts


def _scores(engine: Engine, cutouts: Cutouts, rows: Sequence[int]) -> list[ImageScores]:
    outcomes = engine.analyze([Item("", _NAME, cutouts.jpegs[row]) for row in rows])
    return [outcome.scores for outcome in outcomes if isinstance(outcome, ItemResult)]


def main() -> None:
    """Print the table of one bundle."""
    parser = options_of(__doc__)
    parser.add_argument("--bundle", type=Path, default=PACKAGED_BUNDLE)
    options = parser.parse_args()
    if not has_data(options.data, benchmark="another_sky"):
        return
    bundle = BundleUnderTest(options.bundle)
    engine = Engine(bundle=bundle.bundle, scorer=bundle.scorer, backbone=bundle.backbone)
    sets: dict[str, list[ImageScores]] = {}
    for own in (*galaxy_tables(options.data).values(), *pack_tables(options.data).values()):
        # As a survey comes, but of the galaxies the ordinary ones that the network was not trained on.
        usable = (
            np.flatnonzero(own.ordinary & (own.roles != FIT)) if own.name in {"sdss", "efigi"} else np.arange(len(own))
        )
        if len(usable) < _FED:
            continue
        wanted = _FED + max(_BEFORE) if own.name == _NAME else _FED
        rows = np.random.default_rng(0).permutation(usable)[:wanted]
        cutouts = cutouts_of(own.where(rows), cache=options.cache, workers=options.workers)
        sets[own.name] = _scores(engine, cutouts, range(len(cutouts.jpegs)))
    known, sets[_NAME] = sets[_NAME][: max(_BEFORE)], sets[_NAME][max(_BEFORE) :]
    rows_made = [
        (name, before, pace, *asyncio.run(night_row(known[:before], scores, pace)))
        for name, scores in sets.items()
        for before in _BEFORE
        for pace in _PACES
    ]
    head = ("fed as sdss", "SDSS before", "pace", "found after", "compared: p ≤ .01", "alerts until then", "drifts")
    print(f"## Another sky as `{_NAME}` ({bundle.name}), {_FED} images\n\n{table(head, rows_made)}")


if __name__ == "__main__":
    main()
