"""The key that signs sessions. It lies apart from the records: whoever reads those can sign nothing."""

import secrets
from typing import Final

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.private_files import create_private_folder, publish_private_file
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
            create_private_folder(path.parent)
            publish_private_file(path, secrets.token_hex(_KEY_BYTES).encode())
        return bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"the key that signs sessions, {path}, cannot be read or made ({reason}): set ASTROLENS_KEYS to a folder "
            "that can be written, or ASTROLENS_SESSION_KEY to a key; without the file a new one is made, and everybody "
            "logs in again"
        ) from error
