"""The description of the model in use: remembered for a moment, failures too."""

import pytest
from astrolens.platform.errors import ModelUnavailable
from astrolens.rpc.messages import Description
from astrolens.usecases.model_status import CACHE_TTL_S, ModelStatus


class Client:
    """A model server's client that answers, or does not."""

    def __init__(self) -> None:
        self.calls = 0
        self.unreachable = False

    async def describe(self) -> Description:
        self.calls += 1
        if self.unreachable:
            raise ModelUnavailable("the model server at 127.0.0.1:8081 does not answer")
        summary = {"name": "first-light", "version": str(self.calls)}
        return Description(summary, {**summary, "model_card": "# First light"})


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_description_is_asked_for_once_in_a_while() -> None:
    client, clock = Client(), Clock()
    model = ModelStatus(client, clock=clock)
    assert (await model.describe()).whole["model_card"] == "# First light"
    assert await model.summary() == {"state": "ready", "name": "first-light", "version": "1"}
    clock.now_s += CACHE_TTL_S * 0.99
    assert (await model.summary())["version"] == "1"
    assert client.calls == 1
    clock.now_s += CACHE_TTL_S * 0.01
    assert (await model.summary())["version"] == "2"


async def test_an_unreachable_server_slows_nothing_down_and_is_found_again() -> None:
    client, clock = Client(), Clock()
    model = ModelStatus(client, clock=clock)
    client.unreachable = True
    for _ in range(3):
        expected = {"state": "unreachable", "detail": "the model server at 127.0.0.1:8081 does not answer"}
        assert await model.summary() == expected
    with pytest.raises(ModelUnavailable, match="does not answer"):
        await model.describe()
    assert client.calls == 1
    client.unreachable = False
    clock.now_s += CACHE_TTL_S
    assert (await model.summary())["name"] == "first-light"


async def test_an_old_description_is_not_given_for_a_server_that_went_away() -> None:
    client, clock = Client(), Clock()
    model = ModelStatus(client, clock=clock)
    await model.describe()
    client.unreachable = True
    clock.now_s += CACHE_TTL_S
    with pytest.raises(ModelUnavailable):
        await model.describe()
