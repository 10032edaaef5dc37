"""Ed25519 signatures with a key pair in files (docs/decisions/0025-signed-bundles.md)."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from astrolens.contracts.ids import content_digest
from astrolens.platform.errors import ConfigurationError, SignatureRefused
from astrolens.platform.private_files import create_private_folder, publish_private_file

_KEY_ID_DIGITS: Final = 16
_MAX_KEY_BYTES: Final = 4096


class Signer:
    """Signs with a private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id = key_id(key.public_key())

    def sign(self, statement: bytes) -> str:
        """The signature, base64."""
        return base64.b64encode(self._key.sign(statement)).decode()


class Verifier:
    """Knows the public keys that are trusted.

    Args:
        keys: Public keys by id.
    """

    def __init__(self, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    def verify(self, statement: bytes, *, signature: str | None, signed_with: str | None) -> None:
        """Check a signature.

        Raises:
            SignatureRefused: There is none, its key is not trusted, or the statement is not what was signed.
        """
        if signature is None or signed_with is None:
            raise SignatureRefused("it is not signed")
        key = self._keys.get(signed_with)
        if key is None:
            raise SignatureRefused(f"it is signed with the key {signed_with}, which is not trusted here")
        try:
            key.verify(base64.b64decode(signature, validate=True), statement)
        except (InvalidSignature, binascii.Error) as error:
            raise SignatureRefused("its signature does not fit: it was changed after it was signed") from error


def key_id(key: Ed25519PublicKey) -> str:
    """The id of a key pair: the first digits of the SHA-256 of the public key."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return content_digest(raw)[:_KEY_ID_DIGITS]


def public_key_path(private: Path) -> Path:
    """Where the public key of a pair lies: beside the private one."""
    return private.with_suffix(".pub")


def load_signer(path: Path, *, create: bool) -> Signer:
    """The signer whose private key (PEM) is in a file.

    Args:
        path: The private key; the public one lies beside it with the suffix `.pub`.
        create: Make a key pair where there is none.

    Raises:
        ConfigurationError: The key is missing or no Ed25519 key, or the file cannot be read or made.
    """
    try:
        if create and not path.exists():
            _create_pair(path)
        key = serialization.load_pem_private_key(_read(path), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"ASTROLENS_MODEL_SIGNING_KEY: the key that signs models, {path}, cannot be read or made ({reason}); name "
            "the file of an Ed25519 key, such as `openssl genpkey -algorithm ed25519` writes"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"ASTROLENS_MODEL_SIGNING_KEY: {path} holds another kind of key than Ed25519")
    return Signer(key)


def load_verifier(paths: Iterable[Path]) -> Verifier:
    """A verifier that trusts the public keys (PEM) in these files; a file that is missing is no error.

    Raises:
        ConfigurationError: A file cannot be read, or holds no Ed25519 key.
    """
    keys: dict[str, Ed25519PublicKey] = {}
    for path in paths:
        try:
            key = serialization.load_pem_public_key(_read(path))
        except FileNotFoundError:
            continue  # before the first bundle is signed there is none
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigurationError(f"ASTROLENS_MODEL_TRUSTED_KEYS: {path} cannot be read ({reason})") from error
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigurationError(f"ASTROLENS_MODEL_TRUSTED_KEYS: {path} holds another kind of key than Ed25519")
        keys[key_id(key)] = key
    return Verifier(keys)


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_MAX_KEY_BYTES)


def _create_pair(path: Path) -> None:
    """Write a new key pair; one that another process makes in the same moment is left.

    The public key is a function of the private one, so that whoever comes second writes the same.
    """
    create_private_folder(path.parent)
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    publish_private_file(path, pem)
    key = serialization.load_pem_private_key(_read(path), password=None)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    publish_private_file(public_key_path(path), public)
