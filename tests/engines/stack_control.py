"""What tests do to the running stack: stop, kill and start its servers, and empty its topics."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient

ROOT = Path(__file__).resolve().parents[2]
PORT_OFFSETS = {"kafka": 0, "mongodb": 3, "minio": 4}
_ASK_S = 20.0


class Stack:
    """The stack behind an env file. Its servers serve this test session only while one is stopped."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def address(self, server: str) -> str:
        """Where a server listens."""
        return f"127.0.0.1:{int(self._variables['STACK_PORT']) + PORT_OFFSETS[server]}"

    def stop(self, server: str, *, kill: bool = False) -> None:
        """End a server, with -9 where `kill`."""
        self._call("kill" if kill else "stop", server)

    def start(self, server: str) -> None:
        """Start it again, and wait until it serves."""
        self._call("start", server)

    def purge(self) -> None:
        """Delete the records of every topic: what an earlier test left would meet services that know none of it."""
        admin = AdminClient(self.client_options())
        topics = admin.list_topics(timeout=_ASK_S).topics
        ends = [
            TopicPartition(name, number, OFFSET_END)
            for name, topic in topics.items()
            if name.startswith("astrolens.")
            for number in topic.partitions
        ]
        for deleted in admin.delete_records(ends, request_timeout=_ASK_S).values():
            deleted.result(_ASK_S)

    def client_options(self, user: str = "astrolens", password: str | None = None) -> dict[str, Any]:
        """What librdkafka's clients need to log in."""
        return {
            "bootstrap.servers": self.address("kafka"),
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password or self._variables["ASTROLENS_KAFKA_PASSWORD"],
            "log_level": 0,
        }

    def alerts_options(self) -> dict[str, Any]:
        """The same for the user who may only read alerts."""
        return self.client_options(self._variables["STACK_ALERTS_USER"], self._variables["STACK_ALERTS_PASSWORD"])

    def admin_options(self) -> dict[str, Any]:
        """The same for the user who may do everything."""
        secrets = json.loads((Path(self._variables["STACK_STATE"]) / "secrets.json").read_text())
        return self.client_options("admin", secrets["admin"])

    def _call(self, verb: str, server: str) -> None:
        environment = {
            **os.environ,
            "ASTROLENS_STACK_STATE": self._variables["STACK_STATE"],
            "ASTROLENS_STACK_PORT": self._variables["STACK_PORT"],
        }
        result = subprocess.run(
            [sys.executable, "-m", "deploy.stack", verb, server],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
