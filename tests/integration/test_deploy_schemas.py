"""Compose and the operators' resources against the schemas of those who read them.

The schemas come with the Go modules of compose, KEDA and the Prometheus operator, which Go fetches once into its cache.
Strimzi's come with no package; test_deploy_strimzi.py asks its model instead.
"""

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy_files import load, render

pytestmark = pytest.mark.timeout(900)

COMPOSE = ("github.com/compose-spec/compose-go/v2@v2.9.0", "schema/compose-spec.json")
KEDA = "github.com/kedacore/keda/v2@v2.18.1"
PROMETHEUS = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
DEFINITIONS = {
    ("keda.sh/v1alpha1", "ScaledObject"): (KEDA, "config/crd/bases/keda.sh_scaledobjects.yaml"),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): (KEDA, "config/crd/bases/keda.sh_triggerauthentications.yaml"),
    ("monitoring.coreos.com/v1", "ServiceMonitor"): (
        PROMETHEUS,
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    ("monitoring.coreos.com/v1", "PodMonitor"): (
        PROMETHEUS,
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): (
        PROMETHEUS,
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}


@functools.cache
def fetched(module: str, path: str) -> str:
    go = shutil.which("go")
    if go is None:
        pytest.skip("no go here, with whose modules the schemas come")
    done = subprocess.run(
        [go, "mod", "download", "-json", module], check=False, cwd="/", capture_output=True, text=True, timeout=300
    )
    if done.returncode != 0:
        pytest.skip(f"{module} could not be fetched: {done.stdout[-200:]}{done.stderr[-200:]}")
    return (Path(json.loads(done.stdout)["Dir"]) / path).read_text()


def closed(schema: Any) -> Any:
    """The schema as Kubernetes applies it: a field that it does not name is dropped, here it is an error."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: closed(value) for name, value in schema.items()}
    is_schema = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    if is_schema and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result["additionalProperties"] = False
    return result


def schema_of(resource: dict[str, Any]) -> dict[str, Any]:
    definition = yaml.safe_load(fetched(*DEFINITIONS[resource["apiVersion"], resource["kind"]]))
    version = resource["apiVersion"].split("/")[1]
    (schema,) = [each["schema"] for each in definition["spec"]["versions"] if each["name"] == version]
    strict = closed(schema["openAPIV3Schema"])
    strict["properties"]["metadata"] = {"type": "object"}
    return dict(strict)


@pytest.mark.parametrize("kind", sorted(kind for _, kind in DEFINITIONS))
def test_resources_of_operators_are_what_their_definitions_say(kind: str) -> None:
    found = [each for each in render("k8s/overlays/prod") if each["kind"] == kind]
    assert found
    for resource in found:
        jsonschema.Draft202012Validator(schema_of(resource)).validate(resource)


def test_a_wrong_field_of_an_operator_would_be_found() -> None:
    resource = next(each for each in render("k8s/overlays/prod") if each["kind"] == "ScaledObject")
    wrong = {**resource, "spec": {**resource["spec"], "maxReplicas": 3}}
    with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
        jsonschema.Draft202012Validator(schema_of(resource)).validate(wrong)


def test_compose_file_is_what_the_compose_specification_says() -> None:
    schema = json.loads(fetched(*COMPOSE))
    jsonschema.Draft202012Validator(schema).validate(load("docker-compose.yml"))


def test_a_wrong_field_of_compose_would_be_found() -> None:
    compose = load("docker-compose.yml")
    compose["services"]["console"]["heathcheck"] = {}
    with pytest.raises(jsonschema.ValidationError, match="heathcheck"):
        jsonschema.Draft202012Validator(json.loads(fetched(*COMPOSE))).validate(compose)


def test_every_kind_of_an_operator_has_a_definition_or_is_known_to_have_none() -> None:
    kinds = {(each["apiVersion"], each["kind"]) for each in render("k8s/overlays/prod")}
    operators = {each for each in kinds if "." in each[0] and "k8s.io" not in each[0]}
    assert {each for each in operators if each not in DEFINITIONS} == {
        ("kafka.strimzi.io/v1", kind) for kind in ("Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser")
    }
