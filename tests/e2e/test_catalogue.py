"""Semesters and courses: open to all, searchable, in pages that lose nothing."""

from datetime import datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from tests.e2e.campus import DAY, Campus


def courses_of(http: httpx.Client, semester_id: str, **parameters: object) -> list[str]:
    """The codes of the courses on one page."""
    answer = http.get(f"/semesters/{semester_id}/courses", params=parameters)
    assert answer.status_code == 200, answer.text
    return [course["code"] for course in answer.json()["courses"]]


def test_semesters_are_listed_newest_first_for_anyone(http: httpx.Client, campus: Campus) -> None:
    """Without a token, every semester with its registration window, the latest start first."""
    later, earlier = campus.semester(opens_in=9 * DAY, closes_in=10 * DAY), campus.semester(opens_in=-9 * DAY)
    listed = http.get("/semesters/").json()["semesters"]
    ids = [semester["id"] for semester in listed]
    assert ids.index(later) < ids.index(earlier)
    starts = [datetime.fromisoformat(semester["registration_start"]) for semester in listed]
    assert starts == sorted(starts, reverse=True)


def test_one_semester_tells_its_window_in_utc(http: httpx.Client, semester_id: str) -> None:
    """Times are RFC 3339 in UTC."""
    semester = http.get(f"/semesters/{semester_id}").json()
    assert semester["id"] == semester_id
    start, end = semester["registration_start"], semester["registration_end"]
    assert start.endswith("Z")
    assert datetime.fromisoformat(end) - datetime.fromisoformat(start) == 2 * DAY
    assert datetime.fromisoformat(start).utcoffset() == timedelta(0)


def test_a_course_shows_its_limits_and_live_counts(http: httpx.Client, campus: Campus) -> None:
    """After two registrations for one seat: one enrolled, one reserved."""
    course_id = campus.course(seats=1, reserve=5)
    for student in campus.students(2):
        student.registered(course_id)
    course = http.get(f"/courses/{course_id}").json()
    assert (course["max_capacity"], course["reserve_limit"]) == (1, 5)
    assert (course["enrolled_count"], course["reserved_count"]) == (1, 1)


def test_an_upper_case_id_names_the_same_course(http: httpx.Client, course_id: str) -> None:
    """UUIDs are taken in either case and given in lower case."""
    assert http.get(f"/courses/{course_id.upper()}").json()["id"] == course_id


@pytest.mark.parametrize("path", ["/semesters/{}", "/semesters/{}/courses", "/courses/{}"])
def test_an_unknown_id_is_not_found_and_a_malformed_one_invalid(path: str, http: httpx.Client) -> None:
    """A UUID that names nothing is 404; what is no UUID is 422."""
    assert http.get(path.format(uuid4())).json()["code"] == "not_found"
    for malformed in ("1", "x" * 36, "%00", f"{uuid4()}0", f"{{{uuid4()}}}", f"urn:uuid:{uuid4()}"):
        answer = http.get(path.format(malformed))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), malformed


def test_search_finds_code_name_and_professor_in_any_case(
    http: httpx.Client, campus: Campus, semester_id: str
) -> None:
    """The words of a course are searched without regard to case."""
    campus.course(semester_id=semester_id, code="CS 225", name="Data Structures", professor="Knuth, Donald")
    campus.course(semester_id=semester_id, code="ART 1", name="Drawing", professor=None)
    for words in ("cs 225", "sTRUCTures", "knuth"):
        assert courses_of(http, semester_id, search=words) == ["CS 225"]
    assert courses_of(http, semester_id, search="nothing like it") == []
    assert courses_of(http, semester_id, search="") == ["ART 1", "CS 225"]


@pytest.mark.parametrize("character", ["%", "_", "\\", "'", "ß"])
def test_search_takes_every_character_for_itself(
    character: str, http: httpx.Client, campus: Campus, semester_id: str
) -> None:
    """Per cent, underscore, backslash and quote are no wildcards and no syntax."""
    campus.course(semester_id=semester_id, code="A", name=f"100{character}0 proof")
    campus.course(semester_id=semester_id, code="B", name="100x0 proof")
    assert courses_of(http, semester_id, search=f"100{character}0") == ["A"]


def test_a_search_that_cannot_match_is_invalid_input(http: httpx.Client, semester_id: str) -> None:
    """NUL, which no text in the database can hold, and overlong searches are 422."""
    for words in ("a\x00b", "x" * 101):
        answer = http.get(f"/semesters/{semester_id}/courses", params={"search": words})
        assert answer.status_code == 422


def test_pages_cover_every_course_once_in_catalogue_order(
    http: httpx.Client, campus: Campus, semester_id: str
) -> None:
    """Following `next` from page to page shows each course exactly once, equal codes included."""
    expected = sorted(
        (f"C{number % 5}", campus.course(semester_id=semester_id, code=f"C{number % 5}"))
        for number in range(13)
    )
    for limit in (1, 4, 13, 200):
        seen, after = [], None
        while True:
            parameters = {"limit": limit} | ({"after": after} if after else {})
            page = http.get(f"/semesters/{semester_id}/courses", params=parameters).json()
            assert len(page["courses"]) <= limit
            seen += [(course["code"], course["id"]) for course in page["courses"]]
            after = page["next"]
            if after is None:
                break
            assert after == page["courses"][-1]["id"]
        assert seen == expected


@pytest.mark.parametrize("limit", ["0", "-1", "201", "x", "1.5", ""])
def test_a_limit_outside_1_to_200_is_invalid_input(limit: str, http: httpx.Client, semester_id: str) -> None:
    """The size of a page is bounded."""
    assert http.get(f"/semesters/{semester_id}/courses", params={"limit": limit}).status_code == 422
