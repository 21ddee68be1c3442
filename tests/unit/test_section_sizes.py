"""The sizes of sections that load tests use have the shape that real catalogues have."""

from statistics import median, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.section_sizes import LARGEST, SMALLEST, section_sizes


@given(st.integers(20, 500), st.integers(40, 80))
def test_the_seats_are_as_many_as_asked_for(count: int, each: int) -> None:
    """To the last one, in as many sections, none of them tiny or endless."""
    sizes = section_sizes(count, count * each)
    assert (len(sizes), sum(sizes)) == (count, count * each)
    assert SMALLEST <= sizes[0] <= sizes[-1] <= LARGEST + each


def test_most_sections_are_small_and_a_few_are_very_large() -> None:
    """Close to the published term of 187 sections and 14,093 seats: half up to 35, a tenth above 116, up to 1,082."""
    sizes = section_sizes(187, 14_093)
    assert median(sizes) == 35
    assert 100 < quantiles(sizes, n=10)[-1] < 160
    assert 900 < sizes[-1] <= LARGEST


def test_what_cannot_be_is_refused() -> None:
    """Fewer seats than the smallest sections have."""
    with pytest.raises(ValueError, match="10 sections have"):
        section_sizes(10, 100)
