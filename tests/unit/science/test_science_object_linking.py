"""Images of one object are one object, and neighbours are not."""

from astrolens.science.match_radius import Target
from astrolens.science.object_linking import SeenImage, linked_images


def seen(name: str, arcsec: float, *counterparts: str, error: float = 1.0) -> SeenImage:
    return SeenImage(
        image_id=name,
        target=Target(ra_deg=359.9999, dec_deg=10.0 + arcsec / 3600.0, error_arcsec=error),
        counterparts=dict(each.split(" ", 1) for each in counterparts),
    )


def test_five_images_of_one_strange_galaxy_are_one_object() -> None:
    images = [seen(str(n), n * 0.8) for n in range(5)]
    assert linked_images([*images, seen("far", 60.0)]) == [("0", "1", "2", "3", "4"), ("far",)]


def test_images_of_one_catalogued_object_are_linked_wherever_they_are_centred() -> None:
    images = [seen("a", 0.0, "openngc NGC 1"), seen("b", 40.0, "openngc NGC 1"), seen("c", 1.0, "openngc NGC 2")]
    assert linked_images(images) == [("a", "b"), ("c",)]


def test_one_common_name_is_enough_and_other_catalogues_may_differ() -> None:
    images = [seen("a", 0.0, "openngc NGC 1", "ned NGC 1"), seen("b", 40.0, "openngc NGC 1", "ned NGC 1 SE")]
    assert linked_images(images) == [("a", "b")]


def test_names_of_different_catalogues_neither_link_nor_part() -> None:
    near, far = seen("b", 2.0, "simbad M 31"), seen("c", 40.0, "simbad M 31 x")
    assert linked_images([seen("a", 0.0, "ned M 31"), near, far]) == [("a", "b"), ("c",)]


def test_an_image_between_two_known_objects_does_not_make_them_one() -> None:
    images = [seen("a", 0.0, "x 1"), seen("b", 6.0, "x 2"), seen("between", 3.0)]
    assert linked_images(images) == [("a", "between"), ("b",)]


def test_a_chain_of_images_is_one_object_in_any_order() -> None:
    images = [seen("a", 0.0), seen("c", 8.0), seen("b", 4.0)]
    assert linked_images(images) == [("a", "c", "b")]


def test_two_images_of_surveys_with_worse_positions_may_lie_further_apart() -> None:
    assert linked_images([seen("a", 0.0), seen("b", 12.0)]) == [("a",), ("b",)]
    assert linked_images([seen("a", 0.0, error=3.0), seen("b", 12.0, error=3.0)]) == [("a", "b")]


def test_no_images_are_no_objects() -> None:
    assert linked_images([]) == []
