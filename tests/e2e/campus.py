"""Students, semesters and courses for a test, written straight into the tables, and the calls a student can make."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from shared.security import hash_password, issue_token
from shared.settings import Settings
from tests.e2e.stack import Stack

PASSWORD = "correct horse"
DAY = timedelta(days=1)

Document = dict[str, Any]


@dataclass(frozen=True)
class Student:
    """A student with a valid token, and the HTTP calls that are a student's to make."""

    student_id: str
    number: str
    token: str
    http: httpx.Client

    @property
    def headers(self) -> dict[str, str]:
        """The header that says who asks."""
        return {"Authorization": f"Bearer {self.token}"}

    def get(self, path: str, **parameters: object) -> httpx.Response:
        """GET with the token."""
        return self.http.get(path, params=parameters, headers=self.headers)

    def submit(
        self, course_id: str, operation: str, *, wait: int | None = None, key: str | None = None
    ) -> httpx.Response:
        """POST a register or drop, with `Prefer: wait=N` and an Idempotency-Key if given."""
        headers = dict(self.headers)
        if wait is not None:
            headers["Prefer"] = f"wait={wait}"
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.http.post(f"/courses/{course_id}/{operation}", headers=headers)

    def register(self, course_id: str, *, wait: int | None = None, key: str | None = None) -> httpx.Response:
        """Ask for a place."""
        return self.submit(course_id, "register", wait=wait, key=key)

    def drop(self, course_id: str, *, wait: int | None = None, key: str | None = None) -> httpx.Response:
        """Give a place back."""
        return self.submit(course_id, "drop", wait=wait, key=key)

    def outcome(self, submitted: httpx.Response, wait: int = 30) -> Document:
        """The final document of an accepted request, by waiting where its Location points."""
        assert submitted.status_code in (200, 202), submitted.text
        answer = self.get(submitted.headers["Location"], wait=wait)
        assert answer.status_code == 200, answer.text
        document: Document = answer.json()
        assert document["status"] != "QUEUED", document
        return document

    def registered(self, course_id: str) -> Document:
        """Register and wait for the outcome."""
        return self.outcome(self.register(course_id))

    def dropped(self, course_id: str) -> Document:
        """Drop and wait for the outcome."""
        return self.outcome(self.drop(course_id))

    def my_courses(self, semester_id: str) -> list[Document]:
        """What the student has in a semester."""
        answer = self.get(f"/semesters/{semester_id}/my-courses")
        assert answer.status_code == 200, answer.text
        courses: list[Document] = answer.json()["courses"]
        return courses


class Campus:
    """Fills a stack's database with what a test needs; every call makes something new."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._settings = Settings(_env_file=None, secret_key=stack.secret_key)
        self._password_hash = hash_password(PASSWORD, 4)
        self.semester_id = self.semester()

    def semester(
        self, opens_in: timedelta = -DAY, closes_in: timedelta = DAY, *, semester_id: str | None = None
    ) -> str:
        """A semester whose window is relative to now; returns its id."""
        semester_id = semester_id or str(uuid4())
        now = datetime.now(UTC)
        self._stack.sql(
            "INSERT INTO semesters (id, name, registration_start, registration_end) VALUES (%s, %s, %s, %s)",
            *(semester_id, f"Semester {semester_id}", now + opens_in, now + closes_in),
        )
        return semester_id

    def course(
        self,
        *,
        seats: int = 1,
        reserve: int = 0,
        semester_id: str | None = None,
        code: str | None = None,
        name: str = "Introduction",
        professor: str | None = "Lovelace, Ada",
        course_id: str | None = None,
    ) -> str:
        """A course with so many seats and reserve positions; returns its id."""
        course_id = course_id or str(uuid4())
        self._stack.sql(
            "INSERT INTO courses (id, semester_id, external_id, code, section, course_name, professor,"
            " max_capacity, reserve_limit) VALUES (%s, %s, %s, %s, 'A', %s, %s, %s, %s)",
            *(course_id, semester_id or self.semester_id, course_id, code or f"X {course_id[:8]}"),
            *(name, professor, seats, reserve),
        )
        return course_id

    def students(self, count: int, http: httpx.Client | None = None) -> list[Student]:
        """So many new students with tokens; `http` where they do not use the stack's usual API."""
        pairs = [(str(uuid4()), f"STU-{uuid4().hex[:12]}") for _ in range(count)]
        rows = [value for pair in pairs for value in (*pair, self._password_hash)]
        places = ", ".join(["(%s, %s, %s)"] * count)
        self._stack.sql(
            f"INSERT INTO students (id, student_number, password_hash) VALUES {places}",
            *rows,
        )
        return [
            Student(student_id, number, self.token(student_id, number), http or self._stack.http)
            for student_id, number in pairs
        ]

    def student(self, http: httpx.Client | None = None) -> Student:
        """One new student with a token."""
        return self.students(1, http)[0]

    def token(self, student_id: str, number: str) -> str:
        """A token as a login would give it."""
        return issue_token(self._settings, student_id, number)[0]
