"""Exit codes of a service process, and the one sentence on standard error that comes with each of them but 0."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from typing import Final

from astrolens.platform.bus import TooManyDeadLetters
from astrolens.platform.errors import AstroLensError, ConfigurationError, TransientError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_CONFIGURATION: Final = 2
EXIT_TOO_MANY_DEAD_LETTERS: Final = 3


def exit_code(error: AstroLensError) -> int:
    """The exit code of a process that `error` ended."""
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIGURATION
    return EXIT_TOO_MANY_DEAD_LETTERS if isinstance(error, TooManyDeadLetters) else EXIT_FAILED


def print_error(sentence: str) -> None:
    """Write one sentence for people to standard error."""
    sys.stderr.write(f"astrolens: {sentence}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def transient_as_configuration_error(*, unless: asyncio.Event) -> Iterator[None]:
    """Raise a `ConfigurationError` (exit code 2) for what did not answer during the whole start.

    A wrong address is the likeliest cause then. Once a service runs, the same failure is an issue, and it waits.
    """
    try:
        yield
    except TransientError as error:
        if unless.is_set():
            raise
        raise ConfigurationError(str(error)) from error
