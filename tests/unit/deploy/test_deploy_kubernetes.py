"""The rendered Kubernetes resources: valid by Kubernetes' own schemas, and as confined and probed as is promised."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
from astrolens.platform.runtime.http_server import HEALTH_PATHS
from astrolens.platform.runtime.services import SERVICE_NAMES
from astrolens.platform.settings import Settings
from astrolens.rpc.v1 import inference_pb2

from tests.bench.capacity import NIGHTS, Cost, images_per_s
from tests.deploy_files import ROOT, http_port, load, of_kind, render, settings_of

pytestmark = pytest.mark.timeout(900)  # kustomize may have to be built, once

OVERLAYS = ["k8s/overlays/dev", "k8s/overlays/prod"]
OPERATORS = {"kafka.strimzi.io", "keda.sh", "monitoring.coreos.com"}
KUBERNETES = "1.37"
NAMESPACE = "kubernetes.io/metadata.name"
MEASURED_INGESTOR = Cost(idle_cores=0.081, work_s=0.0062)
"""See docs/scaling.md."""
SECRETS = {
    # What docs/deployment.md has people make, with values of the right form.
    "astrolens-stores": {
        "ASTROLENS_RECORDS_URL": "mongodb://astrolens:secret@mongodb.stores:27017/astrolens?replicaSet=rs0",
        "ASTROLENS_IMAGES_URL": "s3+https://minio.stores:9000/astrolens",
        "ASTROLENS_S3_ACCESS_KEY": "astrolens",
        "ASTROLENS_S3_SECRET_KEY": "secret",
    },
    "astrolens-console": {"ASTROLENS_TOKEN": "secret", "ASTROLENS_SESSION_KEY": "secret"},
    "astrolens-metrics": {"ASTROLENS_METRICS_TOKEN": "secret"},
    "astrolens-notifier": {"ASTROLENS_NOTIFY_URLS": "json://example.org/hook"},
    # What Strimzi writes.
    **{name: {"password": "secret"} for name in ("ingestor", "analyzer", "crossref", "trainer", "notifier", "console")},
}


@pytest.fixture(scope="module", params=OVERLAYS)
def resources(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(request.param)


@pytest.fixture(scope="module")
def prod() -> list[dict[str, Any]]:
    return render("k8s/overlays/prod")


def prod_with(component: str, folder: Path) -> list[dict[str, Any]]:
    """The production overlay with one component more, as its comment tells to add it."""
    up = "../" * len(folder.resolve().parts[1:])
    relative = up + str(ROOT / "k8s").lstrip("/")
    (folder / "kustomization.yaml").write_text(
        f"resources: [{relative}/overlays/prod]\ncomponents: [{relative}/components/{component}]\n"
    )
    return render(folder.resolve())


@pytest.fixture
def with_gpu(tmp_path: Path) -> list[dict[str, Any]]:
    return prod_with("gpu", tmp_path)


def pod(deployment: dict[str, Any]) -> dict[str, Any]:
    return dict(deployment["spec"]["template"]["spec"])


def container(deployment: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod(deployment)["containers"]
    return dict(only)


def environment(deployment: dict[str, Any], resources: list[dict[str, Any]]) -> dict[str, str]:
    """Every variable of a pod as Kubernetes would fill it in."""
    config = of_kind(resources, "ConfigMap")
    it = container(deployment)
    variables: dict[str, str] = {}
    for source in it["envFrom"]:
        if "configMapRef" in source:
            variables |= config[source["configMapRef"]["name"]]["data"]
        else:
            variables |= SECRETS[source["secretRef"]["name"]]
    for one in it.get("env", []):
        if "value" in one:
            variables[one["name"]] = one["value"]
        elif "secretKeyRef" in one["valueFrom"]:
            reference = one["valueFrom"]["secretKeyRef"]
            variables[one["name"]] = SECRETS[reference["name"]][reference["key"]]
        else:
            part, _, name = one["valueFrom"]["resourceFieldRef"]["resource"].partition(".")
            variables[one["name"]] = it["resources"][part][name]
    return variables


def settings(deployment: dict[str, Any], resources: list[dict[str, Any]]) -> Settings:
    image = {"ASTROLENS_HOST": "0.0.0.0", "ASTROLENS_HOME": "/var/lib/astrolens"}
    return settings_of({**image, **environment(deployment, resources)})


def test_everything_is_valid_by_the_schemas_of_kubernetes(resources: list[dict[str, Any]]) -> None:
    checked = 0
    for resource in resources:
        if resource["apiVersion"].split("/")[0] in OPERATORS:
            continue
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
        checked += 1
    assert checked > 25


def test_a_wrong_field_would_be_found(prod: list[dict[str, Any]]) -> None:
    deployment = dict(of_kind(prod, "Deployment")["console"])
    deployment["spec"] = {**deployment["spec"], "replcas": 2}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)


def test_everything_lives_in_the_namespace_that_enforces_the_restricted_standard(
    resources: list[dict[str, Any]],
) -> None:
    namespace = of_kind(resources, "Namespace")["astrolens"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [each for each in resources if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in others} == {"astrolens"}


def test_no_secret_is_in_the_manifests(resources: list[dict[str, Any]]) -> None:
    assert not of_kind(resources, "Secret")
    secretive = ("PASSWORD", "TOKEN", "SECRET", "SESSION_KEY", "NOTIFY_URLS", "ACCESS_KEY", "RECORDS_URL")
    for config in of_kind(resources, "ConfigMap").values():
        assert not [name for name in config["data"] if any(word in name for word in secretive)]
    for deployment in of_kind(resources, "Deployment").values():
        for one in container(deployment).get("env", []):
            if any(word in one["name"] for word in secretive):
                assert "secretKeyRef" in one["valueFrom"]


def test_every_service_has_its_deployment(resources: list[dict[str, Any]]) -> None:
    deployments = of_kind(resources, "Deployment")
    assert set(deployments) == set(SERVICE_NAMES)
    for name, deployment in deployments.items():
        assert container(deployment)["image"] == f"astrolens/{name}:0.1.0"
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert labels == {"app.kubernetes.io/component": name, "app.kubernetes.io/part-of": "astrolens"}
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_pods_are_restricted(resources: list[dict[str, Any]], service: str) -> None:
    deployment = of_kind(resources, "Deployment")[service]
    security = pod(deployment)["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == 10001
    assert f"ARG UID={security['runAsUser']}" in (ROOT / "deploy/Dockerfile").read_text()
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(deployment)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod(deployment))
    assert not [volume for volume in pod(deployment)["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_pods_do_not_see_the_cluster(resources: list[dict[str, Any]], service: str) -> None:
    deployment = of_kind(resources, "Deployment")[service]
    assert pod(deployment)["automountServiceAccountToken"] is False
    # Otherwise a Service named astrolens-... would set ASTROLENS_... variables, which settings would read.
    assert pod(deployment)["enableServiceLinks"] is False
    account = pod(deployment)["serviceAccountName"]
    assert of_kind(resources, "ServiceAccount")[account]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_pods_are_bounded(resources: list[dict[str, Any]], service: str) -> None:
    deployment = of_kind(resources, "Deployment")[service]
    resource_bounds = container(deployment)["resources"]
    assert {"cpu", "memory"} <= set(resource_bounds["limits"])
    assert {"cpu", "memory"} <= set(resource_bounds["requests"])
    for volume in pod(deployment)["volumes"]:
        assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_variables_are_settings_and_lead_to_what_is_there(resources: list[dict[str, Any]], service: str) -> None:
    deployment = of_kind(resources, "Deployment")[service]
    read = settings(deployment, resources)
    assert read.bootstrap_servers == ["astrolens-kafka-bootstrap:9093"]
    assert read.shutdown_grace_s < pod(deployment)["terminationGracePeriodSeconds"]
    writable = {mount["mountPath"] for mount in container(deployment)["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {str(read.home), "/tmp"}
    host, _, port = read.inference_address.rpartition(":")
    if service == "model-server":
        assert host == "0.0.0.0"
        assert read.inference_threads == int(container(deployment)["resources"]["limits"]["cpu"])
    else:
        grpc = of_kind(resources, "Service")[host]["spec"]["ports"]
        assert ("grpc", int(port)) in {(each["name"], each["port"]) for each in grpc}
    if service == "console":
        assert read.token is not None, "off loopback the console wants one"


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_kafka_knows_each_service_by_its_name(resources: list[dict[str, Any]], service: str) -> None:
    deployment = of_kind(resources, "Deployment")[service]
    read = settings(deployment, resources)
    assert read.kafka_tls is True
    mounts = {mount["mountPath"]: mount["name"] for mount in container(deployment)["volumeMounts"]}
    assert read.kafka_ca_file is not None
    volumes = {volume["name"]: volume for volume in pod(deployment)["volumes"]}
    secret = volumes[mounts[str(read.kafka_ca_file.parent)]]["secret"]
    assert secret["secretName"] == "astrolens-cluster-ca-cert"
    assert secret["items"] == [{"key": "ca.crt", "path": read.kafka_ca_file.name}]
    if service == "model-server":
        assert read.kafka_user == ""
        return
    user = of_kind(resources, "KafkaUser")[read.kafka_user]
    assert user["spec"]["authentication"]["type"] == read.kafka_mechanism.lower()
    assert read.kafka_password is not None


@pytest.mark.parametrize("service", sorted(SERVICE_NAMES))
def test_probes_ask_the_service_where_it_listens(resources: list[dict[str, Any]], service: str) -> None:
    deployment = of_kind(resources, "Deployment")[service]
    read = settings(deployment, resources)
    it = container(deployment)
    ports = {port["name"]: port["containerPort"] for port in it["ports"]}
    assert ports["http"] == http_port(service, read)
    probes = {name: it[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    if service == "model-server":
        assert ports["grpc"] == int(read.inference_address.rpartition(":")[2])
        name = inference_pb2.DESCRIPTOR.services_by_name["Inference"].full_name
        assert {probe["grpc"]["port"] for probe in probes.values()} == {ports["grpc"]}
        assert probes["readiness"]["grpc"]["service"] == probes["startup"]["grpc"]["service"] == name
        assert not [probe for probe in probes.values() if "httpGet" in probe]
        return
    asked = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert asked == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert set(asked.values()) <= HEALTH_PATHS
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {"http"}


def test_disruptions_take_one_pod_at_a_time_and_never_block_a_drain(resources: list[dict[str, Any]]) -> None:
    budgets = of_kind(resources, "PodDisruptionBudget")
    assert set(budgets) == set(SERVICE_NAMES)
    for name, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/component": name}


def test_what_must_be_alone_is_alone_also_during_a_rollout(resources: list[dict[str, Any]]) -> None:
    deployments = of_kind(resources, "Deployment")
    assert deployments["notifier"]["spec"]["replicas"] == 1
    assert deployments["notifier"]["spec"]["strategy"] == {"type": "Recreate"}


def test_what_may_be_many_is_never_fewer_during_a_rollout(prod: list[dict[str, Any]]) -> None:
    for name in ("ingestor", "analyzer"):
        strategy = of_kind(prod, "Deployment")[name]["spec"]["strategy"]
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_a_laptop_has_one_pod_of_each() -> None:
    deployments = of_kind(render("k8s/overlays/dev"), "Deployment")
    assert {name: deployment["spec"]["replicas"] for name, deployment in deployments.items()} == dict.fromkeys(
        SERVICE_NAMES, 1
    )


def test_an_ingestor_of_production_has_the_cores_for_rubin(prod: list[dict[str, Any]]) -> None:
    ingestor = of_kind(prod, "Deployment")["ingestor"]
    cores = float(container(ingestor)["resources"]["limits"]["cpu"])
    rubin = next(night for night in NIGHTS if night.name == "Rubin")
    assert images_per_s(MEASURED_INGESTOR, cores) > rubin.per_s
    assert settings(ingestor, prod).decoders == cores


def test_what_may_be_many_is_spread_over_nodes(prod: list[dict[str, Any]]) -> None:
    for name in ("ingestor", "analyzer", "model-server", "console"):
        (spread,) = pod(of_kind(prod, "Deployment")[name])["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        assert spread["labelSelector"]["matchLabels"] == {"app.kubernetes.io/component": name}
    assert of_kind(prod, "Deployment")["console"]["spec"]["replicas"] == 2


def test_services_lead_to_ports_that_exist(resources: list[dict[str, Any]]) -> None:
    deployments = of_kind(resources, "Deployment")
    for name, service in of_kind(resources, "Service").items():
        if name == "nowhere":
            assert "selector" not in service["spec"]
            continue
        assert service["spec"]["selector"] == {"app.kubernetes.io/component": name}
        ports = {port["name"]: port["containerPort"] for port in container(deployments[name])["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_the_model_servers_name_leads_to_every_pod_that_is_ready(resources: list[dict[str, Any]]) -> None:
    spec = of_kind(resources, "Service")["model-server"]["spec"]
    assert spec["clusterIP"] == "None"
    assert not spec.get("publishNotReadyAddresses")
    assert [name for name, each in of_kind(resources, "Service").items() if each["spec"].get("clusterIP")] == [
        "model-server"
    ]
    address = settings(of_kind(resources, "Deployment")["analyzer"], resources).inference_address
    assert address == "model-server:8081", "a name without a scheme is asked for all of its addresses"


def test_a_browser_stays_with_its_pod(resources: list[dict[str, Any]]) -> None:
    ingress = of_kind(resources, "Ingress")["console"]
    annotations = ingress["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/affinity"] == "cookie"
    assert annotations["nginx.ingress.kubernetes.io/affinity-mode"] == "persistent"
    sticky = of_kind(resources, "Service")["console"]["metadata"]["annotations"]
    assert sticky["traefik.ingress.kubernetes.io/service.sticky.cookie"] == "true"
    for rule in ingress["spec"]["rules"]:
        backends = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
        assert backends.pop("/") == "console"
        # Asked without a login, so not from outside.
        assert backends == dict.fromkeys(HEALTH_PATHS, "nowhere")


def test_production_speaks_tls_to_browsers(prod: list[dict[str, Any]]) -> None:
    spec = of_kind(prod, "Ingress")["console"]["spec"]
    assert [host for entry in spec["tls"] for host in entry["hosts"]] == [rule["host"] for rule in spec["rules"]]


def test_tracing_component_names_the_collector_and_lets_everyone_reach_it(tmp_path: Path) -> None:
    traced = prod_with("tracing", tmp_path)
    policy = of_kind(traced, "NetworkPolicy")["traces"]
    kubernetes_validate.validate(policy, KUBERNETES, strict=True)
    (rule,) = policy["spec"]["egress"]
    for deployment in of_kind(traced, "Deployment").values():
        read = settings(deployment, traced)
        url = urlsplit(read.traces_url)
        assert str(url.hostname).split(".")[1] == rule["to"][0]["namespaceSelector"]["matchLabels"][NAMESPACE]
        assert [url.port] == [port["port"] for port in rule["ports"]]
        assert read.traces_ratio == 0.01
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()


def test_traces_are_off_where_nobody_asks(resources: list[dict[str, Any]]) -> None:
    for deployment in of_kind(resources, "Deployment").values():
        assert settings(deployment, resources).traces_url == ""


def test_gpu_component_gives_the_model_server_a_gpu(with_gpu: list[dict[str, Any]]) -> None:
    deployment = of_kind(with_gpu, "Deployment")["model-server"]
    it = container(deployment)
    assert it["image"] == "astrolens/model-server-gpu:0.1.0"
    assert it["image"] == load("docker-compose.yml")["services"]["model-server-gpu"]["image"]
    assert it["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert it["resources"]["limits"]["cpu"] == "2"
    assert pod(deployment)["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    kubernetes_validate.validate(deployment, KUBERNETES, strict=True)
    others = [each for name, each in of_kind(with_gpu, "Deployment").items() if name != "model-server"]
    assert not [each for each in others if "nvidia.com/gpu" in str(each)]
