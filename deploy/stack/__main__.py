"""`python -m deploy.stack up|down|status|start|stop|kill`: the stack's command line."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.stack import kafka, minio, mongodb, prometheus
from deploy.stack.layout import Layout, layout, write_private
from deploy.stack.server import Server, StackError, find, stop

ROOT = Path(__file__).resolve().parents[2]
SERVERS: dict[str, Callable[[Layout], Server | None]] = {
    "kafka": kafka.server,
    "mongodb": mongodb.server,
    "minio": minio.server,
    "prometheus": prometheus.server,
}
"""Every server by name, in starting order."""


def main() -> int:
    """Do what the command line says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.stack", description="The real engines without Docker.")
    parser.add_argument("verb", choices=["up", "down", "status", "start", "stop", "kill", "wipe"])
    parser.add_argument("servers", nargs="*", metavar="server", help=f"of {', '.join(SERVERS)}; default all")
    arguments = parser.parse_args()
    if unknown := set(arguments.servers) - set(SERVERS):
        parser.error(f"there is no server {', '.join(sorted(unknown))}")
    chosen = arguments.servers or list(SERVERS)
    place = layout()
    try:
        match arguments.verb:
            case "up":
                up(place, chosen)
            case "start":
                start(place, chosen)
            case "down" | "stop" | "kill":
                down(place, chosen, kill=arguments.verb == "kill")
            case "wipe":
                down(place, list(SERVERS))
                shutil.rmtree(place.state)
                say(f"removed {place.state}")
            case _:
                return status(place)
    except StackError as error:
        say(f"stack: {error}")
        return 1
    return 0


def up(place: Layout, names: list[str]) -> None:
    """Install, start, provision, and write the env file."""
    start(place, names)
    if "kafka" in names:
        kafka.grant(place)
    write_private(place.env_file, "".join(f"{name}={value}\n" for name, value in environment(place).items()))
    if "kafka" in names:
        make_topics(place)
    say(f"the stack is up; point AstroLens at it:  set -a; . {place.env_file}; set +a")


def start(place: Layout, names: list[str]) -> None:
    """Start what does not run, and wait until it serves."""
    for name in names:
        began = time.monotonic()
        server = SERVERS[name](place)
        if server is None:
            say(f"{name}: not installed (Debian: apt-get install {name}), left out")
            continue
        word = "started" if server.start() else "runs already"
        say(f"{name}: {word} ({Path(server.command[0]).name}, {time.monotonic() - began:.1f} s)")


def down(place: Layout, names: list[str], *, kill: bool = False) -> None:
    """End what runs; nothing else."""
    for name in reversed(names):
        say(f"{name}: {'stopped' if stop(place.state, name, kill=kill) else 'did not run'}")


def status(place: Layout) -> int:
    """Say what runs; 0 when everything that is installed does."""
    away = False
    for name in SERVERS:
        process = find(place.state, name)
        say(f"{name}: " + (f"runs (process {process.pid})" if process else "does not run"))
        away = away or (process is None and name != "prometheus")
    return 1 if away else 0


def environment(place: Layout) -> dict[str, str]:
    """What points AstroLens at the stack, and what tests need beside it."""
    return {
        "ASTROLENS_EVENTS_URL": f"kafka://127.0.0.1:{place.kafka_port}",
        "ASTROLENS_KAFKA_USER": "astrolens",
        "ASTROLENS_KAFKA_PASSWORD": place.secrets["astrolens"],
        "ASTROLENS_RECORDS_URL": mongodb.url(place),
        "ASTROLENS_IMAGES_URL": minio.url(place),
        "ASTROLENS_S3_ACCESS_KEY": minio.USER,
        "ASTROLENS_S3_SECRET_KEY": place.secrets["minio"],
        "STACK_KAFKA_TLS_URL": f"kafka://127.0.0.1:{place.kafka_tls_port}",
        "STACK_KAFKA_CA_FILE": str(kafka.certificate(place)),
        "STACK_ALERTS_USER": "alerts",
        "STACK_ALERTS_PASSWORD": place.secrets["alerts"],
        "STACK_PROMETHEUS_URL": f"http://127.0.0.1:{place.prometheus_port}",
        "STACK_STATE": str(place.state),
        "STACK_PORT": str(place.port),
    }


def make_topics(place: Layout) -> None:
    """Make the declared topics, as an operator would: with AstroLens's own command."""
    result = subprocess.run(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "astrolens.cli", "topics", "create", "--file", str(ROOT / "deploy/kafka/topics.yaml")],
        env={**os.environ, **environment(place)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if result.returncode:
        raise StackError(f"the topics could not be made: {(result.stderr or result.stdout).strip()}")
    say(f"topics: {result.stdout.strip()}")


def say(sentence: str) -> None:
    """One line for people."""
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
