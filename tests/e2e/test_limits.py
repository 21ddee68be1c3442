"""Over its limits the system refuses at once, says when to come back, and completes what it had accepted."""

from tests.e2e.campus import Campus
from tests.e2e.stack import Stack


def test_a_full_course_queue_refuses_at_once_and_completes_what_it_took(
    stack: Stack, campus: Campus, course_id: str
) -> None:
    """The sixth request over a limit of five is 503 with Retry-After; the five end in their order."""
    stack.stop_workers()
    with stack.another_api(QUEUE_LIMIT="5") as http:
        *accepted, late = campus.students(6, http)
        answers = [student.register(course_id, key="mine") for student in accepted]
        assert [answer.status_code for answer in answers] == [202] * 5
        refused = late.register(course_id)
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.elapsed.total_seconds() < 1
        assert late.get("/requests").json()["requests"] == []
        repeated = accepted[4].register(course_id, key="mine")
        assert repeated.json() == answers[4].json()
        assert late.register(campus.course()).status_code == 202
        stack.start_workers()
        outcomes = [student.outcome(answer) for student, answer in zip(accepted, answers, strict=True)]
        assert [one["result"] for one in outcomes] == ["ENROLLED", "RESERVED", "RESERVED", None, None]
        assert late.registered(course_id)["sequence"] == 6


def test_a_student_with_too_many_waiting_is_refused_and_nobody_else(stack: Stack, campus: Campus) -> None:
    """The fourth waiting request over a limit of three is 429 with Retry-After, until one of them is decided."""
    courses = [campus.course() for _ in range(4)]
    with stack.another_api(STUDENT_WAITING_LIMIT="3") as http:
        greedy, modest = campus.students(2, http)
        with stack.held(*courses):
            answers = [greedy.register(course_id) for course_id in courses]
            assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
            assert answers[3].json()["code"] == "too_many_waiting"
            assert int(answers[3].headers["Retry-After"]) >= 1
            assert greedy.register(courses[0]).json() == answers[0].json()
            assert modest.register(courses[3]).status_code == 202
        assert {greedy.outcome(answer)["result"] for answer in answers[:3]} == {"ENROLLED"}
        assert greedy.registered(courses[3])["reason"] == "course_full"


def test_a_student_who_submits_too_often_is_told_to_slow_down_and_nobody_else(
    stack: Stack, campus: Campus
) -> None:
    """429 with the time until the next minute; what was accepted before goes on, and others are served."""
    course_id = campus.course(seats=5)
    eager, other = campus.students(2)
    with stack.another_api(STUDENT_SUBMISSIONS_PER_MINUTE="3") as http:
        path = f"/courses/{course_id}/register"
        answers = [http.post(path, headers=eager.headers) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
        assert answers[3].json()["code"] == "too_many_submissions"
        assert 1 <= int(answers[3].headers["Retry-After"]) <= 61
        assert http.post(path, headers=other.headers).status_code == 202
    assert eager.outcome(answers[0])["result"] == "ENROLLED"
