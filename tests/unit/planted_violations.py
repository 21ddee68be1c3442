"""Every kind of violation that the fault checker knows, planted in a sound story."""

from collections.abc import Callable
from dataclasses import replace

from tests.faults.checker.facts import Call, QueueFacts
from tests.unit.checker_story import COURSE, MS, Story


def lose_a_row(story: Story) -> None:
    """The last accepted request is not in the ledger."""
    story.rows.pop()


def apply_twice(story: Story) -> None:
    """One request has two rows."""
    story.rows.append(replace(story.rows[4], applied_index=6))


def fail_a_sound_request(story: Story) -> None:
    """A request that nobody touched ends as FAILED."""
    story.change(3, status="FAILED", result=None, reason="internal_error")


def invent_a_request(story: Story) -> None:
    """A row that no client asked for."""
    story.rows.append(replace(story.rows[2], request_id="r6", sequence=6, applied_index=6))


def split_a_key(story: Story) -> None:
    """A repeated call with the same key gets another request."""
    place = story.call("r3-post")
    story.calls[place] = replace(story.calls[place], key="key-r2", student_id="bob")


def split_a_key_in_the_dark(story: Story) -> None:
    """A submission whose answer was lost is applied, and again as another request when it is repeated with its key."""
    story.calls.append(Call("lost", 29 * MS, "cleo", COURSE, "REGISTER", "key-r3"))
    story.rows.append(replace(story.rows[2], request_id="r6", sequence=6, applied_index=6))


def apply_each_try(story: Story) -> None:
    """A submission that was tried twice, always in vain, is applied twice."""
    for number in ("lost", "lost again"):
        story.calls.append(Call(number, 900 * MS, "cleo", COURSE, "REGISTER", "key-r6"))
    for place in (6, 7):
        story.rows.append(replace(story.rows[2], request_id=f"r{place}", sequence=place, applied_index=place))


def answer_404(story: Story) -> None:
    """A request that was shown is unknown later."""
    story.answer(404, "not found", asked_id="r1")


def answer_404_to_a_repeat(story: Story) -> None:
    """A request that was shown is unknown to who posts it again with its key."""
    story.answer(404, "not found", course_id=COURSE, operation="REGISTER", key="key-r1")


def answer_404_after_a_failure(story: Story) -> None:
    """A request that a test destroyed is unknown after its end was told."""
    story.damaged = {"r1": 5 * MS}
    story.answer(404, "not found", asked_id="r1")


def answer_404_before_the_damage(story: Story) -> None:
    """A request is unknown before a test destroyed it."""
    story.damaged = {"r5": 70 * MS}
    story.answer(404, "not found", sent_ms=52, asked_id="r5")


def answer_500(story: Story) -> None:
    """A call is answered with an error of the server."""
    story.answer(500, "oops", course_id=COURSE, operation="DROP", key="key-r6")


def answer_500_for_a_destroyed_request(story: Story) -> None:
    """That a test destroyed a request excuses no error of the server."""
    story.damaged = {"r1": 5 * MS}
    story.answer(500, "oops", sent_ms=11, asked_id="r1")


def refuse_for_the_window(story: Story) -> None:
    """A course is called closed, and nobody put the API's clock wrong."""
    story.answer(409, "registration_closed", course_id=COURSE, operation="DROP", key="key-r6")


def refuse_a_repeat_for_the_window(story: Story) -> None:
    """Who repeats what was accepted is told that the window is closed."""
    story.at_edges = frozenset({COURSE})
    story.answer(409, "registration_closed", course_id=COURSE, operation="REGISTER", key="key-r1")


def refuse_for_something_else(story: Story) -> None:
    """An edge of a window excuses no other refusal."""
    story.at_edges = frozenset({COURSE})
    story.answer(409, "course_full", course_id=COURSE, operation="DROP", key="key-r6")


def apply_what_was_refused(story: Story) -> None:
    """A submission was refused and has a row all the same."""
    story.at_edges = frozenset({COURSE})
    asked = {"course_id": COURSE, "operation": "REGISTER", "key": "key-r6", "student_id": "cleo"}
    story.answer(409, "registration_closed", **asked)
    story.rows.append(replace(story.rows[2], request_id="r6", sequence=6, applied_index=6))


def change_a_final(story: Story) -> None:
    """Two clients are told two different ends of one request."""
    place = story.call("r3-get")
    story.calls.append(replace(story.calls[place], number="again", sent_ns=800 * MS, answered_ns=801 * MS))
    story.retell("again", status="APPLIED", result="ENROLLED", reason=None)


def tell_otherwise(story: Story) -> None:
    """A client was told an outcome that the ledger does not have."""
    story.retell("r2-get", reserve_position=2)


def tell_another_sequence(story: Story) -> None:
    """The 202 named another place in the order than the ledger."""
    story.retell("r2-post", sequence=7)


def go_back(story: Story) -> None:
    """After its end was told, a request is shown as waiting."""
    place = story.call("r1-post")
    story.calls.append(
        Call("late", 900 * MS, "ann", None, None, None, "r1", 901 * MS, 200, story.calls[place].document)
    )


