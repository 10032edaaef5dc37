"""From the names in the settings to sources."""

from collections.abc import Callable, Mapping, Sequence

from astrolens.ingestor.sources.base import Source
from astrolens.platform.errors import ConfigurationError


def create_sources(names: Sequence[str], factories: Mapping[str, Callable[[], Source]]) -> list[Source]:
    """Create the sources that are named, each once.

    Raises:
        ConfigurationError: There is no source of that name.
    """
    wanted = list(dict.fromkeys(name.lower() for name in names))
    for name in wanted:
        if name not in factories:
            raise ConfigurationError(
                f"ASTROLENS_SOURCES: there is no source {name!r}; known are {', '.join(sorted(factories))}, and none"
            )
    return [factories[name]() for name in wanted]
