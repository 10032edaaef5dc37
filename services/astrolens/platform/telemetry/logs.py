"""Structured logs: one line an event, for people or machines, with the context bound once and no secrets."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from astrolens.platform.settings import Settings

_SECRET_NAMES = re.compile(r"token|secret|password|passwd|authorization|api_?key|cookie|notify_urls?", re.IGNORECASE)
_URL_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SIGNATURES = re.compile(r"(?i)(?<=x-amz-)(signature|credential|security-token)=[^&\s\"'\\]+")
"""The secret part of a presigned URL: with it anyone can read the object."""
_HIDDEN = "[hidden]"

_QUIETER = {
    # Their INFO level reports every rebalance and every request.
    "aiokafka": logging.WARNING,
    "faststream": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "httpx": logging.WARNING,
    "urllib3": logging.WARNING,
    # It logs every failed export; `OutageReportingExporter` logs an outage once.
    "opentelemetry": logging.CRITICAL,
}


def configure_logs(settings: Settings, *, service: str, instance: str, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's logging to one stream (default: stderr), one line an event."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    output = stream or sys.stderr
    last: list[Any]
    if settings.log_format == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Plain traces: the rich ones print local variables, and with them secrets.
        plain = structlog.dev.plain_traceback
        last = [structlog.dev.ConsoleRenderer(colors=output.isatty(), exception_formatter=plain)]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, hide_credentials],
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name, level in _QUIETER.items():
        logging.getLogger(name).setLevel(max(level, logging.getLevelName(settings.log_level)))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A cached logger would outlive a second configuration, and no test could capture it.
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service, instance=instance)


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide the values of fields whose names say that they are secret."""
    for name in event:
        if _SECRET_NAMES.search(name):
            event[name] = _HIDDEN
    return event


def hide_credentials(_logger: Any, _method: str, line: Any) -> Any:
    """Hide credentials inside URLs anywhere in the finished line: errors and traces quote them too."""
    if not isinstance(line, str):
        return line
    if "://" in line:
        line = _URL_CREDENTIALS.sub(f"{_HIDDEN}@", line)
    # Paths with their query are logged without a scheme, too.
    return _SIGNATURES.sub(rf"\1={_HIDDEN}", line)
