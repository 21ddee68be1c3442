"""The API and the workers under roles of their own: the system works, and neither can do more than it must."""

from uuid import uuid4

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from shared.settings import with_password
from tests.e2e.campus import PASSWORD as STUDENTS_PASSWORD
from tests.e2e.campus import Campus, Student
from tests.e2e.program import Program
from tests.e2e.stack import PROJECT_ROOT, Stack

API_ROLE, WORKER_ROLE = "registration_api", "registration_worker"
PASSWORD = "a password: with/signs@in it"


def url_as(stack: Stack, role: str) -> str:
    """The stack's database, as seen by a role."""
    place = stack.postgres.url.rpartition("@")[2]
    return with_password(f"postgresql://{role}@{place}", PASSWORD)


@pytest.fixture
def granted(stack: Stack) -> Stack:
    """The system with both roles made, and granted what they need by a migration."""
    for role in (API_ROLE, WORKER_ROLE):
        if not stack.sql("SELECT 1 FROM pg_roles WHERE rolname = %s", role):
            stack.sql(f"CREATE ROLE {role} LOGIN PASSWORD %s", PASSWORD)
    migration = migrate(stack, DATABASE_API_ROLE=API_ROLE, DATABASE_WORKER_ROLE=WORKER_ROLE)
    assert migration.wait() == 0, migration.log()
    return stack


@pytest.fixture
def restricted(granted: Stack) -> Stack:
    """The system whose API and workers run under those roles."""
    granted.restart_api(DATABASE_URL=url_as(granted, API_ROLE), BCRYPT_COST="5")
    granted.stop_workers()
    granted.start_workers(DATABASE_URL=url_as(granted, WORKER_ROLE))
    return granted


def migrate(stack: Stack, **settings: str) -> Program:
    """Start a migration of the stack's database."""
    return stack.launch(["alembic", "-c", str(PROJECT_ROOT / "alembic.ini"), "upgrade", "head"], **settings)


def test_the_whole_way_works(restricted: Stack, campus: Campus) -> None:
    """Login with its new hash, register, wait in the reserve list, drop with promotion, fail, read: all of it."""
    course_id = campus.course(seats=1, reserve=1)
    holder, waiting, late = campus.students(3)
    before = password_hash(restricted, holder)
    login = {"student_number": holder.number, "password": STUDENTS_PASSWORD}
    assert restricted.http.post("/auth/login", json=login).is_success
    assert password_hash(restricted, holder) != before
    assert holder.registered(course_id)["result"] == "ENROLLED"
    assert waiting.registered(course_id)["result"] == "RESERVED"
    assert late.registered(course_id)["reason"] == "course_full"
    assert holder.dropped(course_id)["result"] == "DROPPED"
    restricted.sql("DELETE FROM students WHERE id = %s", late.student_id)
    assert late.registered(course_id)["status"] == "FAILED"
    restricted.run("shared.audit", "--course", course_id)


@pytest.mark.parametrize(
    "command", [["top", "--once"], ["course", "{course}"], ["request", "{request}"], ["audit"], ["drain"]]
)
def test_the_apis_role_is_enough_for_whoever_looks(
    granted: Stack, campus: Campus, command: list[str]
) -> None:
    """Operators need no password of the tables' owner, and see who works all the same."""
    course_id = campus.course()
    request_id = campus.student().registered(course_id)["request_id"]
    arguments = [each.format(course=course_id, request=request_id) for each in command]
    program = granted.launch(["shared.manage", *arguments], DATABASE_URL=url_as(granted, API_ROLE))
    assert program.wait(60) == 0, program.log()
    if command[0] in ("top", "course", "request"):
        assert f".{granted.worker_pids()[0]}." in program.log()


@pytest.mark.parametrize("role", [API_ROLE, WORKER_ROLE])
def test_either_role_may_audit(granted: Stack, campus: Campus, role: str) -> None:
    """Operators run it wherever a container of ours runs."""
    campus.student().registered(campus.course())
    audit = granted.launch(["shared.manage", "audit"], DATABASE_URL=url_as(granted, role))
    assert audit.wait(60) == 0, audit.log()


def password_hash(stack: Stack, student: Student) -> str:
    """What the database keeps of the student's password."""
    [row] = stack.sql("SELECT password_hash FROM students WHERE id = %s", student.student_id)
    return str(row["password_hash"])


@pytest.mark.parametrize("role", [API_ROLE, WORKER_ROLE])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE registration_requests SET status = 'APPLIED'",
        "DELETE FROM registration_requests",
        "TRUNCATE registration_requests",
        "ALTER TABLE registration_requests DISABLE TRIGGER append_only",
        "DROP TRIGGER append_only ON registration_requests",
        "DROP TABLE registration_requests",
        "CREATE TABLE notes (text text)",
        "UPDATE courses SET max_capacity = max_capacity + 1",
        "UPDATE alembic_version SET version_num = '0'",
        "INSERT INTO students (id, student_number, password_hash) VALUES (gen_random_uuid(), 'X', '')",
    ],
)
def test_neither_role_can_tamper_with_ledger_limits_or_schema(
    granted: Stack, role: str, statement: str
) -> None:
    """P11: what was decided stays decided, even for whoever takes over one of our processes."""
    refused(granted, role, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO registration_requests (request_id) VALUES (gen_random_uuid())",
        "DELETE FROM course_registrations",
        "UPDATE courses SET enrolled_count = 0",
        "SELECT FROM courses FOR UPDATE",
    ],
)
def test_the_api_cannot_change_a_roster(granted: Stack, statement: str) -> None:
    """Whatever changes one goes through the course's queue."""
    refused(granted, API_ROLE, statement)


@pytest.mark.parametrize(
    "statement", ["SELECT password_hash FROM students", "UPDATE students SET password_hash = ''"]
)
def test_a_worker_sees_no_password(granted: Stack, statement: str) -> None:
    """It needs to know that a student exists, and no more."""
    refused(granted, WORKER_ROLE, statement)


def refused(stack: Stack, role: str, statement: str) -> None:
    """The database lets the role in, and refuses the statement."""
    connection = psycopg2.connect(url_as(stack, role))
    try:
        with connection.cursor() as cursor, pytest.raises(InsufficientPrivilege):
            cursor.execute(statement)
    finally:
        connection.close()


def test_a_role_that_does_not_exist_is_named(stack: Stack) -> None:
    """The migration changes nothing then."""
    role = f"nobody_{uuid4().hex}"
    migration = migrate(stack, DATABASE_API_ROLE=role)
    assert migration.wait() != 0
    assert f'role "{role}" does not exist' in migration.log()
