"""What goes over the wire, as OpenAPI shows it. Times are RFC 3339 UTC, ids are UUIDs."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from api.documentation import EXAMPLE_ID
from shared.rules import Operation, Reason, Result, Status

UUID_PATTERN = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"

Id = Annotated[str, StringConstraints(pattern=UUID_PATTERN), AfterValidator(str.lower)]
"""A UUID in its usual form; upper case is taken too."""

PlainText = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
"""Text that PostgreSQL can hold."""

StudentNumber = Annotated[PlainText, Field(min_length=1, max_length=64)]
Password = Annotated[PlainText, Field(min_length=1, max_length=256, repr=False)]

EXAMPLE_COURSE_ID = "b81e2c55-0c39-4d42-8a8a-2f6f6f7c0a11"
EXAMPLE_SEMESTER_ID = "5a1f7a9c-51a0-4a70-b7a8-77a4a5d3c111"

Example = dict[str, Any]

TOKEN_EXAMPLE: Example = {
    "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIuLi4ifQ.signature",
    "token_type": "bearer",
    "expires_in": 43_200,
}
SEMESTER_EXAMPLE: Example = {
    "id": EXAMPLE_SEMESTER_ID,
    "name": "Autumn 2026",
    "registration_start": "2026-09-01T08:00:00Z",
    "registration_end": "2026-09-14T20:00:00Z",
}
_SECTION_EXAMPLE: Example = {
    "external_id": "31001",
    "code": "CS 101",
    "section": "A",
    "course_name": "Introduction to Computing",
    "professor": "Hopper, Grace",
    "schedule": "MWF 09:00-09:50",
    "credits": 3,
}
COURSE_EXAMPLE: Example = {
    "id": EXAMPLE_COURSE_ID,
    "semester_id": EXAMPLE_SEMESTER_ID,
    **_SECTION_EXAMPLE,
    "max_capacity": 120,
    "reserve_limit": 10,
    "enrolled_count": 117,
    "reserved_count": 0,
}
MY_COURSE_EXAMPLE: Example = {
    "course_id": EXAMPLE_COURSE_ID,
    **_SECTION_EXAMPLE,
    "status": "ENROLLED",
    "reserve_position": None,
    "registered_at": "2026-09-01T08:00:00.041907Z",
}
FINAL_EXAMPLE: Example = {
    "request_id": EXAMPLE_ID,
    "course_id": EXAMPLE_COURSE_ID,
    "operation": "REGISTER",
    "status": "APPLIED",
    "result": "ENROLLED",
    "reason": None,
    "reserve_position": None,
    "sequence": 42,
    "ahead": None,
    "estimated_wait_ms": None,
    "accepted_at": "2026-09-01T08:00:00.000213Z",
    "applied_at": "2026-09-01T08:00:00.041907Z",
}
WAITING_EXAMPLE: Example = FINAL_EXAMPLE | {
    "status": "QUEUED",
    "result": None,
    "ahead": 17,
    "estimated_wait_ms": 24,
    "applied_at": None,
}
HEALTH_EXAMPLE: Example = {"status": "ok", "dependencies": {"redis": "ok", "postgresql": "ok"}}


class Credentials(BaseModel):
    """Who logs in. A password has at most 72 bytes in UTF-8."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"student_number": "STU001", "password": "test123"}}
    )

    student_number: StudentNumber
    password: Password


class PasswordForm(BaseModel):
    """The same as an OAuth2 password grant; what else such a form may hold is ignored."""

    grant_type: Literal["password"] | None = None
    username: StudentNumber
    password: Password


class Token(BaseModel):
    """A bearer token; `expires_in` is in seconds."""

    model_config = ConfigDict(json_schema_extra={"example": TOKEN_EXAMPLE})

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the name of a scheme
    expires_in: int


class Semester(BaseModel):
    """A term, and the window in which its courses take requests (the end is excluded)."""

    model_config = ConfigDict(json_schema_extra={"example": SEMESTER_EXAMPLE})

    id: UUID
    name: str
    registration_start: datetime
    registration_end: datetime


class Semesters(BaseModel):
    """All semesters, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"semesters": [SEMESTER_EXAMPLE]}})

    semesters: list[Semester]


class Course(BaseModel):
    """A section with its live counts."""

    model_config = ConfigDict(json_schema_extra={"example": COURSE_EXAMPLE})

    id: UUID
    semester_id: UUID
    external_id: str
    code: str
    section: str
    course_name: str
    professor: str | None
    schedule: str | None
    credits: int | None
    max_capacity: int
    reserve_limit: int
    enrolled_count: int
    reserved_count: int


class CoursePage(BaseModel):
    """Courses in catalogue order; `next` is the `after` of the next page, or null."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"courses": [COURSE_EXAMPLE], "next": EXAMPLE_COURSE_ID}}
    )

    courses: list[Course]
    next: UUID | None


class RegistrationRequest(BaseModel):
    """A request and what became of it. `ahead` counts requests of the course still before it."""

    model_config = ConfigDict(json_schema_extra={"example": FINAL_EXAMPLE})

    request_id: UUID
    course_id: UUID
    operation: Operation | None
    status: Status
    result: Result | None
    reason: Reason | None
    reserve_position: int | None
    sequence: int | None
    ahead: int | None
    estimated_wait_ms: int | None
    accepted_at: datetime | None
    applied_at: datetime | None


class RequestPage(BaseModel):
    """Own requests, newest first; `next` is the `after` of the next page, or null."""

    model_config = ConfigDict(json_schema_extra={"example": {"requests": [FINAL_EXAMPLE], "next": None}})

    requests: list[RegistrationRequest]
    next: UUID | None


class MyCourse(BaseModel):
    """A registration of the student: a seat, or a position on the reserve list."""

    model_config = ConfigDict(json_schema_extra={"example": MY_COURSE_EXAMPLE})

    course_id: UUID
    external_id: str
    code: str
    section: str
    course_name: str
    professor: str | None
    schedule: str | None
    credits: int | None
    status: Literal["ENROLLED", "RESERVED"]
    reserve_position: int | None
    registered_at: datetime


class MyCourses(BaseModel):
    """The student's registrations of one semester."""

    model_config = ConfigDict(json_schema_extra={"example": {"courses": [MY_COURSE_EXAMPLE]}})

    courses: list[MyCourse]


class Health(BaseModel):
    """`unavailable` answers 503; `degraded` still accepts requests. Each dependency is `ok` or says what is wrong."""

    model_config = ConfigDict(json_schema_extra={"example": HEALTH_EXAMPLE})

    status: Literal["ok", "degraded", "unavailable"]
    dependencies: dict[str, str]
