"""The key that signs sessions. It lies apart from the records: whoever reads those can sign nothing."""

import os
import secrets
from pathlib import Path
from typing import Final

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.private_files import create_private_file, create_private_folder
from astrolens.platform.settings import Settings

KEY_FILE: Final = "session.key"
MIN_KEY_LENGTH: Final = 32
"""Of a key that is given. It can be tried out against one's own session, without asking the console."""
_KEY_BYTES: Final = 32


def session_key(settings: Settings) -> bytes:
    """The key of the settings, else the one in the folder of keys, made there when it is missing.

    Raises:
        ConfigurationError: The key is short, or the file cannot be read, or made.
    """
    if settings.session_key is not None and (given := settings.session_key.get_secret_value()):
        if len(given) < MIN_KEY_LENGTH:
            raise ConfigurationError(
                f"ASTROLENS_SESSION_KEY has {len(given)} characters, and whoever guesses it is anybody: take at least "
                f"{MIN_KEY_LENGTH} random ones, such as `openssl rand -hex 24` prints"
            )
        return given.encode()
    path = settings.keys / KEY_FILE
    try:
        if not path.exists():
            _make(path)
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"the key that signs sessions, {path}, cannot be read or made ({reason}): set ASTROLENS_KEYS to a folder "
            "that can be written, or ASTROLENS_SESSION_KEY to a key; without the file a new one is made, and everybody "
            "logs in again"
        ) from error


def _make(path: Path) -> None:
    """Write a new key; one that another console makes in the same moment is left."""
    create_private_folder(path.parent)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    create_private_file(fresh)
    try:
        with fresh.open("w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
    finally:
        fresh.unlink()
