"""Prometheus from the system's packages, where it is; it scrapes an AstroLens on its default ports.

Its configuration and rules are those of `deploy/prometheus`, on other targets.
"""

import shutil
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from deploy.stack.layout import Layout
from deploy.stack.server import Server

_DECLARED: Final = Path(__file__).resolve().parents[1] / "prometheus"
_OFFSETS: Final = {
    "console": 0,
    "ingestor": 2,
    "analyzer": 3,
    "model-server": 4,
    "notifier": 5,
    "crossref": 6,
    "trainer": 7,
}
"""Of each service's HTTP port, after the console's (settings.py)."""
_EVERY: Final = "5s"


def server(layout: Layout, *, console_port: int = 8080) -> Server | None:
    """The server, None where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        return None
    folder = layout.data("prometheus")
    folder.mkdir(exist_ok=True, mode=0o700)
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration(console_port)))
    address = f"127.0.0.1:{layout.prometheus_port}"
    return Server(
        name="prometheus",
        command=[
            program,
            f"--config.file={path}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ],
        state=layout.state,
        healthy=lambda: _answers(f"http://{address}/-/ready"),
        start_timeout_s=30.0,
    )


def configuration(console_port: int, *, every: str = _EVERY) -> dict[str, Any]:
    """The deployment's configuration for services on this machine.

    Args:
        console_port: The console's port; the others follow it.
        every: How often it scrapes and evaluates rules, as Prometheus writes it.
    """
    declared: dict[str, Any] = yaml.safe_load((_DECLARED / "prometheus.yml").read_text(encoding="utf-8"))
    declared["global"] = {"scrape_interval": every, "evaluation_interval": every}
    declared["rule_files"] = [str(_DECLARED / "rules.yml")]
    # On loopback the services ask nobody for a token.
    del declared["scrape_configs"][0]["authorization"]
    for config in declared["scrape_configs"][0]["static_configs"]:
        config["targets"] = [f"127.0.0.1:{console_port + _OFFSETS[config['labels']['service']]}"]
    return declared


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2.0) as answer:  # noqa: S310 - our own loopback address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
