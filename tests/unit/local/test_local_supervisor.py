"""The supervisor with pretended children: what it restarts, when it gives up, when it stops everything."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from astrolens.local import supervisor
from astrolens.local.supervisor import Supervisor
from astrolens.platform.settings import load_settings


class FakeChild:
    """A child whose deaths are told in advance: one exit code a life, None lives on."""

    def __init__(self, service: str, lives: list[int | None]) -> None:
        self.service = service
        self.starts = 0
        self.terminated = False
        self._lives = lives

    def start(self) -> None:
        self.starts += 1

    def exit_code(self) -> int | None:
        return self._lives[min(self.starts, len(self._lives)) - 1]

    def last_output_line(self) -> str:
        return "the last words"

    def terminate(self) -> None:
        self.terminated = True

    def wait(self, _timeout_s: float) -> bool:
        return True


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(supervisor, "_CHECK_INTERVAL_S", 0.001)
    monkeypatch.setattr(Supervisor, "_announce", lambda *_: True)
    monkeypatch.setattr(supervisor.signal, "signal", lambda *_: None)

    def go(lives: dict[str, list[int | None]], *, until: Any) -> tuple[int, dict[str, FakeChild], str]:
        children: dict[str, FakeChild] = {}
        # A clock that runs 100 times faster, so that pauses between restarts pass at once.
        begin = time.monotonic()

        def make(service: str, **_: Any) -> FakeChild:
            children[service] = FakeChild(service, lives.get(service, [None]))
            return children[service]

        watcher = Supervisor(
            load_settings(home=tmp_path),
            environment={},
            open_browser=False,
            make_child=make,
            clock=lambda: begin + (time.monotonic() - begin) * 100,
        )

        def stop_when_done() -> None:
            deadline = time.monotonic() + 10
            while not until(children) and time.monotonic() < deadline:
                time.sleep(0.005)
            watcher._on_signal(15, None)

        thread = threading.Thread(target=stop_when_done)
        thread.start()
        code = watcher.run()
        thread.join()
        return code, children, capsys.readouterr().out

    return go


def test_a_dead_service_is_started_again(run: Any) -> None:
    code, children, said = run({"analyzer": [-9, None]}, until=lambda c: c["analyzer"].starts == 2)
    assert code == 0
    assert children["analyzer"].starts == 2
    assert children["console"].starts == 1
    assert "analyzer ended with -9" in said
    assert all(child.terminated for child in children.values())


def test_a_service_that_keeps_dying_is_left_down_and_named(run: Any) -> None:
    started_at: list[float] = []

    def settled(children: dict[str, FakeChild]) -> bool:
        if children["notifier"].starts >= 6:
            started_at.append(time.monotonic())
        return bool(started_at) and time.monotonic() - started_at[0] > 0.3

    code, children, said = run({"notifier": [1]}, until=settled)
    assert code == 0
    assert children["notifier"].starts == 6
    assert "notifier died 6 times" in said.replace("\n", " ")
    assert "the last words" in said


def test_a_wrong_setting_stops_everything_with_code_2(run: Any) -> None:
    code, children, said = run({"ingestor": [2]}, until=lambda c: c["ingestor"].terminated)
    assert code == 2
    assert "ingestor cannot start: the last words" in said
    assert all(child.terminated for child in children.values())


def test_quiet_hours_earn_a_short_pause_again(tmp_path: Path) -> None:
    now = 0.0
    watcher = Supervisor(
        load_settings(home=tmp_path),
        environment={},
        open_browser=False,
        make_child=lambda service, **_: FakeChild(service, [1]),
        clock=lambda: now,
    )
    child = watcher._children[0]
    child.start()
    pauses: list[float] = []
    for quiet_s in (0.0, 0.0, 3_600.0, 0.0):
        watcher._check(child)
        pauses.append(watcher._restart_at[child.service] - now)
        now = watcher._restart_at[child.service]
        watcher._check(child)
        now += quiet_s
    assert pauses == [0.5, 1.0, 2.0, 0.5]
