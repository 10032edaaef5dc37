"""What the tests of deployment share: the files, rendered, and what the code says of them."""

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from astrolens.platform.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"

HTTP_PORT = {
    "console": "port",
    "ingestor": "ingestor_port",
    "analyzer": "analyzer_port",
    "model-server": "model_server_port",
    "crossref": "crossref_port",
    "trainer": "trainer_port",
    "notifier": "notifier_port",
}
"""The setting of each service's HTTP port."""

OUTSIDE_SETTINGS = {"ASTROLENS_SERVICE"}
"""Variables of the image, not of the settings."""


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def settings_of(environment: dict[str, str]) -> Settings:
    """Settings as a container with these variables would read them. A variable that no setting reads is an error."""
    known = {f"ASTROLENS_{name.upper()}" for name in Settings.model_fields}
    ours = {name: value for name, value in environment.items() if name.startswith("ASTROLENS_")}
    assert set(ours) - OUTSIDE_SETTINGS <= known, "a variable that no setting reads"
    with pytest.MonkeyPatch.context() as patch:
        for name in known:
            patch.delenv(name, raising=False)
        for name, value in ours.items():
            patch.setenv(name, str(value))
        return Settings(_env_file=None)


def http_port(service: str, settings: Settings) -> int:
    return int(getattr(settings, HTTP_PORT[service]))


@functools.cache
def kustomize() -> tuple[str, ...]:
    """The command that renders a kustomization; it is built once where there is only Go."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astrolens" / "bin"
    places = os.pathsep.join([os.environ.get("PATH", ""), str(cached), str(Path.home() / "go" / "bin")])
    if found := shutil.which("kustomize", path=places):
        return (found, "build")
    if found := shutil.which("kubectl"):
        return (found, "kustomize")
    if go := shutil.which("go"):
        environment = {**os.environ, "GOBIN": str(cached), "GOFLAGS": "-p=1"}
        built = subprocess.run(
            [go, "install", KUSTOMIZE], check=False, env=environment, capture_output=True, text=True, timeout=800
        )
        if built.returncode == 0:
            return (str(cached / "kustomize"), "build")
        pytest.skip(f"kustomize could not be built: {built.stderr[-300:]}")
    pytest.skip("no kustomize, kubectl or go here to render k8s/ with")


@functools.cache
def _rendered(folder: Path) -> str:
    done = subprocess.run([*kustomize(), str(folder)], check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(folder: Path | str) -> list[dict[str, Any]]:
    """Every resource of a kustomization, as `kubectl apply -k` would send it."""
    return [document for document in yaml.safe_load_all(_rendered(ROOT / folder)) if document]


def of_kind(resources: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in resources if each["kind"] == kind}
