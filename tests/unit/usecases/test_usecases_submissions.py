"""Requests to take images in."""

from astrolens.usecases.submissions import number_repeated
from hypothesis import given
from hypothesis import strategies as st


def test_the_second_of_a_name_gets_a_number() -> None:
    assert list(number_repeated(["a", "b", "a", "a"])) == ["a", "b", "a (2)", "a (3)"]


def test_a_name_that_looks_numbered_is_not_taken_twice() -> None:
    assert list(number_repeated(["a", "a (2)", "a"])) == ["a", "a (2)", "a (3)"]
    assert list(number_repeated(["a", "a", "a (2)"])) == ["a", "a (2)", "a (2) (2)"]


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "a (2) (2)", "b"])))
def test_every_ref_is_an_arrival_of_its_own_and_the_same_again_next_time(refs: list[str]) -> None:
    numbered = list(number_repeated(refs))
    assert len(set(numbered)) == len(refs)
    assert list(number_repeated(refs)) == numbered
    assert all(name.startswith(ref) for name, ref in zip(numbered, refs, strict=True))
