"""The stamps of an alert packet (science, template, difference) as one image of three planes.

Importing this module imports astropy.
"""

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrolens.science.content_checks import check_measurements
from astrolens.science.decoding import Decoded
from astrolens.science.decoding_fits import FitsImage, read_fits
from astrolens.science.facts import MAX_NOTES, FileFacts, PixelFacts
from astrolens.science.file_kinds import FITS_MAGIC, other_kind
from astrolens.science.gunzip import gunzip
from astrolens.science.measuring import StoredPlanes, measure
from astrolens.science.orientation import Orientation, as_stored
from astrolens.science.rejection import DecodeLimits, ImageRejected
from astrolens.science.stretch import asinh_rgb

_GZIP = b"\x1f\x8b"
_JPEG = b"\xff\xd8\xff"

_CHANNELS = {"science": 0, "template": 1, "difference": 2}
"""Red, green, blue: the same whatever is missing."""
_COLOURS = ("red", "green", "blue")

_NORTH_FIRST = Orientation(
    flipped=False, mirrored=False, quarter_turns=0, north_angle_deg=0.0, words="north up, east left: stamps begin there"
)


def decode_stamps(
    stamps: Sequence[tuple[str, bytes]],
    limits: DecodeLimits,
    *,
    file: FileFacts,
    media_type: str,
    north_is_first: bool = False,
) -> Decoded:
    """Decode stamps of one object, each stretched by itself: science red, template green, difference blue.

    Their depths differ: one curve for all would show the deepest alone. What is new is purple, what has faded is
    green, what stays is yellow.

    A stamp that cannot be read, or has another size than the first, is left out with a note. The survey has found
    something there, so that a faint object is not refused; its significance is recorded.

    Args:
        stamps: `science`, `template` or `difference`, and the content of a FITS file, gzipped or not; the first packets
            of ZTF have JPEG.
        limits: Bounds on each.
        file: What the packet states; it wins over the headers of the stamps.
        media_type: Of the packet.
        north_is_first: Whether stamps without a WCS begin with their northern row and their eastern column.

    Raises:
        ImageRejected: That of the first stamp where none can be read; `no-coverage` where none has values.
    """
    images: list[tuple[str, FitsImage]] = []
    notes = list(file.notes)
    first_refusal: ImageRejected | None = None
    for name, data in stamps[:3]:
        try:
            image = _read(data, limits)
        except ImageRejected as rejected:
            first_refusal = first_refusal or rejected
            notes.append(f"Its {name} stamp is left out: {rejected.detail}")
            continue
        if images and image.planes.values.shape != images[0][1].planes.values.shape:
            notes.append(f"Its {name} stamp is left out: its size is not that of the {images[0][0]} stamp.")
            continue
        images.append((name, image))
    if not images:
        raise first_refusal or ImageRejected("empty", "The packet holds no stamps.")
    names = tuple(name for name, _ in images)
    planes = StoredPlanes(np.stack([_physical(image.planes) for _, image in images]), names)
    picture, quality = _picture(planes, limits)
    first = images[0][1]
    orientation = first.orientation
    if north_is_first and orientation.flipped and orientation.north_angle_deg is None:
        orientation = _NORTH_FIRST
        picture = picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    facts = replace(
        _completed(file, first.facts),
        axis_3="stamps",
        planes=names,
        notes=tuple(note[:240] for note in notes[:MAX_NOTES]),
    )
    return Decoded(
        picture,
        first.width,
        first.height,
        f"asinh of each stamp: {', '.join(f'{name} {_COLOURS[_CHANNELS[name]]}' for name in names)}",
        media_type,
        orientation.words,
        orientation.north_angle_deg,
        orientation.turned,
        facts,
        quality,
    )


def _picture(planes: StoredPlanes, limits: DecodeLimits) -> tuple[Image.Image, PixelFacts]:
    measured = measure(planes, 2 * limits.cutout_side)
    significance = check_measurements(measured, must_show_object=False)
    picture = np.zeros((*measured.bands.shape[1:], 3), dtype=np.uint8)
    for name, band, sky in zip(planes.names, measured.bands, measured.skies, strict=True):
        if sky is not None:
            picture[..., _CHANNELS[name]] = asinh_rgb(band[None])[0][..., 0]
    return Image.fromarray(picture), replace(measured.facts, significance=round(significance, 3))


def _read(data: bytes, limits: DecodeLimits) -> FitsImage:
    content: bytes | bytearray = data
    if data.startswith(_GZIP):
        content = gunzip(data, limits.max_inflated_bytes)
    if content.startswith(_JPEG):
        return _jpeg(data, limits)
    if not content.startswith(FITS_MAGIC):
        raise ImageRejected("not-an-image", f"It is {other_kind(bytes(content[:600]))}; stamps are FITS.")
    return read_fits(content, limits, file_bytes=len(data))


def _jpeg(data: bytes, limits: DecodeLimits) -> FitsImage:
    """A stamp of ZTF's first packets (schemas before 3): 8 bits, stretched already."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            limits.check_pixels(*picture.size, file_bytes=len(data))
            values = np.asarray(picture.convert("L"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageRejected("unreadable", f"The JPEG data are damaged: {str(error)[:120]}.") from None
    orientation = as_stored("a JPEG stamp says nothing of it", top_down=True)
    height, width = values.shape
    return FitsImage(StoredPlanes(values[None], ("stamp",)), (), orientation, width, height, FileFacts())


def _physical(planes: StoredPlanes) -> NDArray[np.float64]:
    """The first plane in the unit of its header, [H, W], NaN where blank."""
    stored = planes.values[0]
    values = stored.astype(np.float64)
    if planes.blank is not None:
        values[stored == planes.blank] = np.nan
    physical: NDArray[np.float64] = values * planes.scale + planes.zero
    return physical


def _completed(file: FileFacts, header: FileFacts) -> FileFacts:
    """What the packet states, and of the rest what the header of a stamp does."""
    missing = {
        name: getattr(header, name)
        for name in ("pixel_scale_arcsec", "north_angle_deg", "mirrored", "bands", "observed_at", "time_source")
        if getattr(file, name) in (None, ())
    }
    if file.observed_at is not None:
        missing.pop("time_source", None)
    if file.ra_deg is None:
        missing |= {"ra_deg": header.ra_deg, "dec_deg": header.dec_deg, "frame": header.frame}
    return replace(file, **missing)
