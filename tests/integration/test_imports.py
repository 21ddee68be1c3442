"""Loading courses and students from files: all or nothing, safe to repeat, and never against a roster."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from scripts.import_catalogue import KeptLimit, parse_window, read_courses, seats_of, write_courses
from scripts.import_students import read_students
from shared.database import reading, writing
from shared.errors import ImportFileError
from shared.security import hash_password, verify_password
from shared.settings import Settings
from shared.store import catalogue, imports, students
from tests.conftest import OPEN_WINDOW, REPOSITORY, StudentFactory
from tests.integration.conftest import Apply
from tests.integration.submissions import QueueOf, roster_of

HEADER = "external_id,code,section,course_name,professor,schedule,credits,max_capacity,reserve_limit"
WINDOW = (OPEN_WINDOW.opens_at, OPEN_WINDOW.closes_at)


def file_of(folder: Path, *lines: str) -> Path:
    """A CSV file with these lines."""
    path = folder / f"{uuid4().hex}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def load(engine: Engine, semester: str, file: Path) -> list[KeptLimit]:
    """Import the file into the semester."""
    with writing(engine) as connection:
        return write_courses(connection, semester, WINDOW, read_courses(file))


def courses_of(engine: Engine, semester: str) -> dict[str, dict[str, object]]:
    """External id -> course."""
    with reading(engine) as connection:
        semester_id = imports.semester_id(connection, semester)
        assert semester_id is not None
        page = catalogue.courses_page(connection, semester_id, None, 200, None)
        return {row["external_id"]: dict(row) for row in page}


def run(settings: Settings, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as an operator does."""
    environment = os.environ | {"DATABASE_URL": settings.database_url, "BCRYPT_COST": "4"}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        check=False,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def semester() -> str:
    """A name of the test's own."""
    return f"Term {uuid4().hex[:8]}"


def test_courses_are_created_as_the_file_says(engine: Engine, semester: str, tmp_path: Path) -> None:
    """Empty fields are nothing; a reserve limit that is not given is ten."""
    file = file_of(
        tmp_path, HEADER, 'X1,CS 101,A,"Computing, introduced",Ada,MWF 9,3,40,5', "X2,CS 102,,Next,,,,7,"
    )
    assert load(engine, semester, file) == []
    courses = courses_of(engine, semester)
    assert (courses["X1"]["course_name"], courses["X1"]["credits"]) == ("Computing, introduced", 3)
    assert (courses["X1"]["max_capacity"], courses["X1"]["reserve_limit"]) == (40, 5)
    assert (courses["X2"]["professor"], courses["X2"]["credits"], courses["X2"]["section"]) == (
        None,
        None,
        "",
    )
    assert (courses["X2"]["max_capacity"], courses["X2"]["reserve_limit"]) == (7, 10)


def test_an_import_repeated_updates_in_place_and_deletes_nothing(
    engine: Engine, semester: str, tmp_path: Path
) -> None:
    """Courses are recognised by their external id, and keep their own id."""
    load(engine, semester, file_of(tmp_path, HEADER, "X1,CS 101,A,Old,,,,40,5", "X2,CS 102,A,Stays,,,,7,"))
    before = courses_of(engine, semester)
    load(engine, semester, file_of(tmp_path, HEADER, "X1,CS 101,B,New,,,,41,6"))
    after = courses_of(engine, semester)
    assert after["X1"]["id"] == before["X1"]["id"]
    assert (after["X1"]["course_name"], after["X1"]["section"], after["X1"]["max_capacity"]) == (
        "New",
        "B",
        41,
    )
    assert after["X2"] == before["X2"]


def test_the_limits_of_a_course_with_a_history_stay_and_are_reported(
    engine: Engine, semester: str, tmp_path: Path, apply: Apply, make_students: StudentFactory
) -> None:
    """Nothing edits a roster, or what it was judged by, beside the queue; everything else of the course is updated."""
    load(engine, semester, file_of(tmp_path, HEADER, "X1,CS 101,A,Old,,,,1,1", "X2,CS 102,A,Other,,,,1,1"))
    course_id = str(courses_of(engine, semester)["X1"]["id"])
    queue, (student,) = QueueOf(course_id), make_students(1)
    apply([queue.register(student)])
    file = file_of(tmp_path, HEADER, "X1,CS 101,A,New,,,,9,9", "X2,CS 102,A,Other,,,,9,9")
    kept = load(engine, semester, file)
    courses = courses_of(engine, semester)
    assert [(limit.column, limit.stored, limit.wanted) for limit in kept] == [
        ("max_capacity", 1, 9),
        ("reserve_limit", 1, 9),
    ]
    assert (courses["X1"]["course_name"], courses["X1"]["max_capacity"]) == ("New", 1)
    assert (courses["X2"]["max_capacity"], courses["X2"]["reserve_limit"]) == (9, 9)
    assert seats_of(read_courses(file), kept) == 1 + 9
    assert roster_of(engine, course_id) == {student: ("ENROLLED", None)}


