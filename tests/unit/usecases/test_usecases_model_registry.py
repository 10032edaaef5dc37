"""The model registry on SQLite and a folder; the real engines inherit the same suite in tests/engines."""

from tests.behaviour.model_registry import ModelRegistryBehaviour


class TestModelRegistry(ModelRegistryBehaviour):
    """The fixtures of this folder give the stores."""
