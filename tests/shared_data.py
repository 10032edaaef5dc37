"""Real data for tests that want it; on a user's machine it does not exist."""

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[1]


def shared_data() -> Path:
    """The folder of real data, or a skip with its reason."""
    folder = Path(os.environ.get("ASTROLENS_SHARED_DATA", _REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set ASTROLENS_SHARED_DATA to run this test")
    return folder
