"""`astrolens ingest` from end to end, against the console's own application."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.cli import ingest as ingest_module
from astrolens.cli.ingest import Options
from astrolens.cli.upload import PipelineStalled
from astrolens.platform.errors import ConfigurationError

BOOKS = {
    "received": 3,
    "analyzed": 1,
    "duplicates": 1,
    "rejected": 1,
    "dead_lettered": 0,
    "in_flight": 0,
    "settled": True,
}


class Console:
    """A console that settles a batch after a few requests, and does not answer one of them."""

    def __init__(self) -> None:
        self.requests = 0
        self.never = False
        self.books = BOOKS

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/api/intake":
            return httpx.Response(200, json={"room": 100})
        if path == "/api/images":
            await request.aread()
            return httpx.Response(202, json={"new": 3})
        if path.endswith("/progress"):
            assert path == "/api/receipts/night-7/progress"
            self.requests += 1
            if self.requests == 2:
                raise httpx.ConnectError("connection refused")
            if self.requests == 3:
                return httpx.Response(503, json={"detail": "a store is away"})
            done = self.requests > 4 and not self.never
            waiting = {**BOOKS, "analyzed": 0, "in_flight": 1, "settled": False}
            return httpx.Response(200, json=self.books if done else waiting)
        return httpx.Response(404, json={"detail": f"no such address: {path}"})

    def receipts(self, request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/receipts"
        assert request.url.params.get_list("outcome") == ["rejected", "dead_lettered"]
        more = "after" not in request.url.params
        item = {"reason": {"code": "not-an-image" if more else "bomb"}}
        return httpx.Response(200, json={"items": [item], "next": "more" if more else None})


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console()
    real = httpx.AsyncClient

    def client(**options: Any) -> httpx.AsyncClient:
        return real(**{**options, "transport": httpx.MockTransport(console), "limits": httpx.Limits()})

    monkeypatch.setattr(ingest_module.httpx, "AsyncClient", client)

    def connect(url: str | None, token: str | None) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(console.receipts), base_url=url or "")

    monkeypatch.setattr(ingest_module, "connect", connect)
    monkeypatch.setattr(ingest_module, "POLL_S", 0.001)
    return console


def run(folder: Path, **options: Any) -> int:
    chosen = Options(**{"batch": "night-7", "wait": True, **options})
    return ingest_module.ingest(folder, chosen, url="http://console", token=None)


def test_it_waits_until_all_is_settled_and_says_what_became_of_it(
    console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg", "b.jpg", "c.txt"):
        (tmp_path / name).write_bytes(name.encode())
    assert run(tmp_path, as_json=True) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["outcomes"] == {key: value for key, value in BOOKS.items() if key != "settled"}
    assert summary["reasons"] == {"not-an-image": 1, "bomb": 1}
    assert (summary["batch"], summary["sent"], summary["new"]) == ("night-7", 3, 3)
    assert console.requests >= 5


def test_people_get_a_table(console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "table.csv").write_text("file\na.jpg\ngone.jpg\n")
    assert run(tmp_path / "table.csv") == 1, "one of the files is not there"
    said = capsys.readouterr().out
    assert "not-an-image 1" in said
    assert "gone.jpg cannot be read (No such file or directory)" in said


def test_without_waiting_it_says_where_to_look(
    console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    assert run(tmp_path, wait=False) == 0
    assert "astrolens status" in capsys.readouterr().out
    assert console.requests == 0


def test_a_batch_that_does_not_move_is_said(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    monkeypatch.setattr(ingest_module, "STALL_TIMEOUT_S", 0.02)
    console.never = True
    with pytest.raises(PipelineStalled, match="1 files of the batch night-7 are in flight"):
        run(tmp_path)


def test_all_of_it_rejected_is_no_success(console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    console.books = {**BOOKS, "received": 3, "analyzed": 0, "duplicates": 0, "rejected": 3}
    assert run(tmp_path) == 1
    console.books = {**BOOKS, "received": 3, "analyzed": 1, "duplicates": 0, "rejected": 2}
    assert run(tmp_path) == 0


def test_a_file_that_opens_and_cannot_be_read_is_named(
    console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.fits").write_bytes(b"good")
    (tmp_path / "bad.fits").symlink_to("/proc/self/mem")
    assert run(tmp_path) == 1
    assert "not sent: bad.fits cannot be read (Input/output error)" in capsys.readouterr().out


@pytest.mark.parametrize("given", [{"survey": "Pan STARRS"}, {"batch": "a/b"}])
def test_bad_names_are_said_before_anything_is_sent(console: Console, tmp_path: Path, given: dict[str, str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    with pytest.raises(ConfigurationError, match=r"--(survey|batch): "):
        run(tmp_path, **given)


def test_what_a_table_says_is_told(console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    table = tmp_path / "t.csv"
    table.write_text("file,RAB1950,hubble_t\na.jpg,1,2\n")
    assert run(table) == 0
    said = capsys.readouterr().out
    assert "no column was understood as a position (kept as further metadata: RAB1950, hubble_t)" in said
    table.write_text("file,ra,dec,hubble_t\na.jpg,1,2,3\na.jpg,1,,3\na.jpg,1,99,3\n")
    assert run(table) == 1
    said = capsys.readouterr().out
    assert "kept as further metadata: hubble_t" in said
    assert "note: line 3: ra is given without a declination" in said
    assert "not sent: a.jpg (3) (line 4: dec is '99'" in said


def test_a_batch_of_which_nothing_was_sent_is_not_waited_for(
    console: Console, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("file,ra,dec\ngone.jpg,1,2\nbad.jpg,1,100\n")
    assert run(table) == 1
    said = capsys.readouterr().out
    assert "gone.jpg cannot be read" in said
    assert "bad.jpg (line 3: dec is '100'" in said
    assert console.requests <= 1, "it may look once while it reads the table, and does not wait for the batch"
