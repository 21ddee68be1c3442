"""What the report of the fault suite says of runs that were, and of those that were not."""

from tests.faults.catalogue import chosen
from tests.faults.injections.fault import Fault
from tests.faults.injections.wires import whose_turn
from tests.faults.proxy import Direction
from tests.faults.report import wire_rows
from tests.faults.runner import NOT_LANDED, Run
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
