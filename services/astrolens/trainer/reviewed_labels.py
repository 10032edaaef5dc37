"""Labels that a person reviewed: pictures that the catalogues call ordinary and that plainly are not.

`reviewed.csv` beside this module has one line a picture: `object_id, survey, verdict, why`. They calibrate nothing; the
science benchmark reports its figures with and without them.
"""

import csv
from functools import cache
from pathlib import Path
from typing import Final

REVIEWED: Final = Path(__file__).with_name("reviewed.csv")


@cache
def not_ordinary(survey: str) -> frozenset[str]:
    """Ids of the objects of a survey, lower case, whose pictures are not ordinary."""
    with REVIEWED.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return frozenset(row["object_id"] for row in rows if row["survey"] == survey and row["verdict"] == "not-ordinary")
