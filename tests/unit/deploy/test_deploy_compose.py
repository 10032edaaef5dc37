"""docker-compose.yml: every service, path, port, variable, secret and health command is the code's."""

import copy
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from astrolens.platform.runtime.http_server import HEALTH_PATHS
from astrolens.platform.runtime.services import SERVICE_NAMES

from deploy.stack import layout
from tests.deploy_files import ROOT, http_port, load, settings_of

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = load("docker-compose.yml")
ALL: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in ALL.items() if "SERVICE" in service.get("build", {}).get("args", {})}
ONE_SHOT = {"kafka-initiate", "mongodb-initiate", "minio-initiate"}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Its variables with secrets replaced by `secret` and defaults filled in, as compose would."""

    def fill(text: str) -> str:
        text = re.sub(r"\$\{[A-Z0-9_]+:\?[^}]*\}", "secret", text)
        return re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", text)

    return {name: fill(str(value)) for name, value in service.get("environment", {}).items()}


def service_of(name: str) -> str:
    return str(OURS[name]["build"]["args"]["SERVICE"])


def test_every_service_runs_and_the_gpu_model_server_stands_in_for_the_other() -> None:
    assert {service_of(name) for name in OURS} == set(SERVICE_NAMES)
    assert set(OURS) == {*SERVICE_NAMES, "model-server-gpu"}
    assert OURS["model-server-gpu"]["networks"]["internal"]["aliases"] == ["model-server"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_build_arguments_are_the_dockerfiles(name: str) -> None:
    build = OURS[name]["build"]
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / build["dockerfile"]).read_text(), re.MULTILINE))
    assert set(build["args"]) <= arguments
    assert (ROOT / f"locks/images/{build['args']['EXTRA']}.txt").is_file()
    assert OURS[name]["image"] == f"astrolens/{name}:0.1.0"


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_are_settings_and_lead_to_the_engines(name: str) -> None:
    settings = settings_of(environment(OURS[name]))
    assert settings.bootstrap_servers == ["kafka:9092"]
    records, images = urlsplit(settings.records_url), urlsplit(settings.images_url)
    assert (records.scheme, records.hostname, records.port) == ("mongodb", "mongodb", 27017)
    assert (images.scheme, images.hostname, images.port, images.path) == ("s3+http", "minio", 9000, "/astrolens")
    assert images.username is None, "the keys have settings of their own"
    assert (settings.kafka_user, settings.kafka_mechanism, settings.kafka_tls) == ("astrolens", "SCRAM-SHA-512", False)
    assert settings.kafka_password is not None
    host, _, port = settings.inference_address.rpartition(":")
    assert host == ("0.0.0.0" if service_of(name) == "model-server" else "model-server")
    assert port == "8081"


@pytest.mark.parametrize("name", sorted(OURS))
def test_containers_are_confined(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["tmpfs"][0].startswith("/tmp:")
    assert service["restart"] == "unless-stopped"
    assert not service.get("privileged")
    assert [volume.split(":")[1] for volume in service["volumes"]] == ["/var/lib/astrolens"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_health_commands_are_the_images(name: str) -> None:
    kind, python, script, path = OURS[name]["healthcheck"]["test"]
    assert kind == "CMD"
    assert f'"{python}", "{script}"' in (ROOT / "deploy/Dockerfile").read_text()
    assert path in HEALTH_PATHS


def test_a_container_has_longer_to_stop_than_its_service_takes() -> None:
    for service in OURS.values():
        grace_s = int(service["stop_grace_period"].removesuffix("s"))
        assert grace_s > settings_of(environment(service)).shutdown_grace_s


def test_model_servers_threads_are_its_share_of_the_processor() -> None:
    for name in ("model-server", "model-server-gpu"):
        settings = settings_of(environment(OURS[name]))
        assert str(settings.inference_threads) == OURS[name]["deploy"]["resources"]["limits"]["cpus"]


@pytest.mark.parametrize("name", sorted(ALL))
def test_everything_is_bounded_checked_and_pinned(name: str) -> None:
    service = ALL[name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    assert re.search(r":(?!latest)[A-Za-z]*\.?v?\d", service["image"]), "a version, not a moving name"
    assert name in ONE_SHOT or service["healthcheck"]["test"]


def test_one_shots_give_up_and_their_engine_is_healthy_first() -> None:
    for name in ONE_SHOT:
        assert ALL[name]["restart"] == "on-failure:5"
        (engine,) = ALL[name]["depends_on"]
        assert engine == name.removesuffix("-initiate")
        assert ALL[name]["depends_on"][engine] == {"condition": "service_healthy"}
        assert ALL[name]["image"] == ALL[engine]["image"]
    for service in OURS.values():
        assert service["depends_on"] == {name: {"condition": "service_completed_successfully"} for name in ONE_SHOT}


def test_profiles() -> None:
    profiles = {name: service["profiles"] for name, service in ALL.items() if "profiles" in service}
    assert profiles == {
        "model-server-gpu": ["gpu"],
        "prometheus": ["observability"],
        "grafana": ["observability"],
        "jaeger": ["observability"],
    }
    device = ALL["model-server-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert device["capabilities"] == ["gpu"]


def test_every_mounted_file_is_there_and_read_only_and_every_volume_declared() -> None:
    used = set()
    for service in ALL.values():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), source
                assert mode == ["ro"]
            else:
                used.add(source)
            assert target.startswith("/")
    assert used == set(COMPOSE["volumes"])
    assert {network for service in ALL.values() for network in service["networks"]} == set(COMPOSE["networks"])


def test_only_this_machine_reaches_published_ports_and_stores_are_not_published() -> None:
    published = {name: service["ports"] for name, service in ALL.items() if "ports" in service}
    assert set(published) == {"console", "kafka", "prometheus", "grafana", "jaeger"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert COMPOSE["networks"]["internal"] == {"internal": True}
    # A port is not published on a network that leads nowhere.
    assert all("outside" in ALL[name]["networks"] for name in published)
    # Who fetches from surveys or sends to people needs the outside as well; nobody else has it.
    with_outside = {name for name, service in ALL.items() if "outside" in service["networks"]}
    assert with_outside == {*published, "ingestor", "crossref", "notifier"}
    console = settings_of(environment(ALL["console"]))
    assert ALL["console"]["ports"] == [f"127.0.0.1:8080:{http_port('console', console)}"]
    assert "ASTROLENS_TOKEN" in ALL["console"]["environment"], "off loopback the console wants one"


def test_traces_are_off_unless_asked_for_and_then_everyone_reaches_the_collector() -> None:
    for service in OURS.values():
        assert settings_of(environment(service)).traces_url == ""
        assert "internal" in service["networks"]
    assert "internal" in ALL["jaeger"]["networks"]
    assert "http://jaeger:4317 with the profile observability" in TEXT


def test_no_secret_has_a_default_and_all_are_made_by_the_script(tmp_path: Path) -> None:
    asked = set(re.findall(r"\$\{([A-Z0-9_]+):\?run deploy/make-env\.sh\}", TEXT))
    secretive = re.compile(r"PASSWORD|TOKEN|(?<!ACCESS_)KEY|SECRET")  # S3 calls a user name an access key
    for service in ALL.values():
        for name, value in service.get("environment", {}).items():
            if secretive.search(name):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]+\}", str(value)), name
    assert not re.search(r"\$\{[A-Z0-9_]*(PASSWORD|TOKEN|KEY|SECRET)[A-Z0-9_]*(:-|\})", TEXT)

    copy_of_script = tmp_path / "deploy" / "make-env.sh"
    copy_of_script.parent.mkdir()
    copy_of_script.write_text((ROOT / "deploy/make-env.sh").read_text())
    (tmp_path / ".env").write_text("MONGO_PASSWORD=mine\n")
    for _ in range(2):
        subprocess.run(["bash", str(copy_of_script)], check=True, env={"PATH": os.environ["PATH"]}, capture_output=True)
    made = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    assert set(made) == asked
    assert made.pop("MONGO_PASSWORD") == "mine"
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_prometheus_shows_the_token_that_services_ask_for() -> None:
    (job,) = load("deploy/prometheus/prometheus.yml")["scrape_configs"]
    path = job["authorization"]["credentials_file"]
    prometheus = ALL["prometheus"]
    script = prometheus["entrypoint"][2].replace("$$", "$")
    assert f'printf %s "$ASTROLENS_METRICS_TOKEN" > {path}' in script
    assert prometheus["tmpfs"][0].startswith(str(Path(path).parent)), "the rest of the container is read-only"
    for service in (prometheus, *OURS.values()):
        assert service["environment"]["ASTROLENS_METRICS_TOKEN"].startswith("${ASTROLENS_METRICS_TOKEN:?")


def test_scripts_read_only_variables_that_they_are_given() -> None:
    given = {name: set(service.get("environment", {})) for name, service in ALL.items()}
    asks = {
        "kafka": (ROOT / "deploy/kafka/start.sh", r"\$\{(\w+):\?"),
        "kafka-initiate": (ROOT / "deploy/kafka/initiate.sh", r"\$\{(\w+):\?"),
        "mongodb": (ROOT / "deploy/mongodb/start.sh", r"\$\{(\w+):\?"),
        "mongodb-initiate": (ROOT / "deploy/mongodb/initiate.js", r"process\.env\.(\w+)"),
        "minio-initiate": (ROOT / "deploy/minio/initiate.sh", r"\$\{(\w+):\?"),
    }
    for name, (script, pattern) in asks.items():
        asked = set(re.findall(pattern, script.read_text()))
        assert asked
        assert asked <= given[name]
        assert f"./{script.relative_to(ROOT)}" in {volume.split(":")[0] for volume in ALL[name]["volumes"]}


def test_user_database_and_bucket_are_the_same_on_both_sides() -> None:
    settings = settings_of(environment(ALL["console"]))
    records, images = urlsplit(settings.records_url), urlsplit(settings.images_url)
    mongo = (ROOT / "deploy/mongodb/initiate.js").read_text()
    assert f'user: "{records.username}"' in mongo
    assert f'getSiblingDB("{records.path.strip("/")}")' in mongo
    assert records.query == "replicaSet=rs0"
    assert '_id: "rs0"' in mongo
    assert 'host: "mongodb:27017"' in mongo
    assert "--replSet rs0" in (ROOT / "deploy/mongodb/start.sh").read_text()
    minio = (ROOT / "deploy/minio/initiate.sh").read_text()
    assert f"mc mb --ignore-existing local{images.path}" in minio
    assert settings.s3_access_key is not None
    assert f"mc admin user add local {settings.s3_access_key.get_secret_value()} " in minio


def broker_properties() -> dict[str, str]:
    lines = (ROOT / "deploy/kafka/server.properties").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_broker_is_kraft_and_makes_alert_topics_as_declared() -> None:
    kafka = broker_properties()
    assert kafka["process.roles"] == "broker,controller"
    declared = load("deploy/kafka/topics.yaml")
    families = {(family["partitions"], family["retention_days"]) for family in declared["families"]}
    assert families == {(int(kafka["num.partitions"]), int(kafka["log.retention.ms"]) // 86_400_000)}
    assert kafka["auto.create.topics.enable"] == "true"
    longest = max(topic["retention_days"] for topic in declared["topics"] if topic["retention_days"] != "forever")
    assert int(kafka["offsets.retention.minutes"]) >= longest * 24 * 60
    assert kafka["log.dirs"] in {volume.split(":")[1] for volume in ALL["kafka"]["volumes"]}


def test_nobody_speaks_to_the_broker_without_a_login() -> None:
    kafka = broker_properties()
    protocols = dict(pair.split(":") for pair in kafka["listener.security.protocol.map"].split(","))
    listeners = dict(each.split("://") for each in kafka["listeners"].split(","))
    assert set(protocols) == set(listeners)
    for name, protocol in protocols.items():
        # Only the controller asks for no name; it is reached from within the container alone.
        assert protocol == "SASL_PLAINTEXT" or listeners[name] == "127.0.0.1:9093"
    assert kafka["controller.listener.names"] == "CONTROLLER"
    assert kafka["controller.quorum.voters"] == f"1@{listeners['CONTROLLER']}"
    assert kafka["authorizer.class.name"].endswith("StandardAuthorizer")
    assert "allow.everyone.if.no.acl.found" not in kafka
    assert kafka["sasl.enabled.mechanisms"] == "SCRAM-SHA-512"
    advertised = dict(each.split("://") for each in kafka["advertised.listeners"].split(","))
    assert advertised == {"SERVICES": "kafka:9092", "HOST": "localhost:29092"}
    assert ALL["kafka"]["ports"] == ["127.0.0.1:29092:29092"]
    start = (ROOT / "deploy/kafka/start.sh").read_text()
    logged_in = re.findall(r"for listener in (.+); do", start)[0].split()
    assert {name.upper() for name in logged_in} == {name for name, kind in protocols.items() if kind != "PLAINTEXT"}


def test_users_of_kafka_are_made_and_have_the_rights_that_the_stack_gives_them() -> None:
    start = (ROOT / "deploy/kafka/start.sh").read_text()
    users = dict(re.findall(r"\[name=(\w+),password=\$(\w+)\]", start))
    assert users == {"admin": "KAFKA_ADMIN_PASSWORD", "astrolens": "KAFKA_PASSWORD", "alerts": "KAFKA_ALERTS_PASSWORD"}
    assert broker_properties()["super.users"] == "User:admin;User:ANONYMOUS"
    script = (ROOT / "deploy/kafka/initiate.sh").read_text().replace("\\\n", " ")
    given = set()
    for call in re.findall(r"^allow (.+)$", script, re.MULTILINE):
        user, *words = call.split()
        options = list(zip(words[0::2], words[1::2], strict=True))
        operations = [value for option, value in options if option == "--operation"]
        places = [(option, value) for option, value in options if option in {"--topic", "--group"}]
        assert len(operations) + len(places) == len(options)
        given |= {(user, kind, name, right) for kind, name in places for right in operations}
    public = ("astrolens.alerts.", "astrolens.alerts-json.", "astrolens.heartbeat.")
    assert given == {
        ("astrolens", "--topic", "astrolens.", "All"),
        ("astrolens", "--group", "astrolens-", "All"),
        ("alerts", "--group", "alerts-", "Read"),
        *(("alerts", "--topic", prefix, right) for prefix in public for right in ("Read", "Describe")),
    }
    assert "--resource-pattern-type prefixed" in script


def test_health_of_kafka_is_a_login() -> None:
    kind, command = ALL["kafka"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    assert "--bootstrap-server localhost:9092" in command
    (path,) = re.findall(r"--command-config (\S+)", command)
    assert f"cat >{path} <<" in (ROOT / "deploy/kafka/start.sh").read_text()


def test_minio_is_built_from_the_sources_that_the_stack_runs() -> None:
    dockerfile = (ROOT / "deploy/minio/Dockerfile").read_text()
    assert re.findall(r"^ARG MINIO_VERSION=(\S+)$", dockerfile, re.MULTILINE) == [layout.MINIO_VERSION]
    assert all(re.search(r":\d+\.\d+\.\d+", base) for base in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["${UID}:${UID}"]
    (volume,) = re.findall(r'^VOLUME \["(.+)"\]$', dockerfile, re.MULTILINE)
    assert f"minio:{volume}" in ALL["minio"]["volumes"]
    assert ALL["minio"]["command"][:2] == ["server", volume]
    assert (ROOT / ALL["minio"]["build"]["context"] / "Dockerfile").is_file()


def test_a_wrong_variable_would_be_found() -> None:
    broken = copy.deepcopy(environment(ALL["console"]))
    broken["ASTROLENS_TOPKEN"] = "secret"
    with pytest.raises(AssertionError, match="no setting reads"):
        settings_of(broken)
