"""Checks that check nothing: a fault that does not land, a model that nothing befalls."""

from tests.mutants.mutant import mutant

WORKERS = "tests/faults/injections/workers.py"
EVERY_FAULT = "tests/faults/test_catalogue.py::test_every_promise_holds"
UNDER_LOAD = "tests/faults/test_under_load.py"
PROTOCOL = "tests/model/test_protocol.py"
NOT_LANDED = "not landed"

IN_THE_TESTS = (
    mutant(
        "fault injector off: no SIGKILL",
        f"{UNDER_LOAD}::test_a_worker_killed_in_the_middle_of_a_round",
        UNDER_LOAD,
        "            os.kill(victim.worker_pid, signal.SIGKILL)\n"
        '            wait_until(lambda: gone(victim.worker_pid), "the worker is gone")\n'
        "            assert any",
        '            wait_until(lambda: gone(victim.worker_pid), "the worker is gone")\n            assert any',
    ),
    mutant(
        "fault injector off: no worker is caught in its round",
        "tests/faults/test_round.py::test_until_a_round_is_committed_its_requests_stand_in_their_queue",
        "tests/faults/test_round.py",
        '        cursor.execute("LOCK TABLE registration_requests IN SHARE MODE")\n',
        "",
    ),
    mutant(
        "fault injector off: no session is terminated",
        f"{UNDER_LOAD}::test_an_owners_session_terminated_in_the_middle_of_a_round",
        UNDER_LOAD,
        '            stack.sql("SELECT pg_terminate_backend(%s)", victim.backend_pid)\n',
        "",
    ),
    mutant(
        "make faults: no SIGKILL",
        f"{EVERY_FAULT}[F1-any-time]",
        WORKERS,
        "    with caught_worker(scene, moment) as (caught, watch):\n"
        "        os.kill(caught.worker_pid, signal.SIGKILL)\n",
        "    with caught_worker(scene, moment) as (caught, watch):\n",
        saying=NOT_LANDED,
    ),
    mutant(
        "make faults: no SIGSTOP",
        f"{EVERY_FAULT}[F2-any-time]",
        WORKERS,
        "            os.kill(caught.worker_pid, signal.SIGSTOP)\n",
        "",
        saying=NOT_LANDED,
    ),
    mutant(
        "make faults: a blackhole that holds nothing back",
        f"{EVERY_FAULT}[F6-blackhole]",
        "tests/faults/proxy.py",
        "        self._blackholes.add(direction)\n",
        "",
        saying=NOT_LANDED,
    ),
    mutant(
        "make faults: a blackhole that only counts",
        "tests/faults/test_proxy.py::test_a_blackhole_keeps_one_direction_and_delivers_when_healed",
        "tests/faults/proxy.py",
        "            while direction in self._blackholes:\n",
        "            while False:\n",
    ),
    mutant(
        "the checker finds nothing",
        "tests/unit/test_fault_checker.py::test_a_planted_violation_is_found",
        "tests/faults/checker/verdict.py",
        "len(courses), violations)",
        "len(courses), [])",
    ),
    mutant(
        "the model's adversary switched off",
        f"{PROTOCOL}::test_every_step_of_a_round_and_every_fault_is_reached",
        "tests/model/adversary.py",
        "    if state.faults_left == 0:\n",
        "    if state.faults_left >= 0:\n",
    ),
    mutant(
        "the model's rules not checked",
        f"{PROTOCOL}::test_without_one_of_its_rules_the_protocol_fails",
        "tests/model/invariants.py",
        "        if problem is not None:\n",
        '        if problem == "":\n',
    ),
)
