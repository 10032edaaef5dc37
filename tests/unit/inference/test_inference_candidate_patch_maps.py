"""Which images get a map of where they are strange, by which codebook, and when it is made again."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astrolens.contracts.patch_maps import PATCH_MAP_SIDE, PATCHES_TAP, PatchMap
from astrolens.contracts.records import ImageRecord
from astrolens.inference.candidate_patch_maps import CandidatePatchMaps
from astrolens.inference.patch_codebooks import PatchCodebooks
from astrolens.inference.survey_models.features import FeatureReader
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import patch_codebook_key
from astrolens.platform.stores.records import Change
from astrolens.rpc.messages import Description, ExtractedTaps
from astrolens.rpc.model_client import CutoutRequest
from astrolens.science.calibration import POOLED

from tests.unit.inference.analyzer_world import NOW, World, event
from tests.unit.inference.tiny_bundle import image_id

CHANNELS = 3
MIN_IMAGES, MAX_IMAGES = 4, 8
ODD_PLACE = (2, 11)


class PatchServer:
    """Gives patches that are a function of the image; those of an odd one stand out at one place."""

    def __init__(self) -> None:
        self.digest = "m1"
        self.taps: tuple[str, ...] = (PATCHES_TAP,)
        self.away = False
        self.asked = 0

    async def describe(self) -> Description:
        if self.away:
            raise ModelUnavailable("away")
        return Description({"digest": self.digest}, {}, {}, self.taps)

    async def extract_taps(self, cutouts: Sequence[CutoutRequest], taps: Sequence[str]) -> ExtractedTaps:
        assert list(taps) == [PATCHES_TAP]
        self.asked += len(cutouts)
        read = [cutout for cutout in cutouts if cutout.jpeg != b"bad"]
        rows = [self._patches(cutout) for cutout in read]
        values = np.stack(rows).astype("<f4").tobytes() if rows else b""
        return ExtractedTaps(
            image_ids=tuple(cutout.image_id for cutout in read),
            columns={PATCHES_TAP: PATCH_MAP_SIDE**2 * CHANNELS},
            values={PATCHES_TAP: values},
            model_digest=self.digest,
        )

    @staticmethod
    def _patches(cutout: CutoutRequest) -> Any:
        rng = np.random.default_rng(int(cutout.image_id[:8], 16))
        made = rng.normal(1.0, 0.3, (PATCH_MAP_SIDE, PATCH_MAP_SIDE, CHANNELS))
        if cutout.jpeg.startswith(b"odd"):
            made[ODD_PLACE] = 50.0
        return made.reshape(-1)


class Night(World):
    """A world whose candidates are mapped."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = PatchServer()
        self.maps = self.another()

    def another(self) -> CandidatePatchMaps:
        features = FeatureReader(images=self.images, model=self.server)
        return CandidatePatchMaps(
            records=self.records,
            model=self.server,
            features=features,
            codebooks=PatchCodebooks(
                records=self.records,
                images=self.images,
                features=features,
                min_images=MIN_IMAGES,
                max_images=MAX_IMAGES,
            ),
            clock=lambda: self.now,
        )

    async def analyze(
        self, *seeds: int, verdict: str = "ordinary", survey: str = "sdss", cutout: bytes = b"jpeg"
    ) -> None:
        await self.ingest(*seeds, cutout=cutout)
        values = {"observation.survey": survey}
        await self.records.apply(Collection.IMAGES, [Change(id=image_id(seed), set=values) for seed in seeds])
        await self.analyzer.handle([event(seed) for seed in seeds])
        await self.judge(*seeds, verdict=verdict)

    async def judge(self, *seeds: int, verdict: str) -> None:
        changes = [Change(id=image_id(seed), set={"verdict": verdict}) for seed in seeds]
        await self.records.apply(Collection.IMAGES, changes)

    async def map_of(self, seed: int) -> PatchMap | None:
        return ImageRecord.model_validate(await self.document(seed)).patch_map


@pytest.fixture
async def night(tmp_path: Path) -> AsyncIterator[Night]:
    made = Night(tmp_path)
    await made.records.open()
    await made.images.open()
    yield made
    await made.images.close()
    await made.records.close()


