"""Channels: URLs stay secret, sending is bounded, a wrong URL is one sentence."""

import asyncio
import logging
import threading
import time
from typing import Any

import apprise
import pytest
from apprise import NotifyBase
from astrolens.notifier.channels import AppriseChannel, DeliveryFailed, open_channels, silence_url_loggers
from astrolens.platform.errors import ConfigurationError
from pydantic import SecretStr

SECRET = "hunter2-Tr0ub4dor"

# One of Apprise's hundred plugins imports it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Plugin(NotifyBase):  # type: ignore[misc]
    """A plugin that does what the test says."""

    service_name = "Test"
    protocol = "test"
    attachment_support = True
    request_rate_per_sec = 0

    def __init__(self, send: Any) -> None:
        super().__init__(asset=apprise.AppriseAsset(async_mode=False))
        self.on_send = send
        self.calls: list[dict[str, Any]] = []

    def url(self, *_: Any, **__: Any) -> str:
        return "test://"

    def send(self, body: str, title: str = "", attach: Any = None, **_: Any) -> bool:
        attached = []
        for one in attach or ():
            with one.open() as file:
                attached.append(file.read())
        self.calls.append({"body": body, "title": title, "attached": attached})
        return bool(self.on_send())


def test_channels_are_named_without_secrets() -> None:
    urls = [
        f"mailto://vera:{SECRET}@example.org",
        f"json://localhost/{SECRET}",
        f"jsons://u:{SECRET}@localhost/hook",
        f"MAILTO://kip:{SECRET}@example.org",
    ]
    channels = open_channels([SecretStr(url) for url in urls])
    assert [channel.name for channel in channels] == ["mailto #1", "json #1", "jsons #1", "mailto #2"]


@pytest.mark.parametrize(
    "url",
    [SECRET, f"nosuch://{SECRET}", f"slack://{SECRET}", "", f"mailto://{SECRET}", f"://{SECRET}", f"{SECRET}://x"],
)
def test_a_bad_address_is_one_sentence_without_the_secret(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(ConfigurationError) as caught:
        open_channels([SecretStr("json://localhost"), SecretStr(url)])
    sentence = str(caught.value)
    assert sentence.startswith("ASTROLENS_NOTIFY_URLS: address 2 of 2")
    assert "\n" not in sentence
    assert SECRET.lower() not in (sentence + caplog.text).lower()


def test_channels_are_optional() -> None:
    assert open_channels([]) == ()


async def test_a_message_goes_out_with_its_picture() -> None:
    plugin = Plugin(lambda: True)
    await AppriseChannel("test #1", plugin).send("title", "a <b>body</b>", picture=b"\xff\xd8jpeg")
    assert plugin.calls == [{"body": "a <b>body</b>", "title": "title", "attached": [b"\xff\xd8jpeg"]}]


async def test_a_refusal_is_a_failure() -> None:
    with pytest.raises(DeliveryFailed, match="refused or unreachable"):
        await AppriseChannel("test #1", Plugin(lambda: False)).send("title", "body", picture=None)


async def test_what_a_plugin_raises_never_shows_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    def send() -> bool:
        logging.getLogger("urllib3.connectionpool").warning("retrying /hook/%s", SECRET)
        raise ConnectionError(f"POST https://example.org/{SECRET}")

    silence_url_loggers()
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryFailed) as caught:
        await AppriseChannel("test #1", Plugin(send)).send("title", "body", picture=None)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert SECRET not in caplog.text


async def test_a_hanging_service_costs_its_timeout_and_one_thread() -> None:
    release = threading.Event()
    plugin = Plugin(lambda: release.wait(600))
    channel = AppriseChannel("test #1", plugin, timeout_s=0.2)
    try:
        begun = time.monotonic()
        with pytest.raises(DeliveryFailed, match=r"no answer within 0\.2 s"):
            await channel.send("title", "body", picture=None)
        with pytest.raises(DeliveryFailed, match="the message before still hangs"):
            await channel.send("title", "body", picture=None)
        assert time.monotonic() - begun < 300
        assert len(plugin.calls) == 1
        (hanging,) = [thread for thread in threading.enumerate() if thread.name == "notify-test #1"]
        assert hanging.daemon, "an exit would wait for it"
    finally:
        release.set()
    hanging.join(10)
    await channel.send("title", "body", picture=None)
    assert len(plugin.calls) == 2


async def test_sending_does_not_block_the_loop() -> None:
    sending, ticked = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def tick() -> None:
        await sending.wait()
        ticked.set()

    def send() -> bool:
        loop.call_soon_threadsafe(sending.set)
        return ticked.wait(60)  # only a loop that goes on sets it

    ticking = asyncio.create_task(tick())
    await AppriseChannel("test #1", Plugin(send)).send("title", "body", picture=None)
    assert ticked.is_set()
    await ticking
