"""A child process never outlives its supervisor: it stops gracefully when its standard input is closed."""

import os
import signal
import threading

ENVIRONMENT_VARIABLE = "ASTROLENS_PARENT_PIPE"
"""Set to 1 by a supervisor that holds the other end of the child's standard input."""


def watch_parent() -> threading.Thread | None:
    """Send this process SIGTERM when its standard input ends, where a supervisor asked for it.

    A kill -9 of the supervisor closes the pipe too; no signal handler would see it.
    """
    if os.environ.get(ENVIRONMENT_VARIABLE) != "1":
        return None
    thread = threading.Thread(target=stop_at_end_of_pipe, args=(0,), name="parent-watch", daemon=True)
    thread.start()
    return thread


def stop_at_end_of_pipe(descriptor: int) -> None:
    """Read a pipe to its end, then send this process SIGTERM."""
    while os.read(descriptor, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
