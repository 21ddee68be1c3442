"""Bugs in what clients see and may do: status, identity, limits."""

from tests.mutants.mutant import Edit, Mutant, mutant

TRACKING = "api/tracking.py"
TRACKING_TESTS = "tests/integration/test_tracking.py"

LOOK_INTO_REDIS = "    found, queue_error = await _look_up(services, request_id)\n"
LOOK_INTO_THE_LEDGER = """\
    try:
        row = await services.database.read(students.finished_request, request_id)
    except DatabaseUnavailableError:
        if found is None:
            raise
        return found.document
"""
FINAL_IN_REDIS = "    if found is not None and found.final:\n        return found.document\n"

AT_THE_EDGE = (
    mutant(
        "status read from Redis without a second look",
        f"{TRACKING_TESTS}::test_what_the_ledger_has_is_final_even_while_redis_shows_it_waiting",
        TRACKING,
        FINAL_IN_REDIS,
        "    if found is not None:\n        return found.document\n",
    ),
    Mutant(
        "status read from the ledger before Redis",
        f"{TRACKING_TESTS}::test_a_request_that_ends_while_it_is_looked_up_is_never_missed",
        (
            Edit(
                TRACKING,
                LOOK_INTO_REDIS,
                "    row = await services.database.read(students.finished_request, request_id)\n"
                + LOOK_INTO_REDIS,
            ),
            Edit(TRACKING, LOOK_INTO_THE_LEDGER, ""),
        ),
    ),
    mutant(
        "another student's waiting request visible",
        f"{TRACKING_TESTS}::test_anothers_request_does_not_exist",
        TRACKING,
        "    if found is not None and found.student_id != student_id:\n        raise not_found(WHAT)\n",
        "",
    ),
    mutant(
        "another student's finished request visible",
        f"{TRACKING_TESTS}::test_anothers_request_does_not_exist",
        TRACKING,
        '    return bool(row["student_id"] == student_id)\n',
        "    return True\n",
    ),
    mutant(
        "alg=none accepted",
        "tests/unit/test_security.py::test_a_token_that_is_not_exactly_ours_is_refused",
        "shared/security.py",
        "jwt.decode(token, last, algorithms=[ALGORITHM])",
        "jwt.get_unverified_claims(token)",
    ),
    mutant(
        "an expired token good while it is cached",
        "tests/unit/test_security.py::test_a_cached_token_is_refused_once_it_has_expired",
        "shared/security.py",
        "if identity.expires_at <= time.time():",
        "if False:",
    ),
    mutant(
        "a password cut at 72 bytes",
        "tests/unit/test_security.py::test_73_bytes_are_refused_rather_than_cut_off",
        "shared/security.py",
        "        raise PasswordTooLongError\n",
        "        return encoded[:PASSWORD_BYTES_MAX]\n",
    ),
    mutant(
        "body limit ignores chunked bodies",
        "tests/unit/test_body_limit.py::test_a_chunked_body_that_grows_above_the_limit_is_refused_at_the_first_byte_too_many",
        "api/body_limit.py",
        "                    if len(body) > self._max_bytes:\n",
        "                    if False:\n",
    ),
    mutant(
        "production with the built-in secret",
        "tests/unit/test_settings.py::test_production_refuses_the_built_in_and_any_short_secret",
        "shared/settings.py",
        " or (production and secret == DEVELOPMENT_SECRET_KEY)",
        "",
    ),
)
