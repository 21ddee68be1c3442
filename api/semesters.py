"""Semesters, their courses, and the student's own registrations in them."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import CurrentStudent, SemesterId, ServicesOf
from api.documentation import problem_responses
from api.problems import not_found
from api.schemas import CoursePage, Id, MyCourses, PlainText, Semester, Semesters
from shared.store import catalogue, students

router = APIRouter(
    prefix="/semesters", tags=["semesters"], responses=problem_responses("database_unavailable")
)


@router.get("/", summary="All semesters")
async def list_semesters(services: ServicesOf) -> Semesters:
    """Every semester with its registration window, newest first. Open to all."""
    return Semesters.model_validate({"semesters": await services.database.read(catalogue.semesters)})


@router.get(
    "/{semester_id}", summary="One semester", responses=problem_responses("not_found", "invalid_input")
)
async def get_semester(services: ServicesOf, semester_id: SemesterId) -> Semester:
    """One semester with its registration window. Open to all."""
    row = await services.database.read(catalogue.semester, semester_id)
    if row is None:
        raise not_found("semester")
    return Semester.model_validate(dict(row))


@router.get(
    "/{semester_id}/courses", summary="Its courses", responses=problem_responses("not_found", "invalid_input")
)
async def list_courses(
    services: ServicesOf,
    semester_id: SemesterId,
    search: Annotated[
        PlainText | None,
        Query(max_length=100, description="Part of code, section, name or professor, in any case."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[Id | None, Query(description="The `next` of the page before.")] = None,
) -> CoursePage:
    """A page of courses in catalogue order, with live counts. Open to all."""
    if await services.database.read(catalogue.semester, semester_id) is None:
        raise not_found("semester")
    rows = await services.database.read(catalogue.courses_page, semester_id, search, limit + 1, after)
    page = rows[:limit]
    more = page[-1]["id"] if len(rows) > limit else None
    return CoursePage.model_validate({"courses": page, "next": more})


@router.get(
    "/{semester_id}/my-courses",
    summary="My registrations",
    responses=problem_responses("invalid_token", "not_found", "invalid_input"),
)
async def my_courses(services: ServicesOf, student: CurrentStudent, semester_id: SemesterId) -> MyCourses:
    """The student's own seats and reserve positions in this semester."""
    rows = await services.database.read(students.my_courses, student.student_id, semester_id)
    if not rows and await services.database.read(catalogue.semester, semester_id) is None:
        raise not_found("semester")
    return MyCourses.model_validate({"courses": rows})
