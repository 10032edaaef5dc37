"""The memory of a service that handles strangers' bytes is hidden from its children."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes
from astrolens.platform.runtime.private_memory import hide_memory
before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(before, hide_memory(), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a feature of Linux")
def test_a_process_can_hide_its_memory() -> None:
    # In a process of its own: it cannot be undone for what this one opens afterwards.
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.split() == ["1", "True", "0"]
