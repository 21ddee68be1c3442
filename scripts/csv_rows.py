"""Reading CSV files for the imports: rows with their line numbers, and every problem collected before any is raised."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import ImportFileError

PROBLEMS_SHOWN_MAX = 50
TEXT_LENGTH_MAX = 1_000
INT4_MAX = 2**31 - 1
NUMBER_LENGTH_MAX = 30
WHOLE_NUMBER = re.compile(r"-?[0-9]+")


@dataclass(slots=True)
class Problems:
    """What is wrong with a file, line by line."""

    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, reason: str) -> None:
        """Note what is wrong on a line; lines count from 1, the header included."""
        self.found.append((line, reason))

    def require_none(self) -> None:
        """Raise ImportFileError if anything was noted: the first fifty in line order, and how many more."""
        if not self.found:
            return
        in_order = sorted(self.found, key=lambda problem: problem[0])
        told = [f"line {line}: {reason}" for line, reason in in_order[:PROBLEMS_SHOWN_MAX]]
        untold = len(in_order) - len(told)
        raise ImportFileError([*told, f"and {untold} more problems"] if untold else told)


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One record, and the line of the file on which it begins. Columns that the file does not have are absent."""

    line: int
    values: dict[str, str]


@dataclass(slots=True)
class RowReader:
    """Takes the fields out of one row and notes what is wrong with them; a bad field reads as empty or None."""

    row: CsvRow
    problems: Problems

    def text(self, column: str, length_max: int = TEXT_LENGTH_MAX) -> str:
        """The field without the white space around it; may be empty."""
        value = self.row.values.get(column, "").strip()
        if len(value) > length_max:
            self._note(f"{column} has {len(value)} characters, more than {length_max}")
        return value

    def required_text(self, column: str, length_max: int = TEXT_LENGTH_MAX) -> str:
        """The field, which must not be empty."""
        value = self.text(column, length_max)
        if not value:
            self._note(f"{column} is empty")
        return value

    def number(self, column: str) -> int | None:
        """The field as a whole number from 0 to what a column holds; None when it is empty."""
        value = self.text(column)
        if not value:
            return None
        if not WHOLE_NUMBER.fullmatch(value):
            self._note(f"{column} is not a whole number: {value!r}")
            return None
        if value.startswith("-"):
            self._note(f"{column} is negative: {value}")
            return None
        if len(value) > NUMBER_LENGTH_MAX or int(value) > INT4_MAX:
            self._note(f"{column} is larger than {INT4_MAX}: {value[:30]}")
            return None
        return int(value)

    def required_number(self, column: str) -> int | None:
        """The field as a whole number; it must not be empty. None when it is bad."""
        if not self.row.values.get(column, "").strip():
            self._note(f"{column} is empty")
        return self.number(column)

    def _note(self, reason: str) -> None:
        self.problems.add(self.row.line, reason)


@dataclass(slots=True)
class FirstLines:
    """Where each value of a column that must not repeat was first seen."""

    column: str
    lines: dict[str, int] = field(default_factory=dict)

    def check(self, value: str, line: int, problems: Problems) -> None:
        """Note a value that an earlier line has already."""
        first = self.lines.setdefault(value, line)
        if value and first != line:
            problems.add(line, f"{self.column} {value!r} is already on line {first}")


def read_rows(
    path: Path, required: Sequence[str], optional: Sequence[str], problems: Problems
) -> list[CsvRow]:
    """The rows of a CSV file whose first line names its columns, in any order.

    Bad rows are noted in `problems` and left out. Raises ImportFileError when the file cannot be read as such a table.
    """
    records = _records(_text_of(path), problems)
    header_line, header = next(records, (0, []))
    if not header:
        problems.require_none()
        raise ImportFileError(["the file is empty: its first line must name the columns"])
    columns = [name.strip() for name in header]
    _check_columns(header_line, columns, required, optional, problems)
    problems.require_none()
    rows = []
    for line, fields in records:
        reason = _problem_of(fields, columns)
        if reason:
            problems.add(line, reason)
        else:
            rows.append(CsvRow(line, dict(zip(columns, fields, strict=True))))
    if not rows:
        problems.require_none()
        raise ImportFileError(["the file has no rows below its header"])
    return rows


def _text_of(path: Path) -> str:
    """The file's text without a byte order mark. Raises ImportFileError naming each line that is not UTF-8."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImportFileError([f"{path}: {error.strerror}"]) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        problems = Problems()
        for line, part in enumerate(content.split(b"\n"), start=1):
            reason = _encoding_problem(part)
            if reason:
                problems.add(line, reason)
        problems.require_none()
        raise


def _encoding_problem(part: bytes) -> str | None:
    try:
        part.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} is not UTF-8: save the file as UTF-8"
    return None


def _records(text: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """(first line, fields) of every record that is not blank; reading ends at the first that is no CSV."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problems.add(line, f"not CSV from here on: {error}")
            return
        if any(value.strip() for value in fields):
            yield line, fields


def _check_columns(
    line: int, columns: Sequence[str], required: Sequence[str], optional: Sequence[str], problems: Problems
) -> None:
    known = {*required, *optional}
    if len(columns) == 1 and columns[0] not in known and re.search("[;\t]", columns[0]):
        problems.add(line, "the fields must be separated by commas, not by semicolons or tabs")
        return
    for name in dict.fromkeys(columns):
        if name not in known:
            problems.add(line, f"unknown column {name!r}; known are {', '.join([*required, *optional])}")
        elif columns.count(name) > 1:
            problems.add(line, f"column {name!r} is there {columns.count(name)} times")
    for name in required:
        if name not in columns:
            problems.add(line, f"column {name!r} is missing")


def _problem_of(fields: Sequence[str], columns: Sequence[str]) -> str | None:
    if len(fields) != len(columns):
        return f"{len(fields)} fields where the header has {len(columns)}"
    for name, value in zip(columns, fields, strict=True):
        if "\0" in value:
            return f"{name} contains a NUL character"
    return None
