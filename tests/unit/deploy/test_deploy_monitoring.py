"""Prometheus and Grafana: they ask the right ports, for metrics that exist, and rules fire when they should."""

import json
import re
import shutil
import subprocess

import pytest
from astrolens.commands.serve import SERVICES
from astrolens.platform.metrics import Metrics
from astrolens.platform.server import HEALTH_PATHS
from prometheus_client.samples import Sample

from tests.deploy_files import ROOT, http_port, load, of_kind, render, settings_of

RULES = load("deploy/prometheus/rules.yml")


def exported() -> set[str]:
    """Every series name that a service can have, `_total` and `_bucket` included."""
    names: set[str] = set()
    for family in Metrics("any").registry.collect():
        samples: list[Sample] = list(family.samples)
        names |= {sample.name for sample in samples}
        names |= {family.name} if family.type == "gauge" else set()
        names |= {f"{family.name}_total"} if family.type == "counter" else set()
        names |= (
            {f"{family.name}{end}" for end in ("_bucket", "_sum", "_count")} if family.type == "histogram" else set()
        )
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
        ["promtool", "test", "rules", "rules_test.yml"], cwd=folder, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_operator_watches_every_service_once_under_the_names_of_compose() -> None:
    resources = render("k8s/overlays/prod")
    by_service = of_kind(resources, "ServiceMonitor")["astrolens"]["spec"]
    by_pod = of_kind(resources, "PodMonitor")["astrolens"]["spec"]
    watched = [
        by_service["selector"]["matchExpressions"][0]["values"],
        by_pod["selector"]["matchExpressions"][0]["values"],
    ]
    assert sorted(name for names in watched for name in names) == sorted(SERVICES)
    for endpoint in (*by_service["endpoints"], *by_pod["podMetricsEndpoints"]):
        assert endpoint["path"] in HEALTH_PATHS
        assert {"targetLabel": "job", "replacement": "astrolens"} in endpoint["relabelings"]
        assert "service" in {each["targetLabel"] for each in endpoint["relabelings"]}
        assert endpoint["port"] == "http"
    for name in watched[0]:
        assert "http" in {port["name"] for port in of_kind(resources, "Service")[name]["spec"]["ports"]}


def test_rules_on_kubernetes_are_the_rules_of_compose() -> None:
    rule = of_kind(render("k8s/overlays/prod"), "PrometheusRule")["astrolens"]
    assert rule["spec"] == RULES


def test_panels_ask_the_provisioned_source_for_metrics_that_exist() -> None:
    (source,) = load("deploy/grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    dashboards = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
    assert dashboards
    for path in dashboards:
        panels = json.loads(path.read_text())["panels"]
        assert panels
        for panel in panels:
            assert panel["description"].endswith(".")
            for target in panel["targets"]:
                assert target["datasource"] == {"type": "prometheus", "uid": source["uid"]}
                asked = set(re.findall(r"\b(?:astrolens|process)_\w+", target["expr"]))
                assert asked <= exported(), panel["title"]
                assert asked or "up{" in target["expr"]
