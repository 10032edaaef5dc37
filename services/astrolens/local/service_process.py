"""One service as a child process: its output goes to a rotating log file, its last lines stay in memory."""

import logging
import subprocess
import sys
import threading
from collections import deque
from logging.handlers import RotatingFileHandler
from pathlib import Path

from astrolens.platform.private_files import create_private_file, create_private_folder

_LOG_BYTES = 10 * 2**20
_LOG_FILES = 3


class ServiceProcess:
    """A process `astrolens serve <service>`, which may be started again after it ended.

    Its standard input is a pipe that nobody writes. However the supervisor ends, the pipe is closed then, and the
    service stops: no process is left behind.
    """

    def __init__(self, service: str, *, environment: dict[str, str], logs: Path) -> None:
        self.service = service
        self._environment = environment
        self._log = _log_file(service, logs)
        self._process: subprocess.Popen[bytes] | None = None
        self._log_thread: threading.Thread | None = None
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
            start_new_session=True,  # Ctrl-C reaches only the supervisor, which stops the services
        )
        self._log_thread = threading.Thread(target=self._copy_output, name=f"log-{self.service}", daemon=True)
        self._log_thread.start()

    @property
    def pid(self) -> int | None:
        """Process id, None before the first start."""
        return self._process.pid if self._process else None

    def exit_code(self) -> int | None:
        """Exit code, None while the process runs and before the first start."""
        return self._process.poll() if self._process else None

    def last_output_line(self) -> str:
        """The last line that the process wrote. For a configuration error it says what is wrong."""
        if self._log_thread is not None:
            self._log_thread.join(timeout=1.0)
        return self._last_lines[-1] if self._last_lines else "it printed nothing"

    def terminate(self) -> None:
        """Ask the process to stop."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the process ends; kill it after `timeout_s` seconds. Return False where it was killed."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            if self._log_thread is not None:
                self._log_thread.join(timeout=1.0)
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


class ServiceLogHandler(RotatingFileHandler):
    """A log file that may be on a full disk: lines are lost then, and the terminal says so once an outage."""

    _outage = False
    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self._failed = False
        super().emit(record)
        self._outage = self._failed

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        """Report the first line that cannot be written; logging itself would print a trace for each."""
        self._failed = True
        if not self._outage:
            error = sys.exc_info()[1]
            cause = getattr(error, "strerror", None) or error
            sys.stderr.write(
                f"astrolens: {self.baseFilename} cannot be written ({cause}); lines are lost until it can\n"
            )


def _log_file(service: str, folder: Path) -> logging.Logger:
    create_private_folder(folder)
    path = folder / f"{service}.log"
    create_private_file(path)
    logger = logging.getLogger(f"astrolens.output.{service}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    for handler in logger.handlers:
        handler.close()
    logger.handlers = [ServiceLogHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)]
    return logger
