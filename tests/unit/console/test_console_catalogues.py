"""The System page's list of catalogues: the worst instance speaks, and local ones say their rows and credit."""

from datetime import UTC, datetime
from typing import Any

from astrolens.console.components.records import Cell
from astrolens.console.pages.catalogues import catalogue_row, count_rows, sorted_catalogues
from astrolens.usecases.crossmatches import MAX_COUNTED, CrossmatchSummary


def summary(**counts: int) -> CrossmatchSummary:
    numbers = {"known": 0, "unmatched": 0, "undetermined": 0, "waiting": 0} | counts
    return CrossmatchSummary(**numbers, catalogues={}, at=datetime(2026, 5, 1, tzinfo=UTC))


def instance(breaker: str, **given: Any) -> dict[str, Any]:
    return {"breaker": breaker, "reason": None, **given}


def remote(**instances: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "host": "simbad.cds.example", "release": "live", "local": None, "instances": instances}


def said(cell: Cell) -> str:
    return " | ".join(part["text"] for part in cell)


def test_each_count_leads_to_its_images() -> None:
    rows = count_rows(summary(known=1200, unmatched=3, waiting=MAX_COUNTED))
    assert [rows[name][0][0]["href"] for name in ("known", "unmatched", "undetermined")] == [
        f"/gallery?crossmatch={status}&simulated=any" for status in ("known", "unmatched", "undetermined")
    ]
    assert said(rows["unmatched"][0]) == "possible discoveries"
    assert said(rows["known"][1]) == "1,200"
    assert said(rows["waiting"][1]) == "1,000 or more"


def test_a_catalogue_that_works_says_so_with_its_last_answer() -> None:
    works = instance("closed", latency_s=0.34, last_answer_at="2026-05-01T11:59:00+00:00", canary_at=None)
    name, state, answered, latency, canary, retry, _ = catalogue_row("simbad", remote(a=works))
    assert said(name) == "simbad | required | simbad.cds.example"
    assert said(state) == "works"
    assert answered[0]["title"] == "2026-05-01 11:59:00 UTC"
    assert said(latency) == "340 ms"
    assert said(canary) == "not yet"
    assert said(retry) == "–"


def test_the_worst_instance_speaks_with_its_reason_and_next_try() -> None:
    away = instance("open", reason="simbad.cds.example: no connection", retry_at="2999-01-01T00:00:00+00:00")
    _, state, _, latency, _, retry, _ = catalogue_row("simbad", remote(a=instance("closed"), b=away))
    expected = "left alone after failures | simbad.cds.example: no connection | at 1 of 2 instances of the service"
    assert said(state) == expected
    assert "s-bad" in state[0]["class"]
    assert retry[0]["title"] == "2999-01-01 00:00:00 UTC"
    assert said(latency) == "–"


def test_half_open_unproven_and_unknown_states_are_words() -> None:
    found = [said(catalogue_row("x", remote(a=instance(each)))[1]) for each in ("half_open", "unproven", "new")]
    assert found == ["tested before it is asked again", "not tested yet", "state not known"]


def test_a_catalogue_that_never_answered_is_not_said_to_work() -> None:
    new = instance("closed", last_answer_at=None, canary_at=None)
    assert said(catalogue_row("x", remote(a=new))[1]) == "not asked yet"
    tested = new | {"canary_at": "2026-05-01T11:59:00+00:00"}
    assert said(catalogue_row("x", remote(a=tested))[1]) == "tested, not asked yet"
    answered = new | {"last_answer_at": "2026-05-01T11:59:00+00:00"}
    assert said(catalogue_row("x", remote(a=new, b=answered))[1]) == "works"


def test_a_catalogue_of_this_machine_says_rows_and_credit() -> None:
    local = {"required": False, "host": "this machine", "release": "2024", "local": True, "credit": "OpenNGC, CC-BY-SA"}
    name, state, *_, release = catalogue_row("openngc", {**local, "instances": {"a": instance("closed", rows=13992)}})
    assert said(name) == "openngc | informative | this machine"
    assert said(state) == "on this machine"
    assert said(release) == "2024 | 13,992 rows. OpenNGC, CC-BY-SA"


def test_required_catalogues_come_first() -> None:
    catalogues = {"a": {"required": False}, "b": {"required": False, "local": True}, "c": {"required": True}}
    assert [name for name, _ in sorted_catalogues(catalogues)] == ["c", "a", "b"]
