import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from astrolens.ingestor import sandbox_process
from astrolens.ingestor.sandbox import DecodingSandbox, SandboxLimits, SandboxUnavailable
from astrolens.science.cutouts import Cutout, ImageRejected, make_cutout
from astropy.io import fits

from tests.made_images import BOMBS, encoded, fits_bytes, rgb, sky, tile_compressed, unusable_files

JPEG = encoded(rgb(300), "JPEG")
FITS = fits_bytes(fits.PrimaryHDU(sky()))


@pytest.fixture
async def sandbox() -> AsyncIterator[DecodingSandbox]:
    async with DecodingSandbox(1) as running:
        yield running


async def code_of(sandbox: DecodingSandbox, data: bytes) -> str:
    with pytest.raises(ImageRejected) as caught:
        await sandbox.decode(data)
    return caught.value.code


def children() -> list[int]:
    """Decoding children of this process."""
    found = []
    for child in psutil.Process().children():
        # One that has just ended has no command line any more.
        with contextlib.suppress(psutil.NoSuchProcess):
            if any("sandbox_child" in argument for argument in child.cmdline()):
                found.append(child.pid)
    return found


async def test_a_child_makes_the_very_cutout_that_this_process_makes(sandbox: DecodingSandbox) -> None:
    assert await sandbox.decode(JPEG) == make_cutout(JPEG)


async def test_an_idle_child_imports_what_its_first_fits_file_needs(sandbox: DecodingSandbox) -> None:
    await sandbox.decode(JPEG)
    (child,) = children()
    assert not maps(child, "astropy")
    async with asyncio.timeout(60):
        while not maps(child, "astropy"):
            await asyncio.sleep(0.1)
    assert (await sandbox.decode(FITS)).media_type == "image/fits"
    assert children() == [child]


def maps(pid: int, library: str) -> bool:
    """Whether a process has a library of a package in memory."""
    return f"/{library}/" in Path(f"/proc/{pid}/maps").read_text()


async def test_many_at_once_keep_their_order_and_their_answers() -> None:
    originals = [encoded(rgb(100 + n), "JPEG") if n % 5 else b"text" for n in range(60)]
    async with DecodingSandbox(2) as pool:
        answers = await asyncio.gather(*(pool.decode(data) for data in originals), return_exceptions=True)
    for n, answer in enumerate(answers):
        if n % 5:
            assert isinstance(answer, Cutout)
            assert answer.original_width == 100 + n
        else:
            assert isinstance(answer, ImageRejected)


async def test_bombs_and_rubbish_harm_neither_child_nor_parent(sandbox: DecodingSandbox) -> None:
    await sandbox.decode(JPEG)
    before = children()
    for name, make in BOMBS.items():
        assert await code_of(sandbox, make()) == "bomb", name
    for name, (data, code) in unusable_files().items():
        assert await code_of(sandbox, data) == code, name
    assert (await sandbox.decode(tile_compressed(sky()))).media_type == "image/fits"
    assert children() == before, "none of these may cost a child"
    assert peak_memory(before[0]) < 900 * 2**20


def peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


async def test_memory_beyond_the_limit_is_refused_and_the_child_replaced() -> None:
    limits = SandboxLimits(address_space=300 * 2**20)
    big = encoded(rgb(64), "PNG", compress_level=1)
    async with DecodingSandbox(1, limits) as pool:
        await pool.decode(big)
        before = children()
        # 60 million pixels are allowed, but need more memory than this child has.
        assert await code_of(pool, BOMBS["png"](7900)) in {"bomb", "unreadable"}
        assert await pool.decode(big) == make_cutout(big)
        assert len(children()) == len(before)


async def test_a_killed_child_costs_nothing_when_the_image_is_innocent(sandbox: DecodingSandbox) -> None:
    await sandbox.decode(JPEG)
    pending = [asyncio.ensure_future(sandbox.decode(JPEG)) for _ in range(30)]
    await asyncio.sleep(0.02)
    os.kill(children()[0], signal.SIGKILL)
    assert all([await one == make_cutout(JPEG) for one in pending])


