"""The frames between the decoding sandbox and its children: two lengths, a JSON header, bytes. Never pickle.

A child has decoded untrusted bytes, so the parent trusts no reply: lengths are capped and every value is checked.
"""

import json
import re
import struct
from dataclasses import asdict
from typing import Any

from astrolens.science.cutouts import Cutout
from astrolens.science.rejection import ImageRejected

LENGTHS = struct.Struct(">II")
"""Bytes of the header and of the body, in front of each frame."""

MAX_HEADER = 4096
MAX_BODY = 4 * 2**20
"""Of a reply. A cutout of 256 x 256 pixels at full noise is 0.2 MB."""

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_PHASH = re.compile(r"[0-9a-f]{16}")
_MEDIA_TYPES = frozenset({"image/jpeg", "image/png", "image/tiff", "image/fits"})


class MalformedReply(Exception):
    """A reply that no working child sends."""


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
    return frame({"rejected": {"code": code, "detail": detail[:500]}, "retire": retire})


def parse_reply(head: bytes, body: bytes, *, side: int) -> tuple[Cutout | ImageRejected, bool]:
    """The reply of a child, and whether it asks to be replaced.

    Args:
        head: JSON.
        body: The JPEG, empty in a refusal.
        side: The longest side that a cutout may have.

    Raises:
        MalformedReply: Where anything of it is out of its bounds.
    """
    try:
        header = json.loads(head)
        if "rejected" in header:
            code, detail = header["rejected"]["code"], header["rejected"]["detail"]
            if not (isinstance(detail, str) and _SLUG.fullmatch(code)):
                raise MalformedReply("a refusal without code and sentence")
            return ImageRejected(code, detail), header.get("retire") is True
        return _cutout(header["cutout"], body, side), False
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedReply(f"a reply that cannot be read: {error!r}") from error


def _cutout(fields: dict[str, Any], jpeg: bytes, side: int) -> Cutout:
    cutout = Cutout(jpeg=jpeg, **fields)
    is_valid = (
        0 < int(cutout.width) <= side
        and 0 < int(cutout.height) <= side
        and 0.0 < float(cutout.scale) <= 1.0
        and int(cutout.original_width) >= cutout.width
        and int(cutout.original_height) >= cutout.height
        and cutout.media_type in _MEDIA_TYPES
        and _PHASH.fullmatch(cutout.phash)
        and isinstance(cutout.stretch, str)
        and len(cutout.stretch) <= 200
        and jpeg.startswith(b"\xff\xd8\xff")
        and jpeg.endswith(b"\xff\xd9")
    )
    if not is_valid:
        raise MalformedReply("a cutout with impossible properties")
    return cutout
