"""What a decoding child gives up before the first untrusted byte, layer by layer.

Each layer holds by itself; what the kernel refuses is reported, and the ingestor says so. On Linux:

- `landlock`: the child opens no file but those of Python and its libraries, and those for reading only; where the
  kernel has it, it binds and connects no TCP port, and signals no process outside.
- `seccomp`: an allow-list of system calls. All others fail with EPERM: sockets, new processes, signals to others,
  tracing, removing and renaming, mounting, and whatever a newer kernel adds.
- `network`: an empty network namespace, where the host allows it. The filter of seccomp closes the network as well.

Resource limits and `no_new_privs` come on top. Other systems have the resource limits only.
"""

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

_OPEN_FILES: Final = 32
"""Enough to import astropy when the first FITS file comes."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000


def confine(*, parent: int, address_space: int) -> dict[str, bool]:
    """Give up what decoding does not need.

    Args:
        parent: Process id whose death is this child's.
        address_space: Bytes.

    Returns:
        `landlock`, `seccomp` and `network`, each with whether it is in force. `network` says that no socket can be
        opened, by whichever layer.
    """
    layers = {"landlock": False, "seccomp": False, "network": False}
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if libc is not None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        layers["network"] = libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0
    if os.getppid() != parent:
        raise SystemExit(0)
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if libc is not None:
        layers["landlock"] = restrict_files(libc, readable_paths())
        layers["seccomp"] = filter_system_calls(libc)
        layers["network"] = layers["network"] or layers["seccomp"]
    return layers


# --- Landlock: linux/landlock.h -------------------------------------------------------------------------------------

_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_ADD_RULE: Final = 445
_LANDLOCK_RESTRICT_SELF: Final = 446
"""The same numbers on all architectures."""
_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_FILE_RIGHTS_BY_ABI: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""Number of rights on files that a version of the interface knows: all below are handled, so all are denied."""
_BIND_AND_CONNECT_TCP: Final = 0b11
_TCP_SINCE_ABI: Final = 4
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 0b11
_SCOPES_SINCE_ABI: Final = 6


def readable_paths() -> list[Path]:
    """Folders and files that Python needs for imports that come late: no folder of a user, none of AstroLens's data."""
    import numpy as np  # noqa: PLC0415

    import astrolens  # noqa: PLC0415 - its folder is asked for

    here, base = Path(sys.prefix), Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    paths = {
        *(root / name / version for root in (here, base) for name in ("lib", "lib64")),
        Path(os.__file__).parent,
        Path(np.__file__).parents[1],
        *(Path(folder) for folder in astrolens.__path__),
        *(Path(name) for name in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")),
        *(Path(name) for name in os.environ.get("LD_LIBRARY_PATH", "").split(":") if name.startswith("/")),
    }
    return sorted(path for path in {path.resolve() for path in paths if path.exists()} if path != Path("/"))


def restrict_files(libc: ctypes.CDLL, readable: Iterable[Path]) -> bool:
    """Let this process read what lies beneath these paths, and open nothing else; return whether the kernel did."""
    abi = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    if abi < 1:
        return False
    rights = max(count for since, count in _FILE_RIGHTS_BY_ABI.items() if since <= abi)
    # struct landlock_ruleset_attr: rights on files, on the network, scopes; a kernel takes no more than it knows.
    handled = struct.pack("=Q", (1 << rights) - 1)
    if abi >= _TCP_SINCE_ABI:
        handled += struct.pack("=Q", _BIND_AND_CONNECT_TCP)
    if abi >= _SCOPES_SINCE_ABI:
        handled += struct.pack("=Q", _ABSTRACT_SOCKETS_AND_SIGNALS)
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        added = all(_allow_reading(libc, ruleset, path) for path in readable)
        return added and libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) == 0
    finally:
        os.close(ruleset)


