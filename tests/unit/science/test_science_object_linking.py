"""Images of one object are one object, and neighbours are not."""

from astrolens.science.match_radius import Target
from astrolens.science.object_linking import SeenImage, linked_images


def seen(name: str, arcsec: float, counterpart: str | None = None, error: float = 1.0) -> SeenImage:
    return SeenImage(
        image_id=name,
        target=Target(ra_deg=359.9999, dec_deg=10.0 + arcsec / 3600.0, error_arcsec=error),
        counterpart=counterpart,
    )


def test_five_images_of_one_strange_galaxy_are_one_object() -> None:
    images = [seen(str(n), n * 0.8) for n in range(5)]
    assert linked_images([*images, seen("far", 60.0)]) == [("0", "1", "2", "3", "4"), ("far",)]


def test_images_of_one_catalogued_object_are_linked_wherever_they_are_centred() -> None:
    images = [seen("a", 0.0, "openngc NGC 1"), seen("b", 40.0, "openngc NGC 1"), seen("c", 1.0, "openngc NGC 2")]
    assert linked_images(images) == [("a", "b"), ("c",)]


def test_an_image_between_two_known_objects_does_not_make_them_one() -> None:
    images = [seen("a", 0.0, "x 1"), seen("b", 6.0, "x 2"), seen("between", 3.0)]
    assert linked_images(images) == [("a", "between"), ("b",)]


def test_a_chain_of_images_is_one_object_in_any_order() -> None:
    images = [seen("a", 0.0), seen("c", 8.0), seen("b", 4.0)]
    assert linked_images(images) == [("a", "c", "b")]
