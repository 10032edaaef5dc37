"""Loads a bundle as the model server does, and says on standard output in one clause why it cannot be: `FOLDER`.

`astrolens models publish` runs it, so that nobody promotes what no model server could load.
"""

import sys
from pathlib import Path

from astrolens.inference.loaded_model import load_engine
from astrolens.platform.settings import load_settings
from astrolens.science.bundle import BundleDamaged


def main(folder: Path) -> int:
    """Check a bundle; return the exit status."""
    try:
        load_engine(folder, budget=load_settings().false_alarms_per_1000)
    except BundleDamaged as error:
        where = "" if error.path == folder else f"its {error.path.name}: "
        sys.stdout.write(" ".join(f"{where}{error.reason}".split()) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