async def test_candidates_get_one_map_each_that_points_at_the_odd_patch(night: Night) -> None:
    await night.analyze(*range(10, 14))
    await night.analyze(1, verdict="anomaly", cutout=b"odd one")
    await night.analyze(2, verdict="near_miss")
    assert await night.maps.run_pass() == 2
    assert await night.maps.run_pass() == 0
    found = await night.map_of(1)
    assert found is not None
    assert found.strangest is not None
    assert (found.codebook_survey, found.codebook_images, found.model_digest) == ("sdss", 4, "m1")
    row, column = ODD_PLACE
    assert (found.strangest.x, found.strangest.y) == (
        round((column + 0.5) / PATCH_MAP_SIDE, 4),
        round((row + 0.5) / PATCH_MAP_SIDE, 4),
    )
    assert found.strangest.strangeness > 2
    assert found.measured_at == NOW
    assert await night.map_of(10) is None
    assert night.server.asked == 4 + 2


async def test_too_few_ordinary_images_make_candidates_wait_and_other_surveys_serve_a_new_one(night: Night) -> None:
    await night.analyze(*range(10, 13))
    await night.analyze(1, verdict="anomaly", survey="new")
    assert await night.maps.run_pass() == 0
    assert await night.map_of(1) is None
    await night.analyze(14)
    assert await night.maps.run_pass() == 1
    first = await night.map_of(1)
    assert first is not None
    assert first.codebook_survey == POOLED
    await night.analyze(*range(20, 24), survey="new")
    await night.analyze(2, verdict="anomaly", survey="new")
    assert await night.maps.run_pass() == 1
    second = await night.map_of(2)
    assert second is not None
    assert second.codebook_survey == "new"


async def test_a_codebook_of_more_images_follows_and_is_read_again_after_a_restart(night: Night) -> None:
    await night.analyze(*range(10, 10 + MAX_IMAGES))
    await night.analyze(1, verdict="anomaly")
    assert await night.maps.run_pass() == 1
    assert await night.images.exists(patch_codebook_key("m1", "sdss", MAX_IMAGES))
    asked = night.server.asked
    await night.analyze(2, verdict="anomaly")
    assert await night.another().run_pass() == 1
    assert night.server.asked == asked + 1
    one, two = await night.map_of(1), await night.map_of(2)
    assert one is not None
    assert two is not None
    assert (one.codebook, one.codebook_images) == (two.codebook, MAX_IMAGES)


async def test_a_damaged_codebook_is_fitted_again(night: Night) -> None:
    await night.images.put(
        patch_codebook_key("m1", "sdss", MIN_IMAGES), b"damaged", media_type="application/octet-stream"
    )
    await night.analyze(*range(10, 14))
    await night.analyze(1, verdict="anomaly")
    assert await night.maps.run_pass() == 1


async def test_another_analysis_removes_the_map_and_it_is_made_again(night: Night) -> None:
    await night.analyze(*range(10, 14))
    await night.analyze(1, verdict="anomaly")
    assert await night.maps.run_pass() == 1
    await night.records.apply(Collection.IMAGES, [Change(id=image_id(1), set={"state": "ingested"})])
    await night.analyzer.handle([event(1)])
    assert await night.map_of(1) is None
    await night.judge(1, verdict="anomaly")
    assert await night.maps.run_pass() == 1


async def test_an_unreadable_cutout_is_recorded_and_its_neighbours_are_mapped(night: Night) -> None:
    await night.analyze(*range(10, 14))
    await night.analyze(1, verdict="anomaly", cutout=b"bad")
    # The analyzer refused it; a record may still stand from a bundle that read it.
    values = {"state": "analyzed", "verdict": "anomaly", "analyzed_at": NOW.isoformat().replace("+00:00", "Z")}
    await night.records.apply(
        Collection.IMAGES, [Change(id=image_id(1), set={**values, "analysis": {"model_digest": "m1"}})]
    )
    await night.analyze(2, verdict="anomaly")
    assert await night.maps.run_pass() == 2
    document = await night.document(1)
    assert document["patch_map"]["cells"] is None
    assert "cannot be read" in document["patch_map"]["detail"]
    assert (await night.map_of(2)) is not None


async def test_nothing_is_asked_of_a_model_that_is_away_gives_no_patches_or_did_not_judge(night: Night) -> None:
    await night.analyze(*range(10, 14))
    await night.analyze(1, verdict="anomaly")
    night.server.away = True
    assert await night.maps.run_pass() == 0
    night.server.away, night.server.taps = False, ("other",)
    assert await night.maps.run_pass() == 0
    night.server.taps, night.server.digest = (PATCHES_TAP,), "m2"
    assert await night.maps.run_pass() == 0
    assert night.server.asked == 0