def skip_an_index(story: Story) -> None:
    """The applied index leaves a number out."""
    story.change(5, applied_index=6)


def swap_sequences(story: Story) -> None:
    """Two requests were applied in the other order than they were accepted in."""
    story.change(2, sequence=3)
    story.change(3, sequence=2)


def skip_a_sequence(story: Story) -> None:
    """A sequence was given and never applied."""
    story.change(5, sequence=6)


def repeat_a_sequence(story: Story) -> None:
    """Two requests bear one sequence."""
    story.change(5, sequence=4)


def begin_a_life_in_the_middle(story: Story) -> None:
    """A new life of Redis, which counts from 1, has a course begin with a later number."""
    story.restart(4)


def lose_what_a_copy_held(story: Story) -> None:
    """A restored copy counts on from a number that the ledger never came to."""
    story.course = replace(story.course, lives={"life-2": 9})
    story.restart(4)
    for place in (4, 5):
        story.change(place, sequence=place + 2)


def return_to_a_generation(story: Story) -> None:
    """A past life of the queue goes on."""
    story.change(3, generation="life-2")


def overtake(story: Story) -> None:
    """A request is applied before one that was accepted before it was even sent."""
    place = story.call("r1-post")
    story.calls[place] = replace(story.calls[place], sent_ns=500 * MS, answered_ns=501 * MS)
    place = story.call("r1-get")
    story.calls[place] = replace(story.calls[place], sent_ns=502 * MS, answered_ns=503 * MS)


def oversell(story: Story) -> None:
    """A second student gets the only seat."""
    story.change(2, result="ENROLLED", reserve_position=None)


def overfill_the_reserve_list(story: Story) -> None:
    """A second student gets the only reserve place."""
    story.change(3, status="APPLIED", result="RESERVED", reason=None, reserve_position=2)


def promote_somebody_else(story: Story) -> None:
    """The freed seat does not go to the head of the reserve list."""
    story.change(4, promoted_student_id="cleo")


def forget_a_registration(story: Story) -> None:
    """The roster lacks who has a seat by the ledger."""
    del story.course.roster["bob"]


def misplace_a_reserve(story: Story) -> None:
    """The roster has another reserve position than the ledger arrives at."""
    story.course.roster["cleo"] = ("RESERVED", 2)


def miscount(story: Story) -> None:
    """The count kept beside the roster is wrong."""
    story.course = replace(story.course, enrolled_count=0)


def leave_waiting(story: Story) -> None:
    """A request still stands in its queue."""
    story.queues = [QueueFacts(COURSE, ["r5"], ready=True)]


def leave_ready(story: Story) -> None:
    """An empty queue is still called ready."""
    story.queues = [QueueFacts(COURSE, [], ready=True)]


def use_an_unknown_course(story: Story) -> None:
    """Clients used a course that the database does not have."""
    place = story.call("r1-post")
    story.calls.append(
        replace(story.calls[place], number="x", course_id="course-2", key="x", document=None, status=None)
    )


def say_nothing(story: Story) -> None:
    """No client was told anything."""
    story.calls = [replace(call, document=None, status=None) for call in story.calls]


Spoil = Callable[[Story], None]

PLANTED: list[tuple[Spoil, str]] = [
    (lose_a_row, "lost"),
    (apply_twice, "applied twice"),
    (fail_a_sound_request, "failed"),
    (invent_a_request, "unasked"),
    (split_a_key, "key split"),
    (split_a_key_in_the_dark, "unasked"),
    (apply_each_try, "unasked"),
    (answer_404, "vanished"),
    (answer_404_to_a_repeat, "vanished"),
    (answer_404_after_a_failure, "vanished"),
    (answer_404_before_the_damage, "vanished"),
    (answer_500, "unexpected answer"),
    (answer_500_for_a_destroyed_request, "unexpected answer"),
    (refuse_for_the_window, "unexpected answer"),
    (refuse_a_repeat_for_the_window, "unexpected answer"),
    (refuse_for_something_else, "unexpected answer"),
    (apply_what_was_refused, "unasked"),
    (change_a_final, "final changed"),
    (tell_otherwise, "told otherwise"),
    (tell_another_sequence, "told otherwise"),
    (go_back, "went back"),
    (skip_an_index, "index gap"),
    (swap_sequences, "out of order"),
    (skip_a_sequence, "sequence gap"),
    (repeat_a_sequence, "sequence repeated"),
    (begin_a_life_in_the_middle, "sequence gap"),
    (lose_what_a_copy_held, "sequence gap"),
    (return_to_a_generation, "generation back"),
    (overtake, "overtaken"),
    (oversell, "oversold"),
    (overfill_the_reserve_list, "reserve overfilled"),
    (promote_somebody_else, "wrong outcome"),
    (forget_a_registration, "wrong roster"),
    (misplace_a_reserve, "wrong roster"),
    (miscount, "wrong count"),
    (leave_waiting, "left waiting"),
    (leave_ready, "left ready"),
    (use_an_unknown_course, "no course"),
    (say_nothing, "nothing to check"),
]
