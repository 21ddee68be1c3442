"""Bugs in what becomes of a request, and in whose turn it is."""

from tests.mutants.mutant import mutant

RULES = "shared/rules.py"
RULE_TESTS = "tests/unit/test_rules.py"
DECIDING = "worker/deciding.py"

IN_THE_RULES = (
    mutant(
        "promotion skips the head of the reserve list",
        f"{RULE_TESTS}::test_dropping_an_enrolled_student_promotes_the_head_of_the_reserve_list",
        RULES,
        "head = roster.reserve[0] if roster.reserve else None",
        "head = roster.reserve[-1] if roster.reserve else None",
    ),
    mutant(
        "no promotion at all",
        f"{RULE_TESTS}::test_no_sequence_of_requests_oversells_or_leaves_a_seat_free_while_somebody_waits",
        RULES,
        "return Decision(Status.APPLIED, Result.DROPPED, promoted=head)",
        "return Decision(Status.APPLIED, Result.DROPPED)",
    ),
    mutant(
        "one seat too many",
        f"{RULE_TESTS}::test_any_sequence_of_requests_ends_as_in_the_reference_model",
        RULES,
        "if roster.enrolled_count < roster.max_capacity:",
        "if roster.enrolled_count <= roster.max_capacity:",
    ),
    mutant(
        "window judged by now",
        "tests/integration/test_applying.py::test_the_window_is_judged_by_when_a_request_was_accepted",
        DECIDING,
        "entry.operation, entry.student_id, entry.accepted_at)",
        "entry.operation, entry.student_id, course.now)",
    ),
    mutant(
        "turns unfair",
        "tests/unit/test_turns.py::test_with_more_courses_than_a_round_holds_none_starves",
        "worker/turns.py",
        "sorted(ready, key=lambda course_id: self._last_served.get(course_id, self._round))",
        "sorted(ready)",
    ),
    mutant(
        "the audit blind to counts",
        "tests/integration/test_audit.py::test_a_changed_count_is_found",
        "shared/replay.py",
        '    findings.compare(None, "enrolled_count", roster.enrolled_count, course.enrolled_count)\n',
        "",
    ),
)
