"""The ingestor believes no child: every value of a reply is validated, and whatever goes wrong is a malformed reply."""

import json
from dataclasses import asdict

import pytest
from astrolens.ingestor.sandbox_protocol import (
    LENGTHS,
    MAX_BODY,
    MAX_HEADER,
    cutout_reply,
    frame,
    rejection_reply,
)
from astrolens.ingestor.sandbox_replies import MalformedReply, parse_reply
from astrolens.science.cutouts import DecodeLimits, ImageRejected, make_cutout

from tests.made_images import encoded, rgb

JPEG = encoded(rgb(300), "JPEG")
LIMITS = DecodeLimits()


def body_of(reply: bytes) -> tuple[bytes, bytes]:
    head, body = LENGTHS.unpack(reply[: LENGTHS.size])
    rest = reply[LENGTHS.size :]
    assert len(rest) == head + body
    return rest[:head], rest[head:]


def declared_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The same JPEG with another size in its frame header."""
    marker = jpeg.index(b"\xff\xc0")
    return jpeg[: marker + 5] + height.to_bytes(2) + width.to_bytes(2) + jpeg[marker + 9 :]


@pytest.mark.parametrize("side", [(300, 300), (40, 300), (301, 299), (200, 200)], ids=str)
def test_replies_survive_the_wire(side: tuple[int, int]) -> None:
    cutout = make_cutout(encoded(rgb(300)[: side[0], : side[1]], "PNG"))
    head, body = body_of(cutout_reply(cutout))
    assert parse_reply(head, body, limits=LIMITS) == (cutout, False)


def test_a_rejection_survives_the_wire() -> None:
    answer, retire = parse_reply(*body_of(rejection_reply("bomb", "Too much.", retire=True)), limits=LIMITS)
    assert isinstance(answer, ImageRejected)
    assert (answer.code, answer.detail, retire) == ("bomb", "Too much.", True)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 4000},
        {"width": -1},
        {"width": 0},
        {"width": "many"},
        {"width": "256"},
        {"width": 256.0},
        {"width": 10.5},
        {"width": True},
        {"width": None},
        {"width": float("inf")},
        {"width": float("nan")},
        {"width": 10**400},
        {"original_width": float("inf")},
        {"original_width": 10},
        {"original_height": 2**30},
        {"scale": 7.0},
        {"scale": 0.5},
        {"scale": float("inf")},
        {"scale": float("nan")},
        {"scale": "1"},
        {"phash": "../../etc"},
        {"phash": "0123456789abcdef\n"},
        {"media_type": "text/html"},
        {"stretch": "x" * 201},
        {"stretch": None},
        {"surprise": 1},
        {"turned": 1},
        {"turned": True, "original_width": 150},
        {"north_angle_deg": 200.0},
        {"orientation": "x" * 201},
        {"file": None},
        {"file": {"ra_deg": 360.0}},
        {"file": {"ra_deg": "10"}},
        {"file": {"ra_deg": float("nan")}},
        {"file": {"notes": ["x" * 241]}},
        {"file": {"surprise": 1}},
        {"file": {"observed_at": "yesterday"}},
        {"quality": {"masked_share": 1.5}},
        {"quality": {"coverage": {"g": float("inf")}}},
        {"jpeg": b"GIF89a"},
        {"jpeg": b""},
        {"jpeg": b"\xff\xd8\xff\xd9"},
        {"jpeg": b"\xff\xd8\xff\xe0\x00\x00" + b"\xff" * 50 + b"\xff\xd9"},
    ],
    ids=str,
)
def test_no_impossible_cutout_is_believed(change: dict[str, object]) -> None:
    """An infinite width was an OverflowError and ended the task that read the reply; 10.5 was believed."""
    fields = {**asdict(make_cutout(JPEG)), **change}
    body = fields.pop("jpeg")
    with pytest.raises(MalformedReply):
        parse_reply(*body_of(frame({"cutout": fields}, body)), limits=LIMITS)


def test_no_jpeg_of_another_size_is_believed() -> None:
    """Model server and console would decode 4 billion pixels."""
    fields = asdict(make_cutout(JPEG))
    body = declared_size(fields.pop("jpeg"), 65_535, 65_535)
    with pytest.raises(MalformedReply, match="impossible"):
        parse_reply(*body_of(frame({"cutout": fields}, body)), limits=LIMITS)


REJECTED = {"code": "truncated", "detail": "It ends early."}


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        b"[" * 4000,
        b'{"cutout":' * 300,
        json.dumps({"rejected": {"code": "A B", "detail": "x"}}).encode(),
        json.dumps({"rejected": {"code": "x\n", "detail": "x"}}).encode(),
        json.dumps({"rejected": {"code": "x", "detail": 7}}).encode(),
        json.dumps({"rejected": {"code": "x", "detail": "x" * 501}}).encode(),
        json.dumps({"rejected": {"code": "x"}}).encode(),
        json.dumps({"rejected": REJECTED, "retire": 1}).encode(),
        json.dumps({"rejected": REJECTED, "surprise": 1}).encode(),
        json.dumps({"rejected": REJECTED}).encode() + b" " * MAX_HEADER,
    ],
    ids=lambda head: str(head[:40]),
)
def test_no_nonsense_is_believed(head: bytes) -> None:
    """4,000 brackets were a RecursionError and ended the task that read the reply."""
    with pytest.raises(MalformedReply):
        parse_reply(head, b"", limits=LIMITS)


def test_a_rejection_has_no_body_and_a_body_has_a_limit() -> None:
    head, _ = body_of(rejection_reply("bomb", "Too much."))
    with pytest.raises(MalformedReply):
        parse_reply(head, b"x", limits=LIMITS)
    with pytest.raises(MalformedReply):
        parse_reply(head, bytes(MAX_BODY + 1), limits=LIMITS)


def test_a_reply_is_not_both() -> None:
    fields = asdict(make_cutout(JPEG))
    body = fields.pop("jpeg")
    with pytest.raises(MalformedReply):
        parse_reply(*body_of(frame({"cutout": fields, "rejected": REJECTED}, body)), limits=LIMITS)