def _allow_reading(libc: ctypes.CDLL, ruleset: int, path: Path) -> bool:
    rights = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
    try:
        # struct landlock_path_beneath_attr, packed: the rights, and the folder they hold beneath.
        rule = struct.pack("=Qi", rights, opened)
        return bool(libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(opened)


# --- seccomp: linux/seccomp.h, linux/filter.h, linux/audit.h ----------------------------------------------------------

_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# Number on x86_64 and on aarch64 of each system call that a child may make; None where the machine has it not.
# Measured with all kinds of files, good and bad, and astropy's import: the first group; the others are what the
# C library may use instead of them, or at its end.
_ALLOWED: Final[dict[str, tuple[int | None, int | None]]] = {
    "read": (0, 63),
    "write": (1, 64),
    "openat": (257, 56),
    "close": (3, 57),
    "newfstatat": (262, 79),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "brk": (12, 214),
    "getdents64": (217, 61),
    "getrusage": (98, 165),
    "futex": (202, 98),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "getrandom": (318, 278),
    "gettid": (186, 178),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "epoll_create1": (291, 20),
    "poll": (7, None),
    "ppoll": (271, 73),
    "open": (2, None),
    "stat": (4, None),
    "lstat": (6, None),
    "access": (21, None),
    "readlink": (89, None),
    "getdents": (78, None),
    "time": (201, None),
    "statx": (332, 291),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "dup": (32, 23),
    "getrlimit": (97, 163),
    "setrlimit": (160, 164),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "uname": (63, 160),
    "sysinfo": (99, 179),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "restart_syscall": (219, 128),
}

# Allowed with certain values of one argument only: number on x86_64 and aarch64, index of the argument, values.
_PRLIMIT64: Final = (302, 261)
_FCNTL: Final = (72, 25)
_TGKILL: Final = (234, 131)
_HARMLESS_FCNTL: Final = (0, 1, 2, 3, 1030)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC. Others send signals (F_SETOWN) or take locks."""

_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_FAIL_WITH_EPERM: Final = 0x00050001
_KILL_PROCESS: Final = 0x80000000
# struct seccomp_data: the call's number, the architecture, the instruction pointer, six arguments of 64 bits.
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_ARGUMENTS_AT: Final = 16

_Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, value."""


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_system_calls(libc: ctypes.CDLL) -> bool:
    """Let this process make the system calls of the list only; return whether the kernel does so.

    It is in force for this thread and those it starts, of which there are none: libraries run single-threaded here.
    """
    machine = platform.machine()
    if machine not in _AUDIT_ARCH or sys.maxsize <= 2**32 or sys.byteorder != "little":
        return False
    code = filter_program(machine, own_pid=os.getpid())
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    program = _Program(len(code), packed)
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def filter_program(machine: str, *, own_pid: int) -> list[_Instruction]:
    """The filter as a program for the kernel's packet filter machine."""
    column = 0 if machine == "x86_64" else 1
    program: list[_Instruction] = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        # Calls of another architecture have other numbers.
        (_JUMP_IF_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD_WORD, 0, 0, _NUMBER_AT),
    ]
    for numbers in _ALLOWED.values():
        number = numbers[column]
        if number is not None:
            program += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    # Limits of this process only; signals to this process only (`abort` does that).
    program += _if_argument(_PRLIMIT64[column], 0, (0, own_pid))
    program += _if_argument(_TGKILL[column], 0, (own_pid,))
    program += _if_argument(_FCNTL[column], 1, _HARMLESS_FCNTL)
    return [*program, (_RETURN, 0, 0, _FAIL_WITH_EPERM)]


def _if_argument(number: int, index: int, values: Sequence[int]) -> list[_Instruction]:
    """Allow a call if the low word of an argument, which is an int, has one of these values; end in any case."""
    checks = [step for value in values for step in ((_JUMP_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW))]
    body = [(_LOAD_WORD, 0, 0, _ARGUMENTS_AT + 8 * index), *checks, (_RETURN, 0, 0, _FAIL_WITH_EPERM)]
    return [(_JUMP_IF_EQUAL, 0, len(body), number), *body]
