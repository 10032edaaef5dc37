"""The harness of `make chaos` finds what differs, and kills no service more often than its supervisor bears."""

from collections import Counter

from astrolens.platform.runtime.services import SERVICE_NAMES

from tests.chaos.random_kills import MAX_PER_MINUTE, RESTARTED_BY_HAND, Killings, differences


def test_every_difference_is_found() -> None:
    expected = {"images": {"a": 1, "b": 2}, "alerts": {"x": "a"}, "books": {"received": 2}, "dead letters": 0}
    assert differences(expected, expected) == {}
    found = {"images": {"a": 1, "c": 2}, "alerts": {"x": "b"}, "books": {"received": 2}, "dead letters": 1}
    assert differences(expected, found) == {"images": ["b", "c"], "alerts": ["x"], "dead letters": [""]}


def test_everybody_is_killed_and_no_service_too_often() -> None:
    killings = Killings(seed=11, every_s=1.0)
    drawn = [(float(now), killings.next_victim(float(now))) for now in range(600)]
    assert set(SERVICE_NAMES) | set(RESTARTED_BY_HAND) <= {victim for _, victim in drawn}
    for start in range(540):
        minute = Counter(victim for now, victim in drawn if start <= now < start + 60 and victim in SERVICE_NAMES)
        assert all(count <= MAX_PER_MINUTE for count in minute.values())
