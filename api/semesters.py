"""Semesters, their courses, and the student's own registrations in them."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import CurrentStudent, SemesterId, ServicesOf, services_of
from api.documentation import page_responses, problem_responses
from api.hot_routes import HotRoute
from api.problems import not_found
from api.schemas import CoursePage, Id, MyCourses, PlainText, Semester, Semesters
from shared.store import catalogue, students

RESPONSES = problem_responses("database_unavailable")
router = APIRouter(prefix="/semesters", tags=["semesters"], responses=RESPONSES)
own = APIRouter(prefix="/semesters", tags=["semesters"], responses=RESPONSES, route_class=HotRoute)


@router.get("/", summary="All semesters", response_model=Semesters, responses=page_responses())
async def list_semesters(request: Request, services: ServicesOf) -> Response:
    """Every semester with its registration window, newest first. Open to all."""

    async def make() -> Semesters:
        return Semesters.model_validate({"semesters": await services.database.read(catalogue.semesters)})

    return await services.pages.answer(request, "semesters", make)


@router.get(
    "/{semester_id}",
    summary="One semester",
    response_model=Semester,
    responses=page_responses() | problem_responses("not_found", "invalid_input"),
)
async def get_semester(request: Request, services: ServicesOf, semester_id: SemesterId) -> Response:
    """One semester with its registration window. Open to all."""

    async def make() -> Semester:
        row = await services.database.read(catalogue.semester, semester_id)
        if row is None:
            raise not_found("semester")
        return Semester.model_validate(dict(row))

    return await services.pages.answer(request, semester_id, make)


@router.get(
    "/{semester_id}/courses",
    summary="Its courses",
    response_model=CoursePage,
    responses=page_responses() | problem_responses("not_found", "invalid_input"),
)
async def list_courses(  # noqa: PLR0913, PLR0917 - a parameter of the query each
    request: Request,
    services: ServicesOf,
    semester_id: SemesterId,
    search: Annotated[
        PlainText | None,
        Query(max_length=100, description="Part of code, section, name or professor, in any case."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    after: Annotated[Id | None, Query(description="The `next` of the page before.")] = None,
) -> Response:
    """A page of courses in catalogue order, with counts that are a few seconds old at the most. Open to all."""

    async def make() -> CoursePage:
        if await services.database.read(catalogue.semester, semester_id) is None:
            raise not_found("semester")
        rows = await services.database.read(catalogue.courses_page, semester_id, search, limit + 1, after)
        page = rows[:limit]
        more = page[-1]["id"] if len(rows) > limit else None
        return CoursePage.model_validate({"courses": page, "next": more})

    return await services.pages.answer(request, (semester_id, search, limit, after), make)


@own.get(
    "/{semester_id}/my-courses",
    summary="My registrations",
    response_model=MyCourses,
    responses=problem_responses("invalid_token", "not_found", "invalid_input"),
)
async def my_courses(request: Request, student: CurrentStudent, semester_id: SemesterId) -> Response:
    """The student's own seats and reserve positions in this semester."""
    rows = await services_of(request).database.read(students.my_courses, student.student_id, semester_id)
    if rows is None:
        raise not_found("semester")
    # Serialized here, once: FastAPI would validate it again.
    body = MyCourses.model_validate({"courses": rows}).model_dump_json()
    return Response(body, media_type="application/json")
