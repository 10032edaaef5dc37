"""The simulated sky as a source: no gap, no repeat, its truth kept apart."""

from pathlib import Path

from astrolens.ingestor.sources.simulated import SimulatedSource
from astrolens.platform.stores.collections import Collection
from astrolens.science.simulation import SimulatedImage, Truth

from tests.unit.ingestor.ingestor_fakes import Ingest, ingest_at
from tests.unit.ingestor.running_sources import delivered, feeder_of, running, until


def _render(index: int) -> SimulatedImage:
    return SimulatedImage(
        jpeg=f"simulated {index}".encode(),
        survey="simulated-sdss",
        pixel_scale_arcsec=0.396,
        ra_deg=10.0,
        dec_deg=-5.0,
        name=f"SIM-{index:07d}",
        bands=("g", "r", "i"),
        observed_offset_s=38.0 * index,
        truth=Truth("spiral", "ring" if index % 5 == 0 else None, {"redshift": 0.1}),
    )


def _simulated(ingest: Ingest, rate_per_min: float = 60_000.0) -> SimulatedSource:
    return SimulatedSource(render=_render, seed=7, rate_per_min=rate_per_min, records=ingest.records)


async def test_the_simulated_sky_has_neither_gap_nor_repeat_over_restarts(tmp_path: Path) -> None:
    for _ in range(3):
        async with ingest_at(tmp_path) as ingest:
            before = (await ingest.outcomes()).get("accepted", 0)
            async with running(feeder_of(ingest, _simulated(ingest))):
                await until(lambda count=before + 3: delivered(ingest, count))
    async with ingest_at(tmp_path) as ingest:
        refs = sorted(receipt["ref"] for receipt in await ingest.all(Collection.RECEIPTS))
        assert refs == [f"7-{index:07d}" for index in range(len(refs))]
        assert set(await ingest.outcomes()) == {"accepted"}


async def test_a_lost_cursor_repeats_nothing(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        async with running(feeder_of(ingest, _simulated(ingest))):
            await until(lambda: delivered(ingest, 5))
        before = (await ingest.outcomes())["accepted"]
        await ingest.records.delete(Collection.META, ["source:simulated:seed-7"])
        async with running(feeder_of(ingest, _simulated(ingest))):
            await until(lambda: delivered(ingest, before + 5))
        assert set(await ingest.outcomes()) == {"accepted"}
        assert len(await ingest.all(Collection.IMAGES)) == (await ingest.outcomes())["accepted"]


async def test_the_truth_is_kept_apart(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        async with running(feeder_of(ingest, _simulated(ingest))):
            await until(lambda: delivered(ingest, 6))
        truths = {truth["ref"]: truth for truth in await ingest.all(Collection.TRUTHS)}
        for image in await ingest.all(Collection.IMAGES):
            assert image["observation"]["simulated"] is True
            assert image["observation"]["extra"] == {}
            assert not {"ring", "spiral", "morphology", "oddity"} & set(
                str(image["observation"]).replace("'", " ").split()
            )
        for receipt in await ingest.all(Collection.RECEIPTS):
            truth = truths[receipt["ref"]]
            assert truth["image_id"] == receipt["image_id"]
            assert truth["oddity"] == ("ring" if truth["index"] % 5 == 0 else None)
