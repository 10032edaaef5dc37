"""The log of a service on a disk that is full."""

import logging
from pathlib import Path

import pytest
from astrolens.local.service_process import ServiceLogHandler


class Full:
    """A stream whose disk may be full."""

    def __init__(self) -> None:
        self.full = True
        self.written = ""

    def write(self, text: str) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.written += text

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def tell(self) -> int:
        return 0

    def seek(self, *_: int) -> None:
        pass


def test_a_full_disk_is_reported_once_an_outage_and_without_a_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = ServiceLogHandler(tmp_path / "console.log")
    handler.stream.close()
    disk = Full()
    handler.stream = disk  # type: ignore[assignment]

    def log(lines: int) -> str:
        for number in range(lines):
            handler.handle(logging.LogRecord("any", logging.INFO, "", 0, f"line {number}", None, None))
        return capsys.readouterr().err

    reported = log(50)
    assert reported.splitlines() == [
        f"astrolens: {tmp_path / 'console.log'} cannot be written (No space left on device); "
        "lines are lost until it can"
    ]
    disk.full = False
    assert log(2) == ""
    assert disk.written == "line 0\nline 1\n"
    disk.full = True
    assert len(log(3).splitlines()) == 1
