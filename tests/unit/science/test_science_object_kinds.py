"""Object types of SIMBAD, NED and OpenNGC."""

import pytest
from astrolens.science.object_kinds import ObjectKind, object_kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("G", ObjectKind.GALAXY),
        ("GiC", ObjectKind.GALAXY),
        ("*", ObjectKind.STAR),
        ("**", ObjectKind.STAR),
        ("WD?", ObjectKind.UNKNOWN),
        ("WD*?", ObjectKind.STAR),
        ("Sy*", ObjectKind.STAR),
        ("SyG", ObjectKind.ACTIVE_NUCLEUS),
        ("QSO?", ObjectKind.ACTIVE_NUCLEUS),
        ("Cl*", ObjectKind.STAR_CLUSTER),
        ("*Cl", ObjectKind.STAR_CLUSTER),
        ("SN*", ObjectKind.TRANSIENT),
        ("!HII", ObjectKind.NEBULA),
        ("GPair", ObjectKind.GALAXY_GROUP),
        ("NonEx", ObjectKind.ARTEFACT),
        ("RadioS", ObjectKind.RADIATION),
        ("galaxy", ObjectKind.GALAXY),
        ("Other", ObjectKind.UNKNOWN),
        ("", ObjectKind.UNKNOWN),
        (None, ObjectKind.UNKNOWN),
    ],
)
def test_kind_of_a_type(code: str | None, kind: ObjectKind) -> None:
    assert object_kind(code) is kind
