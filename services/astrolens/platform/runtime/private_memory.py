"""Keep the memory of a process from other processes of the same user."""

import ctypes
import sys

_PR_SET_DUMPABLE = 4


def hide_memory() -> bool:
    """Let no other process of this user read this one's memory and environment, or trace it; only root still may.

    It also writes no core file. Returns whether the system can do that: Linux only.
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
