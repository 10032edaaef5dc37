"""Children never outlive their supervisor: when its end of the pipe closes, the child ends itself gracefully."""

import os
import signal
import threading

ENVIRONMENT_VARIABLE = "ASTROLENS_PARENT_PIPE"
"""Set to 1 by a supervisor that holds the other end of the child's standard input."""


def watch_parent() -> threading.Thread | None:
    """Watch standard input if a supervisor asked for it; at its end this process gets SIGTERM.

    A kill -9 of the supervisor closes the pipe as well, which no signal handler could tell.
    """
    if os.environ.get(ENVIRONMENT_VARIABLE) != "1":
        return None
    thread = threading.Thread(target=end_with, args=(0,), name="parent-watch", daemon=True)
    thread.start()
    return thread


def end_with(descriptor: int) -> None:
    """Read until the end of a pipe, then ask this process to stop."""
    while os.read(descriptor, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
