"""What the file of an image and later arrivals state, and the other images of its object, as HTML for its page."""

from collections.abc import Iterator
from datetime import datetime
from html import escape
from typing import Any, Final

from astrolens.console.format import absolute, figure
from astrolens.console.pages.image_panels import Facts, facts, muted, thumbnails, time_of
from astrolens.console.pages.page import address
from astrolens.contracts.image_files import FileHeader, PixelQuality
from astrolens.contracts.records import CutoutInfo, LaterArrival, Observation, Position
from astrolens.contracts.sky import separation_arcsec
from astrolens.usecases.plurals import plural
from astrolens.usecases.sky_objects import SkyObjectView
from astrolens.usecases.sky_positions import degrees_text
from astrolens.usecases.views import ImageDetail

OBJECT_SIGNIFICANCE: Final = 6.2
"""What an object has; see `PixelQuality.significance`."""

SHOWN_IMAGES: Final = 12
"""Other images of an object that are shown as pictures."""

_ORIGINS: Final = {
    "given": "given by a person or source",
    "header": "from the file’s header",
    "file": "the file’s own name",
}
_SAME_ARCSEC: Final = 0.1
_SAME_SHARE: Final = 0.001
_SAME_S: Final = 1.0
"""Smaller differences between a header's and a given position, scale and time are those of rounding."""

_MIN_SHOWN_PERCENT: Final = 0.1

_PLANES: Final = {
    "bands": "bands",
    "assumed-bands": "taken for bands, since the header does not say",
    "stokes": "Stokes parameters",
    "spectral": "a spectrum",
    "time": "times",
    "groups": "groups of a detector's reading",
    "unknown": "of unknown meaning",
    "stamps": "science, template and difference",
}


def stated_by_file(detail: ImageDetail, *, north_up: bool) -> str:
    """Where the values of an image came from, how its picture is turned, what was measured, and who told more later.

    Args:
        detail: The image.
        north_up: Whether its survey's own service turns its pictures north up, east left.
    """
    record = detail.model_extra or {}
    held = Observation.model_validate(record["observation"])
    header = FileHeader.model_validate(record["header"]) if record.get("header") else None
    rows = list(_origins(held, record.get("origins") or {}, header or FileHeader()))
    rows += _orientation(CutoutInfo.model_validate(record["cutout"]), north_up=north_up)
    if header is not None:
        rows += _contents(header)
    if record.get("quality"):
        rows += _quality(PixelQuality.model_validate(record["quality"]))
    rows += [_later(LaterArrival.model_validate(each), held) for each in record.get("later") or ()]
    nothing = "" if header else muted("Its file states nothing about its picture.")
    return nothing + (facts(rows) if rows else "")


def _origins(held: Observation, origins: dict[str, str], header: FileHeader) -> Iterator[tuple[str, str]]:
    """Each value with where it came from, and the header's where that is another."""
    lines = (
        ("Name", "name", held.name, None),
        ("Position", "position", _position(held.position), _other_position(held.position, header)),
        ("Scale", "pixel_scale_arcsec", _scale(held.pixel_scale_arcsec), _other_scale(held.pixel_scale_arcsec, header)),
        ("Time", "observed_at", _time(held.observed_at), _other_time(held.observed_at, header)),
        ("Bands", "bands", " ".join(held.bands), _other_bands(held.bands, header)),
    )
    details = {"observed_at": header.time_source, "position": header.frame and f"{header.frame} there"}
    for title, field, value, other in lines:
        if not value or field not in origins:
            continue
        origin = _ORIGINS.get(origins[field], origins[field])
        if origins[field] == "header" and (detail := details.get(field)):
            origin += f", {detail}"
        differs = f"<br>the header says {escape(other)}" if other else ""
        yield title, f'<span class="num">{escape(value)}</span> {_quiet(origin)}{differs}'


def _position(position: Position | None) -> str:
    return f"{degrees_text(position.ra_deg, position.dec_deg)} deg" if position else ""


def _other_position(held: Position | None, header: FileHeader) -> str:
    if held is None or header.ra_deg is None or header.dec_deg is None:
        return ""
    stated = Position(ra_deg=header.ra_deg, dec_deg=header.dec_deg)
    away_arcsec = separation_arcsec((held.x, held.y, held.z), (stated.x, stated.y, stated.z))
    return f"{_position(stated)}, {figure(away_arcsec)}″ away" if away_arcsec > _SAME_ARCSEC else ""


def _scale(arcsec: float | None) -> str:
    return f"{figure(arcsec, 4)}″ a pixel of the original" if arcsec else ""


def _other_scale(held: float | None, header: FileHeader) -> str:
    stated = header.pixel_scale_arcsec
    differs = held and stated and abs(stated - held) > _SAME_SHARE * held
    return _scale(stated) if differs else ""


def _time(at: datetime | None) -> str:
    return absolute(at) if at else ""


def _other_time(held: datetime | None, header: FileHeader) -> str:
    stated = header.observed_at
    differs = held and stated and abs((stated - held).total_seconds()) > _SAME_S
    return _time(stated) if differs else ""


