"""Refusals of use cases as problem documents (RFC 9457)."""

import json
from collections.abc import Iterator

import pytest
from astrolens.console.problems import problem_of
from astrolens.usecases.errors import (
    Conflict,
    DiskNearlyFull,
    InvalidRequest,
    MalformedUpload,
    NotFound,
    NotIndexed,
    Overloaded,
    PipelineFull,
    UseCaseError,
)

CASES = [
    (
        NotFound("image", "abc"),
        404,
        "No such image",
        "No image has the id 'abc': look it up with GET /api/images?q=….",
    ),
    (NotFound("alert", "abc"), 404, "No such alert", "No alert has the id 'abc': look it up with GET /api/alerts."),
    (
        NotFound("dead letter", "abc"),
        404,
        "No such dead letter",
        "No dead letter has the id 'abc': look it up with GET /api/dead-letters.",
    ),
    (
        NotIndexed("abc"),
        404,
        "Not indexed",
        "The similarity index does not know the image 'abc' yet: it is added when the image is analysed.",
    ),
    (Conflict("Not open", "It was dropped."), 409, "Not open", "It was dropped."),
    (Overloaded("Busy", "Send it again."), 429, "Busy", "Send it again."),
    (PipelineFull("Pipeline full", "Send it again."), 429, "Pipeline full", "Send it again."),
    (
        DiskNearlyFull("the disk of /data is nearly full"),
        507,
        "Insufficient storage",
        "The disk of /data is nearly full. Nothing of this request was taken in.",
    ),
    (InvalidRequest("No image", "Give one."), 422, "No image", "Give one."),
    (MalformedUpload("it holds no file"), 422, "Unreadable upload", "The body cannot be used: it holds no file."),
]


@pytest.mark.parametrize(("error", "status", "title", "detail"), CASES)
def test_every_refusal_has_its_status_title_and_sentence(
    error: UseCaseError, status: int, title: str, detail: str
) -> None:
    response = problem_of(error).response()
    assert response.status_code == status
    assert response.media_type == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    assert response.headers.get("retry-after") == ("1" if status == 429 else None)


def test_no_kind_of_refusal_lacks_a_status() -> None:
    def kinds(parent: type[UseCaseError]) -> Iterator[type[UseCaseError]]:
        for kind in parent.__subclasses__():
            yield kind
            yield from kinds(kind)

    assert set(kinds(UseCaseError)) == {type(case[0]) for case in CASES}
