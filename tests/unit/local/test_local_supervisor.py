"""The supervisor with fake processes: what it restarts, when it stops restarting, when it stops everything."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from astrolens.local import supervisor
from astrolens.local.liveness import MAX_MISSES, LivenessMonitor
from astrolens.local.supervisor import Supervisor
from astrolens.platform.settings import load_settings


class FakeProcess:
    """A process with one given exit code per start; None runs on."""

    def __init__(self, service: str, exit_codes: list[int | None]) -> None:
        self.service = service
        self.starts = 0
        self.terminated = False
        self.killed = False
        self._exit_codes = exit_codes

    @property
    def pid(self) -> int | None:
        return 100 + self.starts if self.starts else None

    def start(self) -> None:
        self.starts += 1

    def exit_code(self) -> int | None:
        return self._exit_codes[min(self.starts, len(self._exit_codes)) - 1]

    def last_output_line(self) -> str:
        return "the last line"

    def terminate(self) -> None:
        self.terminated = True

    def kill(self) -> None:
        self.killed = True

    def wait(self, _timeout_s: float) -> bool:
        return True


TIMEOUT_S = 200.0
"""Of a run, by its own clock."""


class SteppingClock:
    """Time passes when it is looked at, however fast the machine is: a round of the supervisor takes about a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.2
        return self.now


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(supervisor, "_CHECK_INTERVAL_S", 0.001)
    monkeypatch.setattr(Supervisor, "_print_when_ready", lambda *_: True)
    monkeypatch.setattr(supervisor.signal, "signal", lambda *_: None)

    def go(exit_codes: dict[str, list[int | None]], *, until: Any) -> tuple[int, dict[str, FakeProcess], str]:
        processes: dict[str, FakeProcess] = {}
        clock = SteppingClock()

        def make(service: str, **_: Any) -> FakeProcess:
            processes[service] = FakeProcess(service, exit_codes.get(service, [None]))
            return processes[service]

        watcher = Supervisor(
            load_settings(home=tmp_path),
            environment={},
            open_browser=False,
            make_process=make,
            make_monitor=lambda processes, settings: LivenessMonitor(processes, settings, ask=lambda *_: True),
            clock=clock,
        )

        def stop_when_done() -> None:
            while not until(processes) and clock.now < TIMEOUT_S:
                time.sleep(0.001)
            watcher._on_signal(15, None)

        thread = threading.Thread(target=stop_when_done)
        thread.start()
        code = watcher.run()
        thread.join()
        return code, processes, capsys.readouterr().out

    return go


def test_a_service_that_ended_is_started_again(run: Any) -> None:
    code, processes, printed = run({"analyzer": [-9, None]}, until=lambda c: c["analyzer"].starts == 2)
    assert code == 0
    assert processes["analyzer"].starts == 2
    assert processes["console"].starts == 1
    assert "SIGKILL ended it, of which its log says nothing" in " ".join(printed.split())
    assert all(process.terminated for process in processes.values())


def test_a_service_that_keeps_ending_is_reported_and_not_started_again(run: Any) -> None:
    code, processes, printed = run({"notifier": [1]}, until=lambda _: False)  # long after it was given up
    assert code == 0
    assert processes["notifier"].starts == 6
    assert "notifier ended 6 times within a minute and is not started again" in printed.replace("\n", " ")
    assert "the last line" in printed


def test_a_wrong_setting_stops_everything_with_code_2(run: Any) -> None:
    code, processes, printed = run({"ingestor": [2]}, until=lambda c: c["ingestor"].terminated)
    assert code == 2
    assert "ingestor cannot start: the last line" in printed
    assert all(process.terminated for process in processes.values())


def test_the_pause_is_short_again_after_an_hour_without_exits(tmp_path: Path) -> None:
    now = 0.0
    watcher = Supervisor(
        load_settings(home=tmp_path),
        environment={},
        open_browser=False,
        make_process=lambda service, **_: FakeProcess(service, [1]),
        clock=lambda: now,
    )
    process = watcher._processes[0]
    process.start()
    pauses: list[float] = []
    for running_s in (0.0, 0.0, 3_600.0, 0.0):
        watcher._supervise(process)
        pauses.append(watcher._restart_at[process.service] - now)
        now = watcher._restart_at[process.service]
        watcher._supervise(process)
        now += running_s
    assert pauses == [0.5, 1.0, 2.0, 0.5]


class Hanging:
    """A supervisor whose first service answers, or not, as the test says; time passes as the test says."""

    def __init__(self, home: Path) -> None:
        self.now = 0.0
        self.alive = True
        self.watcher = Supervisor(
            load_settings(home=home),
            environment={},
            open_browser=False,
            make_process=lambda service, **_: FakeProcess(service, [None]),
            make_monitor=self._monitor,
            clock=lambda: self.now,
        )
        self.process: Any = self.watcher._processes[0]
        self.process.start()

    def _monitor(self, processes: Any, settings: Any) -> LivenessMonitor:
        self.monitor = LivenessMonitor(processes, settings, ask=lambda *_: self.alive)
        return self.monitor

    def miss(self, times: int) -> None:
        self.alive = False
        for _ in range(times):
            self.monitor.ask_all()
            self.watcher._supervise(self.process)


def test_a_service_that_hangs_is_stopped_then_killed_and_started_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hanging = Hanging(tmp_path)
    hanging.monitor.ask_all()
    hanging.miss(MAX_MISSES - 1)
    assert not hanging.process.terminated
    hanging.miss(1)
    assert hanging.process.terminated
    assert not hanging.process.killed
    hanging.now += 60
    hanging.watcher._supervise(hanging.process)
    assert hanging.process.killed
    hanging.process._exit_codes = [-9, None]
    hanging.watcher._supervise(hanging.process)
    hanging.now += 1
    hanging.watcher._supervise(hanging.process)
    assert hanging.process.starts == 2
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "model-server hangs: it has not answered for 60 s" in printed
    hanging.miss(MAX_MISSES * 2)
    assert printed.count("hangs") == 1, "the new process has not answered yet: it is starting"
    assert "hangs" not in capsys.readouterr().out


def test_a_service_that_is_slow_now_and_then_is_left_alone(tmp_path: Path) -> None:
    hanging = Hanging(tmp_path)
    for _ in range(5):
        hanging.alive = True
        hanging.monitor.ask_all()
        hanging.miss(MAX_MISSES - 1)
    assert not hanging.process.terminated


def test_a_service_that_has_never_answered_is_starting(tmp_path: Path) -> None:
    hanging = Hanging(tmp_path)
    hanging.miss(MAX_MISSES * 3)
    assert not hanging.process.terminated
