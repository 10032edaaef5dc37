"""From the names in the settings to sources."""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from astrolens.ingestor.sources.base import Source
from astrolens.ingestor.sources.skyserver import SkyServer
from astrolens.platform.errors import ConfigurationError


def choose(names: Sequence[str], known: Mapping[str, Callable[[], Source]]) -> list[Source]:
    """Make the sources that are named, each once.

    Raises:
        ConfigurationError: A name is no source's.
    """
    wanted = list(dict.fromkeys(name.lower() for name in names))
    for name in wanted:
        if name not in known:
            raise ConfigurationError(
                f"ASTROLENS_SOURCES: there is no source {name!r}; known are {', '.join(sorted(known))}, and none"
            )
    return [known[name]() for name in wanted]


def skyserver(base_url: str) -> SkyServer:
    """The SkyServer of the settings.

    Raises:
        ConfigurationError: It is no http or https URL.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"ASTROLENS_SDSS_BASE_URL is {base_url!r}: it must be a URL such as https://skyserver.sdss.org/dr17"
        )
    return SkyServer(base_url)
