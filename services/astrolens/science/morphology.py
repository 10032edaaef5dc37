"""Morphology of the central object of a cutout, by statmorph (Rodriguez-Gomez et al. 2019), or by its pixels' moments.

Everything is measured on the luminance of the picture as it is displayed (8 bits, stretched), because only that exists
for every image: numbers compare within a survey only. A measurement takes 0.4 to 5 s of processor time and 200 MB, and
statmorph's fits have no bound of their own: call it in a process that can be killed.
"""

import importlib
import math
import warnings
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from astrolens.contracts.morphology import MORPHOLOGY_VERSION, Morphology, MorphologyQuality, not_measured
from astrolens.science.rings import ring_score
from astrolens.science.segmentation import DetectedObject, NoObject, detect_object

_STATMORPH_QUALITY: Final = {0: MorphologyQuality.GOOD, 1: MorphologyQuality.SUSPECT}
"""By statmorph's `flag` and `flag_sersic`; anything else is bad."""
_CATASTROPHIC: Final = 4
"""Statmorph's flag where it measured nothing."""
_ABSENT: Final = -99.0
"""What statmorph gives for a number that it could not measure."""


def measure_morphology(rgb: NDArray[np.uint8], *, without_statmorph: str | None = None) -> Morphology:
    """Measure the object nearest to the centre of a picture.

    Args:
        rgb: [H, W, 3], a cutout as displayed.
        without_statmorph: Why only simple properties are to be measured: statmorph does not end on this picture.
    """
    try:
        found = detect_object(rgb)
    except NoObject as reason:
        return not_measured(str(reason))
    ring = ring_score(found)
    if without_statmorph is not None:
        return _measure_segment(found, ring, without_statmorph)
    return _measure_with_statmorph(found, ring) or _measure_segment(
        found, ring, "statmorph could not measure this picture"
    )


def load_libraries() -> None:
    """Import what measures: 3 s of processor time, which only a process that measures pays."""
    for library in ("statmorph", "photutils.segmentation"):
        importlib.import_module(library)


def _measure_with_statmorph(found: DetectedObject, ring: float | None) -> Morphology | None:
    """None where it fails: it gives up by assertions, arithmetic errors or a flag."""
    import statmorph  # noqa: PLC0415 - see load_libraries

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # its doubts come as warnings and as the flag
            measured: Any = statmorph.SourceMorphology(
                found.light, found.segments, found.label, weightmap=np.full_like(found.light, found.noise)
            )
    except Exception:  # noqa: BLE001 - any failure inside has the same answer: the simple properties
        return None
    if measured.flag >= _CATASTROPHIC:
        return None
    radius = _number(measured.rhalf_ellip)
    return Morphology(
        method="statmorph",
        version=MORPHOLOGY_VERSION,
        quality=_STATMORPH_QUALITY.get(measured.flag, MorphologyQuality.BAD),
        concentration=_number(measured.concentration),
        asymmetry=_number(measured.asymmetry),
        smoothness=_number(measured.smoothness),
        gini=_number(measured.gini),
        m20=_number(measured.m20),
        sersic_index=_number(measured.sersic_n),
        sersic_quality=_STATMORPH_QUALITY.get(measured.flag_sersic, MorphologyQuality.BAD),
        ellipticity=_number(measured.ellipticity_centroid),
        half_light_radius_px=None if radius is None else radius / found.scale,
        sn_per_pixel=_number(measured.sn_per_pixel),
        ring_score=ring,
    )


def _measure_segment(found: DetectedObject, ring: float | None, detail: str) -> Morphology:
    """The simple properties, by photutils; no asymmetry and smoothness, whose sky terms need statmorph's care."""
    from photutils.segmentation import SegmentationImage, SourceCatalog  # noqa: PLC0415 - see load_libraries

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            segments = SegmentationImage(found.segments)
            source = SourceCatalog(found.light, segments).select_label(found.label)
            r20, r50, r80 = (_number(source.flux_radius(share).value) for share in (0.2, 0.5, 0.8))
            return Morphology(
                method="segmentation",
                version=MORPHOLOGY_VERSION,
                quality=MorphologyQuality.FALLBACK,
                detail=detail,
                concentration=5.0 * math.log10(r80 / r20) if r20 and r80 else None,
                gini=_number(source.gini),
                ellipticity=_number(source.ellipticity.value),
                half_light_radius_px=None if r50 is None else r50 / found.scale,
                sn_per_pixel=float(np.maximum(found.light[found.mask], 0.0).mean() / found.noise),
                ring_score=ring,
            )
    except Exception as error:  # noqa: BLE001 - as above; the reason is recorded
        return not_measured(f"{detail}, and its simple properties failed: {type(error).__name__}", ring=ring)


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) and number != _ABSENT else None
