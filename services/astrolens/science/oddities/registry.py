"""The registry of synthetic oddities, and the two functions that draw them.

To add one, write a function that follows `Draw` and add its entry to `KINDS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from astrolens.science.oddities import (
    collages,
    detector_faults,
    disturbances,
    galaxy_parts,
    lensing,
    mergers,
    neighbours,
    optics,
    stars,
)
from astrolens.science.oddities.canvas import Canvas
from astrolens.science.oddities.stretch_model import AsinhStretch, Pixels

Draw = Callable[[Canvas, np.random.Generator, float], Pixels]
"""Canvas, random numbers and strength (0 invisible, 1 plain) to the picture with the oddity."""

Group = Literal["artefact", "bright-star", "blend", "merger", "arc", "ring", "disturbed", "jet", "dust-lane"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of synthetic oddity.

    Attributes:
        name: Label of the kind.
        group: What a person would call it.
        weight: Share among the drawn pictures; the weights of `KINDS` need not sum to 1.
        draw: Draws it.
        in_colour: Whether it needs a picture of several bands.
        of_object: Whether it needs an object that stands out of the noise.
    """

    name: str
    group: Group
    weight: float
    draw: Draw
    in_colour: bool = False
    of_object: bool = False


KINDS: tuple[Kind, ...] = (
    Kind("blend", "blend", 3.5, neighbours.blend, of_object=True),
    Kind("bright-neighbour", "blend", 0.7, neighbours.bright_neighbour),
    Kind("double-core", "merger", 2.0, neighbours.double_core, of_object=True),
    Kind("saturated-star", "bright-star", 1.7, stars.saturated_star),
    Kind("spikes", "bright-star", 0.4, stars.spikes),
    Kind("bleed", "bright-star", 0.3, stars.bleed),
    Kind("trail", "artefact", 1.0, detector_faults.trail),
    Kind("misregistered", "artefact", 1.0, detector_faults.misregistered, in_colour=True),
    Kind("frame-edge", "artefact", 0.5, detector_faults.frame_edge),
    Kind("bad-column", "artefact", 0.4, detector_faults.bad_column),
    Kind("missing-band", "artefact", 0.4, detector_faults.missing_band, in_colour=True),
    Kind("wrong-colour", "artefact", 0.6, detector_faults.wrong_colour, in_colour=True),
    Kind("cut-paste", "artefact", 0.6, collages.cut_paste),
    Kind("tile-fault", "artefact", 0.25, collages.tile_fault),
    Kind("text-page", "artefact", 0.15, collages.text_page),
    Kind("merger", "merger", 1.5, mergers.merger, of_object=True),
    Kind("tidal-tail", "disturbed", 0.5, mergers.tidal_tail, of_object=True),
    Kind("perturbed", "disturbed", 0.8, disturbances.perturbed, of_object=True),
    Kind("shells", "disturbed", 0.3, galaxy_parts.shells, of_object=True),
    Kind("arc", "arc", 0.5, lensing.arc, of_object=True),
    Kind("ring", "ring", 0.8, galaxy_parts.ring, of_object=True),
    Kind("jet", "jet", 0.3, galaxy_parts.jet, of_object=True),
    Kind("dust-lane", "dust-lane", 0.3, galaxy_parts.dust_lane, of_object=True),
    Kind("ghost", "artefact", 0.3, optics.ghost),
    Kind("resampling", "artefact", 0.2, detector_faults.resampling),
    Kind("cosmic-ray", "artefact", 0.3, detector_faults.cosmic_ray),
)
"""Every kind. The weights from `blend` to `text-page` are those that taught a network most on SDSS and EFIGI (bad
columns and edges shared one, pages and tiles another), save those of `bright-neighbour`, `spikes` and `bleed`: those
and all that follow are first values, not yet measured."""

KINDS_BY_NAME: Mapping[str, Kind] = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class SyntheticOddity:
    """A picture with an oddity drawn on it.

    Attributes:
        picture: [H, W, 3] uint8, as large as the ordinary one.
        kind: Name of the kind.
        strength: 0 invisible, 1 plain.
    """

    picture: Pixels
    kind: str
    strength: float


def draw_oddity(
    picture: Pixels,
    rng: np.random.Generator,
    donor: Pixels | None = None,
    *,
    kind: str | None = None,
    strength: float | None = None,
    weights: Mapping[str, float] | None = None,
) -> SyntheticOddity:
    """Draw an oddity on an ordinary picture.

    Args:
        picture: [H, W, 3] uint8, an object near its centre.
        rng: All that is random comes from it.
        donor: Picture of another ordinary object, of any size; without one the picture lends its own object.
        kind: Name of the kind; None draws one by weight.
        strength: 0 invisible to 1 plain; None draws it.
        weights: Weights by name in place of the kinds' own; a kind that is not named is not drawn.

    Raises:
        KeyError: There is no kind of that name.
        ValueError: The array is not an 8-bit RGB picture of at least 16 x 16, or no kind that fits it has a weight.
    """
    canvas = _canvas(picture, donor, rng)
    chosen = KINDS_BY_NAME[kind] if kind is not None else _choose(canvas, rng, weights)
    how_strong = float(rng.beta(2.0, 1.0)) if strength is None else float(strength)
    drawn = chosen.draw(canvas, rng, how_strong)
    return SyntheticOddity(drawn, chosen.name, how_strong)


def draw_control(picture: Pixels, rng: np.random.Generator, donor: Pixels | None = None) -> Pixels:
    """Draw something that leaves a picture ordinary: a small neighbour far away, or a faint star.

    A network that sees such pictures as ordinary ones cannot take every addition of light for an oddity.
    """
    canvas = _canvas(picture, donor, rng)
    if rng.random() < 0.5:
        return neighbours.faint_star(canvas, rng)
    return neighbours.far_neighbour(canvas, rng)


def _canvas(picture: Pixels, donor: Pixels | None, rng: np.random.Generator) -> Canvas:
    for given in (picture,) if donor is None else (picture, donor):
        if given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3 or min(given.shape[:2]) < 16:
            found = f"{given.dtype} {list(given.shape)}"
            raise ValueError(f"an oddity needs 8-bit pictures [height, width, 3] of at least 16 x 16, not {found}")
    # The true stretch is unknown and differs between surveys: no single curve is taught.
    stretch = AsinhStretch(float(rng.uniform(3.5, 7.0)))
    return Canvas(picture, stretch, None if donor is None else Canvas(donor, stretch))


def _choose(canvas: Canvas, rng: np.random.Generator, weights: Mapping[str, float] | None) -> Kind:
    """A kind by weight, among those that the picture can carry."""
    unknown = set(weights or ()) - set(KINDS_BY_NAME)
    if unknown:
        raise KeyError(f"there is no kind of oddity named {', '.join(sorted(unknown))}: see KINDS_BY_NAME")
    shares = np.array([kind.weight if weights is None else weights.get(kind.name, 0.0) for kind in KINDS])
    if canvas.is_grey:
        shares *= [not kind.in_colour for kind in KINDS]
    if not canvas.shape.found:
        shares *= [not kind.of_object for kind in KINDS]
    if not shares.sum() > 0.0:
        raise ValueError("no kind of oddity with a weight above 0 fits this picture: name others in `weights`")
    return KINDS[int(rng.choice(len(KINDS), p=shares / shares.sum()))]
