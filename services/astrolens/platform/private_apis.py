"""Private and undocumented APIs of libraries: each is named once, with its reason, and checked when a service starts.

A release of a library may move any of them without notice. Then a service ends at its start with one sentence that
names the package, its version and what moved, instead of failing somewhere in the middle of its work. Who needs one
imports it from here. The console declares NiceGUI's in `console/private_apis.py`, since only the console may import it.
"""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from astrolens.platform.errors import AstroLensError


class PrivateApiMoved(AstroLensError):
    """A library is installed in a version that lacks a private API that AstroLens needs."""

    def __init__(self, package: str, moved: str) -> None:
        super().__init__(
            f"{package} {_version(package)} does not fit: {moved}. AstroLens needs an undocumented part of it; install "
            "the versions that the lock files name"
        )


@dataclass(frozen=True)
class PrivateApi:
    """A function or class that its library does not document.

    Attributes:
        package: Name of the distribution, such as `aiokafka`.
        module: Where it is defined.
        name: Its name there, dotted for a method.
        reason: Why no documented API serves.
        attributes: What is used of it.
        parameters: What it is called with.
    """

    package: str
    module: str
    name: str
    reason: str
    attributes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()

    def check(self) -> None:
        """Do nothing where its module is not imported, for then this process does not use it.

        Raises:
            PrivateApiMoved: It is not there, or it changed.
        """
        found = sys.modules.get(self.module)
        if found is None:
            return
        for part in self.name.split("."):
            if not hasattr(found, part):
                raise PrivateApiMoved(self.package, f"{self.module} has no {self.name} any more")
            found = getattr(found, part)
        for attribute in self.attributes:
            if not hasattr(found, attribute):
                raise PrivateApiMoved(self.package, f"{self.module}.{self.name} has no {attribute!r} any more")
        known = inspect.signature(found).parameters if self.parameters and callable(found) else {}
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
            return
        for parameter in self.parameters:
            if parameter not in known:
                raise PrivateApiMoved(self.package, f"{self.module}.{self.name} takes no {parameter!r} any more")


@contextmanager
def private_imports(package: str) -> Iterator[None]:
    """Imports of private names of an installed package: a failure names the package and its version.

    Raises:
        PrivateApiMoved: A name is not there.
        ImportError: The package is not installed.
    """
    try:
        yield
    except ImportError as error:
        if find_spec(package) is None:
            raise
        raise PrivateApiMoved(package, str(error)) from error


with private_imports("aiokafka"):
    from aiokafka.conn import AIOKafkaConnection
    from aiokafka.protocol.metadata import MetadataRequest

with private_imports("faststream"):
    from faststream.kafka.message import KafkaAckableMessage
    from faststream.kafka.security import parse_security
    from faststream.kafka.subscriber.usecase import BatchSubscriber

__all__ = [
    "AIOKafkaConnection",
    "BatchSubscriber",
    "KafkaAckableMessage",
    "MetadataRequest",
    "PrivateApi",
    "PrivateApiMoved",
    "check_private_apis",
    "declare_private_apis",
    "parse_security",
    "private_imports",
]

_declared: list[PrivateApi] = [
    PrivateApi(
        package="aiokafka",
        module="aiokafka.conn",
        name="AIOKafkaConnection",
        reason="its clients answer a wrong password, a foreign certificate and a missing topic alike: they time out",
        attributes=("connect", "send", "close"),
        parameters=(
            "host",
            "port",
            "client_id",
            "request_timeout_ms",
            "security_protocol",
            "ssl_context",
            "sasl_mechanism",
            "sasl_plain_username",
            "sasl_plain_password",
        ),
    ),
    PrivateApi(
        package="aiokafka",
        module="aiokafka.protocol.metadata",
        name="MetadataRequest",
        reason="the one request that says of each topic whether it is missing or forbidden",
        parameters=("topics",),
    ),
    PrivateApi(
        package="faststream",
        module="faststream.kafka.security",
        name="parse_security",
        reason="turns FastStream's security into the arguments of aiokafka's own clients",
        parameters=("security",),
    ),
    PrivateApi(
        package="faststream",
        module="faststream.kafka.subscriber.usecase",
        name="BatchSubscriber",
        reason="the lag of a consumer is read from its client, a consumer that cannot go on is stopped, and all start "
        "side by side",
        attributes=("running", "consumer", "group_id", "start", "stop"),
    ),
    PrivateApi(
        package="faststream",
        module="faststream.kafka.message",
        name="KafkaAckableMessage",
        reason="FastStream's parser fails a whole batch on one header that is not UTF-8: ours builds the message",
        attributes=("ack", "nack"),
    ),
    PrivateApi(
        package="faststream",
        module="faststream.message.message",
        name="StreamMessage",
        reason="the base class of `KafkaAckableMessage`, which takes these arguments",
        parameters=("raw_message", "body", "message_id", "correlation_id"),
    ),
    PrivateApi(
        package="uvicorn",
        module="uvicorn",
        name="Server.capture_signals",
        reason="replaced by nothing: the service stops its parts in its own order",
    ),
    PrivateApi(
        package="uvicorn",
        module="uvicorn.protocols.http.auto",
        name="AutoHTTPProtocol",
        reason="the base of ours, which bounds the time of a request's headers; `cycle` is the last request, or None",
        attributes=("connection_made", "data_received", "connection_lost"),
    ),
    PrivateApi(
        package="minio",
        module="minio",
        name="Minio",
        reason="has no argument for If-None-Match, but calls `urlopen` of the HTTP client that it is given",
        parameters=("http_client",),
    ),
    PrivateApi(
        package="urllib3",
        module="urllib3",
        name="PoolManager.urlopen",
        reason="overridden for it, to add the header",
        parameters=("method", "url", "redirect"),
    ),
]


def declare_private_apis(*apis: PrivateApi) -> None:
    """Declare the private APIs of a library that only one room may import."""
    _declared.extend(api for api in apis if api not in _declared)


def check_private_apis() -> None:
    """Check everything declared that this process has imported.

    Raises:
        PrivateApiMoved: One is not there, or it changed.
    """
    for api in _declared:
        api.check()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(unknown version)"
