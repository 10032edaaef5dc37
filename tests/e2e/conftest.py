"""Pictures to feed: real galaxies where they are, simulated ones elsewhere."""

import os
import shutil
from pathlib import Path

import pytest
from astrolens.science.simulation import simulate

_SHARED = Path(os.environ.get("ASTROLENS_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
_REAL = _SHARED / "galaxies" / "sdss-gz1"
FEED_SURVEY = "sdss" if _REAL.is_dir() else "simulated-sdss"
"""The survey of the pictures: simulated ones do not look like those of SDSS, and the bundle would say so."""


def galaxy_files() -> list[Path]:
    """Real galaxies, in the order of their names; none where they are not."""
    return sorted(_REAL.iterdir()) if _REAL.is_dir() else []


def feed_folder(folder: Path, count: int) -> Path:
    """A folder of `count` distinct pictures."""
    folder.mkdir(parents=True)
    if galaxies := galaxy_files():
        for path in galaxies[:count]:
            shutil.copy(path, folder / path.name)
    else:
        for index in range(count):
            (folder / f"sim-{index:05}.jpg").write_bytes(simulate(11, index, oddity_rate=0.05).jpeg)
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 distinct pictures."""
    return feed_folder(tmp_path_factory.mktemp("feed") / "pictures", 300)
