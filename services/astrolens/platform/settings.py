"""All settings: one typed class, read from `ASTROLENS_*` variables and an optional `.env` file.

The URLs alone choose the engines of events, records and images. A field's default may follow from fields before it.
"""

import contextlib
import ipaddress
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import PydanticUseDefault
from pydantic_settings import NoDecode, SettingsConfigDict

from astrolens.contracts.base import Slug
from astrolens.contracts.surveys import MAX_ALERT_SURVEYS
from astrolens.platform.catalogue_settings import CATALOGUE_LISTS, CatalogueSettings, split_commas
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.source_settings import SOURCE_LISTS, SourceSettings
from astrolens.platform.time_limits import SHUTDOWN_GRACE_S
from astrolens.platform.training_settings import TRAINING_LISTS, TrainingSettings

PACKAGED_BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "second-light"
"""The bundle that comes with the package."""
PACKAGED_BUNDLE_DIGEST = "5baf371ee14ed436307f969a33d90071e8cd9e79effa3aa21788a2042c01c879"
"""SHA-256 of its manifest: what came with the package is trusted because the package names it."""


def default_home() -> Path:
    """The default of `home`: a folder under the user's data directory."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "astrolens"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "astrolens"


Port = Annotated[int, Field(ge=1, le=65535)]

_LAST_PORT_OFFSET = 7
"""The other ports follow the console's unless they are given, so that a second AstroLens needs one setting."""
_NONE_BY_NAME = frozenset({*SOURCE_LISTS, *CATALOGUE_LISTS, *TRAINING_LISTS})
"""Lists whose empty text would mean the default."""
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?/?", re.IGNORECASE)


@dataclass(frozen=True)
class S3Options:
    """What an S3 store needs beside its URL. Keys given here win over those of the URL."""

    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    public_url: str = ""


def _uses_embedded_broker(events_url: str) -> bool:
    return events_url.startswith("embedded:") or bool(os.environ.get("ASTROLENS_EMBEDDED_BROKER"))


def _port_after(offset: int) -> Callable[[dict[str, Any]], int]:
    return lambda data: int(data["port"]) + offset


