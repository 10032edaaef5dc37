"""What every remote catalogue declares: how it is asked, how its reply is read, how it is tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from astrolens.crossref.known_objects import KnownObject
from astrolens.crossref.places import Place

SEARCH_RADIUS_ARCSEC: Final = 120.0
"""Radius that remote catalogues search: the nearest known object is reported from there. X-Match allows 180."""

MAX_ROWS: Final = 20_000
"""Rows that a reply may have; one that is cut off there is an overflow."""


@dataclass(frozen=True)
class CatalogueRequest:
    """One HTTP request.

    Attributes:
        url: Where it goes.
        params: Query string; the request is a GET.
        form: Fields of a form; the request is a POST.
        files: Uploaded files of the form: name and text.
    """

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Canary:
    """A place with a known answer, asked together with others, that a reply must hold to be believed.

    Attributes:
        place: Where it is.
        name: What the name of one object there contains; None where any name will do.
        within_arcsec: That object lies as near as this to the place.
        min_count: Objects that must be found around the place, at least.
    """

    place: Place
    name: str | None
    within_arcsec: float = 10.0
    min_count: int = 1


ObjectsByPlace = Mapping[str, Sequence[KnownObject]]
"""Objects by the key of the place around which they were found."""


class RemoteCatalogue(Protocol):
    """A catalogue on the net.

    Attributes:
        name: Such as `simbad`; names the answers, the metrics and the cache.
        host: Server that is asked, which all of its catalogues share in limits.
        release: What it is a release of, for people.
        per_second: Requests a second that its server tolerates from all of us together.
        max_places: Places in one request, its canaries not counted.
        mean_density_per_deg2: Objects a square degree, on average: how likely an unrelated one is.
    """

    name: str
    host: str
    release: str
    per_second: float
    max_places: int
    mean_density_per_deg2: float

    @property
    def canaries(self) -> Sequence[Canary]:
        """Places with known answers that test it."""

    @property
    def embedded_canaries(self) -> Sequence[Canary]:
        """Canaries that every request holds, so that every reply is tested."""

    def not_covered_reason(self, place: Place) -> str | None:
        """Why a place cannot be asked about (an unknown time, a part of the sky); None where it can."""

    def request_for(self, places: Sequence[Place]) -> CatalogueRequest:
        """The request about some places."""

    def read(self, body: bytes, places: Sequence[Place]) -> ObjectsByPlace:
        """Read a reply; every place has an entry.

        Raises:
            CatalogueFailed: It is no answer that can be believed.
        """

    def link(self, place: Place) -> str:
        """The catalogue's page at a place, for people."""
