"""Bugs in how a round is applied and owned: locks, the ledger, constraints, sessions."""

from tests.mutants.mutant import Edit, Mutant, mutant

APPLYING = "worker/applying.py"
OWNERSHIP = "worker/ownership.py"
WORKER = "worker/registration_worker.py"
STORE = "shared/store/rounds.py"
DATABASE = "shared/database.py"
MIGRATION = "alembic/versions/0001_initial_schema.py"

APPLYING_TESTS = "tests/integration/test_applying.py"
HELD_TESTS = "tests/integration/test_held_courses.py"
RACES = "tests/integration/test_races.py"
CONSTRAINTS = "tests/integration/test_constraints.py"
OWNERSHIP_TESTS = "tests/integration/test_ownership.py"

LOCK = """\
        courses = _lock(connection, {entry.course_id for entry in entries})
        entries = [entry for entry in entries if entry.course_id in courses]
"""
LOOK_UP = "        entries, recorded = _look_up(connection, entries)\n"

LEDGER_NOT_ASKED = Edit(
    STORE,
    "     WHERE request_id = ANY(CAST(:request_ids AS uuid[]))\n",
    "     WHERE request_id = ANY(CAST(:request_ids AS uuid[])) AND false\n",
)
NO_PRIMARY_KEY = Edit(
    MIGRATION,
    '        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_registration_requests")),\n',
    "",
)
NO_PLACE_IN_THE_ORDER = Edit(
    MIGRATION,
    """\
        sa.UniqueConstraint(
            "course_id",
            "generation",
            "sequence",
            name=op.f("uq_registration_requests_course_id_generation_sequence"),
        ),
""",
    "",
)
NO_LOCK = Edit(STORE, "     ORDER BY c.id\n       FOR UPDATE OF c SKIP LOCKED\n", "     ORDER BY c.id\n")
NO_INDEX_IN_THE_ORDER = Edit(
    MIGRATION,
    """\
        sa.UniqueConstraint(
            "course_id", "applied_index", name=op.f("uq_registration_requests_course_id_applied_index")
        ),
""",
    "",
)
NO_CHECK_OF_SEATS = Edit(
    MIGRATION,
    """\
        sa.CheckConstraint(
            "enrolled_count BETWEEN 0 AND max_capacity", name=op.f("ck_courses_never_oversold")
        ),
""",
    "",
)

