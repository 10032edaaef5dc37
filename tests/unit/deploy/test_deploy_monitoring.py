"""Prometheus and Grafana: they ask the right ports, for metrics that exist, and rules fire when they should."""

import json
import re
import shutil
import subprocess

import pytest
from astrolens.console.metrics import BooksMetrics
from astrolens.crossref.metrics import CatalogueMetrics
from astrolens.inference.analyzer_metrics import AnalysisMetrics
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.survey_models.metrics import SurveyModelMetrics
from astrolens.ingestor.metrics import IngestMetrics
from astrolens.notifier.metrics import AlertMetrics
from astrolens.platform.runtime.http_server import HEALTH_PATHS
from astrolens.platform.runtime.services import SERVICE_NAMES
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.trainer.metrics import TrainerMetrics, TrainingMetrics
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

from tests.deploy_files import ROOT, http_port, load, of_kind, render, settings_of
from tests.promql import DASHBOARDS, all_queries, panels, selectors

RULES = load("deploy/prometheus/rules.yml")
RECORDED = {rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule}
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]


def registry() -> CollectorRegistry:
    """The metrics of all services in one registry, which would refuse two of one name."""
    shared = Metrics("any")
    rooms = (
        AlertMetrics,
        AnalysisMetrics,
        BooksMetrics,
        IngestMetrics,
        SurveyModelMetrics,
        TrainerMetrics,
        TrainingMetrics,
    )
    for room in rooms:
        room(shared)
    # An Info metric has no samples before it is told.
    ModelMetrics(shared).model.info({"name": "any"})
    return shared.registry


def families() -> list[Metric]:
    """Every family of metrics. Ingestor and crossref both count requests to archives, so the latter stands alone."""
    crossref = CatalogueMetrics(Metrics("crossref")).shared.registry
    return [*registry().collect(), *crossref.collect()]


def exported() -> set[str]:
    """Every series name that a service can have, `_total` and `_bucket` included, and what rules record."""
    names: set[str] = set()
    for family in families():
        samples: list[Sample] = list(family.samples)
        names |= {sample.name for sample in samples}
        names |= {family.name} if family.type == "gauge" else set()
        names |= {f"{family.name}_total"} if family.type == "counter" else set()
        names |= (
            {f"{family.name}{end}" for end in ("_bucket", "_sum", "_count")} if family.type == "histogram" else set()
        )
    return names | RECORDED


def test_every_service_is_scraped_on_its_port() -> None:
    (job,) = load("deploy/prometheus/prometheus.yml")["scrape_configs"]
    assert job["job_name"] == "astrolens"
    assert job.get("metrics_path", "/metrics") in HEALTH_PATHS
    settings = settings_of({})
    targets = {config["labels"]["service"]: config["targets"] for config in job["static_configs"]}
    assert targets == {service: [f"{service}:{http_port(service, settings)}"] for service in SERVICE_NAMES}


def test_rules_ask_for_metrics_that_exist() -> None:
    names = exported()
    for group in RULES["groups"]:
        for rule in group["rules"]:
            asked = {selector.metric for selector in selectors(rule["expr"])}
            assert asked <= names | {"up"}, rule
            assert asked


def test_selectors_are_found_in_a_query_and_nowhere_else() -> None:
    query = (
        'sum by (stage, le) (rate(astrolens_lag{topic=~"a{2}|up", stage!=""}[5m] offset 1h)) / on (up_to) group_left ()'
        ' label_replace(up, "to", "$1", "astrolens_no", "(astrolens_no)") > astrolens:in_flight'
    )
    assert [str(each) for each in selectors(query)] == [
        'astrolens_lag{topic=~"a{2}|up", stage!=""}',
        "up",
        "astrolens:in_flight",
    ]


def test_alerts_say_how_bad_it_is_and_the_runbook_says_what_to_do() -> None:
    runbook = (ROOT / "docs/runbook.md").read_text()
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")
        assert f"`{rule['alert']}`" in runbook, rule["alert"]


def test_every_alert_is_proven_to_fire() -> None:
    tested = {
        case["alertname"]
        for test in load("deploy/prometheus/rules_test.yml")["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tested == {rule["alert"] for rule in ALERTS}


def test_metrics_that_nobody_asks_for_are_not_kept() -> None:
    """A metric is there for a panel or a rule; the interpreter's own collectors come as they are."""
    asked = {selector.metric for query in all_queries() for selector in selectors(query)}
    stems = {re.sub(r"_(total|bucket|sum|count|info|created)$", "", name) for name in asked}
    own = {family.name for family in families() if family.name.startswith("astrolens_")}
    assert own - stems - {name for name in own if f"{name}_total" in asked} == {"astrolens_service"}


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
    assert sorted(name for names in watched for name in names) == sorted(SERVICE_NAMES)
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


def test_dashboards_on_kubernetes_are_those_of_compose_and_carry_the_label_of_the_sidecar() -> None:
    maps = of_kind(render("k8s/overlays/prod"), "ConfigMap")
    found = {name: each for name, each in maps.items() if name.startswith("astrolens-dashboard-")}
    assert set(found) == {f"astrolens-dashboard-{path.stem}" for path in DASHBOARDS}
    for path in DASHBOARDS:
        each = found[f"astrolens-dashboard-{path.stem}"]
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        (text,) = each["data"].values()
        assert json.loads(text) == json.loads(path.read_text())


def test_there_are_four_dashboards_that_lead_to_each_other() -> None:
    assert [path.stem for path in DASHBOARDS] == ["catalogues", "model", "pipeline", "science"]
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        assert board["uid"] == f"astrolens-{path.stem}"
        assert board["links"][0]["tags"] == ["astrolens"] == board["tags"]
        assert board["templating"]["list"][0]["query"] == "prometheus"
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))


def test_panels_fill_their_rows_and_do_not_overlap() -> None:
    for path in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert max(x for x, _ in cells) < 24
            assert not cells & taken, panel["title"]
            taken |= cells


def test_panels_ask_the_chosen_source_for_metrics_that_exist() -> None:
    names = exported()
    for path in DASHBOARDS:
        for panel in panels(path):
            assert panel["description"].endswith(".")
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            for target in panel["targets"]:
                assert target["datasource"] == panel["datasource"]
                asked = {selector.metric for selector in selectors(target["expr"])}
                assert asked, panel["title"]
                assert asked <= names | {"up"}, panel["title"]
