"""Where the stack keeps its things, which ports it takes, and its secrets."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KAFKA_VERSION = "4.2.1"
SLF4J_VERSION = "1.7.36"
"""The binding must be of the API's version that Kafka brings, or Kafka logs nothing."""
MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
"""The last of the community server, which comes as source only."""
SECANTUS_RUST_VERSION = "0.5.3-beta.196"
SECANTUS_PYTHON_VERSION = "0.7.0b3"
"""One server twice: the one in Rust takes a sixth of the CPU, the one in Python no compiler."""

DEFAULT_PORT = 21700
"""First of six ports, below the range that outgoing connections are given."""


@dataclass(frozen=True)
class Layout:
    """One stack: `cache` can be thrown away and comes again, `state` holds data, logs, pid files and secrets."""

    cache: Path
    state: Path
    port: int = DEFAULT_PORT
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def kafka_port(self) -> int:
        """Log-in without TLS."""
        return self.port

    @property
    def kafka_tls_port(self) -> int:
        """Log-in with TLS."""
        return self.port + 1

    @property
    def controller_port(self) -> int:
        """Kafka's own."""
        return self.port + 2

    @property
    def mongodb_port(self) -> int:
        """The MongoDB wire protocol."""
        return self.port + 3

    @property
    def minio_port(self) -> int:
        """S3."""
        return self.port + 4

    @property
    def prometheus_port(self) -> int:
        """Prometheus."""
        return self.port + 5

    @property
    def env_file(self) -> Path:
        """What points AstroLens at this stack."""
        return self.state / "stack.env"

    def data(self, name: str) -> Path:
        """The data folder of one server."""
        return self.state / name


def layout(*, port: int | None = None) -> Layout:
    """The stack of this user, its secrets made at the first call.

    `ASTROLENS_STACK_PORT` moves all ports, `ASTROLENS_STACK_STATE` the state; the cache follows `XDG_CACHE_HOME`.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astrolens-stack"
    default_state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "astrolens-stack"
    state = Path(os.environ.get("ASTROLENS_STACK_STATE") or default_state).absolute()
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    chosen = port or int(os.environ.get("ASTROLENS_STACK_PORT") or DEFAULT_PORT)
    return Layout(cache=cache, state=state, port=chosen, secrets=_secrets(state / "secrets.json"))


def _secrets(path: Path) -> dict[str, str]:
    if path.exists():
        known = json.loads(path.read_text())
        return {str(name): str(value) for name, value in known.items()}
    made = {name: secrets.token_hex(16) for name in ("admin", "astrolens", "alerts", "mongodb", "minio", "keystore")}
    write_private(path, json.dumps(made))
    return made


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    aside.rename(path)
