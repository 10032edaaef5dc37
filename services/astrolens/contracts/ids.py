"""Deterministic ids: repeating an operation gives the same id, which makes it idempotent."""

import hashlib

_HEX_DIGITS = 32
"""128 bits: the probability of a collision among 10^15 images is below 10^-8, at half the length of the digest."""


def content_digest(data: bytes) -> str:
    """SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def image_id(sha256: str) -> str:
    """The id of an image, from the SHA-256 of its original file."""
    return sha256[:_HEX_DIGITS]


def derived_id(kind: str, *parts: str) -> str:
    """The id of an object of a kind, as a hash of its identifying values.

    Args:
        kind: Such as `receipt` or `images.analyzed`.
        parts: Values that identify the object within its kind, in a fixed order.
    """
    digest = hashlib.sha256("\x1f".join((kind, *parts)).encode()).hexdigest()
    return digest[:_HEX_DIGITS]


def receipt_id(source: str, batch: str, ref: str) -> str:
    """The id of one arrival; the same file twice in one batch is one arrival."""
    return derived_id("receipt", source, batch, ref)


def event_id(kind: str, *parts: str) -> str:
    """The id of an event, from its topic and the ids of its subject (image, model, ...)."""
    return derived_id(kind, *parts)


def alert_id(image: str) -> str:
    """The id of the alert for an image; its updates and retractions have the same one."""
    return derived_id("alert", image)


def object_id(image: str) -> str:
    """The id of an object of the sky, from the first of its images."""
    return derived_id("object", image)
