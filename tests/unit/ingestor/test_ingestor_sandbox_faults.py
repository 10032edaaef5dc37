"""Children that misbehave and workers that fail: decoding goes on, nobody waits for ever, nobody innocent is blamed."""

import asyncio
import itertools
from collections.abc import Callable

import pytest
from astrolens.ingestor import sandbox as sandbox_module
from astrolens.ingestor import sandbox_process
from astrolens.ingestor.ports import DecoderStalled
from astrolens.ingestor.sandbox import DecodingSandbox, SandboxLimits, SandboxUnavailable
from astrolens.platform.time_limits import HANDLER_S
from astrolens.science.cutouts import ImageRejected, make_cutout

from tests.made_images import encoded, rgb

JPEG = encoded(rgb(300), "JPEG")
TIMEOUT_S = 60.0
"""No test waits longer, however busy the machine is."""

ChildProgram = Callable[[str], None]

_SERVE = """
import os, sys, time
from astrolens.ingestor import sandbox_child
from astrolens.ingestor.sandbox_protocol import LENGTHS, frame
answer = sandbox_child._answer
def rogue(data, limits):
    if not data.startswith(b"rogue"):
        return answer(data, limits)
    {body}
sandbox_child._answer = rogue
sandbox_child.main()
"""


@pytest.fixture
def child_program(monkeypatch: pytest.MonkeyPatch) -> ChildProgram:
    """Let children run these statements for originals that begin with `rogue`."""

    def install(body: str) -> None:
        monkeypatch.setattr(sandbox_process, "CHILD_PROGRAM", ("-P", "-c", _SERVE.format(body=body)))

    return install


def test_the_limits_of_the_sandbox_bound_each_other() -> None:
    limits = SandboxLimits()
    longest_attempt_s = limits.start_s + sandbox_module._MAX_STALLS * limits.wall_s
    assert limits.cpu_s < limits.wall_s
    assert longest_attempt_s < limits.idle_s < HANDLER_S


@pytest.mark.parametrize(
    "header",
    [b"[" * 4000, b'{"cutout":{"width":Infinity}}', b'{"cutout":{"width":1e999}}'],
    ids=["brackets", "Infinity", "1e999"],
)
async def test_malformed_replies_never_end_decoding(child_program: ChildProgram, header: bytes) -> None:
    """Two such replies ended both workers: a good image then waited for ever."""
    child_program(f"return LENGTHS.pack({len(header)}, 0) + {header!r}")
    causes: list[str] = []
    async with asyncio.timeout(TIMEOUT_S), DecodingSandbox(2, on_death=causes.append) as pool:
        outcomes = await asyncio.gather(*(pool.decode(b"rogue %d" % n) for n in range(3)), return_exceptions=True)
        assert [getattr(outcome, "code", outcome) for outcome in outcomes] == ["decoder-died"] * 3
        assert causes == ["malformed"] * 6
        assert await pool.decode(JPEG) == make_cutout(JPEG)


async def test_a_worker_that_fails_begins_again_and_gives_its_images_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever escapes: the images of the batch are decoded, and the fault is counted and reported."""
    causes: list[str] = []
    sentences: list[str] = []
    failing = iter([RecursionError("too deep")])

    def parse(head: bytes, body: bytes, **rest: object) -> object:
        for error in failing:
            raise error
        return real(head, body, **rest)  # type: ignore[arg-type]

    real = sandbox_process.parse_reply
    monkeypatch.setattr(sandbox_process, "parse_reply", parse)
    monkeypatch.setattr(sandbox_module, "_WORKER_RESTART_S", 0.0)
    pool = DecodingSandbox(1, on_death=causes.append, on_failure=sentences.append)
    async with asyncio.timeout(TIMEOUT_S), pool:
        assert await asyncio.gather(*(pool.decode(JPEG) for _ in range(5))) == [make_cutout(JPEG)] * 5
    assert causes == ["failed"]
    [sentence] = sentences
    assert "RecursionError: too deep" in sentence


async def test_a_fault_of_ours_at_one_image_reaches_its_caller_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(head: bytes, body: bytes, **_: object) -> object:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(sandbox_module, "_WORKER_RESTART_S", 0.0)
    async with asyncio.timeout(TIMEOUT_S), DecodingSandbox(1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(sandbox_process, "parse_reply", parse)
            with pytest.raises(RuntimeError, match="a fault of ours"):
                await pool.decode(JPEG)
        assert await pool.decode(JPEG) == make_cutout(JPEG)


async def test_a_callback_that_fails_costs_no_image_and_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ValueError("a metric that does not exist")

    monkeypatch.setattr(sandbox_module, "_WORKER_RESTART_S", 0.0)
    pool = DecodingSandbox(1, on_decoded=broken, on_death=broken, on_failure=broken)
    async with asyncio.timeout(TIMEOUT_S), pool:
        for _ in range(3):
            assert await pool.decode(JPEG) == make_cutout(JPEG)


async def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stand_still(_: DecodingSandbox) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(DecodingSandbox, "_run_worker", stand_still)
    pool = DecodingSandbox(1, SandboxLimits(idle_s=0.2), waiting=1)
    async with asyncio.timeout(TIMEOUT_S), pool:
        # The second does not even get a slot.
        outcomes = await asyncio.gather(pool.decode(JPEG), pool.decode(JPEG), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [SandboxUnavailable] * 2
    assert "no decoder made any progress" in str(outcomes[0])


async def test_an_image_at_which_every_child_stands_still_is_not_rejected(child_program: ChildProgram) -> None:
    """A machine that stops for a minute must not cost an innocent image."""
    child_program("time.sleep(3600)")
    causes: list[str] = []
    async with (
        asyncio.timeout(TIMEOUT_S),
        DecodingSandbox(1, SandboxLimits(wall_s=0.5), on_death=causes.append) as pool,
    ):
        with pytest.raises(DecoderStalled, match="3 decoders stood still"):
            await pool.decode(b"rogue")
    assert causes == ["stalled"] * 3


async def test_an_image_that_spends_its_processor_time_is_rejected(child_program: ChildProgram) -> None:
    child_program("while True: pass")
    async with asyncio.timeout(TIMEOUT_S), DecodingSandbox(1, SandboxLimits(wall_s=50.0, cpu_s=1)) as pool:
        with pytest.raises(ImageRejected) as caught:
            await pool.decode(b"rogue")
    assert caught.value.code == "timeout"


async def test_an_image_that_works_through_its_time_is_rejected(
    child_program: ChildProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = itertools.count(step=7.0)
    monkeypatch.setattr(sandbox_process.ChildProcess, "_cpu_s", lambda _: next(spent))
    child_program("time.sleep(3600)")
    async with asyncio.timeout(TIMEOUT_S), DecodingSandbox(1, SandboxLimits(wall_s=0.5)) as pool:
        with pytest.raises(ImageRejected) as caught:
            await pool.decode(b"rogue")
    assert caught.value.code == "timeout"


async def test_without_a_view_of_processor_time_a_late_reply_is_a_timeout(
    child_program: ChildProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    monkeypatch.setattr(sandbox_process.ChildProcess, "_cpu_s", lambda _: None)
    child_program("time.sleep(3600)")
    async with asyncio.timeout(TIMEOUT_S), DecodingSandbox(1, SandboxLimits(wall_s=0.5)) as pool:
        with pytest.raises(ImageRejected) as caught:
            await pool.decode(b"rogue")
    assert caught.value.code == "timeout"
