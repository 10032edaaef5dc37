"""The process that measures morphology: reads cutouts from its standard input, answers on its output.

A process of its own, because statmorph takes long, has no bound of its own and needs 200 MB; it runs at the lowest
priority and may be killed at any moment. It sees only cutouts, which are pictures of our own.
"""

import json
import os
import resource
import sys
from typing import BinaryIO, Final

from astrolens.contracts.morphology import Morphology, not_measured
from astrolens.inference.morphology_protocol import LENGTH, LENGTHS
from astrolens.platform.runtime.cpu_limit import extend_cpu_limit
from astrolens.science.cutouts import decode_cutout
from astrolens.science.morphology import load_libraries, measure_morphology

_LOWEST_PRIORITY: Final = 19


def serve(requests: BinaryIO, replies: BinaryIO, *, cpu_s: int) -> None:
    """Answer request by request until the input ends.

    Args:
        requests: Cutouts.
        replies: One each, in the same order.
        cpu_s: Seconds of processor time for one picture; the kernel ends the process where it takes more.
    """
    while len(lengths := requests.read(LENGTHS.size)) == LENGTHS.size:
        head, body = LENGTHS.unpack(lengths)
        options = json.loads(requests.read(head))
        jpeg = requests.read(body)
        extend_cpu_limit(cpu_s)
        answer = _answer(jpeg, options["without_statmorph"]).model_dump_json().encode()
        replies.write(LENGTH.pack(len(answer)) + answer)
        replies.flush()


def _answer(jpeg: bytes, without_statmorph: str | None) -> Morphology:
    try:
        return measure_morphology(decode_cutout(jpeg), without_statmorph=without_statmorph)
    except Exception as error:  # noqa: BLE001 - whatever a picture does to the libraries, its record says so
        return not_measured(f"the measurement failed: {type(error).__name__}: {error}")


def main() -> None:
    """Run as `python -m astrolens.inference.morphology_child OPTIONS`, options as JSON."""
    options = json.loads(sys.argv[1])
    os.nice(_LOWEST_PRIORITY)
    memory = int(options["address_space"])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    load_libraries()
    replies = sys.stdout.buffer
    # What a library prints must not come between the replies.
    sys.stdout = sys.stderr
    replies.write(LENGTH.pack(0))
    replies.flush()
    serve(sys.stdin.buffer, replies, cpu_s=int(options["cpu_s"]))


if __name__ == "__main__":
    main()
