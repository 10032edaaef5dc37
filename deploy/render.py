"""Writes the files that follow from a declaration: topics, rules and dashboards, for compose and for Kubernetes.

Run by `make manifests`. A test renders again and compares, so that nobody edits the results.
"""

from pathlib import Path
from typing import Any, Final

import yaml

from deploy.grafana.boards import BOARDS

ROOT: Final = Path(__file__).resolve().parents[1]
TOPICS: Final = ROOT / "deploy/kafka/topics.yaml"
RULES: Final = ROOT / "deploy/prometheus/rules.yml"

_MS_PER_DAY = 86_400_000
_GENERATED = "# Written by `make manifests` from {source}. Do not edit.\n"


def load(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def retention_ms(topic: dict[str, Any]) -> int:
    """Retention as Kafka counts it; -1 is for ever."""
    days = topic["retention_days"]
    return -1 if days == "forever" else int(days) * _MS_PER_DAY


def kafka_topics(declared: dict[str, Any]) -> str:
    """Strimzi's KafkaTopic resources."""
    documents = [
        {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaTopic",
            "metadata": {"name": topic["name"], "labels": {"strimzi.io/cluster": "astrolens"}},
            "spec": {
                "partitions": topic["partitions"],
                "replicas": 3,
                "config": {
                    "cleanup.policy": "delete",
                    "retention.ms": retention_ms(topic),
                    "min.insync.replicas": 2,
                },
            },
        }
        for topic in declared["topics"]
    ]
    body: str = yaml.safe_dump_all(documents, sort_keys=False)
    return _GENERATED.format(source="deploy/kafka/topics.yaml") + body


def create_script(declared: dict[str, Any]) -> str:
    """A script that creates the topics with the tools of Kafka's own image. It may run twice."""
    calls = "\n".join(
        f"topic {topic['name']} {topic['partitions']} {retention_ms(topic)}" for topic in declared["topics"]
    )
    return f"""#!/usr/bin/env bash
{_GENERATED.format(source="deploy/kafka/topics.yaml")}# Usage: KAFKA_SERVERS=host:port KAFKA_REPLICAS=1 create-topics.sh
# Where the broker wants a login: KAFKA_COMMAND_CONFIG=client.properties as well.
set -euo pipefail
PATH="$PATH:/opt/kafka/bin"

topic() {{
    kafka-topics.sh --bootstrap-server "${{KAFKA_SERVERS:?host:port of a broker}}" --create --if-not-exists \\
        --topic "$1" --partitions "$2" --replication-factor "${{KAFKA_REPLICAS:?copies of each record}}" \\
        --config cleanup.policy=delete --config "retention.ms=$3" \\
        ${{KAFKA_COMMAND_CONFIG:+--command-config "$KAFKA_COMMAND_CONFIG"}}
}}

{calls}
"""


def prometheus_rule(rules: dict[str, Any]) -> str:
    """The alert rules as the Prometheus operator reads them."""
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "astrolens", "labels": {"app.kubernetes.io/part-of": "astrolens"}},
        "spec": rules,
    }
    return _GENERATED.format(source="deploy/prometheus/rules.yml") + yaml.safe_dump(
        document, sort_keys=False, width=120
    )


def dashboard_maps() -> str:
    """The dashboards as Grafana's sidecar finds them: a ConfigMap each, told by its label."""
    documents = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": f"astrolens-dashboard-{board.name}",
                "labels": {"app.kubernetes.io/part-of": "astrolens", "grafana_dashboard": "1"},
                "annotations": {"grafana_folder": "AstroLens"},
            },
            "data": {f"astrolens-{board.name}.json": board.compact_json()},
        }
        for board in BOARDS
    ]
    body: str = yaml.safe_dump_all(documents, sort_keys=False, width=1_000_000)
    return _GENERATED.format(source="deploy/grafana/*.py") + body


def rendered() -> dict[Path, str]:
    """Every written file and its content."""
    topics = load(TOPICS)
    return {
        ROOT / "k8s/components/kafka/topics.yaml": kafka_topics(topics),
        ROOT / "deploy/kafka/create-topics.sh": create_script(topics),
        ROOT / "k8s/components/monitoring/rules.yaml": prometheus_rule(load(RULES)),
        ROOT / "k8s/components/monitoring/dashboards.yaml": dashboard_maps(),
        **{ROOT / f"deploy/grafana/dashboards/{board.name}.json": board.json() for board in BOARDS},
    }


def main() -> None:
    """Write them."""
    for path, text in rendered().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