async def test_a_child_that_always_dies_is_the_images_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    causes: list[str] = []
    async with DecodingSandbox(1, on_death=causes.append) as pool:
        await pool.decode(JPEG)
        receive = sandbox_process.ChildProcess.receive

        async def die(child: sandbox_process.ChildProcess, wall_s: float) -> Cutout | ImageRejected:
            child._process.kill()
            await child._process.wait()
            return await receive(child, wall_s)

        def swallow(child: sandbox_process.ChildProcess, originals: object) -> None:
            """The child gets nothing to do, so that it dies without an answer."""

        monkeypatch.setattr(sandbox_process.ChildProcess, "receive", die)
        monkeypatch.setattr(sandbox_process.ChildProcess, "send", swallow)
        assert await code_of(pool, JPEG) == "decoder-died"
        monkeypatch.undo()
        assert causes == ["died", "died"]
        assert await pool.decode(JPEG) == make_cutout(JPEG)


async def test_an_image_whose_child_is_stopped_is_decoded_by_the_next_child() -> None:
    """It was rejected for good before, as `timeout`."""
    causes: list[str] = []
    seconds: list[float] = []
    limits = SandboxLimits(wall_s=4.0)
    async with DecodingSandbox(1, limits, on_death=causes.append, on_decoded=seconds.append) as pool:
        assert pool.children == 0
        await pool.decode(JPEG)
        assert pool.children == 1
        stopped = children()[0]
        os.kill(stopped, signal.SIGSTOP)
        assert await asyncio.gather(*(pool.decode(JPEG) for _ in range(5))) == [make_cutout(JPEG)] * 5
        assert causes == ["stalled"]
        assert len(seconds) == 6
        assert (pool.children, pool.waiting) == (1, 0)
        assert not Path(f"/proc/{stopped}").exists()


async def test_children_are_replaced_after_their_share() -> None:
    async with DecodingSandbox(1, SandboxLimits(images_per_child=5, batch=3)) as pool:
        seen: set[int] = set()
        for _ in range(4):
            await asyncio.gather(*(pool.decode(JPEG) for _ in range(4)))
            seen |= set(children())
        assert len(seen) >= 3


async def test_children_are_confined(sandbox: DecodingSandbox) -> None:
    await sandbox.decode(JPEG)
    pid = children()[0]
    limits = SandboxLimits()
    assert resource.prlimit(pid, resource.RLIMIT_AS) == (limits.address_space, limits.address_space)
    assert resource.prlimit(pid, resource.RLIMIT_FSIZE) == (0, 0)
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] <= 64
    assert resource.prlimit(pid, resource.RLIMIT_CPU)[0] < 60
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"OPENBLAS_NUM_THREADS=1" in environment
    assert b"ASTROLENS_" not in environment


async def test_closing_ends_the_children_and_frees_the_callers() -> None:
    pool = DecodingSandbox(1)
    await pool.start()
    await pool.decode(JPEG)
    os.kill(children()[0], signal.SIGSTOP)
    pending = [asyncio.ensure_future(pool.decode(JPEG)) for _ in range(20)]
    await asyncio.sleep(0.05)
    await pool.close()
    outcomes = await asyncio.gather(*pending, return_exceptions=True)
    assert all(isinstance(one, SandboxUnavailable) for one in outcomes)
    assert children() == []
    with pytest.raises(SandboxUnavailable):
        await pool.decode(JPEG)


async def test_a_caller_that_gives_up_does_not_disturb_the_others(sandbox: DecodingSandbox) -> None:
    first = asyncio.ensure_future(sandbox.decode(JPEG))
    others = [asyncio.ensure_future(sandbox.decode(JPEG)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    assert all([await one == make_cutout(JPEG) for one in others])


async def test_a_child_that_cannot_start_is_a_transient_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_process.sys, "executable", "/bin/false")
    async with DecodingSandbox(1) as pool:
        with pytest.raises(SandboxUnavailable):
            await pool.decode(JPEG)


async def test_too_large_a_file_never_reaches_a_child(sandbox: DecodingSandbox) -> None:
    limits = SandboxLimits()
    assert await code_of(sandbox, bytes(limits.decode.max_bytes + 1)) == "too-large"


async def test_children_die_with_a_parent_that_is_killed() -> None:
    code = (
        "import asyncio, sys\n"
        "from astrolens.ingestor.sandbox import DecodingSandbox\n"
        "async def main():\n"
        "    async with DecodingSandbox(1) as pool:\n"
        "        try:\n"
        "            await pool.decode(b'text')\n"
        "        except Exception as error:\n"
        "            print(error.code, flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    # The service's log goes to the same place; the code is on a line of its own.
    while b"not-an-image" not in await parent.stdout.readline():
        assert parent.returncode is None
    child = int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()[0])
    parent.kill()
    await parent.wait()
    for _ in range(100):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split(") ")[1][:1]:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"child {child} outlived its parent")
