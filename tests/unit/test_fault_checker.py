"""The fault checker finds every kind of broken promise: a sound story passes, and each planted violation is named."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.checker.facts import Call
from tests.faults.checker.reading import HistoryError, read_histories
from tests.faults.history import History
from tests.unit.checker_story import COURSE, MS, Story, document_of, story_row
from tests.unit.planted_violations import PLANTED, Spoil


def test_a_sound_story_has_no_violation() -> None:
    """The control: what the planted violations are planted in is clean."""
    assert Story().found() == set()


@pytest.mark.parametrize(("spoil", "kind"), PLANTED)
def test_a_planted_violation_is_found(spoil: Spoil, kind: str) -> None:
    """Each kind of broken promise is named as what it is."""
    story = Story()
    spoil(story)
    assert kind in story.found()


def test_every_kind_of_violation_is_planted_here() -> None:
    """No check is left without a proof that it can fail."""
    kinds = {
        node.args[0].value
        for path in Path(checker.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Violation"
        and isinstance(node.args[0], ast.Constant)
    }
    assert kinds == {kind for _, kind in PLANTED}


def test_what_a_test_destroyed_may_fail_without_its_place() -> None:
    """FAILED, without sequence and student, is the right end of a request whose payload was deleted; unknown until then."""
    story = Story()
    story.damaged = {"r3": 31 * MS}
    story.answer(404, sent_ms=31, asked_id="r3")
    nothing = dict.fromkeys(("student_id", "operation", "generation", "sequence", "accepted_at", "result"))
    story.change(3, status="FAILED", reason="internal_error", **nothing)
    failed = document_of(story.rows[2], final=True)
    story.retell("r3-get", **failed)
    assert story.found() == set()


def test_a_lost_answer_excuses_one_row_that_no_client_knows() -> None:
    """A submission whose answer was lost may have been applied, once."""
    story = Story()
    story.rows.append(replace(story.rows[2], request_id="r6", sequence=6, applied_index=6))
    story.course = replace(story.course, applied_count=6)
    story.calls.append(Call("lost", 900 * MS, "cleo", COURSE, "REGISTER", "key-r6"))
    story.change(6, reason="already_registered")
    assert story.found() == set()
    story.rows.append(replace(story.rows[5], request_id="r7", sequence=7, applied_index=7))
    story.course = replace(story.course, applied_count=7)
    assert story.found() == {"unasked"}


def test_a_restored_redis_may_count_on_where_its_copy_stood() -> None:
    """Its life begins with another number than 1, and what the copy is older than the ledger was given twice."""
    story = Story()
    story.restart(4)
    story.course = replace(story.course, lives={"life-2": 4})
    assert story.found() == set()
    for place, sequence in ((4, 3), (5, 4)):
        story.change(place, sequence=sequence)
        for call in ("post", "get"):
            story.retell(f"r{place}-{call}", sequence=sequence)
    assert story.found() == set()


def test_an_api_at_the_wrong_side_of_a_windows_edge_may_refuse_at_once() -> None:
    """Nothing was accepted, so there is nothing to be lost or judged."""
    story = Story()
    story.at_edges = frozenset({COURSE})
    story.answer(409, "registration_closed", course_id=COURSE, operation="REGISTER", key="key-r6")
    assert story.found() == set()


def test_the_checker_shares_no_code_with_what_it_checks() -> None:
    """Of the project it imports its own parts and the reference model of the rules, nothing of api, worker or shared."""
    allowed = ("tests.faults.checker", "tests.reference_model")
    for path in Path(checker.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            ours = [
                name
                for name in names
                if name.split(".")[0] in ("api", "worker", "shared", "tests", "scripts")
            ]
            assert all(name.startswith(allowed) for name in ours), (path.name, ours)


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Calls of several logs come back with what was sent and what was answered, in the order of sending."""
    document = document_of(story_row(1), final=True)
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for path in paths:
        with History(path) as history:
            call = history.sent("POST", student_id="ann", course_id=COURSE, operation="REGISTER", key="k")
            history.answered(call, 200, json.dumps(document))
            lost = history.sent("GET", student_id="ann", request_id="r1")
            history.unanswered(lost, "the connection broke")
            history.damaged("r9", "deleted")
            history.edge(COURSE)
    view = read_histories(paths)
    assert [(call.key, call.status, call.request_id) for call in view.calls] == 2 * [
        ("k", 200, "r1"),
        (None, None, "r1"),
    ]
    assert len({call.number for call in view.calls}) == 4
    assert view.damaged.keys() == {"r9"}
    assert view.at_edges == {COURSE}


@pytest.mark.parametrize("line", ["no json", '{"event": "sent"}', '{"event": "answered", "call": "x"}'])
def test_a_log_that_cannot_be_read_is_no_proof(line: str, tmp_path: Path) -> None:
    """A torn or foreign line is named, not skipped."""
    path = tmp_path / "torn.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(HistoryError, match=r"torn\.jsonl:1"):
        read_histories([path])
