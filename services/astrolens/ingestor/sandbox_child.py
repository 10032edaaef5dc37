"""A child of the decoding sandbox: reads originals from its standard input, answers with cutouts on its output.

It confines itself before the first untrusted byte arrives (`sandbox_confinement`), and reports what the kernel refused.
"""

import json
import resource
import sys
from typing import BinaryIO

from astrolens.ingestor.sandbox_confinement import confine
from astrolens.ingestor.sandbox_protocol import LENGTHS, cutout_reply, frame, rejection_reply
from astrolens.science.cutouts import make_cutout
from astrolens.science.rejection import DecodeLimits, ImageRejected


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
    layers = confine(parent=int(options["parent"]), address_space=int(options["address_space"]))
    replies.write(frame({"confinement": layers}))
    replies.flush()
    serve(
        sys.stdin.buffer,
        replies,
        limits=DecodeLimits.from_json(options["limits"]),
        cpu_s=int(options["cpu_s"]),
    )


if __name__ == "__main__":
    main()
