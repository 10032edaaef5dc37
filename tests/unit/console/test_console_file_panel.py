"""The panels of a file and of an object: where values came from, what differs, and what strangers write is text."""

from datetime import UTC, datetime
from typing import Any

import pytest
from astrolens.console.pages.file_panel import same_object, stated_by_file
from astrolens.contracts.image_files import FileHeader, PixelQuality
from astrolens.contracts.records import CutoutInfo, ImageRecord, LaterArrival
from astrolens.platform.stores.records import to_document
from astrolens.usecases.sky_objects import SkyObjectView
from astrolens.usecases.views import ImageCard, ImageDetail

from tests.made_records import make_image

AT = datetime(2020, 5, 1, 12, tzinfo=UTC)


def record(name: str = "one", **changes: Any) -> ImageRecord:
    found, _ = make_image(name, p_value=0.01, position=(10.0, 41.0))
    return found.model_copy(update=changes)


def panel(image: ImageRecord, *, north_up: bool = False) -> str:
    return stated_by_file(ImageDetail.of(to_document(image), None), north_up=north_up)


def turned(image: ImageRecord, **given: Any) -> CutoutInfo:
    return image.cutout.model_copy(update=given)


def test_each_value_says_where_it_came_from_and_what_the_header_says_instead() -> None:
    image = record(
        origins={"position": "given", "pixel_scale_arcsec": "header", "bands": "given"},
        header=FileHeader(ra_deg=10.0, dec_deg=41.0 + 12 / 3600, frame="galactic", bands=("u", "g")),
    )
    observation = image.observation.model_copy(update={"pixel_scale_arcsec": 0.396, "bands": ("g", "r")})
    html = panel(image.model_copy(update={"observation": observation}))
    assert '10.000000 +41.000000 deg</span> <span class="muted">given by a person or source' in html
    assert "the header says 10.000000 +41.003333 deg, 12″ away" in html
    assert '0.396″ a pixel of the original</span> <span class="muted">from the file’s header' in html
    assert "the header says u g" in html
    # The position that holds was given: the header's frame says nothing of it.
    assert "galactic" not in html


def test_equal_values_are_not_said_twice() -> None:
    html = panel(record(origins={"position": "given"}, header=FileHeader(ra_deg=10.00001, dec_deg=41.0)))
    assert "given by a person or source" in html
    assert "the header says" not in html


def test_a_value_of_the_header_says_its_keyword_or_frame() -> None:
    origins = {"position": "header", "observed_at": "header"}
    image = record(origins=origins, header=FileHeader(frame="galactic", time_source="DATE-OBS, UTC"))
    html = panel(image.model_copy(update={"observation": image.observation.model_copy(update={"observed_at": AT})}))
    assert "from the file’s header, galactic there" in html
    assert "2020-05-01 12:00:00 UTC</span>" in html
    assert "from the file’s header, DATE-OBS, UTC" in html


def test_orientation_is_in_words() -> None:
    plain = record()
    assert "the file does not say where north is" in panel(plain)
    assert "service turns its pictures so" in panel(plain, north_up=True)
    words = "north 12.0 degrees left of up, east left"
    html = panel(record(cutout=turned(plain, orientation=words, north_angle_deg=12.0)), north_up=True)
    assert words in html
    assert "service" not in html


def test_what_was_used_of_a_file_and_what_else_is_in_it() -> None:
    header = FileHeader(
        image="SCI", images=("SCI", "ERR"), planes=("i", "r", "g"), axis_3="assumed-bands", notes=("no WCS: <b>x</b>",)
    )
    html = panel(record(header=header))
    assert "also in the file: ERR" in html
    assert "i, r, g" in html
    assert "the header does not say" in html
    assert "no WCS: &lt;b&gt;x&lt;/b&gt;" in html


@pytest.mark.parametrize(("significance", "text"), [(6.4, "≥ 6.4"), (2.5, "2.5")])
def test_quality_has_units_and_bounds(significance: float, text: str) -> None:
    quality = PixelQuality(masked_share=0.0002, coverage={"g": 0.9996, "r": 1.0}, significance=significance)
    html = panel(record(quality=quality))
    assert "&lt; 0.1 %" in html
    assert "g &gt; 99.9 %, r 100 %" in html
    assert f'<span class="num">{text}</span>' in html
    assert ("nothing stands out" in html) == (significance < 6.2)


def test_a_conflicting_value_stands_beside_the_one_that_holds() -> None:
    later = LaterArrival(
        receipt_id="l" * 32,
        source="upload",
        ref="<i>table.csv</i>",
        at=AT,
        filled=("pixel_scale_arcsec",),
        conflicting={"position": "10.1 +41.2", "extra.redshift": "<script>1</script>"},
    )
    html = panel(record(later=(later,)))
    assert "gave scale (″ a pixel)" in html
    assert 'position (deg): <span class="num">10.1 +41.2</span>' in html
    assert "here; 10.000000 +41.000000 holds" in html
    assert "<script>" not in html
    assert "<i>" not in html


def test_an_old_record_without_header_says_so() -> None:
    assert "states nothing" in panel(record())


def sky_object(*images: ImageRecord, **given: Any) -> SkyObjectView:
    cards = [ImageCard.of(to_document(each), distance_arcsec=1.5 * index) for index, each in enumerate(images)]
    return SkyObjectView(**{"object_id": "o", "name": None, "catalogue": None, "images": cards} | given)


def test_the_other_images_of_an_object_are_pictures_with_links() -> None:
    here, other = record("one"), record("two")
    html = same_object(sky_object(here, other, name="M <51>", catalogue="simbad"), here.image_id, "/base")
    assert "M &lt;51&gt; in simbad" in html
    assert "Seen 2 times" in html
    assert f'href="/base/image/{other.image_id}"' in html
    assert f'src="/base/api/images/{other.image_id}/cutout"' in html
    assert "1.5″" in html
    assert "/base/gallery?object_id=o" in html
    assert f"/image/{here.image_id}" not in html


def test_an_object_seen_once_says_so() -> None:
    here = record("one")
    assert "No other image" in same_object(sky_object(here), here.image_id, "")
    nowhere, _ = make_image("nowhere", p_value=0.01, position=None)
    assert "Without a position" in same_object(sky_object(nowhere), nowhere.image_id, "")