IN_POSTGRESQL = (
    mutant(
        "ledger read before the lock",
        f"{RACES}::test_what_another_worker_commits_just_before_the_lock_is_seen_after_it",
        APPLYING,
        LOCK + LOOK_UP,
        LOOK_UP + LOCK,
    ),
    Mutant(
        "no ledger key",
        f"{APPLYING_TESTS}::test_the_same_batch_applied_twice_changes_nothing_and_has_the_same_outcomes",
        (LEDGER_NOT_ASKED, NO_PRIMARY_KEY, NO_PLACE_IN_THE_ORDER),
    ),
    Mutant(
        "ledger without its primary key",
        f"{CONSTRAINTS}::test_a_place_in_the_order_is_taken_once",
        (NO_PRIMARY_KEY,),
    ),
    mutant(
        "generation left out of the ledger's key",
        "tests/faults/test_lost_queues.py::test_after_redis_lost_its_data_sequences_begin_anew_without_a_collision",
        MIGRATION,
        '            "generation",\n            "sequence",\n',
        '            "sequence",\n',
    ),
    Mutant(
        "capacity read without the lock and without CHECK",
        f"{RACES}::test_the_last_seat_is_not_sold_twice_by_two_workers_with_different_requests",
        # With the index unique the loser of the race would be found by that, and not by the seat that it sold again.
        (NO_LOCK, NO_CHECK_OF_SEATS, NO_INDEX_IN_THE_ORDER),
        saying="oversold",
    ),
    Mutant(
        "two workers at one course without the lock",
        f"{RACES}::test_two_workers_on_the_same_queue_apply_each_request_once_and_in_order",
        (NO_LOCK, NO_CHECK_OF_SEATS),
    ),
    Mutant(
        "no CHECK of seats",
        f"{CONSTRAINTS}::test_counts_that_break_a_promise_are_refused",
        (NO_CHECK_OF_SEATS,),
    ),
    mutant(
        "waiting for a course that somebody else holds",
        f"{HELD_TESTS}::test_a_course_that_somebody_else_holds_is_left_out_while_the_others_proceed",
        STORE,
        "FOR UPDATE OF c SKIP LOCKED",
        "FOR UPDATE OF c",
    ),
    Mutant(
        "a request delivered twice applied twice",
        f"{APPLYING_TESTS}::test_a_request_that_stands_twice_in_a_batch_is_applied_once",
        (
            Edit(
                APPLYING,
                "first.setdefault(entry.request_id, entry)",
                'first.setdefault(f"{len(first)}", entry)',
            ),
            NO_PRIMARY_KEY,
            NO_PLACE_IN_THE_ORDER,
        ),
    ),
    mutant(
        "order lost when a course is held while a round is narrowed down",
        f"{HELD_TESTS}::test_a_course_that_is_held_while_a_round_is_narrowed_down_keeps_its_order",
        APPLYING,
        "return [entry for entry in later if entry.course_id not in left_over]",
        "return list(later)",
    ),
    mutant(
        "order lost when a course is held between two rounds",
        f"{HELD_TESTS}::test_of_a_course_that_is_held_during_one_round_nothing_is_applied_in_the_next",
        APPLYING,
        "        entries = _without_left_over(entries[size:], entries[:size], applied)\n",
        "        entries = entries[size:]\n",
    ),
    mutant(
        "a damaged course stops its worker",
        f"{HELD_TESTS}::test_a_course_whose_own_rows_are_damaged_is_held_and_every_other_course_is_finished",
        APPLYING,
        "        applied = _try(connection, [poisoned], worker)\n",
        "        applied = _apply(connection, [poisoned], worker)\n",
    ),
    mutant(
        "a damaged course passed over",
        f"{HELD_TESTS}::test_a_course_whose_own_rows_are_damaged_is_held_and_every_other_course_is_finished",
        APPLYING,
        "AppliedRound(held={entry.course_id: applied})",
        "AppliedRound()",
    ),
    mutant(
        "a lost database blamed on the requests",
        f"{APPLYING_TESTS}::test_a_database_that_goes_away_ends_no_request",
        DATABASE,
        "    if not isinstance(error, DBAPIError) or isinstance(error, OperationalError | InterfaceError):\n        return False\n",
        "    if isinstance(error, OperationalError | InterfaceError):\n        return True\n",
    ),
    Mutant(
        "advisory lock on another session than the writer",
        "tests/faults/test_round.py::test_the_session_that_commits_is_the_one_that_owns_the_shard",
        (
            Edit(
                WORKER,
                "apply_rounds(self._owner.connection, entries, size, self.name)",
                "apply_rounds(self._writer, entries, size, self.name)",
            ),
            Edit(
                WORKER,
                "        self._wake_ups = WakeUps(self.connection)\n",
                "        self._wake_ups = WakeUps(self.connection)\n"
                "        patient = settings.model_copy(update={'session_timeout_ms': 600_000})\n"
                "        self._writer = owner_engine(patient, name).connect()\n",
            ),
        ),
    ),
    Mutant(
        "no idle timeouts",
        f"{OWNERSHIP_TESTS}::test_a_silent_session_is_cut_off_by_the_server",
        (
            Edit(DATABASE, '                "idle_session_timeout": settings.session_timeout_ms,\n', ""),
            Edit(
                DATABASE,
                '                "idle_in_transaction_session_timeout": settings.session_timeout_ms,\n',
                "",
            ),
        ),
    ),
    mutant(
        "no idle timeout inside a transaction",
        "tests/integration/test_silent_sessions.py::test_a_silent_session_is_ended_by_the_server",
        DATABASE,
        '                "idle_in_transaction_session_timeout": settings.session_timeout_ms,\n',
        "",
    ),
    mutant(
        "shards kept that are more than a fair share",
        f"{OWNERSHIP_TESTS}::test_workers_share_the_shards_evenly_as_they_come",
        OWNERSHIP,
        "            surplus = sorted(self.owned)[fair_share:]\n",
        "            surplus: list[int] = []\n",
    ),
    mutant(
        "shards remembered after the session is gone",
        f"{OWNERSHIP_TESTS}::test_a_worker_that_was_cut_off_cannot_commit_and_starts_anew",
        OWNERSHIP,
        "        self.owned = frozenset()\n        self._due_at = 0.0\n        if connection",
        "        self._due_at = 0.0\n        if connection",
    ),
)