def _other_bands(held: tuple[str, ...], header: FileHeader) -> str:
    return " ".join(header.bands) if held and header.bands and header.bands != held else ""


def _orientation(cutout: CutoutInfo, *, north_up: bool) -> Facts:
    if cutout.north_angle_deg is None and north_up:
        return [("Orientation", "north up, east left: the survey’s service turns its pictures so")]
    words = cutout.orientation or "not known: the file does not say where north is"
    return [("Orientation", escape(words))]


def _contents(header: FileHeader) -> Iterator[tuple[str, str]]:
    """What was used of the file, what else is in it, and what was assumed."""
    others = [each for each in header.images if each != header.image]
    if header.image:
        beside = _quiet(f"also in the file: {', '.join(others)}") if others else ""
        yield "Image used", f"{escape(header.image)} {beside}"
    if header.planes:
        meaning = _quiet(f"the planes are {_PLANES[header.axis_3]}") if header.axis_3 else ""
        yield "Planes shown", f"{escape(', '.join(header.planes))} {meaning}"
    for index, note in enumerate(header.notes):
        yield "" if index else "Notes", escape(note)


def _quality(quality: PixelQuality) -> Iterator[tuple[str, str]]:
    yield "Masked", f'<span class="num">{_percent(quality.masked_share)}</span> {_quiet("of its pixels have no value")}'
    if quality.coverage:
        covered = ", ".join(f"{escape(name)} {_percent(share)}" for name, share in quality.coverage.items())
        yield "Coverage", f'<span class="num">{covered}</span> {_quiet("of the pixels have a value")}'
    if quality.significance is not None:
        # The search ends when an object is found: larger values are lower bounds.
        found = quality.significance >= OBJECT_SIGNIFICANCE
        words = "an object stands out of the noise" if found else "nothing stands out of the noise"
        value = f"{'≥ ' if found else ''}{figure(quality.significance)}"
        yield (
            "Significance",
            f'<span class="num">{value}</span> {_quiet(f"{words}; an object has {OBJECT_SIGNIFICANCE:g} or more")}',
        )


def _percent(share: float) -> str:
    """Only none is 0 %, and only all is 100 %."""
    percent = 100 * share
    if 0 < percent < _MIN_SHOWN_PERCENT:
        return f"&lt; {_MIN_SHOWN_PERCENT:g} %"
    if 100 - _MIN_SHOWN_PERCENT < percent < 100:
        return f"&gt; {100 - _MIN_SHOWN_PERCENT:g} %"
    return f"{percent:.3g} %"


def _later(arrival: LaterArrival, held: Observation) -> tuple[str, str]:
    """Who told what later; a value that differs stands beside the one that holds."""
    lines = [f"{escape(arrival.source)} {_quiet(arrival.ref)} {time_of(arrival.at)}"]
    if arrival.filled:
        lines.append(f"gave {escape(', '.join(map(_field, arrival.filled)))}")
    lines += [
        f'{escape(_field(field))}: <span class="num">{escape(value)}</span> '
        f"{_quiet(f'here; {_holding(held, field)} holds')}"
        for field, value in arrival.conflicting.items()
    ]
    return "Later", "<br>".join(lines)


def _field(name: str) -> str:
    titles = {"pixel_scale_arcsec": "scale (″ a pixel)", "observed_at": "time", "position": "position (deg)"}
    return titles.get(name, name.removeprefix("extra.").replace("_", " "))


def _holding(held: Observation, field: str) -> str:
    if field.startswith("extra."):
        return held.extra.get(field.removeprefix("extra."), "nothing")
    value: Any = getattr(held, field, None)
    if isinstance(value, Position):
        return degrees_text(value.ra_deg, value.dec_deg)
    if isinstance(value, datetime):
        return absolute(value)
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "nothing" if value is None else str(value)


def same_object(found: SkyObjectView, image_id: str, base: str) -> str:
    """The other images of the object that an image shows."""
    named = found.name or ""
    if found.catalogue and named:
        named = f"{named} in {found.catalogue}"
    head = f"<p>{escape(named)}</p>" if named else ""
    here = next(each for each in found.images if each.image_id == image_id)
    others = [each for each in found.images if each.image_id != image_id]
    if here.ra_deg is None or here.dec_deg is None:
        return head + muted("Without a position it is not known what else shows this object.")
    if not others:
        return head + muted("No other image here shows this object.")
    shown = thumbnails(((each, _away(each.distance_arcsec)) for each in others[:SHOWN_IMAGES]), base)
    total = f"Seen {plural(len(found.images), 'time')}; distances are from this image."
    everything = address(f"{base}/gallery", object_id=found.object_id, sort="newest")
    more = f'<a href="{escape(everything)}">All images of the object</a>'
    return f'{head}<p class="muted">{total} {more}</p>{shown}'


def _away(arcsec: float | None) -> str:
    return "" if arcsec is None else f'<span class="num muted">{arcsec:.1f}″</span>'


def _quiet(text: str) -> str:
    return f'<span class="muted">{escape(text)}</span>'
