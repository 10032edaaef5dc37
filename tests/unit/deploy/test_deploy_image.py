"""The one Dockerfile: every argument, path, port and command in it is the code's."""

import importlib.util
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType

import pytest
from astrolens.platform.runtime.http_server import HEALTH_PATHS
from astrolens.platform.runtime.services import SERVICE_NAMES

from tests.deploy_files import HTTP_PORT, ROOT, http_port, settings_of

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"\\\n", " ", "\n".join(line for line in DOCKERFILE.splitlines() if not line.startswith("#")))
TABLE = dict(
    re.findall(r"^#   (\S+)\s+(ingestor|inference|crossref|ranking|notifier|console)\b", DOCKERFILE, re.MULTILINE)
)


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_healthcheck", ROOT / "deploy/healthcheck.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_of_arguments_names_every_service_and_a_lock_that_exists() -> None:
    assert set(TABLE) == set(SERVICE_NAMES)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in {*TABLE.values(), "inference-gpu"}:
        assert extra in extras
        assert (ROOT / f"locks/images/{extra}.txt").is_file()


@pytest.mark.parametrize(
    "extra", ["ingestor", "inference", "inference-gpu", "crossref", "ranking", "notifier", "console"]
)
def test_locks_pin_everything_with_hashes_and_name_no_host(extra: str) -> None:
    text = (ROOT / f"locks/images/{extra}.txt").read_text()
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(packages) > 20
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert text.count("--hash=sha256:") >= len(packages)
    assert "://" not in text


def test_images_carry_only_their_own_packages() -> None:
    def names(extra: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / f"locks/images/{extra}.txt").read_text(), re.MULTILINE))

    assert "nicegui" in names("console")
    assert not {"nicegui", "torch"} & (names("ingestor") | names("inference") | names("notifier"))
    assert not {"onnxruntime", "faiss-cpu"} & (names("ingestor") | names("notifier") | names("console"))
    assert {"onnxruntime-gpu", "faiss-cpu"} <= names("inference-gpu")
    assert "onnxruntime" not in names("inference-gpu"), "never both"


def test_same_versions_in_images_as_in_tests() -> None:
    def versions(path: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9._-]+==\S+", (ROOT / path).read_text(), re.MULTILINE))

    tested = versions("locks/services.txt")
    for extra in ("ingestor", "inference", "crossref", "ranking", "notifier", "console"):
        assert versions(f"locks/images/{extra}.txt") <= tested
    on_cards = versions("locks/images/inference-gpu.txt") - tested
    assert {package.split("==")[0] for package in on_cards} == {"onnxruntime-gpu"}


def test_installs_only_with_hashes() -> None:
    installs = re.findall(r"pip install [^&\n]*", INSTRUCTIONS)
    assert len(installs) == 3
    assert [("--require-hashes" in each, "--no-deps" in each) for each in installs] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert "--no-build-isolation" in INSTRUCTIONS


def test_every_copied_path_exists_and_is_let_through() -> None:
    let_through = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", INSTRUCTIONS, re.MULTILINE):
        for source in sources.split():
            path = source.replace("${EXTRA}", "console")
            assert (ROOT / path).exists()
            assert any(path == each or path.startswith(f"{each}/") for each in let_through), path


def test_context_lets_no_secret_through() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert rules[-1] == "**/.env"
    assert not {"!.env", "!.git", "!tests", "!docs"} & set(rules)


def test_runs_as_a_fixed_user_that_is_not_root() -> None:
    final = INSTRUCTIONS.split("FROM base AS runtime")[1]
    assert "ARG UID=10001" in final
    assert re.findall(r"^USER (.+)$", final, re.MULTILINE) == ["${UID}:${UID}"]


def test_both_stages_stand_on_the_same_base_and_versions_are_pinned() -> None:
    assert re.findall(r"^FROM (\S+)", INSTRUCTIONS, re.MULTILINE) == ["${RUNTIME_BASE}", "base", "base"]
    assert re.search(r"^ARG RUNTIME_BASE=python:3\.11\.\d+-slim-\w+$", INSTRUCTIONS, re.MULTILINE)


def test_variables_are_settings_and_the_command_is_one() -> None:
    variables = dict(re.findall(r"\b(ASTROLENS_[A-Z_]+)=(\S+)", INSTRUCTIONS))
    settings = settings_of(variables)
    assert settings.host == "0.0.0.0"
    assert str(settings.home) == "/var/lib/astrolens"
    assert f'VOLUME ["{settings.home}"]' in INSTRUCTIONS
    assert 'exec astrolens serve \\"$ASTROLENS_SERVICE\\"' in INSTRUCTIONS
    assert variables["ASTROLENS_SERVICE"] == "${SERVICE}"


def test_health_command_asks_the_port_and_path_of_the_service(healthcheck: ModuleType) -> None:
    assert set(healthcheck.PORTS) == set(SERVICE_NAMES)
    settings = settings_of({})
    for service, (variable, default) in healthcheck.PORTS.items():
        assert variable == f"ASTROLENS_{HTTP_PORT[service].upper()}"
        assert default == http_port(service, settings)
    script, path = re.findall(r'CMD \["\S+python", "(\S+)", "(\S+)"\]', INSTRUCTIONS)[0]
    assert path in HEALTH_PATHS
    assert f"COPY deploy/healthcheck.py {script}" in INSTRUCTIONS


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()
        self.wfile.write(str(self.headers["Authorization"]).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("path", "code"), [("/livez", 0), ("/readyz", 1)])
def test_health_command_says_what_the_service_says(port: int, path: str, code: int) -> None:
    assert _check(path, port).returncode == code


def test_health_command_shows_the_token_where_it_has_one(port: int) -> None:
    assert _check("/livez", port).stdout == "/livez: 200 None\n"
    assert _check("/livez", port, ASTROLENS_METRICS_TOKEN="t").stdout == "/livez: 200 Bearer t\n"


def test_health_command_fails_when_nobody_listens() -> None:
    done = _check("/livez", 1)
    assert done.returncode == 1
    assert "no answer" in done.stdout


def _check(path: str, port: int, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "deploy/healthcheck.py"), path],
        env={"ASTROLENS_SERVICE": "analyzer", "ASTROLENS_ANALYZER_PORT": str(port), **more},
        check=False,
        capture_output=True,
        text=True,
    )
