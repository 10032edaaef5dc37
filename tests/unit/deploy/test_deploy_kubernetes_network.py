"""Who may speak to whom on Kubernetes, decided from the rendered policies as a cluster would decide it."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from astrolens.platform.runtime.services import SERVICE_NAMES

from tests.deploy_files import HTTP_PORT, http_port, of_kind, render, settings_of

pytestmark = pytest.mark.timeout(900)  # kustomize may have to be built, once

KAFKA = {"strimzi.io/cluster": "astrolens", "strimzi.io/kind": "Kafka"}
DNS = ("kube-system", {"k8s-app": "kube-dns"})
MONITORING = ("monitoring", {"app": "prometheus"})
INGRESS = ("traefik", {"app": "traefik"})
STRANGER = ("elsewhere", {"app": "stranger"})
MONGO = ("stores", {"app": "mongodb"})


@pytest.fixture(scope="module", params=["k8s/overlays/dev", "k8s/overlays/prod"])
def policies(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return [each["spec"] for each in of_kind(render(request.param), "NetworkPolicy").values()]


def ours(service: str) -> tuple[str, dict[str, str]]:
    return "astrolens", {"app.kubernetes.io/component": service, "app.kubernetes.io/part-of": "astrolens"}


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    for name, value in selector.get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return True


def peer_matches(peer: dict[str, Any], other: tuple[str, dict[str, str]] | str) -> bool:
    if isinstance(other, str):
        if "ipBlock" not in peer:
            return False
        address, block = ip_address(other), peer["ipBlock"]
        inside = address in ip_network(block["cidr"])
        return inside and not any(address in ip_network(each) for each in block.get("except", []))
    if "ipBlock" in peer:
        # Pods have private addresses.
        return False
    namespace, labels = other
    if "namespaceSelector" in peer:
        right_namespace = selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": namespace})
    else:
        right_namespace = namespace == "astrolens"
    return right_namespace and selects(peer.get("podSelector", {}), labels)


def lets(
    policies: list[dict[str, Any]],
    direction: str,
    pod: tuple[str, dict[str, str]],
    other: tuple[str, dict[str, str]] | str,
    port: int,
    protocol: str = "TCP",
) -> bool:
    side = {"Egress": "to", "Ingress": "from"}[direction]
    about = [each for each in policies if selects(each["podSelector"], pod[1]) and direction in each["policyTypes"]]
    assert about, "nothing denies by default"
    for policy in about:
        for rule in policy.get(direction.lower(), []):
            ports = [(each["protocol"], each["port"]) for each in rule.get("ports", [])]
            right_port = not ports or (protocol, port) in ports
            right_peer = side not in rule or any(peer_matches(peer, other) for peer in rule[side])
            if right_port and right_peer:
                return True
    return False


def connects(
    policies: list[dict[str, Any]], one: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]], port: int
) -> bool:
    """Both sides must agree, if they are in our namespace."""
    out = one[0] != "astrolens" or lets(policies, "Egress", one, other, port)
    into = other[0] != "astrolens" or other[1] == KAFKA or lets(policies, "Ingress", other, one, port)
    return out and into


def test_default_is_no(policies: list[dict[str, Any]]) -> None:
    deny = [each for each in policies if each["podSelector"] == {} and "ingress" not in each and "egress" not in each]
    assert [each["policyTypes"] for each in deny] == [["Ingress", "Egress"]]


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_everyone_resolves_names_and_reaches_the_stores(policies: list[dict[str, Any]], service: str) -> None:
    assert lets(policies, "Egress", ours(service), DNS, 53, "UDP")
    for port in (27017, 9000):
        assert lets(policies, "Egress", ours(service), MONGO, port)
    assert not lets(policies, "Egress", ours(service), MONGO, 22)


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_kafka_is_for_those_who_read_or_write_events(policies: list[dict[str, Any]], service: str) -> None:
    assert connects(policies, ours(service), ("astrolens", KAFKA), 9093) is (service != "model-server")
    assert not connects(policies, ours(service), ("astrolens", KAFKA), 9090)


def test_model_server_answers_analyzer_trainer_and_console_only(policies: list[dict[str, Any]]) -> None:
    callers = {service for service in SERVICE_NAMES if connects(policies, ours(service), ours("model-server"), 8081)}
    assert callers == {"analyzer", "console", "trainer"}
    assert not connects(policies, STRANGER, ours("model-server"), 8081)
    assert not connects(policies, INGRESS, ours("model-server"), 8081)


def test_console_answers_the_ingress_controller_only(policies: list[dict[str, Any]]) -> None:
    assert connects(policies, INGRESS, ours("console"), 8080)
    assert not connects(policies, STRANGER, ours("console"), 8080)
    assert not [service for service in SERVICE_NAMES if connects(policies, ours(service), ours("console"), 8080)]


@pytest.mark.parametrize("service", sorted(HTTP_PORT))
def test_prometheus_reaches_everyones_metrics_and_strangers_nobody(
    policies: list[dict[str, Any]], service: str
) -> None:
    port = http_port(service, settings_of({}))
    assert connects(policies, MONITORING, ours(service), port)
    assert not connects(policies, STRANGER, ours(service), port)


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_only_ingestor_crossref_and_notifier_reach_the_internet(policies: list[dict[str, Any]], service: str) -> None:
    may = service in {"ingestor", "crossref", "notifier"}
    assert lets(policies, "Egress", ours(service), "8.8.8.8", 443) is may
    assert lets(policies, "Egress", ours(service), "2606:4700::1111", 443) is may
    assert lets(policies, "Egress", ours(service), "8.8.8.8", 587) is (service == "notifier")
    assert not lets(policies, "Egress", ours(service), "8.8.8.8", 22)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "10.0.0.1", "172.20.0.1", "192.168.1.1", "127.0.0.1", "fd00::1"]
)
@pytest.mark.parametrize("service", ["ingestor", "crossref", "notifier"])
def test_nobody_reaches_private_addresses_by_the_internet_rule(
    policies: list[dict[str, Any]], service: str, address: str
) -> None:
    assert not lets(policies, "Egress", ours(service), address, 443)
