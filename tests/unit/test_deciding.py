"""From two standings of a course to the rows that must change."""

from hypothesis import given
from hypothesis import strategies as st

from shared.store.rounds import RegistrationRow
from worker.deciding import Standings, changes

COURSE = "course"
students = st.sampled_from([f"student-{number}" for number in range(6)])
standing = st.one_of(
    st.just(("ENROLLED", None)), st.integers(1, 5).map(lambda position: ("RESERVED", position))
)
standings = st.dictionaries(students, standing)


@given(standings, standings)
def test_carrying_out_the_changes_leads_from_one_standing_to_the_other(
    before: Standings, after: Standings
) -> None:
    """Delete, update, insert: each touches only rows that are, or are not, there."""
    difference = changes(COURSE, before, after)
    table = dict(before)
    for course_id, student in difference.gone:
        assert course_id == COURSE
        del table[student]
    for row in difference.changed:
        assert row.student_id in table
        assert table[row.student_id] != (row.status, row.reserve_position)
        table[row.student_id] = (row.status, row.reserve_position)
    for row in difference.added:
        assert row.student_id not in table
        table[row.student_id] = (row.status, row.reserve_position)
    assert table == after


@given(standings)
def test_nothing_changed_means_nothing_written(standing: Standings) -> None:
    """Unchanged rows are left alone, so their updated_at stays."""
    difference = changes(COURSE, standing, dict(standing))
    assert (difference.gone, difference.changed, difference.added) == ([], [], [])


def test_a_promotion_updates_the_promoted_and_everyone_who_moved_up() -> None:
    """One row goes, the head gets the seat, the next becomes the head."""
    before: Standings = {"ann": ("ENROLLED", None), "ben": ("RESERVED", 1), "cem": ("RESERVED", 2)}
    after: Standings = {"ben": ("ENROLLED", None), "cem": ("RESERVED", 1)}
    difference = changes(COURSE, before, after)
    assert difference.gone == [(COURSE, "ann")]
    assert difference.added == []
    assert list(difference.changed) == [
        RegistrationRow(COURSE, "ben", "ENROLLED", None),
        RegistrationRow(COURSE, "cem", "RESERVED", 1),
    ]
