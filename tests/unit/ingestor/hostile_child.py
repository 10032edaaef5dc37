"""A decoder that was taken over: confined as every child, it ignores its task and attacks the machine.

Usage: `python hostile_child.py PARENT VICTIM UNIX_SOCKET TCP_PORT`; VICTIM is a file of the user.
It prints one JSON object: the layers in force, and for each attempt `None` where it was refused, or what it achieved.
"""

import ctypes
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from astrolens.ingestor.sandbox_confinement import confine


def attempts(parent: int, victim: Path, unix_socket: str, tcp_port: int) -> dict[str, Callable[[], object]]:
    """What is tried, by name; success is to return."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: object) -> object:
        """A function of the C library: a refusal is -1."""
        result = getattr(libc, name)(*arguments)
        if result == -1:
            raise OSError(ctypes.get_errno(), name)
        return result

    def connect(family: int, address: object) -> object:
        with socket.socket(family, socket.SOCK_STREAM) as link:
            return link.connect(address)  # type: ignore[arg-type]

    def listen() -> object:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as link:
            return link.bind(("127.0.0.1", 0))

    def read_memory() -> object:
        with Path(f"/proc/{parent}/mem").open("rb", buffering=0) as memory:
            return memory.read(1)

    def truncate() -> object:
        return os.open(victim, os.O_WRONLY | os.O_TRUNC)

    def fork() -> object:
        if (child := os.fork()) == 0:
            os._exit(0)
        return child

    return {
        "read a system file": Path("/etc/passwd").read_text,
        "read a file of the user": victim.read_text,
        "list a folder": lambda: len(list(victim.parent.iterdir())),
        "write a file of the user": lambda: victim.write_text("overwritten"),
        "truncate a file": truncate,
        "create a file": (victim.parent / "new").touch,
        "create a folder": (victim.parent / "folder").mkdir,
        "remove a file": victim.unlink,
        "rename a file": lambda: str(victim.rename(victim.parent / "renamed")),
        "link a file": lambda: (victim.parent / "link").hardlink_to(victim),
        "change a file's mode": lambda: victim.chmod(0o777),
        "signal the parent": lambda: os.kill(parent, 0),
        "signal every process": lambda: os.kill(-1, 0),
        "read the parent's environment": lambda: len(Path(f"/proc/{parent}/environ").read_bytes()),
        "read the parent's memory": read_memory,
        "trace the parent": lambda: call("ptrace", 16, parent, 0, 0),
        "read across processes": lambda: call("process_vm_readv", parent, None, 0, None, 0, 0),
        "change the parent's limits": lambda: resource.prlimit(parent, resource.RLIMIT_CPU),
        "open a unix socket": lambda: connect(socket.AF_UNIX, unix_socket),
        "connect by TCP": lambda: connect(socket.AF_INET, ("127.0.0.1", tcp_port)),
        "listen by TCP": listen,
        "fork": fork,
        "run a program": lambda: subprocess.run(["/bin/true"], check=True).returncode,
        "become a program": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "open an io_uring": lambda: call("syscall", 425, 8, bytes(120)),
        "load a program into the kernel": lambda: call("syscall", 321, 0, bytes(120), 120),
        "make a namespace": lambda: call("unshare", 0x10000000),
    }


def main() -> None:
    """Confine this process, try everything, print what came of it."""
    parent, victim, unix_socket, tcp_port = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    tries = attempts(parent, victim, unix_socket, tcp_port)
    layers = confine(parent=parent, address_space=1536 * 2**20)
    outcomes: dict[str, str | None] = {}
    for name, attempt in tries.items():
        try:
            outcomes[name] = f"succeeded: {attempt()!r}"
        except OSError:
            outcomes[name] = None
    print(json.dumps({"layers": layers, "outcomes": outcomes}))


if __name__ == "__main__":
    main()
