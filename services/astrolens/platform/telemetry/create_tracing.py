"""Chooses the implementation of traces: none, or OpenTelemetry."""

from urllib.parse import urlsplit

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings
from astrolens.platform.telemetry.tracing import NO_TRACING, Tracing


def create_tracing(settings: Settings, *, service: str, instance: str) -> Tracing:
    """The traces that the settings ask for; opens nothing.

    Raises:
        ConfigurationError: The URL is not the address of a collector, or OpenTelemetry is not installed.
    """
    if not settings.traces_url:
        return NO_TRACING
    parts = urlsplit(settings.traces_url)
    try:
        port = parts.port or 4317
    except ValueError:
        port = 0
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port or parts.path.strip("/"):
        raise ConfigurationError(
            f"ASTROLENS_TRACES_URL is {settings.traces_url!r}: it is the OTLP/gRPC address of a collector, "
            "http://host:4317 or https://host:4317"
        )
    try:
        # Imported here: without tracing nothing of OpenTelemetry is loaded.
        from astrolens.platform.telemetry.tracing_otel import OtelTracing  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f"ASTROLENS_TRACES_URL is set, but {error.name} is not installed: install astrolens[tracing], or unset it"
        ) from error
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return OtelTracing(
        service=service,
        instance=instance,
        endpoint=f"{parts.scheme}://{host}:{port}",
        ratio=settings.traces_ratio,
    )
