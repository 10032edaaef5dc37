"""Read the picture of a FITS file and what its header says of it, its size checked before its data are touched.

Importing this module imports astropy (a second of processor time): `decoding` does so when the first FITS file comes.
"""

import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astrolens.science.facts import MAX_IMAGES, MAX_NOTE, MAX_NOTES, MAX_TEXT, FileFacts
from astrolens.science.fits_header import Buffer, Cards, Hdu, check_size, hdus, is_too_small
from astrolens.science.fits_planes import Planes, planes_of
from astrolens.science.fits_time import exposure_start, unread_times
from astrolens.science.fits_wcs import NoPlacement, placement
from astrolens.science.measuring import StoredPlanes
from astrolens.science.orientation import Orientation, as_stored, north_up
from astrolens.science.rejection import DecodeLimits, ImageRejected
from astrolens.science.world_cards import celestial_axes

_DTYPES = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}

_POINTINGS = (
    ("OBJCTRA", "OBJCTDEC"),
    ("RA", "DEC"),
    ("RA_TARG", "DEC_TARG"),
    ("TELRA", "TELDEC"),
    ("RA_PNT", "DEC_PNT"),
)
_SCIENCE = re.compile(r"(?:SCI|SCIENCE|COADD)(?:,\d+)?$")
_PURPOSES = (
    (
        "mask",
        r"DQ|MASK|BPM|BADPIX|FLAGS?|QUALITY|GOODPIX|CTX|CONTEXT|SEG|SEGM|SEGMENTATION|SEGMAP|OBJMASK|ALLMASK\w*|MASKBITS",
    ),
    ("weights", r"WHT|WGT|WEIGHTS?|IVAR|INVVAR|EXP|EXPMAP|EXPOSURE|COV|COVERAGE|NEXP|NSAMP|SAMP|TIME|AREA|CON|RC"),
    ("noise", r"ERR|ERRORS?|UNCERT|SIGMA|RMS|STD|STDDEV|NOISE|VAR|VARIANCE|VAR_\w+"),
    ("model", r"PSF|PSF\w*|BKG|BACKGROUND|SKY|MODEL|BIAS|DARK|FLAT|ZERODEXP"),
    ("thumbnail", r"THUMB|THUMBNAIL|PREVIEW|ICON|QUICKLOOK"),
    ("distortion", r"WCSDVARR|D2IMARR|DISTORTION|WCSCORR"),
)
_PURPOSE = tuple((purpose, re.compile(rf"(?:\w+_)?(?:{names})(?:,\d+)?$")) for purpose, names in _PURPOSES)


@dataclass(frozen=True, slots=True)
class FitsImage:
    """The picture of a FITS file.

    Attributes:
        planes: All that make the picture, oriented; where `candidates` has several, one of them is to be chosen.
        candidates: Numbers of planes in `planes`, of which the first that shows an object is the picture; empty where
            all of them make it, red first.
        orientation: How `planes` was oriented.
        width: Of the image in the file.
        height: Of the image in the file.
        facts: What the header says.
        index: Position of the picture in the file, from 0.
        is_last: Whether the file has no further picture.
    """

    planes: StoredPlanes
    candidates: tuple[int, ...]
    orientation: Orientation
    width: int
    height: int
    facts: FileFacts
    index: int = 0
    is_last: bool = True


