"""`astrolens serve`: one service by its name."""

from importlib import import_module
from importlib.util import find_spec

from astrolens.cli.entry import end_imports
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.private_files import make_home_private
from astrolens.platform.runtime.service import ServiceApp, run
from astrolens.platform.runtime.services import SERVICE_NAMES, service_named
from astrolens.platform.settings import load_settings


def serve(service: str) -> int:
    """Run a service until it is asked to stop; return its exit code.

    Raises:
        ConfigurationError: No such service, or its extra is not installed.
    """
    if (declared := service_named(service)) is None:
        raise ConfigurationError(f"there is no service {service!r}: choose of {', '.join(SERVICE_NAMES)}")
    try:
        module = import_module(declared.module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("astrolens") or find_spec(error.name.split(".", maxsplit=1)[0]):
            raise
        raise ConfigurationError(
            f"the service {service!r} needs the package {error.name!r}: install astrolens[{declared.extra}]"
        ) from error
    settings = load_settings()
    try:
        make_home_private(settings.home)
    except OSError as error:
        raise ConfigurationError(
            f"ASTROLENS_HOME: {settings.home} cannot be made private ({error.strerror}); choose another folder"
        ) from error

    def build() -> ServiceApp:
        app: ServiceApp = module.create_app(settings)
        end_imports()
        return app

    return run(build)
