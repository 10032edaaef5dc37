"""Notification channels: every service that Apprise can reach. Their URLs are secrets and never leave this module."""

import asyncio
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType
from apprise.attachment.memory import AttachMemory
from pydantic import SecretStr

from astrolens.platform.errors import AstroLensError, ConfigurationError

SEND_TIMEOUT_S: Final = 45.0
"""Longest wait for one message. Mail servers that delay their greeting by 30 s are still reached."""

_SCHEME: Final = re.compile(r"^([a-z][a-z0-9]{0,15})://", re.IGNORECASE)

_URL_LOGGERS: Final = {"apprise": logging.CRITICAL + 1, "urllib3": logging.ERROR, "requests": logging.ERROR}
"""Levels of loggers that otherwise write URLs: those of chat services hold tokens."""


class DeliveryFailed(AstroLensError):
    """A message was not delivered. The sentence holds no secret."""


class AppriseChannel:
    """One Apprise URL."""

    def __init__(self, name: str, plugin: NotifyBase, *, timeout_s: float = SEND_TIMEOUT_S) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._apprise = Apprise()
        self._apprise.add(plugin)
        self._send_thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """A name without secrets, such as `mailto #1`."""
        return self._name

    async def send(self, title: str, body: str, *, picture: bytes | None) -> None:
        """Send one message, within a bounded wait.

        Raises:
            DeliveryFailed: The message was refused, or took too long.
        """
        if self._send_thread is not None and self._send_thread.is_alive():
            raise DeliveryFailed("the message before still hangs")
        attachment = None
        if picture is not None:
            attachment = AttachMemory(content=picture, name="cutout.jpg", mimetype="image/jpeg")  # type: ignore[no-untyped-call]

        def notify() -> bool:
            return bool(
                self._apprise.notify(
                    body=body,
                    title=title,
                    notify_type=NotifyType.INFO,
                    body_format=NotifyFormat.TEXT,
                    attach=attachment,
                )
            )

        try:
            accepted = await self._run_in_thread(notify)
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {self._timeout_s:g} s") from None
        except Exception as error:  # noqa: BLE001 - plugins raise anything, with URLs in the text
            raise DeliveryFailed(f"{type(error).__name__} while sending") from None
        if not accepted:
            raise DeliveryFailed("refused or unreachable")

    async def _run_in_thread(self, call: Callable[[], bool]) -> bool:
        """Run a call in a daemon thread: unlike an executor's, it cannot keep the process from ending."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bool] = loop.create_future()

        def set_answer(result: bool | None, error: Exception | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(bool(result))

        def run() -> None:
            result: bool | None = None
            failure: Exception | None = None
            try:
                result = call()
            except Exception as error:  # noqa: BLE001 - passed on to the waiter
                failure = error
            with suppress(RuntimeError):  # The event loop is closed: there is no waiter.
                loop.call_soon_threadsafe(set_answer, result, failure)

        self._send_thread = threading.Thread(target=run, name=f"notify-{self._name}", daemon=True)
        self._send_thread.start()
        async with asyncio.timeout(self._timeout_s):
            return await answer


def open_channels(urls: Sequence[SecretStr]) -> tuple[AppriseChannel, ...]:
    """A channel for each URL, named by its scheme and counted: `mailto #1`.

    Raises:
        ConfigurationError: Apprise does not accept a URL. The sentence gives its position, not its text.
    """
    silence_url_loggers()
    channels: list[AppriseChannel] = []
    counts: Counter[str] = Counter()
    asset = AppriseAsset(app_id="AstroLens", app_desc="AstroLens alerts", async_mode=False)
    for position, url in enumerate(urls, start=1):
        scheme = _scheme(url)
        plugin: Any = Apprise.instantiate(url.get_secret_value(), asset=asset) if scheme else None
        if plugin is None:
            shown = f" ({scheme}://…)" if scheme and scheme in _known_schemes() else ""
            raise ConfigurationError(
                f"ASTROLENS_NOTIFY_URLS: address {position} of {len(urls)}{shown} is none that Apprise understands; "
                "its wiki lists the form of every service"
            )
        counts[scheme] += 1
        channels.append(AppriseChannel(f"{scheme} #{counts[scheme]}", plugin))
    return tuple(channels)


def silence_url_loggers() -> None:
    """Silence the libraries that log URLs. Failures are logged by `ChannelWorker`, without URLs."""
    for name, level in _URL_LOGGERS.items():
        logging.getLogger(name).setLevel(level)


def _scheme(url: SecretStr) -> str:
    found = _SCHEME.match(url.get_secret_value())
    return found.group(1).lower() if found else ""


def _known_schemes() -> set[str]:
    """The URL schemes of Apprise: they may be shown, anything else could be part of a secret."""
    services = Apprise().details()["schemas"]
    kinds = ("protocols", "secure_protocols")
    return {scheme for service in services for kind in kinds for scheme in service[kind] or ()}
