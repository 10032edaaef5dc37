"""Questions to servers that drip, reset and redirect: bounded, and never an empty answer."""

from time import monotonic

import pytest
from astrolens.crossref.catalogues.simbad import QUASAR, Simbad
from astrolens.crossref.failures import CatalogueFailed
from astrolens.crossref.http import CatalogueHttp

from tests.catalogues.server import serving
from tests.catalogues.services import FakeSimbad, Reply, Request


async def ask(url: str, *, timeout_s: float = 5.0) -> bytes:
    http = CatalogueHttp([url], timeout_s=timeout_s)
    await http.open()
    try:
        return await http.send(Simbad(f"{url}/simbad").request_for([QUASAR.place]))
    finally:
        await http.close()


async def test_an_upload_is_understood_and_its_answer_read() -> None:
    async with serving(FakeSimbad()) as url:
        body = await ask(url)
        found = Simbad(f"{url}/simbad").read(body, [QUASAR.place])
    assert [item.name for item in found[QUASAR.place.key]] == ["3C 273"]


@pytest.mark.parametrize(
    ("fault", "code"), [("reset", "cut-off"), ("http-503", "http-503"), ("http-429", "http-429"), ("ban", "http-403")]
)
async def test_a_broken_reply_is_a_failure(fault: str, code: str) -> None:
    simbad = FakeSimbad()
    simbad.fault = fault
    async with serving(simbad) as url:
        with pytest.raises(CatalogueFailed) as caught:
            await ask(url)
    assert caught.value.code == code
    assert caught.value.retry_after_s == (2.0 if fault == "http-429" else None)


async def test_a_server_that_drips_is_left_within_the_limit() -> None:
    simbad = FakeSimbad()
    simbad.fault = "drip"
    async with serving(simbad) as url:
        begun = monotonic()
        with pytest.raises(CatalogueFailed, match=r"within 0\.5 s"):
            await ask(url, timeout_s=0.5)
    # A byte every 50 ms would take a minute; the bound is generous for a slow machine.
    assert monotonic() - begun < 30


async def test_nobody_there_is_told_from_a_server_that_fails() -> None:
    with pytest.raises(CatalogueFailed, match="cannot be reached") as caught:
        await ask("http://127.0.0.1:9")
    assert caught.value.unreachable


async def test_a_redirect_to_another_host_is_not_followed() -> None:
    def elsewhere(_: Request) -> Reply:
        return Reply("", 302, {"Location": "http://169.254.169.254/latest"})

    async with serving(elsewhere) as url:
        with pytest.raises(CatalogueFailed, match="another host") as caught:
            await ask(url)
    assert caught.value.code == "host-not-allowed"
