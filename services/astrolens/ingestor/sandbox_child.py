"""A child of the decoding sandbox: reads originals from its standard input, answers with cutouts on its output.

It confines itself before the first untrusted byte arrives. What exploits a decoder is in a process that may write no
file, start no process and, where the kernel allows it, reach no network.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from typing import BinaryIO

from astrolens.ingestor.sandbox_protocol import LENGTHS, cutout_reply, frame, rejection_reply
from astrolens.science.cutouts import make_cutout
from astrolens.science.rejection import DecodeLimits, ImageRejected

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_OPEN_FILES = 32
"""Enough to import astropy when the first FITS file comes."""


def confine(*, parent: int, address_space: int) -> None:
    """Give up what decoding does not need.

    Args:
        parent: Process id whose death is this child's.
        address_space: Bytes.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # An empty network namespace. Many container hosts forbid it (EPERM); then the other limits must do.
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    if os.getppid() != parent:
        raise SystemExit(0)
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def serve(requests: BinaryIO, replies: BinaryIO, *, limits: DecodeLimits, cpu_s: int) -> None:
    """Answer frame by frame until the input ends.

    Args:
        requests: Frames whose body is an original.
        replies: One frame each, in the same order.
        limits: Bounds on an original.
        cpu_s: Seconds of processor time for one image.
    """
    while len(lengths := requests.read(LENGTHS.size)) == LENGTHS.size:
        head, body = LENGTHS.unpack(lengths)
        requests.read(head)
        data = requests.read(body)
        _extend_cpu_limit(cpu_s)
        replies.write(_answer(data, limits))
        replies.flush()


def _answer(data: bytes, limits: DecodeLimits) -> bytes:
    try:
        return cutout_reply(make_cutout(data, limits))
    except ImageRejected as rejected:
        return rejection_reply(rejected.code, rejected.detail)
    except MemoryError:
        return rejection_reply("bomb", "Decoding it needs more memory than a decoder may have.", retire=True)
    except RecursionError:
        return rejection_reply("bomb", "It is nested too deeply.", retire=True)
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises, the image is at fault and its code says so
        return rejection_reply("unreadable", f"Its decoder failed: {type(error).__name__}.")


def _extend_cpu_limit(seconds: int) -> None:
    """Processor time is counted over the whole life of a process, so the limit moves with it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds + 1, resource.RLIM_INFINITY))


def main() -> None:
    """Run as `python -m astrolens.ingestor.sandbox_child OPTIONS`, options as JSON."""
    options = json.loads(sys.argv[1])
    replies = sys.stdout.buffer
    confine(parent=int(options["parent"]), address_space=int(options["address_space"]))
    replies.write(frame({"ready": True}))
    replies.flush()
    serve(
        sys.stdin.buffer,
        replies,
        limits=DecodeLimits.from_json(options["limits"]),
        cpu_s=int(options["cpu_s"]),
    )


if __name__ == "__main__":
    main()
