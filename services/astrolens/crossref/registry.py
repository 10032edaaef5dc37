"""Makes the catalogues that the settings name."""

from collections.abc import Sequence
from typing import Final

from astrolens.crossref.catalogues.base import RemoteCatalogue
from astrolens.crossref.catalogues.simbad import Simbad
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings

_NAMES: Final = "simbad"


def chosen_catalogues(settings: Settings) -> list[tuple[RemoteCatalogue, bool]]:
    """The remote catalogues, and whether each is required.

    Raises:
        ConfigurationError: A name is unknown, or given twice.
    """
    given = [
        *((name, True) for name in settings.catalogues_required),
        *((name, False) for name in settings.catalogues_informative),
    ]
    names = [name for name, _ in given]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigurationError(
            f"ASTROLENS_CATALOGUES_REQUIRED and _INFORMATIVE name {', '.join(sorted(twice))} twice: name it once"
        )
    return [(_catalogue(name, settings), required) for name, required in given]


def addresses(settings: Settings) -> Sequence[str]:
    """Every address that catalogues are asked at; no other host is talked to."""
    return (settings.simbad_url,)


def _catalogue(name: str, settings: Settings) -> RemoteCatalogue:
    if name == "simbad":
        return Simbad(settings.simbad_url)
    raise ConfigurationError(
        f"ASTROLENS_CATALOGUES_REQUIRED or _INFORMATIVE: there is no catalogue {name!r}; there are {_NAMES}"
    )