def test_every_bad_row_is_named_and_nothing_is_written(
    settings: Settings, engine: Engine, semester: str, tmp_path: Path
) -> None:
    """All or nothing; one run tells everything that must be mended, without a traceback."""
    file = file_of(
        tmp_path,
        HEADER,
        "X1,CS 101,A,Fine,,,3,40,5",
        "X1,CS 101,B,Twice,,,3,40,5",
        "X2,CS 102,A,Negative,,,3,-1,5",
        "X3,CS 103,A,Words,,,three,many,5",
        ",CS 104,A,No id,,,3,1,5",
        "X5,CS 105,A,Too few",
    )
    window = ("--opens", "2026-09-01T08:00:00Z", "--closes", "2026-09-08T08:00:00Z")
    finished = run(settings, "scripts.import_catalogue", str(file), "--semester", semester, *window)
    assert finished.returncode == 1
    for line in (3, 4, 5, 6, 7):
        assert f"line {line}:" in finished.stderr
    assert "line 2:" not in finished.stderr
    assert "Traceback" not in finished.stderr
    with reading(engine) as connection:
        assert imports.semester_id(connection, semester) is None


def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path) -> None:
    """Semicolons, missing columns, no rows, another encoding: each with a word on what to do."""
    latin = tmp_path / "latin.csv"
    latin.write_bytes(f"{HEADER}\nX1,CS 101,A,Einführung,,,3,40,5\n".encode("latin-1"))
    bad = {
        latin: "UTF-8",
        file_of(tmp_path, HEADER.replace(",", ";")): "commas",
        file_of(tmp_path, HEADER.replace("max_capacity", "seats")): "seats",
        file_of(tmp_path, HEADER): "no rows",
    }
    for file, told in bad.items():
        with pytest.raises(ImportFileError, match=told):
            read_courses(file)


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ("2026-09-01T08:00:00", "2026-09-08T08:00:00Z"),
        ("2026-09-08T08:00:00Z", "2026-09-08T08:00:00Z"),
        ("yesterday", "2026-09-08T08:00:00Z"),
    ],
)
def test_a_window_without_zone_or_out_of_order_is_refused(opens: str, closes: str) -> None:
    """Nobody guesses whose eight o'clock it is."""
    with pytest.raises(ImportFileError):
        parse_window(opens, closes)


def test_students_are_created_with_hashes_that_know_their_passwords(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    """Safe to repeat; a new password replaces the old one."""
    number = f"S{uuid4().hex[:8]}"
    file = file_of(tmp_path, "student_number,password", f"{number},first password")
    for _ in range(2):
        assert run(settings, "scripts.import_students", str(file)).returncode == 0
    assert knows(engine, number, "first password")
    file = file_of(tmp_path, "student_number,password", f"{number},second password")
    assert run(settings, "scripts.import_students", str(file)).returncode == 0
    assert knows(engine, number, "second password")
    file = file_of(tmp_path, "student_number,password", f"{number},third password")
    assert run(settings, "scripts.import_students", str(file), "--keep-existing").returncode == 0
    assert knows(engine, number, "second password")


def knows(engine: Engine, student_number: str, password: str) -> bool:
    """Whether the student can log in with the password."""
    with reading(engine) as connection:
        found = students.credentials(connection, student_number)
    return found is not None and verify_password(password, found.password_hash, cost=4)


def test_bad_students_are_named_by_line(tmp_path: Path) -> None:
    """Too long for bcrypt, empty, twice, or a hash that is none."""
    too_long = "ö" * 37
    with pytest.raises(ImportFileError) as raised:
        read_students(
            file_of(tmp_path, "student_number,password", f"A,{too_long}", "B,", "C,fine", "C,fine", ",x"),
            cost_max=4,
        )
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        "line 2",
        "line 3",
        "line 5",
        "line 6",
    ]
    with pytest.raises(ImportFileError, match="line 3: password_hash is not a bcrypt hash"):
        read_students(
            file_of(tmp_path, "student_number,password_hash", f"A,{hash_password('x', 4)}", "B,plain text"),
            cost_max=4,
        )


def test_a_hash_dearer_than_the_logins_is_refused_by_line(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    """A wrong password would take longer for that student than for one who does not exist, and so tell who does."""
    numbers = [f"S-{uuid4().hex[:8]}" for _ in range(2)]
    rows = [f"{number},{hash_password('x', cost)}" for number, cost in zip(numbers, (4, 5), strict=True)]
    file = file_of(tmp_path, "student_number,password_hash", *rows)
    refused = run(settings, "scripts.import_students", str(file))
    assert refused.returncode != 0
    assert "line 3: password_hash of cost 5 is above the BCRYPT_COST of 4" in _one_line(refused)
    with reading(engine) as connection:
        assert imports.stored_hashes(connection, numbers) == {}
    assert read_students(file, cost_max=5)[1]


def test_passwords_are_not_hashed_dearer_than_the_logins_either(settings: Settings, tmp_path: Path) -> None:
    """By the same command's own option."""
    file = file_of(tmp_path, "student_number,password", "S-dear,secret")
    refused = run(settings, "scripts.import_students", str(file), "--cost", "5")
    assert refused.returncode != 0
    assert "--cost 5 is above the BCRYPT_COST of 4" in _one_line(refused)


def test_students_for_load_tests_are_not_hashed_dearer_either(settings: Settings) -> None:
    """Their wrong passwords would tell just as much."""
    refused = run(settings, "scripts.make_students", "--count", "1", "--cost", "5")
    assert refused.returncode != 0
    assert "--cost 5 is above the BCRYPT_COST of 4" in _one_line(refused)


def _one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What a command told, as if its terminal had no edge."""
    return " ".join((done.stdout + done.stderr).split())
