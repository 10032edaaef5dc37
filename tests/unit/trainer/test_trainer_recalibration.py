"""A bundle calibrated anew: the same network and detectors, other p-values."""

from pathlib import Path

import numpy as np
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import CALIBRATION, DETECTORS, INDEX, MODEL, Bundle
from astrolens.science.cutouts import decode_cutout
from astrolens.science.golden import check_golden
from astrolens.science.preprocessing import preprocess
from astrolens.science.simulation import simulate
from astrolens.trainer import export
from astrolens.trainer.bundle_builder import Provenance, recalibrate_bundle
from astrolens.trainer.dataset import CLASSES, Split
from astrolens.trainer.image_arrays import ImageArrays
from astrolens.trainer.training import Recipe

CALIBRATING = 24


def simulated(seed: int, count: int, *, oddity_rate: float = 0.0) -> ImageArrays:
    spec = Bundle.load(PACKAGED_BUNDLE).preprocessing
    drawn = [simulate(seed, index, oddity_rate=oddity_rate) for index in range(count)]
    return ImageArrays(
        inputs=np.stack([preprocess(decode_cutout(one.jpeg), spec) for one in drawn]),
        classes=np.array([CLASSES.index(str(one.truth.morphology)) for one in drawn], dtype=np.int64),
        surveys=np.array(["simulated-sdss"] * count),
        oddities=np.array([one.truth.oddity or "" for one in drawn], dtype=np.str_),
    )


def test_network_and_detectors_stay_and_p_values_are_of_the_given_images(tmp_path: Path) -> None:
    old = Bundle.load(PACKAGED_BUNDLE)
    arrays = {
        Split.FIT: simulated(1, 12),
        Split.CALIBRATION: simulated(2, CALIBRATING),
        Split.TEST: simulated(3, 16, oddity_rate=0.5),
    }
    provenance = Provenance(name="ignored", version="9.9.9", data_digest="0" * 64, note="Calibrated anew.")
    new = recalibrate_bundle(old, arrays, Recipe(), provenance, tmp_path / "new")
    for name in (MODEL, DETECTORS, INDEX):
        assert (new.path / name).read_bytes() == (old.path / name).read_bytes()
    assert (new.path / CALIBRATION).read_bytes() != (old.path / CALIBRATION).read_bytes()
    assert new.manifest.version == "9.9.9"
    assert {name: own.combined_images for name, own in new.manifest.surveys.items()} == {"simulated-sdss": CALIBRATING}
    assert new.manifest.training.images["calibration"] == {"simulated-sdss": CALIBRATING}
    assert new.manifest.training.images["backbone"] == old.manifest.training.images["backbone"]
    assert "Calibrated anew." in new.card
    assert check_golden(new, lambda pixels: export.run(export.session(new.model, threads=1), pixels)) > 0
