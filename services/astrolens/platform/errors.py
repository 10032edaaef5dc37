"""The exception tree: it answers `retry, dead-letter or stop?`.

AstroLensError
├── ConfigurationError   stop with one clear sentence and exit code 2
├── TransientError       try again, later, bounded
│   ├── StoreUnavailable
│   ├── BusUnavailable
│   └── ModelUnavailable
└── PermanentError       trying again gives the same: dead-letter with its reason
    ├── ObjectMissing
    │   └── ObjectDamaged
    └── UndeclaredField  (a bug of ours, never of an input)
"""

from astrolens.contracts.records import Reason


class AstroLensError(Exception):
    """Everything that AstroLens raises on purpose."""


class ConfigurationError(AstroLensError):
    """A setting is wrong; the message names it, says why, and what to do."""


class TransientError(AstroLensError):
    """Something does not answer; the same call may succeed later."""


class StoreUnavailable(TransientError):
    """A store does not answer, or is locked or full."""


class BusUnavailable(TransientError):
    """The event broker does not answer."""


class ModelUnavailable(TransientError):
    """The model server does not answer."""


class PermanentError(AstroLensError):
    """Trying again gives the same answer."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = Reason(code=code, detail=detail)


class ObjectMissing(PermanentError):
    """The image store has nothing under this key."""

    def __init__(self, key: str) -> None:
        super().__init__("object-missing", f"the image store has nothing under {key!r}")
        self.key = key


class ObjectDamaged(ObjectMissing):
    """What lies under this key is not what was put there, so its bytes are as good as missing."""

    def __init__(self, key: str, fault: str) -> None:
        PermanentError.__init__(
            self, "object-damaged", f"what the image store has under {key!r} is damaged ({fault}); put it there again"
        )
        self.key = key


class UndeclaredField(PermanentError):
    """A query names a field that no index serves."""

    def __init__(self, collection: str, field: str) -> None:
        super().__init__("undeclared-field", f"{collection}.{field} is not declared for queries in collections.py")


class SignatureRefused(AstroLensError):
    """A signature does not prove what it should; the message is a clause that says why."""
