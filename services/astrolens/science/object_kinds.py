"""What a catalogue's object types mean for matching: the codes of SIMBAD, NED and OpenNGC as a few kinds.

Sources: SIMBAD's condensed object types (https://simbad.cds.unistra.fr/guide/otypes.htx), NED's preferred object types
(https://ned.ipac.caltech.edu/help/ui/nearposn-list_objecttypes) and OpenNGC's guide. A code that is not listed is
`UNKNOWN`, never a guess.
"""

from enum import StrEnum
from typing import Final


class ObjectKind(StrEnum):
    """Kinds that are weighed differently when an image is explained."""

    STAR = "star"
    GALAXY = "galaxy"
    ACTIVE_NUCLEUS = "active_nucleus"
    GALAXY_GROUP = "galaxy_group"
    STAR_CLUSTER = "star_cluster"
    NEBULA = "nebula"
    TRANSIENT = "transient"
    SOLAR_SYSTEM = "solar_system"
    RADIATION = "radiation"
    ARTEFACT = "artefact"
    UNKNOWN = "unknown"


POINT_KINDS: Final = frozenset({ObjectKind.STAR, ObjectKind.TRANSIENT, ObjectKind.SOLAR_SYSTEM})
"""Points of light: alone they do not make an extended picture."""

_CODES: Final[dict[ObjectKind, str]] = {
    ObjectKind.STAR: "psr pulsar lxb hxb pl other_star",
    ObjectKind.GALAXY: "g gal gip gig gic bic bcg lsb sbg h2g emg pog pofg g_lens leg lei gle gls",
    ObjectKind.ACTIVE_NUCLEUS: "agn qso quasar bla bll bl bz lin syg sy1 sy2 rg q_lens leq",
    ObjectKind.GALAXY_GROUP: "ig pag grg cgg clg pcg scg gpair gtrpl ggroup gclstr qgroup",
    ObjectKind.STAR_CLUSTER: "cl* as* st* mgr glc gcl opc ocl *cl *ass cl+n",
    ObjectKind.NEBULA: (
        "pn hii rfn rne gne dne neb emn drkn snr sfr ism cld moc mcld glb cgb hvc cor bub sh flt out hh poc"
    ),
    ObjectKind.TRANSIENT: "sn* sn no* nova ev gb gwe lev",
    ObjectKind.SOLAR_SYSTEM: "asteroid comet planet satellite",
    ObjectKind.RADIATION: (
        "rad mr cm mm smm hi rb mas ir fir mir nir opt emo blu uv x ulx gam radios irs viss uvs uves xrays gammas abls "
        "emls emobj"
    ),
    ObjectKind.ARTEFACT: "err nonex dup",
}

_KINDS: Final = {code: kind for kind, codes in _CODES.items() for code in codes.split()}

_NAMES: Final = frozenset(kind.value for kind in ObjectKind)


def object_kind(code: str | None) -> ObjectKind:
    """The kind of a catalogue's object type, such as `GiC`, `*`, `GPair` or `!HII`.

    Args:
        code: The type as SIMBAD, NED, OpenNGC or a user's own table writes it. Case does not count, nor does SIMBAD's
            `?` of a candidate or NED's `!` of an object of the Milky Way.
    """
    text = (code or "").strip().lower()
    if text in _NAMES:
        return ObjectKind(text)
    text = text.removeprefix("!").removesuffix("?")
    if text in _KINDS:
        return _KINDS[text]
    # All other codes of SIMBAD and NED that end so are stars, a hundred of them.
    return ObjectKind.STAR if text.endswith("*") else ObjectKind.UNKNOWN
