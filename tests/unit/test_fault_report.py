"""What the report of the fault suite says of runs that were, and of those that were not."""

from tests.faults.catalogue import chosen
from tests.faults.injections.fault import Fault
from tests.faults.injections.wires import whose_turn
from tests.faults.proxy import Direction
from tests.faults.report import complaints, fault_rows, wire_rows
from tests.faults.runner import LANDED, NOT_LANDED, NOT_RUN, Run
from tests.faults.site import WIRES


def run_of(fault: Fault, turn: int, **fields: object) -> Run:
    """A good run of a fault of wires."""
    wire, _ = whose_turn(turn, fault.wires)
    return Run(fault.name, 1, turn, wire=wire, **fields)  # type: ignore[arg-type]


def test_as_many_runs_as_there_are_wires_break_each_of_them() -> None:
    """By turns and not by chance: whichever number they begin with, and twice as many in both directions."""
    for first in range(7):
        turns = range(first, first + len(WIRES))
        assert {whose_turn(turn, WIRES)[0] for turn in turns} == set(WIRES)
    both_ways = {whose_turn(turn, WIRES) for turn in range(2 * len(WIRES))}
    assert both_ways == {(wire, direction) for wire in WIRES for direction in Direction}


def test_the_table_of_wires_shows_what_no_run_has_broken() -> None:
    """Every wire that a fault can break has its number, 0 included; a run that did not land counts for nothing."""
    [fault] = chosen("F6-reset")
    runs = [run_of(fault, turn) for turn in range(len(WIRES) - 1)]
    runs += [run_of(fault, 0), run_of(fault, len(WIRES) - 1, state=NOT_LANDED)]
    [row] = wire_rows([fault, *chosen("F4")], runs)
    assert row == {"fault": "F6-reset", "landed": dict(zip(WIRES, (2, 1, 1, 1, 0), strict=True))}


def test_a_fault_that_was_not_done_is_shown_as_such() -> None:
    """Neither the one that this machine cannot do nor the one whose turn never came passes for a row without violations."""
    done, impossible, untried = faults = chosen("F4,F10-back,F13")
    runs = [Run(done.name, 1, 0), Run(impossible.name, 2, 0, NOT_RUN, "no clock")]
    told = [(row["fault"], row["runs"], row["landed"], row["not_run"]) for row in fault_rows(faults, runs)]
    assert told == [
        (done.name, 1, 1, ""),
        (impossible.name, 0, 0, "not run: no clock"),
        (untried.name, 0, 0, "not run: it was never its turn"),
    ]


def test_only_require_all_complains_of_faults_that_were_not_done() -> None:
    """Whether they could not be, never came to their turn, or landed nowhere."""
    faults = chosen("F4,F10-back,F13")
    runs = [Run("F4", 1, 0), Run("F10-back", 2, 0, NOT_RUN, "no clock")]
    assert complaints(faults, runs, require_all=False) == []
    found = complaints(faults, runs, require_all=True)
    assert [one.partition(" ")[0] for one in found] == ["F10-back", "F13"]
    assert complaints(faults[:1], runs[:1], require_all=True) == []


def test_what_went_wrong_is_complained_of_in_any_case() -> None:
    """A run that did not land, a broken promise, a course that stood still for too long."""
    faults = chosen("F4,F1-any-time")
    good = [Run(fault.name, 1, 0) for fault in faults]
    for bad in (
        Run("F4", 2, 0, NOT_LANDED),
        Run("F4", 2, 0, LANDED, violations=["lost"]),
        Run("F1-any-time", 2, 0, LANDED, stood_still_s=[0.1, 0.6]),
    ):
        assert complaints(faults, good, require_all=True) == []
        assert len(complaints(faults, [*good, bad], require_all=False)) == 1
