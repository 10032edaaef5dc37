"""The tables of a model card."""

from pathlib import Path

from astrolens.trainer.model_card import ODD_IMAGES, split_table

from tests.unit.inference.tiny_bundle import write_tiny_bundle


def test_the_oddities_of_all_surveys_stand_behind_the_surveys(tmp_path: Path) -> None:
    manifest = write_tiny_bundle(tmp_path / "bundle").manifest
    images = {"calibration": {"sdss": 3, "efigi": 2}, "test": {ODD_IMAGES: 1, "sdss": 4, "simulated-sdss": 5}}
    training = manifest.training.model_copy(update={"images": images})
    assert split_table(manifest.model_copy(update={"training": training})).splitlines() == [
        "| split | efigi | sdss | simulated-sdss | of which oddities |",
        "| --- | --- | --- | --- | --- |",
        "| calibration | 2 | 3 | 0 | 0 |",
        "| test | 0 | 4 | 5 | 1 |",
    ]
