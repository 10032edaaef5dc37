"""What a use case refuses, with a title and a sentence for people.

Whoever serves a use case maps each kind to its own protocol; REST does so in `console/problems.py`.

AstroLensError
└── UseCaseError
    ├── NotFound             nothing has this id
    ├── NotIndexed           the similarity index does not have this image yet
    ├── Conflict             its state does not allow this any more
    ├── Overloaded           too much at once; the same request succeeds later
    │   └── PipelineFull
    ├── DiskNearlyFull       there is no space to keep anything more
    └── InvalidRequest       the same request never succeeds
        └── MalformedUpload
"""

from astrolens.platform.errors import AstroLensError


class UseCaseError(AstroLensError):
    """A refusal: the title names the kind, the message is one sentence with what to do."""

    def __init__(self, title: str, detail: str) -> None:
        super().__init__(detail)
        self.title = title
        self.detail = detail


class NotFound(UseCaseError):
    """Nothing of this kind has this id."""

    def __init__(self, kind: str, identity: str) -> None:
        super().__init__(f"No such {kind}", f"No {kind} has the id {identity!r}")
        self.kind = kind


class NotIndexed(UseCaseError):
    """The similarity index does not have this image yet."""

    def __init__(self, image_id: str) -> None:
        super().__init__(
            "Not indexed",
            f"The similarity index does not know the image {image_id!r} yet: it is added when the image is analysed.",
        )


class Conflict(UseCaseError):
    """The state of what is asked for does not allow this any more."""


class Overloaded(UseCaseError):
    """Too much at once; the same request succeeds later."""


class PipelineFull(Overloaded):
    """As many images are in flight as the settings allow."""


class DiskNearlyFull(UseCaseError):
    """Too little disk space is free to store more images."""

    def __init__(self, shortage: str) -> None:
        super().__init__(
            "Insufficient storage", f"{shortage[:1].upper()}{shortage[1:]}. Nothing of this request was taken in."
        )


class InvalidRequest(UseCaseError):
    """The request cannot be used; the same one never succeeds."""


class MalformedUpload(InvalidRequest):
    """The body of an upload cannot be used; the message says why."""

    def __init__(self, fault: str) -> None:
        super().__init__("Unreadable upload", f"The body cannot be used: {fault}.")