def read_fits(
    data: Buffer, limits: DecodeLimits, *, file_bytes: int, passed_over: Mapping[int, str] = MappingProxyType({})
) -> FitsImage:
    """Read the picture of a FITS file.

    Args:
        data: The file, gunzipped.
        limits: Bounds on its size.
        file_bytes: Size of the file as received, bytes.
        passed_over: Why pictures that were read before are not taken, by their position in the file.

    Raises:
        ImageRejected: `empty` without any picture, `too-large`, `bomb`, `too-small`, `truncated`, `unreadable`.
    """
    with _astropy_errors_as_rejections():
        choice = _chosen(data, limits, passed_over)
        hdu, primary, listed, notes = choice.hdu, choice.primary, choice.listed, [*choice.notes]
        shape = hdu.shape()
        check_size(shape, limits, file_bytes=file_bytes)
        headers = [hdu.cards] if hdu.index == 0 else [hdu.cards, primary]
        sky_axes, plane_axes = _axes(hdu.cards, shape, limits.min_side)
        check_size([shape[len(shape) - axis] for axis in reversed(sky_axes)], limits, file_bytes=file_bytes)
        lengths = [shape[len(shape) - axis] for axis in plane_axes]
        planes = planes_of(headers, lengths, plane_axes)
        cube = _compressed_data(data, hdu, limits, file_bytes) if hdu.is_compressed else _plain_data(data, hdu)
        # Planes first, the fastest of their axes last but one; then rows and columns.
        order = [len(shape) - axis for axis in (*reversed(plane_axes), sky_axes[1], sky_axes[0])]
        rest = [place for place in range(len(shape)) if place not in order]
        cube = cube.transpose(*rest, *order)
        height, width = cube.shape[-2:]
        cube = cube.reshape(-1, height, width) if cube.ndim != 3 else cube
        holds = hdu.index > 0 and _primary_coordinates_hold(hdu, primary, is_alone=choice.pictures == 1)
        facts, orientation = _facts(headers, shape, planes, [*notes, *planes.notes], headers if holds else headers[:1])
        scale, zero, blank, scaling_notes = _scaling(hdu)
        chosen = planes.candidates or planes.shown
        stored = StoredPlanes(
            orientation.applied(_selected(cube, chosen)),
            tuple(planes.names[number] for number in chosen),
            scale,
            zero,
            blank,
        )
    several = len(listed) > 1
    facts = replace(
        facts,
        image=hdu.name[:MAX_TEXT] if several else None,
        images=tuple(listed) if several else (),
        notes=_bounded([*facts.notes, *scaling_notes]),
    )
    candidates = tuple(range(len(chosen))) if planes.candidates else ()
    return FitsImage(stored, candidates, orientation, width, height, facts, index=hdu.index, is_last=not choice.others)


def _selected(cube: NDArray[np.generic], numbers: Sequence[int]) -> NDArray[np.generic]:
    """Planes of a cube; a view where they follow each other at equal distances, as nearly always."""
    steps = {following - number for number, following in pairwise(numbers)}
    if len(steps) > 1:
        return cube[list(numbers)]
    step = steps.pop() if steps else 1
    end = numbers[-1] + (1 if step > 0 else -1)
    return cube[numbers[0] : end if end >= 0 else None : step]


