"""The process that measures morphology: its bounds, with children that misbehave, and once the real one."""

import asyncio
import os
from pathlib import Path

import numpy as np
import pytest
from astrolens.contracts.morphology import MorphologyQuality
from astrolens.inference.morphology_process import (
    MeasurementLimits,
    MeasurementStalled,
    MeasurementUnavailable,
    MorphologyProcess,
)
from astrolens.science.cutouts import encode_jpeg

STUB = """
import json, os, signal, sys, time
LOG, ON_STATMORPH, ON_SIMPLE = sys.argv[1:4]
def answer(text):
    data = text.encode()
    sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
    sys.stdout.buffer.flush()
with open(LOG, "a") as log:
    log.write(f"{os.getpid()}\\n")
if ON_STATMORPH == "not-up":
    sys.exit(3)
answer("")
while len(lengths := sys.stdin.buffer.read(8)) == 8:
    head, body = int.from_bytes(lengths[:4], "big"), int.from_bytes(lengths[4:], "big")
    why = json.loads(sys.stdin.buffer.read(head))["without_statmorph"]
    sys.stdin.buffer.read(body)
    todo = ON_STATMORPH if why is None else ON_SIMPLE
    if todo == "hang":
        time.sleep(600)
    if todo == "spend":
        os.kill(os.getpid(), signal.SIGXCPU)
    if todo == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if todo == "babble":
        answer("no JSON")
        continue
    answer(json.dumps({"method": "none", "version": 1, "quality": "fallback" if why else "good", "detail": why}))
"""


class Stubs:
    """Processes whose children do as told, for a picture with and one without statmorph."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "pids"
        self.made: list[MorphologyProcess] = []

    def __call__(self, on_statmorph: str, on_simple: str = "answer", **limits: float) -> MorphologyProcess:
        program = ("-c", STUB, str(self.log), on_statmorph, on_simple)
        self.made.append(MorphologyProcess(MeasurementLimits(**limits), program=program))
        return self.made[-1]

    @property
    def started(self) -> list[int]:
        return [int(line) for line in self.log.read_text().splitlines()]


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
async def stub(tmp_path: Path):
    stubs = Stubs(tmp_path)
    yield stubs
    for process in stubs.made:
        await process.close()
    assert not any(lives(pid) for pid in stubs.started)


async def test_one_child_measures_many_pictures(stub: Stubs) -> None:
    process = stub("answer")
    for _ in range(3):
        assert (await process.measure(b"jpeg")).quality == "good"
    assert len(stub.started) == 1


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("spend", "statmorph took more than 20 s of processor time"),
        ("die", "statmorph was ended by SIGKILL"),
        ("babble", "statmorph gave a reply that cannot be read"),
    ],
)
async def test_a_picture_that_ends_the_child_gets_simple_properties(stub: Stubs, fault: str, detail: str) -> None:
    process = stub(fault)
    found = await process.measure(b"jpeg")
    assert (found.quality, found.detail) == (MorphologyQuality.FALLBACK, detail)
    assert len(stub.started) == 2


async def test_a_picture_that_ends_every_child_is_not_measured_and_says_why(stub: Stubs) -> None:
    process = stub("spend", "die")
    found = await process.measure(b"jpeg")
    assert found.quality == MorphologyQuality.FAILED
    assert found.detail == (
        "statmorph took more than 20 s of processor time; the simple measurement was ended by SIGKILL"
    )


async def test_a_child_that_does_not_answer_is_killed(stub: Stubs) -> None:
    process = stub("hang", wall_s=0.2)
    with pytest.raises(MeasurementStalled, match=r"not done in 0\.2 s"):
        await process.measure(b"jpeg")
    (pid,) = stub.started
    assert not lives(pid)


async def test_a_cancelled_measurement_leaves_no_process_behind(stub: Stubs) -> None:
    process = stub("hang")
    asking = asyncio.create_task(process.measure(b"jpeg"))
    while not stub.log.exists() or not stub.started:
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not lives(stub.started[0])


async def test_a_child_that_does_not_come_up_is_reported(stub: Stubs) -> None:
    with pytest.raises(MeasurementUnavailable, match=r"ended with exit status 3 at its start"):
        await stub("not-up").measure(b"jpeg")


async def test_an_idle_child_ends_and_another_comes_when_it_is_needed(stub: Stubs) -> None:
    process = stub("answer", idle_s=0.0)
    await process.measure(b"jpeg")
    await process.close_if_idle()
    assert not lives(stub.started[0])
    await process.measure(b"jpeg")
    assert len(stub.started) == 2
    busy = stub("answer")
    await busy.measure(b"jpeg")
    await busy.close_if_idle()
    assert lives(stub.started[2])


async def test_the_real_child_measures_a_cutout_and_survives_a_broken_one() -> None:
    rows, columns = np.mgrid[-32:32, -32:32]
    light = 200 * np.exp(-np.hypot(rows, columns * 1.5) / 8)
    rgb = np.clip(light[..., None] + np.random.default_rng(1).normal(12, 2, (64, 64, 3)), 0, 255).astype(np.uint8)
    process = MorphologyProcess()
    try:
        broken = await process.measure(b"no JPEG")
        found = await process.measure(encode_jpeg(rgb))
    finally:
        await process.close()
    assert broken.quality == MorphologyQuality.FAILED
    assert "UnidentifiedImageError" in (broken.detail or "")
    assert found.method == "statmorph"
    assert found.ellipticity == pytest.approx(0.33, abs=0.1)
