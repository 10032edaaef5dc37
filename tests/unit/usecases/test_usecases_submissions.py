"""Requests to take images in."""

import pytest
from astrolens.contracts import records
from astrolens.contracts.records import Observation, truncate_extra
from astrolens.usecases.submissions import ImageDescription, UrlSubmission, unique_refs
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError


def test_the_second_of_a_name_gets_a_number() -> None:
    assert list(unique_refs(["a", "b", "a", "a"])) == ["a", "b", "a (2)", "a (3)"]


def test_a_name_that_looks_numbered_is_not_taken_twice() -> None:
    assert list(unique_refs(["a", "a (2)", "a"])) == ["a", "a (2)", "a (3)"]
    assert list(unique_refs(["a", "a", "a (2)"])) == ["a", "a (2)", "a (2) (2)"]


@given(st.lists(st.sampled_from(["a", "a (2)", "a (3)", "a (2) (2)", "b"])))
def test_every_ref_is_an_arrival_of_its_own_and_the_same_again_next_time(refs: list[str]) -> None:
    numbered = list(unique_refs(refs))
    assert len(set(numbered)) == len(refs)
    assert list(unique_refs(refs)) == numbered
    assert all(name.startswith(ref) for name, ref in zip(numbered, refs, strict=True))


@pytest.mark.parametrize(
    "description",
    [
        {"bands": ["g"] * (records.MAX_BANDS + 1)},
        {"bands": ["g" * (records.MAX_BAND_LENGTH + 1)]},
        {"extra": {str(number): "" for number in range(records.MAX_EXTRA + 1)}},
        {"extra": {"k" * (records.MAX_EXTRA_KEY_LENGTH + 1): ""}},
        {"extra": {"key": "v" * (records.MAX_EXTRA_VALUE_LENGTH + 1)}},
        {"extra": {str(number): "v" * 999 for number in range(40)}},
        {"name": "n" * 201},
        {"ref": "r" * 1001},
        {"credit": "c" * 501},
        {"url": "u" * 2001},
    ],
)
def test_every_text_and_list_of_a_description_is_bounded(description: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ImageDescription.model_validate(description)


def test_an_address_without_description_is_bounded_too() -> None:
    with pytest.raises(ValidationError):
        UrlSubmission.model_validate({"urls": ["https://host/" + "a" * 2000]})


def test_what_is_stored_is_read_whatever_its_length() -> None:
    stored = {"bands": ["g" * 1000] * 1000, "extra": {"k" * 1000: "v" * 10_000}}
    assert len(Observation.model_validate(stored).bands) == 1000


@given(st.dictionaries(st.text(max_size=120), st.text(max_size=1200), max_size=300))
def test_extra_of_files_and_tables_is_cut_to_what_is_accepted(extra: dict[str, str]) -> None:
    cut = truncate_extra(extra)
    assert ImageDescription(extra=cut).extra == cut
    assert truncate_extra(cut) == cut


def test_extra_within_the_bounds_is_kept() -> None:
    wide = {f"column {number}": "1.5" * 10 for number in range(records.MAX_EXTRA)}
    assert truncate_extra(wide) == wide
    assert truncate_extra({**wide, "one": "more"}) == wide
    assert truncate_extra({"long": "v" * 2000})["long"] == "v" * 999 + "…"
