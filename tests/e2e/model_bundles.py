"""Bundles for tests that change the model of a running system."""

from pathlib import Path
from typing import Final

from astrolens.inference.backbone import Backbone
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import CALIBRATION, MANIFEST, Bundle, arrays_to_bytes, write_bundle
from astrolens.science.golden import with_golden
from astrolens.science.simulation import simulate

STRICTER: Final = 0.5
"""Factor on the scores of the calibration: more images lie above them, so that a second pass finds some."""


def repack(folder: Path, version: str, *, factor: float = STRICTER) -> str:
    """The packaged bundle as another version with other thresholds and golden inputs; its digest."""
    packaged = Bundle.load(PACKAGED_BUNDLE)
    contents = {path.name: path.read_bytes() for path in PACKAGED_BUNDLE.iterdir() if path.name != MANIFEST}
    changed = {
        name: values * factor if name.endswith("/combined") else values for name, values in packaged.calibration.items()
    }
    contents[CALIBRATION] = arrays_to_bytes(changed)
    write_bundle(folder, packaged.manifest.model_copy(update={"version": version}), contents)
    cutouts = [simulate(5, index, oddity_rate=0.0).jpeg for index in range(3)]
    return with_golden(folder, cutouts, Backbone(Bundle.load(folder)).run)
