"""How a catalogue can fail to answer. Each is a reason to say `failed`, never "none"."""

from astrolens.platform.errors import TransientError


class CatalogueFailed(TransientError):
    """A catalogue gave no answer that can be believed.

    Attributes:
        code: For statistics, such as `http-503`.
        retry_after_s: How long the catalogue asks to wait, where it does.
        unreachable: Whether nothing is there to talk to, so that a second try is pointless.
    """

    def __init__(
        self, code: str, detail: str, *, retry_after_s: float | None = None, unreachable: bool = False
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.retry_after_s = retry_after_s
        self.unreachable = unreachable


class TooManyRows(CatalogueFailed):
    """The reply was cut off at a number of rows: what it has is not all there is. Fewer places at once may help."""

    def __init__(self, detail: str) -> None:
        super().__init__("overflow", detail)
