"""MongoDB's errors as ours: try again, never try again, or repair the settings. No message holds a password."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from astrolens.platform.errors import ConfigurationError, PermanentError, StoreUnavailable

_WRONG_PASSWORD = frozenset({18, 8000})
_NOT_ALLOWED = 13
_TOO_LARGE = frozenset({10334, 17280, 17419, 17420})
_CONFLICTS = frozenset({112, 11000})
"""Write conflict and duplicate key: another writer changed the same at the same time."""


@contextmanager
def translate_mongo_errors(address: str) -> Iterator[None]:
    """Raise our errors in place of PyMongo's.

    Raises:
        StoreUnavailable: The server is unreachable, busy, or refuses for now.
        PermanentError: The document can never be stored.
    """
    try:
        yield
    except (BSONError, DocumentTooLarge, OverflowError) as error:
        raise PermanentError("document-refused", f"the record store cannot keep this document: {error}") from error
    except OperationFailure as error:
        if error.code in _TOO_LARGE:
            raise PermanentError("document-refused", "the document is larger than MongoDB's 16 MB") from error
        refusal = _refusal(error, address)
        raise StoreUnavailable(refusal or f"the record store {address} does not serve: {message_of(error)}") from error
    except ServerSelectionTimeoutError as error:
        raise StoreUnavailable(f"the record store {address} does not answer: no server could be reached") from error
    except PyMongoError as error:
        raise StoreUnavailable(f"the record store {address} does not answer: {type(error).__name__}") from error


@contextmanager
def translate_mongo_errors_at_start(address: str) -> Iterator[None]:
    """As `translate_mongo_errors`, but what only another setting can repair is a `ConfigurationError`.

    Raises:
        ConfigurationError: Wrong password, missing right.
        StoreUnavailable: The server does not answer (yet).
    """
    try:
        with translate_mongo_errors(address):
            yield
    except StoreUnavailable as error:
        cause = error.__cause__
        if isinstance(cause, OperationFailure) and (refusal := _refusal(cause, address)):
            raise ConfigurationError(refusal) from None
        raise


def message_of(error: PyMongoError) -> str:
    """What an error says, at most 300 characters."""
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        problems: list[dict[str, Any]] = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
        return str(problems[0].get("errmsg", error) if problems else error)[:300]
    if isinstance(error, OperationFailure) and error.details:
        return str(error.details.get("errmsg", error))[:300]
    return type(error).__name__ if isinstance(error, ConnectionFailure) else str(error)[:300]


def _refusal(error: OperationFailure, address: str) -> str | None:
    """The message for an error that only another setting can repair; None for every other error."""
    if error.code in _WRONG_PASSWORD:
        return f"ASTROLENS_RECORDS_URL: MongoDB at {address} refuses the user name or password"
    if error.code == _NOT_ALLOWED:
        return (
            f"ASTROLENS_RECORDS_URL: MongoDB at {address} does not let this user read and write the database "
            "(the role readWrite is needed)"
        )
    return None


def is_conflict(error: PyMongoError) -> bool:
    """Whether a transaction failed because of another one, or of a change of primary: it can be run again."""
    codes = {error.code} if isinstance(error, OperationFailure) else set()
    if isinstance(error, BulkWriteError):
        codes |= {problem.get("code") for problem in (error.details or {}).get("writeErrors", [])}
    return error.has_error_label("TransientTransactionError") or not codes.isdisjoint(_CONFLICTS)


def address_of(url: str) -> str:
    """The hosts of a URL, without user and password."""
    return url.partition("://")[2].rpartition("@")[2].partition("/")[0].partition("?")[0]
