"""One supervised service: a child process, its log file, and its last words."""

import logging
import subprocess
import sys
import threading
from collections import deque
from logging.handlers import RotatingFileHandler
from pathlib import Path

_LOG_BYTES = 10 * 2**20
_LOG_FILES = 3


class Child:
    """A running `astrolens serve <service>`.

    The child reads its standard input, which nobody writes: when the supervisor dies, however it dies, the pipe
    closes and the child stops. So nothing is ever left behind.
    """

    def __init__(self, service: str, *, environment: dict[str, str], logs: Path) -> None:
        self.service = service
        self._environment = environment
        self._log = _log_file(service, logs)
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._last_lines: deque[str] = deque(maxlen=5)

    def start(self) -> None:
        """Start the process."""
        self._last_lines.clear()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "astrolens.cli", "serve", self.service],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is the supervisor's to hear; it stops the children in order
        )
        self._pump = threading.Thread(target=self._copy_output, name=f"log-{self.service}", daemon=True)
        self._pump.start()

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._process.pid if self._process else None

    def exit_code(self) -> int | None:
        """Exit code, None while it runs (or never ran)."""
        return self._process.poll() if self._process else None

    def last_output_line(self) -> str:
        """The last line it wrote: for a configuration error, the sentence that says what is wrong."""
        if self._pump is not None:
            self._pump.join(timeout=1.0)
        return self._last_lines[-1] if self._last_lines else "it said nothing"

    def terminate(self) -> None:
        """Ask it to stop."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; kill it after `timeout_s`. Returns whether it ended by itself."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            if self._pump is not None:
                self._pump.join(timeout=1.0)
            if self._process.stdin is not None:
                self._process.stdin.close()
        return True

    def _copy_output(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        with process.stdout as output:
            for raw in output:
                line = raw.decode(errors="replace").rstrip()
                if line:
                    self._last_lines.append(line)
                    self._log.info(line)


def _log_file(service: str, folder: Path) -> logging.Logger:
    folder.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(f"astrolens.child.{service}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    for old in logger.handlers:
        old.close()
    logger.handlers = [RotatingFileHandler(folder / f"{service}.log", maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)]
    return logger
