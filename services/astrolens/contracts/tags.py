"""Free tags that people give with an answer, such as `tidal tail`."""

from typing import Annotated, Final

from pydantic import Field

MAX_TAGS: Final = 10
"""Tags of one answer."""
MAX_TAG_LENGTH: Final = 40

Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_LENGTH)]
Tags = Annotated[tuple[Tag, ...], Field(max_length=MAX_TAGS)]
"""In the order in which they were given, each once."""


def clean_tags(given: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Tags as they are recorded: lower case, one space between words, each once.

    Raises:
        ValueError: One is empty, too long or has characters that cannot be shown, or there are too many.
    """
    tags = tuple(dict.fromkeys(" ".join(tag.lower().split()) for tag in given))
    for tag in tags:
        if not 1 <= len(tag) <= MAX_TAG_LENGTH:
            raise ValueError(f"the tag {tag[:60]!r} has {len(tag)} characters: give 1 to {MAX_TAG_LENGTH}")
        if not tag.isprintable() or "," in tag:
            raise ValueError(f"the tag {tag!r} has a comma or characters that cannot be shown: write it in words")
    if len(tags) > MAX_TAGS:
        raise ValueError(f"{len(tags)} tags are too many: give at most {MAX_TAGS}")
    return tags
