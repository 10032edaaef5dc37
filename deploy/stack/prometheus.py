"""Prometheus from the system's packages, where it is; it scrapes an AstroLens on its default ports."""

import shutil
from urllib.error import URLError
from urllib.request import urlopen

from deploy.stack.layout import Layout
from deploy.stack.server import Server

_CONFIGURATION = """global:
  scrape_interval: 5s
scrape_configs:
  - job_name: astrolens
    static_configs:
      - targets: [{targets}]
"""
_OFFSETS = (0, 2, 3, 4, 5)
"""Console, ingestor, analyzer, model server and notifier, after the console's port (settings.py)."""


def server(layout: Layout, *, console_port: int = 8080) -> Server | None:
    """The server, None where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        return None
    folder = layout.data("prometheus")
    folder.mkdir(exist_ok=True, mode=0o700)
    targets = ", ".join(f"'127.0.0.1:{console_port + offset}'" for offset in _OFFSETS)
    configuration = folder / "prometheus.yml"
    configuration.write_text(_CONFIGURATION.format(targets=targets))
    address = f"127.0.0.1:{layout.prometheus_port}"
    return Server(
        name="prometheus",
        command=[
            program,
            f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ],
        state=layout.state,
        healthy=lambda: _answers(f"http://{address}/-/ready"),
        patience_s=30.0,
    )


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2.0) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