def _primary_coordinates_hold(hdu: Hdu, primary: Cards, *, is_alone: bool) -> bool:
    """Whether world coordinates of the primary header are those of the picture in an extension.

    Where the extension says so, or where it is the only picture of a file whose primary array is empty: of a mosaic of
    detectors they are nobody's.
    """
    inherits = hdu.cards.value("INHERIT")
    return inherits is True or (inherits is not False and is_alone and primary.number("NAXIS") == 0)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The image that is the picture.

    Attributes:
        hdu: The image.
        primary: The first header of the file.
        listed: All images.
        notes: What was assumed.
        pictures: Number of images that are pictures, those that show nothing left out.
        others: Number of those that come into question besides.
    """

    hdu: Hdu
    primary: Cards
    listed: list[str]
    notes: list[str]
    pictures: int
    others: int


def _chosen(data: Buffer, limits: DecodeLimits, passed_over: Mapping[int, str]) -> _Choice:
    """Choose the picture: the first called SCI, else the first that is none of what goes beside a picture.

    Raises:
        ImageRejected: `empty` where there is none.
    """
    images: list[tuple[Hdu, str]] = []
    tables: list[str] = []
    notes: list[str] = []
    primary: Cards | None = None
    try:
        for hdu in hdus(data):
            primary = hdu.cards if primary is None else primary
            if hdu.is_image:
                images.append((hdu, _purpose(hdu)))
            elif hdu.index:
                tables.append(hdu.name)
    except ImageRejected as rejected:
        # What follows a sound image does not spoil it.
        if not any(not purpose for _, purpose in images):
            raise
        notes.append(f"Behind {images[-1][0].name} the file is damaged: {rejected.detail}")
    pictures = [hdu for hdu, purpose in images if not purpose]
    if not pictures or primary is None:
        raise _no_picture(images, tables)
    unusable = {hdu.index: "too small" for hdu in pictures if is_too_small(hdu.shape(), limits)}
    if len(unusable) == len(pictures):
        # The refusal names its size.
        unusable = {}
    unusable |= passed_over
    usable = [hdu for hdu in pictures if hdu.index not in unusable]
    chosen = next((hdu for hdu in usable if _SCIENCE.match(hdu.name)), usable[0])
    notes += [f"{hdu.name} is passed over: {unusable[hdu.index]}." for hdu in pictures if hdu.index in unusable][:4]
    listed = []
    for hdu, purpose in images[:MAX_IMAGES]:
        remark = purpose or unusable.get(hdu.index, "")
        size = " x ".join(map(str, reversed(hdu.shape())))
        listed.append(f"{hdu.name}: {size}{f' ({remark})' if remark else ''}"[:MAX_TEXT])
    return _Choice(chosen, primary, listed, notes, len(pictures) - len(unusable), len(usable) - 1)


def _no_picture(images: Sequence[tuple[Hdu, str]], tables: Sequence[str]) -> ImageRejected:
    if images:
        found = ", ".join(f"{hdu.name} ({purpose})" for hdu, purpose in images[:5])
        return ImageRejected("empty", f"The FITS file holds no picture, only {found}; name the picture SCI.")
    if tables:
        found = f"{len(tables)} tables ({', '.join(tables[:5])})" if len(tables) > 1 else f"a table ({tables[0]})"
        return ImageRejected("empty", f"The FITS file holds {found} and no image with data of two axes or more.")
    return ImageRejected("empty", "The FITS file holds no image: it has no data of two axes or more.")


def _purpose(hdu: Hdu) -> str:
    """What an image that is no picture is for, by its EXTNAME; empty for a picture."""
    name = hdu.name
    return next((purpose for purpose, pattern in _PURPOSE if pattern.match(name)), "")


def _axes(cards: Cards, shape: Sequence[int], min_side: int) -> tuple[tuple[int, int], list[int]]:
    """Numbers of the axes (from 1) of columns and rows, and of the axes with more than one plane.

    Where the header does not say which they are, a first axis that is too short for a picture has its planes: arrays of
    [rows, columns, colours] are written so.
    """
    longer = [axis for axis in range(1, len(shape) + 1) if shape[len(shape) - axis] > 1]
    sky = celestial_axes(cards)
    if sky is None or not all(axis in longer for axis in sky):
        long = [axis for axis in longer if shape[len(shape) - axis] >= min_side]
        long = long if len(long) >= 2 else longer
        sky = (long[0], long[1]) if len(long) >= 2 else (1, 2)
    return sky, [axis for axis in longer if axis not in sky]


def _facts(
    headers: Sequence[Cards],
    shape: tuple[int, ...],
    planes: Planes,
    notes: list[str],
    with_coordinates: Sequence[Cards],
) -> tuple[FileFacts, Orientation]:
    """What the header says, and the orientation that follows from it."""
    cards = headers[0]
    place = None
    why = "its header has no world coordinates"
    try:
        place = placement(with_coordinates, shape, file_header=headers[-1])
        notes += place.notes
    except NoPlacement as error:
        if error.why is not None:
            notes.append(error.why)
            why = "its world coordinates cannot be used"
    pointing = _pointing(headers) if place is None else {}
    if pointing:
        notes.append("Where the telescope pointed is kept as metadata; it is not taken for the centre of the picture.")
    time = exposure_start(headers)
    notes += unread_times(headers) if time is None else time[2]
    if "BAYERPAT" in cards and len(planes.names) == 1:
        notes.append(f"It is the mosaic of a colour camera ({cards.text('BAYERPAT')[:8]}), which is shown in grey.")
    if place is None:
        rows = next((text for header in headers if (text := header.text("ROWORDER"))), "").upper()
        orientation = as_stored(why, top_down=rows == "TOP-DOWN")
        if rows not in {"", "TOP-DOWN", "BOTTOM-UP"}:
            notes.append(f"ROWORDER is {rows[:20]!r}; TOP-DOWN and BOTTOM-UP are read.")
    else:
        orientation = north_up(place.north_angle_deg, mirrored=place.mirrored)
    facts = FileFacts(
        ra_deg=None if place is None else place.ra_deg,
        dec_deg=None if place is None else place.dec_deg,
        frame=None if place is None else place.frame,
        pixel_scale_arcsec=None if place is None else place.pixel_scale_arcsec,
        north_angle_deg=None if place is None else place.north_angle_deg,
        mirrored=None if place is None else place.mirrored,
        name=next((name[:MAX_TEXT] for header in headers if (name := header.text("OBJECT"))), None),
        bands=tuple(band[:40] for band in planes.bands[:32]),
        observed_at=None if time is None else time[0].isoformat(timespec="microseconds"),
        time_source=None if time is None else time[1][:MAX_TEXT],
        axis_3=planes.axis_3,
        planes=tuple(planes.names[number] for number in planes.shown) if planes.axis_3 else (),
        extra=pointing,
        notes=_bounded(notes),
    )
    return facts, orientation


def _pointing(headers: Sequence[Cards]) -> dict[str, str]:
    """Where the telescope pointed, as the header writes it: often some arcminutes from the centre of the picture."""
    for cards in headers:
        for keywords in _POINTINGS:
            values = [cards.value(keyword) for keyword in keywords]
            if all(value is not None and str(value).strip() for value in values):
                names = ("pointing_ra", "pointing_dec")
                return {name: str(value).strip()[:MAX_TEXT] for name, value in zip(names, values, strict=True)}
    return {}


def _bounded(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(note[:MAX_NOTE] for note in notes[:MAX_NOTES])


@contextmanager
def _astropy_errors_as_rejections() -> Iterator[None]:
    """Turn what astropy raises into `unreadable`.

    Its warnings are ignored: archives publish many files whose headers bend the standard. A file that is too short,
    of which astropy only warns, is refused here by its length.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ImageRejected, MemoryError):
        raise
    except (AttributeError, IndexError, KeyError, TypeError):
        raise ImageRejected("unreadable", "The FITS file is damaged: its structure makes no sense.") from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes astropy raise errors of any class
        detail = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ImageRejected("unreadable", f"The FITS file is damaged: {detail}.") from None


