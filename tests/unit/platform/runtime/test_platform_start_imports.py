"""What a service needs only later is imported then: seven services start together on a laptop's two cores."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from astrolens.platform.runtime.services import SERVICES
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[4]

HEAVY = ("astropy", "matplotlib", "pandas", "scipy", "sklearn", "torch", "transformers")
"""Each takes between half a second and several seconds of processor time to import, and tens of megabytes."""


PIXELS = (*(name for name in HEAVY if name != "scipy"), "scipy.stats", "scipy.optimize")
"""What a service that prepares pixels from its first second on (with `scipy.ndimage`) does not need."""

COMMAND_LINE = ("typer", "rich")
"""Parser and terminal of the command line: a service's own process does without."""

START = "from astrolens.cli.entry import begin_imports; begin_imports(); import astrolens.cli.serve"
"""As `python -m astrolens.cli serve` does."""


@pytest.mark.parametrize(
    ("services", "heavy"),
    [
        (("ingestor", "analyzer", "crossref", "trainer", "notifier"), (*HEAVY, *COMMAND_LINE)),
        (("model-server",), (*PIXELS, *COMMAND_LINE)),
        (("console",), (*HEAVY, *COMMAND_LINE)),
    ],
)
def test_a_start_imports_nothing_that_it_does_not_need(services: tuple[str, ...], heavy: tuple[str, ...]) -> None:
    assert imported(services, f"print(*[name for name in {heavy!r} if sys.modules.get(name)])") == []


def test_a_start_compiles_nothing() -> None:
    """Bytecode of installed packages was written when they were installed, or at an earlier start.

    Development tools that a library imports where it finds them (greenlet, grpc_tools) are on no user's machine.
    """
    uncompiled = imported(
        tuple(service.name for service in SERVICES),
        "import os, pathlib; print(*[module.__name__ for module in list(sys.modules.values())"
        " if 'site-packages' in (getattr(module, '__cached__', None) or '')"
        " and os.path.exists(module.__file__) and not os.path.exists(module.__cached__)])",
    )
    locked = (ROOT / "locks" / "services.txt").read_text()
    installed = set(re.findall(r"^([a-z0-9.-]+)==", locked, flags=re.MULTILINE))
    assert "pydantic" in installed
    packages = packages_distributions()
    missing = [
        name
        for name in uncompiled
        if any(canonicalize_name(package) in installed for package in packages[name.partition(".")[0]])
    ]
    assert missing == [], f"{len(missing)} modules are compiled at every start; `make setup` compiles them once"


def imported(services: tuple[str, ...], then: str) -> list[str]:
    """Import services as their processes do, run a statement in that process, and return the words it printed."""
    modules = [service.module for service in SERVICES if service.name in services]
    assert len(modules) == len(services)
    script = "\n".join([START, "import sys", *(f"import {module}" for module in modules), then])
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True)
    return result.stdout.split()
