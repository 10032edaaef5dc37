"""A child of the decoding sandbox: reads originals from its standard input, answers with cutouts on its output.

It confines itself before the first untrusted byte arrives (`sandbox_confinement`), and reports what the kernel refused.
"""

import importlib
import io
import json
import select
import sys
from typing import BinaryIO

from astrolens.ingestor.sandbox_confinement import confine
from astrolens.ingestor.sandbox_protocol import LENGTHS, cutout_reply, frame, rejection_reply
from astrolens.platform.runtime.cpu_limit import extend_cpu_limit
from astrolens.science.cutouts import make_cutout
from astrolens.science.rejection import DecodeLimits, ImageRejected

_IDLE_MS = 1000
"""Milliseconds without a request after which a child imports what its first FITS file would wait for. A busy child has
other things to do."""


def serve(
    requests: io.RawIOBase, replies: BinaryIO, *, limits: DecodeLimits, cpu_s: int, watched: int | None = None
) -> None:
    """Answer frame by frame until the input ends.

    Args:
        requests: Frames whose body is an original; unbuffered where it is watched.
        replies: One frame each, in the same order.
        limits: Bounds on an original.
        cpu_s: Seconds of processor time for one image.
        watched: File descriptor of the requests, by which an idle child knows that it is idle.
    """
    is_warm = watched is None
    waiting = select.poll()
    if watched is not None:
        waiting.register(watched, select.POLLIN)
    while True:
        if not is_warm and not waiting.poll(_IDLE_MS):
            extend_cpu_limit(cpu_s)
            _warm_up()
            is_warm = True
        lengths = _read(requests, LENGTHS.size)
        if len(lengths) < LENGTHS.size:
            return
        head, body = LENGTHS.unpack(lengths)
        _read(requests, head)
        data = _read(requests, body)
        extend_cpu_limit(cpu_s)
        replies.write(_answer(data, limits))
        replies.flush()


def _warm_up() -> None:
    """Import what decodes FITS: half a second to a second of processor time."""
    importlib.import_module("astrolens.science.decoding_fits")


def _read(requests: io.RawIOBase, size: int) -> bytes:
    """Exactly so many bytes; fewer at the end of the input."""
    data = bytearray(size)
    view, filled = memoryview(data), 0
    while filled < size and (count := requests.readinto(view[filled:])):
        filled += count
    return bytes(view[:filled])


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


def main() -> None:
    """Run as `python -m astrolens.ingestor.sandbox_child OPTIONS`, options as JSON."""
    options = json.loads(sys.argv[1])
    replies = sys.stdout.buffer
    layers = confine(parent=int(options["parent"]), address_space=int(options["address_space"]))
    replies.write(frame({"confinement": layers}))
    replies.flush()
    # Unbuffered: what waits in a buffer of our own would not be seen by `poll`.
    requests = io.FileIO(sys.stdin.fileno(), closefd=False)
    serve(
        requests,
        replies,
        limits=DecodeLimits.from_json(options["limits"]),
        cpu_s=int(options["cpu_s"]),
        watched=requests.fileno(),
    )


if __name__ == "__main__":
    main()
