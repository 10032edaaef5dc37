"""A process of the lowest priority is behind the services even where its session is one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, pathlib
from astrolens.platform.runtime.lowest_priority import take_lowest_priority
take_lowest_priority()
group = pathlib.Path("/proc/self/autogroup")
print(os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0) == os.SCHED_IDLE)
print(group.read_text().split()[-1] if group.exists() else "none")
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux only")
def test_process_and_session_are_nice() -> None:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60, start_new_session=True
    )
    process, session = result.stdout.splitlines()
    assert process == "19 True"
    assert session == ("19" if Path("/proc/self/autogroup").exists() else "none")
