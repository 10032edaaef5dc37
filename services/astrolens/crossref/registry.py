"""Makes the catalogues that the settings name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from astrolens.crossref.catalogues.base import RemoteCatalogue
from astrolens.crossref.catalogues.ned import Ned, NedCone
from astrolens.crossref.catalogues.simbad import Simbad
from astrolens.crossref.catalogues.skybot import Skybot
from astrolens.crossref.catalogues.vizier import PREFIX, VizierTable
from astrolens.crossref.catalogues.vizier_list import VizierList
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings

_REMOTE: Final = frozenset({"simbad", "ned", "skybot"})
_NAMES: Final = "catalogues on this machine (`astrolens catalogs list`), simbad, ned, skybot, and vizier:TABLE"


@dataclass(frozen=True)
class ChosenCatalogue:
    """A remote catalogue of the settings.

    Attributes:
        catalogue: How it is asked.
        fallback: Another way to ask it, where the first one fails.
        required: Whether its answer is needed for `unmatched`.
        limit_host: The server whose limit it shares, where that is not its own.
    """

    catalogue: RemoteCatalogue
    required: bool
    fallback: RemoteCatalogue | None = None
    limit_host: str | None = None


def chosen_catalogues(settings: Settings, *, local_names: Sequence[str] = ()) -> list[ChosenCatalogue]:
    """The remote catalogues.

    Args:
        settings: They name the catalogues.
        local_names: Catalogues on this machine, which the settings may name, too.

    Raises:
        ConfigurationError: A name is unknown, or given twice.
    """
    given = [
        *((name, True) for name in settings.catalogues_required),
        *((name, False) for name in settings.catalogues_informative),
    ]
    chosen = [
        _chosen(name, settings, required=required)
        for name, required in given
        if name not in local_names or name in _REMOTE
    ]
    names = [each.catalogue.name for each in chosen]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(
            f"ASTROLENS_CATALOGUES_REQUIRED and _INFORMATIVE name {', '.join(twice)} twice: name it once"
        )
    return _together(chosen, settings)


def _together(chosen: Sequence[ChosenCatalogue], settings: Settings) -> list[ChosenCatalogue]:
    """The same, with the tables of VizieR that prove themselves asked in one request; by TAP where that fails."""
    tables = [each.catalogue for each in chosen if isinstance(each.catalogue, VizierTable) and each.catalogue.canaries]
    if len(tables) < 2:
        return list(chosen)
    members = {each.name: each for each in VizierList(tables, url=settings.vizier_asu_url).members()}
    return [
        replace(each, catalogue=members[each.catalogue.name], fallback=each.catalogue, limit_host=each.catalogue.host)
        if each.catalogue.name in members
        else each
        for each in chosen
    ]


def addresses(settings: Settings) -> Sequence[str]:
    """Every address that catalogues are asked at; no other host is talked to."""
    return (
        settings.simbad_url,
        settings.ned_url,
        settings.ned_cone_url,
        settings.vizier_url,
        settings.vizier_asu_url,
        settings.xmatch_url,
        settings.skybot_url,
    )


def _chosen(name: str, settings: Settings, *, required: bool) -> ChosenCatalogue:
    if name == "simbad":
        return ChosenCatalogue(Simbad(settings.simbad_url), required)
    if name == "ned":
        return ChosenCatalogue(Ned(settings.ned_url), required, NedCone(settings.ned_cone_url))
    if name == "skybot":
        return ChosenCatalogue(Skybot(settings.skybot_url), required)
    if name.startswith(PREFIX):
        try:
            table = VizierTable(name, tap_url=settings.vizier_url, xmatch_url=settings.xmatch_url)
        except ValueError as error:
            raise ConfigurationError(f"ASTROLENS_CATALOGUES_REQUIRED or _INFORMATIVE: {error}") from None
        return ChosenCatalogue(table, required)
    raise ConfigurationError(
        f"ASTROLENS_CATALOGUES_REQUIRED or _INFORMATIVE: there is no catalogue {name!r}; there are {_NAMES}"
    )
