"""The frames between the decoding sandbox and its children: two lengths, a JSON header, bytes. Never pickle.

Both sides import this module, so it imports little: the time in which a child comes up counts.
"""

import json
import struct
from dataclasses import asdict
from typing import Any

from astrolens.science.cutouts import Cutout

LENGTHS = struct.Struct(">II")
"""Bytes of the header and of the body, in front of each frame."""

MAX_HEADER = 64 * 2**10
"""Of a reply: what the header of a file states has bounds of its own (`science.facts`), far below this."""

MAX_BODY = 4 * 2**20
"""Of a reply. A cutout of 256 x 256 pixels at full noise is 0.2 MB."""

MAX_DETAIL = 500
"""Characters of the sentence in a rejection."""


def frame(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One frame."""
    head = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((LENGTHS.pack(len(head), len(body)), head, body))


def cutout_reply(cutout: Cutout) -> bytes:
    """The frame of a cutout."""
    header = asdict(cutout)
    body = header.pop("jpeg")
    return frame({"cutout": header}, body)


def rejection_reply(code: str, detail: str, *, retire: bool = False) -> bytes:
    """The frame of a rejection; `retire` asks for a fresh child."""
    return frame({"rejected": {"code": code, "detail": detail[:MAX_DETAIL]}, "retire": retire})
