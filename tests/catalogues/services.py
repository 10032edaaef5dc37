"""The services as functions from a request to a reply, with the faults that real ones have as switches."""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

from astrolens.crossref.places import Place, separation_arcsec

from tests.catalogues.sky import SIMBAD_FIELDS, Field, Sky, simbad_rows, votable


@dataclass(frozen=True)
class Request:
    """A request, taken apart."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def fields(self) -> dict[str, str]:
        """The query string, or the fields of the form, files included."""
        found = {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}
        kind = self.headers.get("content-type", "")
        if kind.startswith("application/x-www-form-urlencoded"):
            found |= {name: values[-1] for name, values in parse_qs(self.body.decode()).items()}
        elif kind.startswith("multipart/form-data"):
            message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + self.body)
            for part in message.walk():
                name = part.get_param("name", header="content-disposition")
                if isinstance(name, str):
                    found[name] = bytes(part.get_payload(decode=True) or b"").decode()
        return found


@dataclass(frozen=True)
class Reply:
    """A reply, and how it is sent: `drip` byte by byte and never to its end, `reset` cut off, not before `after`."""

    body: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: bool = False
    reset: bool = False
    after: asyncio.Event | None = None


Service = Callable[[Request], Reply]


def uploaded_places(request: Request) -> list[Place]:
    """The rows of an uploaded VOTable: key, right ascension, declination."""
    root = ET.fromstring(request.fields["places"])  # noqa: S314 - our own client wrote it
    rows = [[cell.text or "" for cell in row] for row in root.iter() if row.tag.endswith("}TR")]
    return [Place(key, float(ra), float(dec)) for key, ra, dec in rows]


def radius_of(query: str) -> float:
    """The searched radius of an ADQL query, arcsec."""
    found = re.search(r"CIRCLE\('ICRS', [^)]*?, ([0-9.eE+-]+)\)", query)
    assert found is not None, query
    return float(found[1]) * 3600.0


class FakeSimbad:
    """SIMBAD's TAP service. `fault` names what is wrong with it, None for nothing.

    Attributes:
        asked: Number of places of each request.
    """

    def __init__(self, sky: Sky | None = None) -> None:
        self.sky = sky or Sky()
        self.fault: str | None = None
        self.asked: list[int] = []
        self.keys: list[str] = []
        self.max_rows = 20_000

    def __call__(self, request: Request) -> Reply:
        if (general := general_fault(self.fault)) is not None:
            return general
        fields = request.fields
        assert fields["REQUEST"] == "doQuery"
        assert fields["LANG"] == "ADQL"
        places = uploaded_places(request)
        self.asked.append(len(places))
        self.keys += [place.key for place in places]
        rows = simbad_rows(self.sky, places, radius_of(fields["QUERY"]))
        return self._written(rows)

    def _written(self, rows: list[list[Any]]) -> Reply:
        fields: list[Field] = list(SIMBAD_FIELDS)
        match self.fault:
            case "lost-rows":
                rows = [row for row in rows if str(row[0]).startswith("canary")][:3]
            case "empty":
                rows = []
            case "renamed":
                fields[1] = Field("mainid", "char")
            case "unit":
                fields[3] = Field("ra", "double", "rad", "pos.eq.ra;meta.main")
            case "wrong-key":
                rows = [["nobody", *row[1:]] for row in rows]
            case "elsewhere":
                rows = [[*row[:3], (float(row[3]) + 1.0) % 360.0, *row[4:]] for row in rows]
            case "no-position":
                rows = [[*row[:3], None, None, *row[5:]] for row in rows]
        if len(rows) > self.max_rows:
            return Reply(votable(fields, rows[: self.max_rows], after='<INFO name="QUERY_STATUS" value="OVERFLOW"/>'))
        return table_fault(self.fault, votable(fields, rows))


class FakeNed:
    """NED: TAP at /ned/tap, the cone search at /ned/cone. Each has faults of its own."""

    def __init__(self, sky: Sky | None = None) -> None:
        self.sky = sky or Sky()
        self.fault: str | None = None
        self.cone_fault: str | None = "http-503"
        self.asked: list[str] = []

    def __call__(self, request: Request) -> Reply:
        self.asked.append(request.path)
        fields = request.fields
        if request.path.startswith("/ned/cone"):
            if (general := general_fault(self.cone_fault)) is not None:
                return general
            places = [(float(fields["LON"].rstrip("d")), float(fields["LAT"].rstrip("d")))]
            radius = float(fields["RADIUS"]) * 60.0
        else:
            if (general := general_fault(self.fault)) is not None:
                return general
            circles = re.findall(r"CIRCLE\('ICRS', ([0-9.eE+-]+), ([0-9.eE+-]+), ([0-9.eE+-]+)\)", fields["QUERY"])
            places = [(float(ra), float(dec)) for ra, dec, _ in circles]
            radius = float(circles[0][2]) * 3600.0
        things = {thing.name: thing for ra, dec in places for thing in self.sky.around(ra, dec, radius)}
        if self.fault in {"empty", "lost-rows"}:
            things = dict(list(things.items())[: 1 if self.fault == "lost-rows" else 0])
        table_fields = [
            Field("prefname" if self.fault != "renamed" else "name2", "char"),
            Field("pretype", "char"),
            Field("ra", "double", "rad" if self.fault == "unit" else "deg"),
            Field("dec", "double", "deg"),
            Field("z", "double"),
        ]
        shift = 1.0 if self.fault == "elsewhere" else 0.0
        rows = [
            ["MESSIER 031" if each.name.startswith("M ") else each.name, each.kind, each.ra_deg + shift, each.dec_deg,
             each.redshift]
            for each in things.values()
        ]  # fmt: skip
        return table_fault(self.fault, votable(table_fields, rows))


class FakeVizier:
    """VizieR: TAP at /vizier, X-Match at /xmatch, ASU at /asu. Every table holds the same things.

    Attributes:
        fault: Of every reply.
        table_faults: Of single tables of ASU's: `missing`, `empty`, `error`, `overflow`.
        count_from: The first number of `_q`.
    """

    def __init__(self, sky: Sky | None = None) -> None:
        self.sky = sky or Sky()
        self.fault: str | None = None
        self.table_faults: dict[str, str] = {}
        self.count_from = 1
        self.asked: list[tuple[str, int]] = []

    def __call__(self, request: Request) -> Reply:
        if (general := general_fault(self.fault)) is not None:
            return general
        fields = request.fields
        if request.path.startswith("/asu"):
            return self._several_tables(fields)
        bulk = request.path.startswith("/xmatch")
        if bulk:
            lines = [line.split(",") for line in fields["cat1"].split()[1:]]
            if len(lines) < 2:
                return Reply("Single-row uploads are refused", 400)
            places = [Place(key, float(ra), float(dec)) for key, ra, dec in lines]
            radius = float(fields["distMaxArcsec"])
        else:
            places, radius = uploaded_places(request), radius_of(fields["QUERY"])
        self.asked.append((request.path, len(places)))
        table = [
            Field("k", "char"),
            Field("renamed" if self.fault == "renamed" else "NameX", "char", ucd="meta.id;meta.main"),
            Field("RAJ2000", "double", "rad" if self.fault == "unit" else "deg", "pos.eq.ra;meta.main"),
            Field("DEJ2000", "double", "deg", "pos.eq.dec;meta.main"),
        ]
        shift = 1.0 if self.fault == "elsewhere" else 0.0
        rows: list[list[object]] = [
            [place.key, thing.name, thing.ra_deg + shift, thing.dec_deg]
            for place in places
            for thing in self.sky.around(place.ra_deg, place.dec_deg, radius)
        ]
        if self.fault == "empty":
            rows = []
        return table_fault(self.fault, votable(table, rows, status=None if bulk else "OK"))

    def _several_tables(self, fields: Mapping[str, str]) -> Reply:
        """ASU: a RESOURCE for each catalogue, TABLEs by their names, no DATA where there is nothing, as recorded."""
        assert (fields["-c.u"], fields["-c.eq"], fields["-oc.form"]) == ("arcsec", "J2000", "dec")
        assert {"_q", "_RAJ2000", "_DEJ2000"} <= set(fields["-out.add"].split(","))
        marker, *listed = fields["-c"].split(";")
        assert marker == "<<"
        found = [re.fullmatch(r"([0-9.]+)([+-][0-9.]+)", one) for one in listed]
        places = [(float(one[1]), float(one[2])) for one in found if one is not None]
        assert len(places) == len(listed)
        self.asked.append(("/asu", len(places)))
        heads = [
            Field("_q" if self.fault != "renamed" else "_Q2", "int", ucd="meta.record"),
            Field("_RAJ2000", "double", "rad" if self.fault == "unit" else "deg", "pos.eq.ra"),
            Field("_DEJ2000", "double", "deg", "pos.eq.dec"),
            Field("NameX", "char", ucd="meta.id;meta.main"),
        ]
        resources = []
        shift = 1.0 if self.fault == "elsewhere" else 0.0
        for table in fields["-source"].split(","):
            fault = self.table_faults.get(table, self.fault)
            rows: list[list[object]] = [
                [number, thing.ra_deg + shift, thing.dec_deg, thing.name]
                for number, (ra, dec) in enumerate(places, start=self.count_from)
                for thing in self.sky.around(ra, dec, float(fields["-c.r"]))
            ]
            if fault == "empty":
                rows = []
            if fault == "missing":
                continue
            written = votable(heads, rows, status=None)
            body = written[written.index("<TABLE>") : written.index("</RESOURCE>")]
            body = body.replace("<TABLE>", f'<TABLE name="{table}">')
            if not rows:
                body = re.sub(r"<DATA>.*</DATA>", "", body, flags=re.DOTALL)
            after = {
                "error": '<INFO name="Error" value="The table is being loaded"/>',
                "overflow": '<INFO name="QUERY_STATUS" value="OVERFLOW"/>',
            }.get(fault or "", "")
            resources.append(f'<RESOURCE name="{table.rpartition("/")[0]}">{body}{after}</RESOURCE>')
        whole = votable((), (), status=None)
        start, end = whole.index("<RESOURCE"), whole.index("</RESOURCE>") + len("</RESOURCE>")
        said = '<INFO name="QUERY_STATUS" value="OK"/>'
        return table_fault(self.fault, whole[:start] + said + "".join(resources) + whole[end:])


class FakeSkybot:
    """SkyBoT: what moves is a thing at a time; `asteroids` are by name, position and Julian date."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self.asteroids: list[tuple[str, float, float, float]] = [("Jupiter", 276.9620, -23.1940, 2458849.5)]

    def __call__(self, request: Request) -> Reply:
        if (general := general_fault(self.fault)) is not None:
            return general
        fields = request.fields
        here = Place("here", float(fields["-ra"]), float(fields["-dec"]))
        radius = float(fields["-rd"]) * 3600.0
        rows = [
            [name, "MB>Inner", ra, dec, 0.1]
            for name, ra, dec, jd in self.asteroids
            if abs(jd - float(fields["-ep"])) < 1e-3
            and separation_arcsec(here.ra_deg, here.dec_deg, ra, dec) <= radius
            and self.fault != "empty"
        ]
        table = [
            Field("Name", "char", ucd="meta.id;meta.main"),
            Field("Class", "char"),
            Field("_RAJ2000", "double", "deg"),
            Field("_DECJ2000", "double", "deg"),
            Field("ErrPos", "float", "arcsec"),
        ]
        return table_fault(self.fault, votable(table, rows))


