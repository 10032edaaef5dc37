"""A decoder that was taken over reaches nothing: no file, no process, no socket, no secret of the ingestor."""

import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from astrolens.ingestor import sandbox_process
from astrolens.ingestor.sandbox import DecodingSandbox, SandboxUnavailable
from astrolens.ingestor.sandbox_confinement import filter_program, readable_paths
from astrolens.ingestor.sandbox_replies import Confinement, MalformedReply, parse_ready
from astrolens.platform.errors import ConfigurationError
from astrolens.science.cutouts import make_cutout

from tests.made_images import encoded, rgb, sky, tile_compressed

JPEG = encoded(rgb(300), "JPEG")
HOSTILE = Path(__file__).with_name("hostile_child.py")
EVERYTHING = Confinement(landlock=True, seccomp=True, network=True)

PARTLY_CONFINED = """
from astrolens.ingestor import sandbox_child
confine = sandbox_child.confine
sandbox_child.confine = lambda **options: confine(**options) | {"landlock": False}
sandbox_child.main()
"""


async def hostile_outcomes(folder: Path) -> dict[str, Any]:
    """What a hostile child achieves against this process, a file, and two sockets that listen."""
    victim = folder / "victim"
    victim.write_text("secret")
    with socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_INET) as tcp:
        unix.bind(str(folder / "socket"))
        unix.listen()
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, str(HOSTILE), str(os.getpid()), str(victim), str(folder / "socket")),
            str(tcp.getsockname()[1]),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=sandbox_process._environment(),
        )
        async with asyncio.timeout(60):
            output, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    assert (sorted(path.name for path in folder.iterdir()), victim.read_text()) == (["socket", "victim"], "secret")
    found: dict[str, Any] = json.loads(output)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")
async def test_a_decoder_that_was_taken_over_reaches_nothing(tmp_path: Path) -> None:
    """It read, wrote and removed files of the user, signalled the ingestor and connected to unix sockets."""
    found = await hostile_outcomes(tmp_path)
    layers = Confinement.model_validate(found["layers"])
    if layers.refused:
        pytest.skip(f"this kernel refuses {', '.join(layers.refused)}; in force: {found['layers']}")
    achieved = {name: outcome for name, outcome in found["outcomes"].items() if outcome is not None}
    assert achieved == {}, f"in force: {found['layers']}"
    assert len(found["outcomes"]) > 25


async def test_confined_children_decode_and_report_their_layers() -> None:
    """FITS files need imports after the confinement."""
    reports: list[Confinement] = []
    fits = tile_compressed(sky())
    async with DecodingSandbox(1, on_confined=reports.append) as pool:
        assert await pool.decode(fits) == make_cutout(fits)
        assert await pool.decode(JPEG) == make_cutout(JPEG)
    assert len(reports) == 1


async def test_where_confinement_is_required_a_refusal_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_process, "CHILD_PROGRAM", ("-P", "-c", PARTLY_CONFINED))
    pool = DecodingSandbox(1, require_confinement=True)
    with pytest.raises(ConfigurationError, match=r"ASTROLENS_REQUIRE_SANDBOX.* refuses .*landlock"):
        await pool.start()
    assert pool.children == 0
    await pool.close()


async def test_where_it_is_not_required_a_refusal_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_process, "CHILD_PROGRAM", ("-P", "-c", PARTLY_CONFINED))
    reports: list[Confinement] = []
    async with DecodingSandbox(1, on_confined=reports.append) as pool:
        assert await pool.decode(JPEG) == make_cutout(JPEG)
    [report] = reports
    assert "landlock" in report.refused


async def test_a_child_that_does_not_say_how_it_is_confined_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "from astrolens.ingestor import sandbox_child as c; c.confine = lambda **_: {}; c.main()"
    monkeypatch.setattr(sandbox_process, "CHILD_PROGRAM", ("-P", "-c", program))
    async with DecodingSandbox(1) as pool:
        with pytest.raises(SandboxUnavailable, match="did not say how it is confined"):
            await pool.decode(JPEG)


def test_a_report_is_validated_and_names_what_is_refused() -> None:
    assert parse_ready(b'{"confinement":{"landlock":true,"seccomp":true,"network":true}}') == EVERYTHING
    assert Confinement(landlock=True, seccomp=False, network=False).refused == ("seccomp", "network")
    for head in (b"", b"{}", b'{"confinement":{"landlock":1,"seccomp":true,"network":true}}', b"[" * 4000):
        with pytest.raises(MalformedReply):
            parse_ready(head)


def test_only_libraries_are_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/:relative:{tmp_path}")
    paths = readable_paths()
    assert tmp_path.resolve() in paths
    for private in (Path("/"), Path("/etc"), Path("/proc"), Path("/tmp"), Path.home()):
        assert private not in paths


class FilterMachine:
    """Runs a filter as the kernel does, on one system call."""

    def __init__(self, machine: str, architecture: int) -> None:
        self._program = filter_program(machine, own_pid=77)
        self._architecture = architecture

    def verdict(self, number: int, *arguments: int) -> str:
        words = {0: number, 4: self._architecture} | {16 + 8 * n: value for n, value in enumerate(arguments)}
        accumulator, position = 0, 0
        while True:
            code, if_true, if_false, value = self._program[position]
            position += 1
            if code == 0x20:
                accumulator = words.get(value, 0)
            elif code == 0x15:
                position += if_true if accumulator == value else if_false
            else:
                return {0x7FFF0000: "allow", 0x00050001: "refuse", 0x80000000: "kill"}[value]


@pytest.mark.parametrize(
    ("machine", "architecture", "read", "prlimit", "tgkill", "fcntl", "refused"),
    [
        # socket, connect, clone, fork, execve, kill, ptrace, unlink, rename, ioctl, io_uring_setup, bpf, x32's read
        (
            "x86_64",
            0xC000003E,
            0,
            302,
            234,
            72,
            (41, 42, 56, 57, 59, 62, 101, 87, 82, 16, 425, 321, 0x40000000),
        ),
        ("aarch64", 0xC00000B7, 63, 261, 131, 25, (198, 203, 220, 221, 129, 117, 35, 38, 29, 425, 280, 435)),
    ],
)
def test_the_filter_on_both_machines(
    machine: str, architecture: int, read: int, prlimit: int, tgkill: int, fcntl: int, refused: tuple[int, ...]
) -> None:
    run = FilterMachine(machine, architecture)
    assert run.verdict(read) == "allow"
    assert {run.verdict(number) for number in refused} == {"refuse"}
    assert [run.verdict(prlimit, pid) for pid in (0, 77, 1)] == ["allow", "allow", "refuse"]
    assert [run.verdict(tgkill, pid) for pid in (77, 1)] == ["allow", "refuse"]
    assert [run.verdict(fcntl, 9, command) for command in (1, 3, 1030, 8)] == ["allow", "allow", "allow", "refuse"]
    assert FilterMachine(machine, 0x40000003).verdict(read) == "kill"
