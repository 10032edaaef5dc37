"""`astrolens catalogs` from a table to answers."""

import csv
import json
from pathlib import Path

import httpx
import pytest
from astrolens.cli import catalogs
from astrolens.cli.app import app
from astrolens.platform.errors import ConfigurationError
from typer.testing import CliRunner

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASTROLENS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    result = RUNNER.invoke(app, ["catalogs", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_import_list_match_and_remove(home: Path) -> None:
    table = home / "mine.csv"
    table.write_text("id,ra,dec,otype,Vmag\nfirst,150.0,2.2,QSO,18\nsecond,0.0,-90.0,*,9\nlost,,,*,\n")
    said = run("import", str(table), "--name", "mine", "--coverage", "full-sky", "--credit", "Me [2026]", code=1)
    assert "mine: 2 objects" in said
    assert "1 rows refused: no position" in said
    listed = json.loads(run("list", "--json"))
    assert {each["name"]: each["rows"] for each in listed["catalogues"]} == {"openngc": 13308, "mine": 2}
    assert "Me [2026]" in run("list")

    places = home / "places.csv"
    places.write_text("name,RA,Dec\nandromeda,00:42:44.3,+41:16:09\nquasar,150.0001,2.2\nempty,150.3,2.2\n")
    answers = [json.loads(line) for line in run("match", str(places), "--json").splitlines() if line.startswith("{")]
    assert [(each["name"], each["status"]) for each in answers] == [
        ("andromeda", "known"),
        ("quasar", "known"),
        ("empty", "nothing"),
    ]
    best = answers[0]["catalogues"]["openngc"]["counterparts"][0]
    assert (best["name"], best["relation"], best["explains"]) == ("NGC 224", "centred", True)
    assert answers[2]["catalogues"]["mine"]["counterparts"][0]["relation"] == "outside"

    assert "1 known, 2 nothing" in run(
        "match", str(places), "--catalogue", "openngc", "--output", str(home / "out.csv")
    )
    with (home / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["name"], rows[0]["catalogue"], rows[0]["counterpart"]) == ("andromeda", "openngc", "NGC 224")
    assert "NGC 224" in run("match", str(places))

    assert "mine is removed" in run("remove", "mine")
    assert "mine" not in run("list", "--json")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("import", "missing.csv", "--name", "mine"), "is no file"),
        (("import", "empty-folder", "--name", "mine"), "no HATS catalogue"),
        (("import", "table.csv", "--name", "mine", "--column", "ra"), "is not ROLE=VALUE"),
        (("import", "table.csv", "--name", "Not A Name"), "lower-case letters"),
        (("match", "table.csv", "--catalogue", "none"), "there is no catalogue 'none'"),
        (("remove", "openngc"), "comes with the package"),
    ],
)
def test_a_wrong_call_is_one_sentence(home: Path, arguments: tuple[str, ...], fault: str) -> None:
    (home / "table.csv").write_text("ra,dec\n1,2\n")
    (home / "empty-folder").mkdir()
    with pytest.raises(ConfigurationError, match=fault):
        RUNNER.invoke(app, ["catalogs", *arguments], catch_exceptions=False)


def test_images_that_were_seen_before_a_watchlist_are_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "mine.csv").write_text("name,ra,dec\nM 51,202.4696,47.1952\nnowhere,10.0,-10.0\n")
    run("import", "mine.csv", "--name", "mine", "--watchlist")
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        images = [{"image_id": "e" * 32, "name": "old", "verdict": "anomaly", "ra_deg": 202.4696, "dec_deg": 47.1961}]
        near = request.url.params["ra_deg"].startswith("202")
        return httpx.Response(200, json={"items": images if near else [], "next": None})

    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://console")
    monkeypatch.setattr(catalogs, "connect", lambda *_: client)
    (line,) = run("seen", "mine", "--radius", "10", "--json").splitlines()
    assert (json.loads(line)["place"], json.loads(line)["separation_arcsec"]) == ("M 51", pytest.approx(3.24, abs=0.01))
    assert {each["radius_arcsec"] for each in asked} == {"10.0"}
    assert len(asked) == 2