FAULTS = (
    "http-503",
    "http-429",
    "html",
    "error-in-200",
    "error-info",
    "error-param",
    "no-table",
    "empty-body",
    "cut",
    "overflow",
    "no-status",
    "stream",
    "entity",
    "empty",
    "lost-rows",
    "renamed",
    "unit",
    "wrong-key",
    "elsewhere",
    "no-position",
    "empty-lines",
)
"""What can be wrong with a reply that comes."""


def general_fault(fault: str | None) -> Reply | None:
    """Replies that have nothing to do with what was asked."""
    error = votable((), (), status=None).replace("<TABLE>", "").replace("</TABLE>", "")
    error = re.sub(r"<DATA>.*</DATA>", "", error, flags=re.DOTALL)
    opening, closing = error.split("</RESOURCE>")
    replies = {
        "http-503": Reply("<html>Service Unavailable</html>", 503),
        "http-429": Reply("slow down", 429, {"Retry-After": "2"}),
        "html": Reply("<html><head><title>Maintenance</title></head><body>Back soon</body></html>"),
        "error-in-200": Reply(
            f'{opening}<INFO name="QUERY_STATUS" value="ERROR">Too many jobs are being processed</INFO>'
            f"</RESOURCE>{closing}"
        ),
        "error-info": Reply(
            f'{opening}<INFO name="QUERY_STATUS" value="OK"/><INFO ID="Error" name="Error" '
            f'value="The database is not currently reachable."/></RESOURCE>{closing}'
        ),
        "error-param": Reply(
            f'{opening}<INFO name="QUERY_STATUS" value="OK"/><PARAM name="Error" datatype="char" arraysize="*" '
            f'value=" Name checking server connection error."/></RESOURCE>{closing}'
        ),
        "no-table": Reply(f'{opening}<INFO name="QUERY_STATUS" value="OK"/></RESOURCE>{closing}'),
        "empty-body": Reply(""),
        "drip": Reply("<?xml version='1.0'?><VOTABLE>" + " " * 1000, drip=True),
        "reset": Reply("<?xml version='1.0'?><VOTABLE>" + " " * 1000, reset=True),
        "ban": Reply("Your IP address has been banned", 403),
    }
    return replies.get(fault or "")


def table_fault(fault: str | None, table: str) -> Reply:
    """Replies that are nearly right."""
    changes: dict[str, Callable[[str], str]] = {
        "cut": lambda text: text[: len(text) * 2 // 3],
        "overflow": lambda text: text.replace("</TABLE>", '</TABLE><INFO name="QUERY_STATUS" value="OVERFLOW"/>'),
        "no-status": lambda text: text.replace('<INFO name="QUERY_STATUS" value="OK"/>', ""),
        "stream": lambda text: re.sub(
            r"<TABLEDATA>.*</TABLEDATA>", '<BINARY><STREAM href="file:///etc/passwd"/></BINARY>', text, flags=re.DOTALL
        ),
        "entity": lambda text: text.replace("<VOTABLE", '<!DOCTYPE x [<!ENTITY a "aaaa">]><VOTABLE', 1),
        "empty-lines": lambda text: text.replace("<TR>", "<TR>\n\n<TD></TD>\n", 1),
    }
    change = changes.get(fault or "")
    return Reply(table if change is None else change(table), headers={"Content-Type": "application/x-votable+xml"})
