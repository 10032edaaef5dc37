"""Free disk space: measured where something is written, and named wherever it is short."""

from pathlib import Path

import pytest
from astrolens.platform.disk import DiskSpace, free_mib, local_folders
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.disk_watch import DISK_ISSUE, DiskWatch
from astrolens.platform.settings import load_settings


class Disk:
    """Free space that a test sets, and a clock that it moves."""

    def __init__(self, *folders: Path) -> None:
        self.free: dict[Path, float] = dict.fromkeys(folders, 10_000.0)
        self.now = 0.0
        self.measured = 0
        self.space = DiskSpace(folders, min_free_mib=512, free_mib=self.measure, monotonic=lambda: self.now)

    def measure(self, folder: Path) -> float:
        self.measured += 1
        return self.free[folder]

    def shortage(self) -> str | None:
        self.now += 60.0
        return self.space.shortage()


RECORDS, IMAGES = Path("/records"), Path("/images")


def test_the_disk_that_is_short_is_named_with_what_to_do() -> None:
    disk = Disk(RECORDS, IMAGES)
    assert disk.shortage() is None
    disk.free[IMAGES] = 3.4
    assert disk.shortage() == (
        "the disk of /images is nearly full: 3 MiB are free, 512 are wanted (ASTROLENS_MIN_FREE_DISK_MIB); "
        "free some space there"
    )
    disk.free[IMAGES] = 512.0
    assert disk.shortage() is None


def test_requests_together_measure_once() -> None:
    disk = Disk(RECORDS)
    for _ in range(100):
        disk.space.shortage()
    assert disk.measured == 1


def test_stores_on_other_machines_fill_no_disk_here(tmp_path: Path) -> None:
    remote = load_settings(
        home=tmp_path, records_url="mongodb://host/astrolens", images_url="s3+https://host:9000/astrolens"
    )
    assert local_folders(remote) == []
    assert DiskSpace([], min_free_mib=10**12).shortage() is None
    assert local_folders(load_settings(home=tmp_path)) == [tmp_path, tmp_path / "images"]


def test_the_disk_of_a_folder_that_is_not_there_yet_is_measured(tmp_path: Path) -> None:
    assert free_mib(tmp_path / "not" / "yet") > 0


async def test_a_service_is_degraded_while_the_disk_is_short_and_logs_it_once() -> None:
    disk, condition = Disk(RECORDS), Condition()
    condition.phase = "running"
    watch = DiskWatch(disk.space, condition)
    disk.free[RECORDS] = 1.0
    for _ in range(3):
        disk.now += 60.0
        await watch.check()
    assert condition.state == "degraded"
    assert "the disk of /records is nearly full" in (condition.detail or "")
    assert len(condition.last_errors) == 1
    disk.free[RECORDS] = 1000.0
    disk.now += 60.0
    await watch.check()
    assert (condition.state, condition.clear_issue(DISK_ISSUE)) == ("running", False)


@pytest.mark.parametrize("service", ["console", "ingestor"])
def test_services_that_take_images_in_watch_the_disk(service: str) -> None:
    source = Path(__file__).parents[3] / "services" / "astrolens" / service / "main.py"
    assert "DiskWatch(disk," in source.read_text()
