"""Which images their survey has not released: nothing of them may become public."""

from typing import Final

from astrolens.contracts.records import ImageRecord

PROGRAM_KEY: Final = "programid"
"""Whose observing time a ZTF image is from, as its alert packets and tables say it."""
_ZTF_PUBLIC: Final = 1.0
"""The public survey. 2 is the partnership's, 3 Caltech's time, 0 engineering (ZTF Avro schemas, `candidate`)."""
_ZTF_KEY: Final = "candid"
"""What comes with ZTF's programme, also where a person gave the survey another name."""


def is_unreleased(image: ImageRecord) -> bool:
    """Whether the survey has not released an image: one of ZTF whose programme is not the public one.

    Everything that was said of the image counts: what a person gave, what the file states, and what a later arrival
    gave otherwise. Of several programmes, and of one that is no number, the image counts as not released.
    """
    stated = {} if image.header is None else dict(image.header.extra)
    stated_survey = None if image.header is None else image.header.survey
    given = image.observation.extra
    extras = [*given.items(), *stated.items()]
    extras += [(key.removeprefix("extra."), text) for later in image.later for key, text in later.conflicting.items()]
    keys = {key.lower() for key, _ in extras}
    if not (image.observation.survey.startswith("ztf") or stated_survey == "ztf" or _ZTF_KEY in keys):
        return False
    return any(not _is_public(text) for key, text in extras if key.lower() == PROGRAM_KEY)


def _is_public(programme: str) -> bool:
    try:
        return float(programme) == _ZTF_PUBLIC
    except ValueError:
        return not programme.strip()
