"""Pages that are the same for everybody: made once in a while, and sent only to who does not have them yet."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.e2e.campus import Campus, Student
from tests.e2e.stack import Stack

AGE_S = "60"


def test_a_page_that_has_not_changed_is_not_sent_again(
    http: httpx.Client, semester_id: str, course_id: str
) -> None:
    """304 without a body for the page's own ETag, 200 for any other."""
    for path in (
        "/semesters/",
        f"/semesters/{semester_id}",
        f"/semesters/{semester_id}/courses",
        f"/courses/{course_id}",
    ):
        page = http.get(path)
        unchanged = http.get(path, headers={"If-None-Match": page.headers["ETag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b""), path
        assert unchanged.headers["ETag"] == page.headers["ETag"]
        assert http.get(path, headers={"If-None-Match": '"another"'}).content == page.content


def test_a_seat_taken_makes_another_page(http: httpx.Client, student: Student, course_id: str) -> None:
    """The ETag stands for the live counts as well."""
    before = http.get(f"/courses/{course_id}")
    student.registered(course_id)
    after = http.get(f"/courses/{course_id}", headers={"If-None-Match": before.headers["ETag"]})
    assert after.status_code == 200
    assert after.json()["enrolled_count"] == before.json()["enrolled_count"] + 1


def test_a_page_is_made_once_in_its_time_however_many_ask(stack: Stack, campus: Campus) -> None:
    """With PostgreSQL gone it is still served, until it is too old; and what nobody asked for before is 503."""
    course_id, other = campus.course(), campus.course()
    with stack.another_api(PAGE_AGE_S=AGE_S) as http, ThreadPoolExecutor(8) as readers:
        first = list(readers.map(lambda _: http.get(f"/courses/{course_id}").content, range(32)))
        assert len(set(first)) == 1
        assert http.get(f"/courses/{course_id}").headers["Cache-Control"] == f"public, max-age={AGE_S}"
        stack.postgres.stop_immediately()
        assert http.get(f"/courses/{course_id}").content == first[0]
        assert http.get(f"/courses/{other}").status_code == 503


def test_what_is_not_there_is_not_remembered(stack: Stack, campus: Campus) -> None:
    """A course that is imported a moment later is found."""
    with stack.another_api(PAGE_AGE_S=AGE_S) as http:
        course_id = "00000000-0000-4000-8000-00000000abcd"
        assert http.get(f"/courses/{course_id}").status_code == 404
        campus.course(course_id=course_id)
        assert http.get(f"/courses/{course_id}").status_code == 200
