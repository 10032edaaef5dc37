"""`astrolens serve`: one service by its name."""

from importlib import import_module
from importlib.util import find_spec

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.service import run
from astrolens.platform.settings import load_settings

SERVICES = {
    "ingestor": "astrolens.ingestor.main",
    "model-server": "astrolens.inference.model_server",
    "analyzer": "astrolens.inference.analyzer_main",
    "notifier": "astrolens.notifier.main",
    "console": "astrolens.console.main",
}
"""Every service and the module whose `create_app(settings)` builds it."""

_EXTRAS = {"model-server": "inference", "analyzer": "inference"}
"""Extras named otherwise than their service."""


def serve(service: str) -> int:
    """Run a service until it is told to stop; return its exit code.

    Raises:
        ConfigurationError: No such service, or its extra is not installed.
    """
    if service not in SERVICES:
        raise ConfigurationError(f"there is no service {service!r}: choose of {', '.join(SERVICES)}")
    try:
        module = import_module(SERVICES[service])
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("astrolens") or find_spec(error.name.split(".", maxsplit=1)[0]):
            raise
        extra = _EXTRAS.get(service, service)
        raise ConfigurationError(
            f"the service {service!r} needs the package {error.name!r}: install astrolens[{extra}]"
        ) from error
    return run(lambda: module.create_app(load_settings()))
