"""Deterministic ids: doing a thing twice gives the same id, so it is done once."""

import hashlib

_HEX_DIGITS = 32
"""128 bits: no collision to fear below 10^15 images, and half the width of the digest in logs and URLs."""


def content_digest(data: bytes) -> str:
    """SHA-256 of the original bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def image_id(sha256: str) -> str:
    """The id of an image, from the digest of its original bytes."""
    return sha256[:_HEX_DIGITS]


def derived_id(kind: str, *parts: str) -> str:
    """An id that is a pure function of what it names.

    Args:
        kind: What the id names, such as `receipt` or `images.analyzed`.
        parts: What makes it unique, in a fixed order.
    """
    digest = hashlib.sha256("\x1f".join((kind, *parts)).encode()).hexdigest()
    return digest[:_HEX_DIGITS]


def receipt_id(source: str, batch: str, ref: str) -> str:
    """The id of one arrival: the same file offered twice in one batch arrives once."""
    return derived_id("receipt", source, batch, ref)


def event_id(kind: str, *parts: str) -> str:
    """The id of an event, from its kind and what it is about (image, model, ...)."""
    return derived_id(kind, *parts)


def alert_id(image: str) -> str:
    """The id of the alert about an image; updates and retractions carry the same id."""
    return derived_id("alert", image)
