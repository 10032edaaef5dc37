"""Prometheus and Grafana: they ask the right ports, for metrics that exist, and rules fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from astrolens.commands.serve import SERVICES
from astrolens.platform.metrics import Metrics
from astrolens.platform.server import HEALTH_PATHS
from deploy_files import ROOT, http_port, load, settings_of
from prometheus_client.samples import Sample

RULES = load("deploy/prometheus/rules.yml")


def exported() -> set[str]:
    """Every series name that a service can have, `_total` and `_bucket` included."""
    names: set[str] = set()
    for family in Metrics("any").registry.collect():
        samples: list[Sample] = list(family.samples)
        names |= {sample.name for sample in samples}
        names |= {family.name} if family.type == "gauge" else set()
        names |= {f"{family.name}_total"} if family.type == "counter" else set()
        names |= {f"{family.name}{end}" for end in ("_bucket", "_sum", "_count")} if family.type == "histogram" else set()
    return names


def test_every_service_is_scraped_on_its_port() -> None:
    (job,) = load("deploy/prometheus/prometheus.yml")["scrape_configs"]
    assert job["job_name"] == "astrolens"
    assert job.get("metrics_path", "/metrics") in HEALTH_PATHS
    settings = settings_of({})
    targets = {config["labels"]["service"]: config["targets"] for config in job["static_configs"]}
    assert targets == {service: [f"{service}:{http_port(service, settings)}"] for service in SERVICES}


def test_rules_ask_for_metrics_that_exist() -> None:
    names = exported()
    for group in RULES["groups"]:
        for rule in group["rules"]:
            asked = set(re.findall(r"\bastrolens_\w+", rule["expr"]))
            assert asked <= names, rule["alert"]
            assert asked or "up{" in rule["expr"]
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"].endswith(".")


def test_rule_of_a_missing_metric_would_be_found() -> None:
    assert "astrolens_recieved_total" not in exported()
    assert {"astrolens_received_total", "astrolens_lag", "astrolens_stage_seconds_bucket"} <= exported()


def test_compose_mounts_what_the_configuration_names() -> None:
    prometheus = load("docker-compose.yml")["services"]["prometheus"]
    mounted = {volume.split(":")[1] for volume in prometheus["volumes"]}
    assert set(load("deploy/prometheus/prometheus.yml")["rule_files"]) <= mounted
    assert "--config.file=/etc/prometheus/prometheus.yml" in prometheus["command"]
    (source,) = load("deploy/grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = load("deploy/grafana/provisioning/dashboards/dashboards.yaml")["providers"]
    grafana = load("docker-compose.yml")["services"]["grafana"]
    assert provider["options"]["path"] in {volume.split(":")[1] for volume in grafana["volumes"]}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here (Debian's package prometheus has it)")
def test_rules_fire_when_they_should_and_only_then() -> None:
    folder = ROOT / "deploy/prometheus"
    done = subprocess.run(
        ["promtool", "test", "rules", str(Path("rules_test.yml"))], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
