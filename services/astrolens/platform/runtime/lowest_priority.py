"""The lowest priority for a process that must take only what the services leave."""

import contextlib
import os
from pathlib import Path
from typing import Final

LOWEST: Final = 19
_AUTOGROUP: Final = Path("/proc/self/autogroup")


def take_lowest_priority() -> None:
    """Let this process and its children run only when no other process needs the processor.

    Other systems than Linux have their lowest priority only. It may wait for hours: not for work with a limit of
    wall-clock time.
    """
    os.nice(LOWEST)
    # Linux, as most desktops set it, shares processors among sessions first: inside a session of its own neither
    # niceness nor the idle class counts against the services, so the session as a whole is made nice.
    with contextlib.suppress(OSError):
        _AUTOGROUP.write_text(str(LOWEST))
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