def _plain_data(data: Buffer, hdu: Hdu) -> NDArray[np.generic]:
    """View the pixels in place.

    This is not left to astropy: it copies an in-memory file twice (measured: +120 MiB for one of 60 MiB), so that an
    image of `max_pixels` 64-bit values would exceed the sandbox's address space; and it takes 0.2 ms more a cutout.
    """
    hdu.check_length(data)
    shape = hdu.shape()
    stored = np.dtype(_DTYPES[hdu.integer("BITPIX")])
    raw: NDArray[np.generic] = np.frombuffer(data, stored, math.prod(shape), hdu.data_start).reshape(shape)
    return raw


def _scaling(hdu: Hdu) -> tuple[float, float, float | None, list[str]]:
    """BSCALE, BZERO and BLANK of an image, and notes on what is ignored of them."""
    if hdu.is_compressed:
        # astropy has applied them.
        return 1.0, 0.0, None, []
    cards, notes = hdu.cards, []
    scale, zero, blank = cards.number("BSCALE"), cards.number("BZERO"), cards.number("BLANK")
    if scale == 0.0 or ("BSCALE" in cards and scale is None):
        notes.append("BSCALE is 0 or no number, and is ignored.")
        scale = None
    if "BZERO" in cards and zero is None:
        notes.append("BZERO is no number, and is ignored.")
    # The standard wants an integer; many writers give a real without a fraction, or text.
    if "BLANK" in cards and (blank is None or (blank != blank // 1 and hdu.integer("BITPIX") > 0)):
        notes.append("BLANK is no whole number, and is ignored.")
        blank = None
    return scale or 1.0, zero or 0.0, blank, notes


def _compressed_data(data: Buffer, hdu: Hdu, limits: DecodeLimits, file_bytes: int) -> NDArray[np.generic]:
    """Decompress a tile-compressed image; its values are the physical ones, NaN where it is blank."""
    hdu.check_length(data)
    # The decompressor allocates whole tiles, and the tile of a small image may claim to be huge.
    axes = hdu.integer("ZNAXIS")
    tile = math.prod(hdu.integer(f"ZTILE{axis}", 1) for axis in range(2, axes + 1)) * hdu.integer("ZTILE1", 1)
    if not 0 <= tile <= limits.max_pixels:
        raise ImageRejected("bomb", f"{file_bytes} bytes promise a compressed tile of {tile} pixels.")
    with fits.open(io.BytesIO(data), memmap=False, lazy_load_hdus=True) as file:
        return np.asarray(file[hdu.index].data)
