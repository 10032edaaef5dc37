import numpy as np
import pytest
from astrolens.science.oddities import KINDS, draw_control, draw_oddity
from astrolens.science.oddities.canvas import Canvas
from astrolens.science.oddities.measurement import measure_object, sky_level
from astrolens.science.oddities.stretch_model import AsinhStretch

NAMES = [kind.name for kind in KINDS]


def galaxy(
    side: int = 128,
    *,
    x: float = 0.5,
    y: float = 0.5,
    radius: float = 0.1,
    ratio: float = 0.6,
    angle: float = 0.5,
    seed: int = 0,
) -> np.ndarray:
    """An exponential disc with a red core on a noisy sky, asinh-stretched."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] - np.array([y, x]).reshape(2, 1, 1) * (side - 1)
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = (rows * np.cos(angle) - columns * np.sin(angle)) / ratio
    light = 0.25 * np.exp(-1.68 * np.hypot(np.hypot(along, across), 0.8) / (radius * side))[..., None] * [1.2, 1.0, 0.7]
    light = light + 0.004 + rng.normal(0.0, 0.0008, (side, side, 3))
    return AsinhStretch(5.0).encode(light.astype(np.float32))


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_is_seen_when_strong_and_hardly_when_weak(name: str) -> None:
    picture, donor = galaxy(96), galaxy(96, ratio=0.3, seed=1)
    before = picture.copy()
    change = {0.0: 0.0, 1.0: 0.0}
    for strength in change:
        for seed in range(4):
            drawn = draw_oddity(picture, np.random.default_rng(seed), donor, kind=name, strength=strength)
            assert drawn.picture.shape == picture.shape
            assert drawn.picture.dtype == np.uint8
            assert (drawn.kind, drawn.strength) == (name, strength)
            change[strength] += difference(drawn.picture, picture) / 4
    assert change[1.0] > 0.15
    assert change[0.0] < 0.35 * change[1.0]
    assert np.array_equal(picture, before), "the ordinary picture must not be written to"


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_is_a_function_of_its_seed(name: str) -> None:
    picture, donor = galaxy(80), galaxy(72, seed=2)
    first, again, other = (
        draw_oddity(picture, np.random.default_rng(s), donor, kind=name, strength=0.9) for s in (5, 5, 6)
    )
    assert np.array_equal(first.picture, again.picture)
    assert not np.array_equal(first.picture, other.picture)


def _pictures() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    grey = galaxy(79).mean(axis=2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    return {
        "smallest": galaxy(16),
        "large": galaxy(400),
        "wide": galaxy(128)[30:94],
        "grey": grey,
        "black": np.zeros((64, 64, 3), dtype=np.uint8),
        "white": np.full((64, 64, 3), 255, dtype=np.uint8),
        "noise": rng.integers(0, 30, (90, 90, 3), dtype=np.uint8),
        "off centre": galaxy(100, x=0.98, y=0.02),
    }


@pytest.mark.parametrize("what", list(_pictures()))
def test_every_kind_works_on_every_picture(what: str) -> None:
    pictures = _pictures()
    picture = pictures[what]
    donors = [None, pictures["black"], pictures["wide"]]
    for number, name in enumerate([*NAMES, "control"]):
        rng = np.random.default_rng(number)
        donor = donors[number % 3]
        drawn = draw_control(picture, rng, donor) if name == "control" else None
        if drawn is None:
            drawn = draw_oddity(picture, rng, donor, kind=name, strength=0.9).picture
        assert (drawn.shape, drawn.dtype) == (picture.shape, picture.dtype)


def test_what_needs_colour_is_not_drawn_on_one_band() -> None:
    grey = _pictures()["grey"]
    in_colour = {kind.name for kind in KINDS if kind.in_colour}
    drawn = {draw_oddity(grey, np.random.default_rng(seed)).kind for seed in range(80)}
    assert not drawn & in_colour
    # What adds light to a picture of one band leaves it one.
    for name in ("blend", "double-core", "saturated-star", "trail", "spikes", "bleed"):
        picture = draw_oddity(grey, np.random.default_rng(1), galaxy(80), kind=name, strength=1.0).picture.astype(int)
        assert np.abs(picture - picture[..., :1]).max() <= 12, name


def test_what_needs_an_object_is_not_drawn_without_one() -> None:
    of_object = {kind.name for kind in KINDS if kind.of_object}
    assert {"merger", "arc", "ring"} <= of_object
    drawn = {draw_oddity(_pictures()["noise"], np.random.default_rng(seed)).kind for seed in range(60)}
    assert not drawn & of_object


def test_kinds_are_chosen_by_weight() -> None:
    picture = galaxy(40)
    drawn = [
        draw_oddity(picture, np.random.default_rng(seed), weights={"bad-column": 3.0, "cut-paste": 1.0}).kind
        for seed in range(200)
    ]
    assert set(drawn) == {"bad-column", "cut-paste"}
    assert 0.6 < drawn.count("bad-column") / 200 < 0.9
    with pytest.raises(KeyError):
        draw_oddity(picture, np.random.default_rng(0), weights={"unicorn": 1.0})
    with pytest.raises(ValueError, match="no kind"):
        draw_oddity(picture, np.random.default_rng(0), weights={})


def test_strengths_range_from_invisible_to_plain() -> None:
    strengths = [draw_oddity(galaxy(32), np.random.default_rng(s), kind="bad-column").strength for s in range(200)]
    assert min(strengths) < 0.1
    assert max(strengths) > 0.95


def test_a_wrong_array_is_refused() -> None:
    for wrong in (np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3), np.float32), np.zeros((4, 64, 3), np.uint8)):
        with pytest.raises(ValueError, match="8-bit"):
            draw_oddity(wrong, np.random.default_rng(0))  # type: ignore[arg-type]


def test_the_object_is_measured() -> None:
    for side, x, y, radius, ratio, angle in ((64, 0.5, 0.5, 0.12, 0.5, 0.3), (224, 0.45, 0.55, 0.08, 0.8, -1.0)):
        picture = galaxy(side, x=x, y=y, radius=radius, ratio=ratio, angle=angle)
        shape = measure_object(picture, sky_level(picture))
        assert shape.found
        assert np.hypot(shape.x - x * (side - 1), shape.y - y * (side - 1)) < 0.015 * side
        assert shape.axis_ratio == pytest.approx(ratio, abs=0.12)
        assert abs(np.sin(shape.angle - angle)) < 0.15
        assert 0.5 * radius * side < shape.radius < 1.6 * radius * side
        assert shape.radius < shape.extent < 6.0 * radius * side


def test_a_picture_without_an_object_says_so() -> None:
    for name in ("black", "noise"):
        picture = _pictures()[name]
        assert not measure_object(picture, sky_level(picture)).found


def test_the_stretch_is_inverted() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for q in (3.5, 7.0):
        stretch = AsinhStretch(q)
        assert np.array_equal(stretch.encode(stretch.decode(picture)), picture)
        assert np.array_equal(Canvas(picture, stretch).with_light(np.zeros((32, 32), np.float32)), picture)


def test_a_control_leaves_the_object_alone() -> None:
    picture, donor = galaxy(128, radius=0.05), galaxy(96, seed=4)
    shape = measure_object(picture, sky_level(picture))
    rows, columns = np.mgrid[:128, :128]
    inside = np.hypot(columns - shape.x, rows - shape.y) < 0.6 * shape.extent
    drawn = [draw_control(picture, np.random.default_rng(seed), donor) for seed in range(10)]
    assert max(difference(one[inside], picture[inside]) for one in drawn) < 1.0
    assert any(difference(one, picture) > 0.01 for one in drawn)
