"""Numbers with what they count."""

import re
from pathlib import Path

import astrolens.console
import pytest
from astrolens.usecases.plurals import plural


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("answer",), "0 answers"),
        (1, ("answer",), "1 answer"),
        (1200, ("galaxy", "galaxies"), "1,200 galaxies"),
        (1, ("image is", "images are"), "1 image is"),
    ],
)
def test_a_number_agrees_with_its_noun(number: int, words: tuple[str, ...], text: str) -> None:
    assert plural(number, *words) == text


def test_pages_count_answers_and_images_by_the_helper() -> None:
    written = re.compile(r"\{(?![A-Z_]+\})(?:count\()?[\w.()]+(?::,)?\} (?:answers|images|files|lines)\b")
    for path in (Path(astrolens.console.__file__).parent / "pages").glob("*.py"):
        assert not written.search(path.read_text()), path.name
