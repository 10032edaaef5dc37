"""Labels that a person reviewed: pictures that the catalogues call ordinary and that plainly are not.

`reviewed.csv` beside this module has one line a picture: `object_id, survey, verdict, calibrates, why`. The science
benchmark reports its figures with and without them. Those of the calibrating splits calibrate nothing, but for the ones
that say `yes`: a budget is a promise about a survey's own labels, and without any of them more than that is flagged as
labelled (docs/science.md, "Calibrated on reviewed pictures").
"""

import csv
from functools import cache
from pathlib import Path
from typing import Final

REVIEWED: Final = Path(__file__).with_name("reviewed.csv")


@cache
def not_ordinary(survey: str) -> frozenset[str]:
    """Ids of the objects of a survey, as its labels write them, whose pictures are not ordinary."""
    return frozenset(row["object_id"] for row in _not_ordinary(survey))


@cache
def kept_from_calibrating(survey: str) -> frozenset[str]:
    """Those of them that calibrate no bundle."""
    return frozenset(row["object_id"] for row in _not_ordinary(survey) if row["calibrates"] != "yes")


def _not_ordinary(survey: str) -> list[dict[str, str]]:
    with REVIEWED.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [row for row in rows if row["survey"] == survey and row["verdict"] == "not-ordinary"]
