"""Kill -9 in the middle of an ingest: what must hold on the embedded engines and on the real ones.

A module gives the fixtures `launch` (a fresh system each time), `folder` (what is fed) and `undisturbed` (what came out
when nothing happened), and inherits `KillBehaviour`.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.e2e.conftest import FEED_SURVEY
from tests.e2e.system import BOOKS, System, wait_until

SETTINGS = {"false_alarms_per_1000": "50"}
"""A budget that makes some anomalies sure."""

SERVICES = ("ingestor", "analyzer", "model-server", "crossref", "notifier", "console")
SLOWEST_PER_S = 3.0
"""Images a second that the slowest engines on a busy machine still do: bounds every wait."""

Launch = Callable[[], AbstractContextManager[System]]


class KillBehaviour:
    """Whatever is killed, the records are those of an undisturbed run."""

    def test_killing_every_service_in_turn_then_the_supervisor_then_everything(
        self, launch: Launch, folder: Path, undisturbed: dict[str, Any]
    ) -> None:
        def disturb(system: System) -> None:
            for number, service in enumerate(SERVICES):
                progressed(system, folder, (1 + 3 * number) / 40)
                system.kill(service)
                # Wait until it is back, so that each service dies amid work and not while another one is away.
                wait_until(lambda s=service: s in system.pids(), timeout_s=60, what=f"{service} back")
                time.sleep(0.5)
            progressed(system, folder, 0.5)
            system.kill_supervisor()
            system.start()  # at once and at the first try, while services of the one before still end
            progressed(system, folder, 0.6)
            system.kill_all()
            system.start()

        with launch() as system:
            assert feed(system, folder, disturb) == undisturbed


def feed(system: System, folder: Path, disturb: Callable[[System], None] | None = None) -> dict[str, Any]:
    """Feed the folder, disturb in the middle, wait until all is settled; everything that came out."""
    timeout_s = 300 + count_of(folder) / SLOWEST_PER_S
    began = time.monotonic()
    command = ["ingest", str(folder), "--survey", FEED_SURVEY, "--wait"]
    with subprocess.Popen(
        [sys.executable, "-m", "astrolens.cli", *command],
        env=system.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as ingest:
        try:
            if disturb is not None:
                disturb(system)
            output, _ = ingest.communicate(timeout=timeout_s)
        except BaseException:
            ingest.kill()  # or it would be waited for, as long as its own patience lasts
            raise
    assert ingest.returncode == 0, f"{output}\n{system.logs()}"
    system.wait_settled(count_of(folder), timeout_s=timeout_s)
    print(f"{count_of(folder)} images settled {time.monotonic() - began:.0f} s after the first was fed")
    return final_state(system)


def final_state(system: System) -> dict[str, Any]:
    """Everything that must be the same whatever happened on the way."""
    # The notifier may still be at its last batch when the last image is analysed.
    images = system.images()
    anomalies = {key for key, item in images.items() if item["verdict"] == "anomaly"}

    def alerts() -> dict[str, str] | None:
        found: dict[str, str] = {}
        after = None
        while True:
            page = system.http.get("/api/alerts", params={"limit": 200, **({"after": after} if after else {})}).json()
            for item in page["items"]:
                assert item["alert_id"] not in found
                found[item["alert_id"]] = item["image_id"]
            after = page["next"]
            if after is None:
                break
        return found if set(found.values()) == anomalies else None

    by_id = wait_until(alerts, timeout_s=120, what="one alert an anomaly")
    status = system.status()
    return {
        "images": {key: (item["verdict"], item["p_value"], item["class"]) for key, item in images.items()},
        "alerts": by_id,
        "books": {name: status[name] for name in BOOKS},
        "dead letters": status["dead_letters_open"],
    }


def progressed(system: System, folder: Path, share: float) -> None:
    """Wait until a share of the folder is analysed."""
    count = max(1, int(count_of(folder) * share))
    wait_until(
        lambda: system.status()["analyzed"] >= count,
        timeout_s=120 + count / SLOWEST_PER_S,
        what=f"{count} analysed",
        every_s=0.05,
    )


def count_of(folder: Path) -> int:
    """Pictures in a folder."""
    return sum(1 for _ in folder.iterdir())