class Settings(SourceSettings, TrainingSettings, CatalogueSettings):
    """Every setting with its unit, default and meaning."""

    model_config = SettingsConfigDict(env_prefix="ASTROLENS_", env_file=".env", extra="ignore", frozen=True)

    home: Path = Field(default_factory=default_home, description="Folder of everything AstroLens keeps.")

    events_url: str = Field(
        default="embedded://", description="Event broker: `embedded://` or `kafka://host:port[,host:port]`."
    )
    kafka_user: str = Field(default="", description="User name at Kafka (SASL); empty: no log-in.")
    kafka_password: SecretStr | None = Field(default=None, description="Password of that user.")
    kafka_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        default="SCRAM-SHA-512", description="How the user proves itself: SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN."
    )
    kafka_tls: bool = Field(default=False, description="Speak TLS with Kafka.")
    kafka_ca_file: Path | None = Field(
        default=None, description="Certificates (PEM) that vouch for Kafka; default the system's."
    )
    records_url: str = Field(
        default_factory=lambda data: f"sqlite:///{data['home'] / 'records.sqlite'}",
        repr=False,
        description="Record store: `sqlite:///file` (default, in the home folder) or `mongodb://user:password@host/name`.",
    )
    images_url: str = Field(
        default_factory=lambda data: f"file://{data['home'] / 'images'}",
        repr=False,
        description="Image store: `file:///folder` (default, in the home folder) or `s3+https://host:port/bucket`.",
    )
    s3_access_key: SecretStr | None = Field(default=None, description="User name at the S3 image store.")
    s3_secret_key: SecretStr | None = Field(default=None, description="Password at the S3 image store.")
    s3_public_url: str = Field(
        default="",
        description="Where browsers reach the S3 store, `https://host[:port]`; empty: through the console.",
    )
    s3_expire_ordinary_days: int = Field(
        default=0, ge=0, le=36_500, description="S3 deletes originals of ordinary images at this age; 0: it keeps all."
    )
    bundle: Path = Field(
        default=PACKAGED_BUNDLE, description="Folder of the model bundle that serves until one is promoted."
    )
    catalogues_folder: Path = Field(
        default_factory=lambda data: data["home"] / "catalogues",
        description="Folder of imported catalogues (`astrolens catalogs`); several replicas may share it.",
    )

    host: str = Field(default="127.0.0.1", description="Address that console, REST and health listen on.")
    port: Port = Field(default=8080, description="Console and REST.")
    ingestor_port: Port = Field(
        default_factory=_port_after(2), description="Health and metrics of the ingestor; 0: port + 2."
    )
    analyzer_port: Port = Field(
        default_factory=_port_after(3), description="Health and metrics of the analyzer; 0: port + 3."
    )
    model_server_port: Port = Field(
        default_factory=_port_after(4), description="Health of the model server; 0: port + 4."
    )
    notifier_port: Port = Field(
        default_factory=_port_after(5), description="Health and metrics of the notifier; 0: port + 5."
    )
    crossref_port: Port = Field(
        default_factory=_port_after(6), description="Health and metrics of the crossref service; 0: port + 6."
    )
    trainer_port: Port = Field(
        default_factory=_port_after(7), description="Health and metrics of the trainer; 0: port + 7."
    )
    inference_address: str = Field(
        default_factory=lambda data: f"127.0.0.1:{data['port'] + 1}",
        description="host:port of the gRPC model servers; every address of the name gets a share. Default port + 1.",
    )

    max_in_flight: int = Field(default=512, ge=1, le=100_000, description="Images in flight before sources pause.")
    max_image_bytes: int = Field(default=64 * 2**20, ge=1024, description="Largest original accepted, bytes.")
    max_image_pixels: int = Field(default=64_000_000, ge=1024, description="Largest original decoded, pixels.")
    decoders: int = Field(default=2, ge=1, le=64, description="Sandboxed decoding processes.")
    require_sandbox: bool = Field(
        default=False, description="Refuse to start where the kernel does not confine decoders fully."
    )
    near_duplicate_radius: int = Field(default=4, ge=0, le=8, description="Distance of perceptual hashes, bits.")
    redeliver_after_s: float = Field(
        default_factory=lambda data: 20.0 if _uses_embedded_broker(data["events_url"]) else 3600.0,
        ge=0,
        description="Redeliver unfinished work after, seconds; 0: by engine.",
    )

    inference_threads: int = Field(default=0, ge=0, le=256, description="ONNX Runtime threads; 0: one a core.")
    false_alarms_per_1000: float = Field(
        default=10.0,
        gt=0,
        le=300,
        description="Budget: ordinary images flagged as anomalies, per 1,000. Earlier images keep their verdicts.",
    )

    notify_urls: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Space-separated Apprise URLs that get every alert."
    )
    notify_per_min: int = Field(default=6, ge=1, description="Messages a minute and channel; more become one digest.")

    alert_surveys: Annotated[tuple[Slug, ...], NoDecode] = Field(
        default=(),
        max_length=MAX_ALERT_SURVEYS,
        description="Comma-separated surveys with alert topics of their own, beside those of sources and bundle.",
    )
    publish_unreleased: bool = Field(
        default=False,
        description="Whether alerts about data that their survey has not released (ZTF's programid 2 and 3) go to the "
        "public topics and to channels, too.",
    )

    traces_url: str = Field(
        default="",
        description="OTLP/gRPC address of a trace collector, such as `http://collector:4317`; empty: no traces.",
    )
    traces_ratio: float = Field(default=1.0, ge=0, le=1, description="Share of the images whose traces are recorded.")

    token: SecretStr | None = Field(
        default=None, description="Bearer token for scripts; needed off loopback, with at least 16 characters."
    )
    metrics_token: SecretStr | None = Field(
        default=None,
        description="Bearer token for /metrics and the reasons of /livez and /readyz; needed off loopback.",
    )
    keys: Path = Field(
        default_factory=lambda data: data["home"] / "keys",
        description="Folder of the key that signs sessions; default `keys` in the home folder.",
    )
    model_signing_key: Path = Field(
        default_factory=lambda data: data["keys"] / "model-signing.key",
        description="Ed25519 key (PEM) that signs model bundles; default a file in `keys`, made when first needed.",
    )
    model_trusted_keys: Annotated[tuple[Path, ...], NoDecode] = Field(
        default_factory=lambda data: (data["model_signing_key"].with_suffix(".pub"),),
        description="Comma-separated files of public keys (PEM) whose bundles model servers load; default that of the "
        "signing key.",
    )
    session_key: SecretStr | None = Field(
        default=None,
        description="Key that signs sessions, the same for all consoles of a record store; empty: a file in `keys`.",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Comma-separated addresses or networks of proxies whose X-Forwarded-For and -Proto are believed.",
    )
    open_browser: bool = Field(default=True, description="Open the console when a display is there.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least severe line.")
    log_format: Literal["console", "json"] = Field(default="json", description="Log lines for people or machines.")
    shutdown_grace_s: float = Field(
        default=SHUTDOWN_GRACE_S, gt=0, le=300, description="Longest graceful shutdown, seconds."
    )
    min_free_disk_mib: int = Field(default=512, ge=0, description="Stop taking images in below this, MiB.")

    @field_validator("port", mode="after")
    @classmethod
    def _leave_room(cls, value: int) -> int:
        if value + _LAST_PORT_OFFSET > 65535:
            raise ValueError(f"port {value} leaves no room for the ports that follow it; take one below 65528")
        return value

    @field_validator(
        "records_url",
        "images_url",
        "inference_address",
        "keys",
        "model_signing_key",
        "model_trusted_keys",
        mode="before",
    )
    @classmethod
    def _empty_means_default(cls, value: Any) -> Any:
        if value == "":
            raise PydanticUseDefault
        return value

    @field_validator(
        "ingestor_port",
        "analyzer_port",
        "model_server_port",
        "notifier_port",
        "crossref_port",
        "trainer_port",
        "redeliver_after_s",
        mode="before",
    )
    @classmethod
    def _zero_means_default(cls, value: Any) -> Any:
        with contextlib.suppress(ValueError, TypeError):
            if float(value) == 0:
                raise PydanticUseDefault
        return value

    @field_validator("events_url", mode="after")
    @classmethod
    def _refuse_password(cls, value: str) -> str:
        # The address is named in logs and errors, so it must hold nothing secret.
        if "@" in value:
            raise ValueError(
                "a user or password is no part of it: set ASTROLENS_KAFKA_USER and ASTROLENS_KAFKA_PASSWORD"
            )
        return value

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            try:
                network = ipaddress.ip_network(each)
            except ValueError:
                raise ValueError("give addresses such as 10.0.0.7 or networks such as 10.0.0.0/24") from None
            if network.prefixlen == 0:
                raise ValueError(f"{each} is everybody: name the proxies")
        return value

    @field_validator(
        "alert_surveys",
        "trusted_proxies",
        "model_trusted_keys",
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: Any) -> Any:
        return split_commas(value)

    @field_validator("notify_urls", mode="before")
    @classmethod
    def _split_spaces(cls, value: Any) -> Any:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("s3_public_url", mode="after")
    @classmethod
    def _check_origin(cls, value: str) -> str:
        # It becomes part of a header and of every signed address: an origin, and nothing else.
        if value and not _ORIGIN.fullmatch(value):
            raise ValueError("write it as https://host or https://host:port")
        return value.rstrip("/").lower()

    @field_validator("home", "keys", "bundle", "kafka_ca_file", "model_signing_key", mode="after")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @property
    def embedded_broker(self) -> bool:
        """Whether events go through the supervisor's in-process broker, which forgets them when it ends."""
        return _uses_embedded_broker(self.events_url)

    @property
    def s3_options(self) -> S3Options:
        """What an S3 image store needs beside its URL."""
        return S3Options(
            access_key=self.s3_access_key.get_secret_value() if self.s3_access_key else "",
            secret_key=self.s3_secret_key.get_secret_value() if self.s3_secret_key else "",
            public_url=self.s3_public_url,
        )

    @property
    def picture_origin(self) -> str:
        """Where pages get pictures from beside the console itself; empty: from nowhere else."""
        return self.s3_public_url if self.images_url.startswith("s3+") else ""

    def as_environment(self) -> dict[str, str]:
        """The variables that give another process exactly these settings, secrets included."""
        environment: dict[str, str] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, SecretStr):
                text = value.get_secret_value()
            elif isinstance(value, tuple):
                separator = " " if name == "notify_urls" else ","
                plain = (item.get_secret_value() if isinstance(item, SecretStr) else str(item) for item in value)
                text = separator.join(plain) or ("none" if name in _NONE_BY_NAME else "")
            else:
                text = str(value)
            environment[f"ASTROLENS_{name.upper()}"] = text
        return environment

    @property
    def bootstrap_servers(self) -> list[str]:
        """Addresses of the event broker.

        Raises:
            ConfigurationError: `events_url` is not a `kafka://` URL. (`embedded://` is resolved by the supervisor.)
        """
        parts = urlsplit(self.events_url)
        if parts.scheme != "kafka" or not parts.netloc:
            raise ConfigurationError(
                f"ASTROLENS_EVENTS_URL is {self.events_url!r}: a single service needs kafka://host:port "
                "(`astrolens up` starts the embedded broker and sets it)"
            )
        return parts.netloc.split(",")

    @property
    def is_loopback(self) -> bool:
        """Whether the console listens on this machine only."""
        return self.host in {"127.0.0.1", "::1", "localhost"}


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with overrides.

    Raises:
        ConfigurationError: One sentence that names each wrong variable, its value's problem, and nothing secret.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(
            f"ASTROLENS_{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
            # A default that follows from a wrong field is no problem of its own.
            if problem["type"] != "default_factory_not_called"
        )
        raise ConfigurationError(f"wrong settings: {problems}") from None
