"""The services there are, declared once: for the supervisor, `serve`, `doctor` and the checks before a start."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServiceDeclaration:
    """One service: one folder, one process, one container command.

    Attributes:
        name: As in `astrolens serve <name>`.
        module: Its `create_app(settings)` builds the service.
        extra: The extra of the package that installs what it needs.
        port_setting: The setting of its port for health and metrics.
    """

    name: str
    module: str
    extra: str
    port_setting: str


SERVICES = (
    ServiceDeclaration("model-server", "astrolens.inference.model_server", "inference", "model_server_port"),
    ServiceDeclaration("analyzer", "astrolens.inference.analyzer_main", "inference", "analyzer_port"),
    ServiceDeclaration("ingestor", "astrolens.ingestor.main", "ingestor", "ingestor_port"),
    ServiceDeclaration("crossref", "astrolens.crossref.main", "crossref", "crossref_port"),
    ServiceDeclaration("trainer", "astrolens.trainer.main", "ranking", "trainer_port"),
    ServiceDeclaration("notifier", "astrolens.notifier.main", "notifier", "notifier_port"),
    ServiceDeclaration("console", "astrolens.console.main", "console", "port"),
)
"""In starting order; they wait for each other anyway."""

SERVICE_NAMES = tuple(service.name for service in SERVICES)


def service_named(name: str) -> ServiceDeclaration | None:
    """The declaration of a service, None where there is none of this name."""
    return next((service for service in SERVICES if service.name == name), None)
