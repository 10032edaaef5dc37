"""What a service needs only later is imported then: seven services start together on a laptop's two cores."""

import subprocess
import sys

import pytest

HEAVY = ("astropy", "matplotlib", "pandas", "scipy", "sklearn", "torch", "transformers")
"""Each takes between half a second and several seconds of processor time to import, and tens of megabytes."""


PIXELS = (*(name for name in HEAVY if name != "scipy"), "scipy.stats", "scipy.optimize")
"""What a service that prepares pixels from its first second on (with `scipy.ndimage`) does not need."""


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (("ingestor.main", "inference.analyzer_main", "crossref.main", "trainer.main", "notifier.main"), HEAVY),
        (("inference.model_server",), PIXELS),
    ],
)
def test_a_start_imports_nothing_that_it_does_not_need(modules: tuple[str, ...], heavy: tuple[str, ...]) -> None:
    script = "\n".join(
        [
            "import sys",
            *(f"import astrolens.{module}" for module in modules),
            f"print(*[name for name in {heavy!r} if name in sys.modules])",
        ]
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True)
    assert result.stdout.split() == []
