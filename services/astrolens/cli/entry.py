"""What every process of the command line begins and ends with."""

import gc
import sys
from collections.abc import Callable


def run_command(command: Callable[[], object]) -> None:
    """Run a command with private new files; an error of our own is one sentence and an exit code."""
    from astrolens.platform.private_files import restrict_new_files

    restrict_new_files()
    try:
        command()
    except Exception as error:
        from astrolens.platform.errors import AstroLensError, ConfigurationError

        if not isinstance(error, AstroLensError):
            raise
        sys.stderr.write(f"astrolens: {error}\n")
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


def begin_imports() -> None:
    """Make the imports of a service cheaper: they are most of a start, and seven services start on two cores.

    The garbage collector would look through all that was imported again and again. structlog and httpx import rich
    where it is installed, for traces and a command that no service uses: some 50 ms of processor time in each service.
    Neither has a switch for it, and the commands need rich for their tables.
    """
    gc.disable()
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # the import system's way to say that there is none


def end_imports() -> None:
    """Collect garbage again, but never look at what was imported: it stays for good."""
    if sys.modules.get("rich", gc) is None:
        del sys.modules["rich"]
    gc.freeze()
    gc.enable()
