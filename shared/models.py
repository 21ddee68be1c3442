"""The tables. Alembic migrates to exactly these; `shared.store` speaks SQL to them."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.rules import Operation, Result, Status

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

registration_status = Enum("ENROLLED", "RESERVED", name="registration_status")
operation_type = Enum(*[member.value for member in Operation], name="request_operation")
outcome_status = Enum(
    *[status.value for status in Status if status is not Status.QUEUED], name="request_status"
)
result_type = Enum(*[member.value for member in Result], name="request_result")


class Base(DeclarativeBase):
    """Every table: its constraints are named, its times carry a zone."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = {datetime: DateTime(timezone=True), str: Text}  # noqa: RUF012 - SQLAlchemy's own idiom


class Timestamped:
    """When a row came and when it last changed, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Student(Timestamped, Base):
    """Somebody who can log in and ask for places."""

    __tablename__ = "students"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    student_number: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]


class Semester(Timestamped, Base):
    """A term, and the window in which its courses take requests."""

    __tablename__ = "semesters"
    __table_args__ = (CheckConstraint("registration_start < registration_end", name="window_not_empty"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(unique=True)
    registration_start: Mapped[datetime]
    registration_end: Mapped[datetime]


class Course(Timestamped, Base):
    """A section with seats. Its counts change only in the transaction that changes its roster, under this row's lock."""

    __tablename__ = "courses"
    __table_args__ = (
        UniqueConstraint("semester_id", "external_id"),
        CheckConstraint("max_capacity >= 0", name="capacity_not_negative"),
        CheckConstraint("reserve_limit >= 0", name="reserve_limit_not_negative"),
        CheckConstraint("enrolled_count BETWEEN 0 AND max_capacity", name="never_oversold"),
        CheckConstraint("reserved_count BETWEEN 0 AND reserve_limit", name="reserve_never_overfilled"),
        CheckConstraint(
            "reserved_count = 0 OR enrolled_count = max_capacity", name="no_seat_free_while_waiting"
        ),
        CheckConstraint("applied_count >= 0", name="applied_count_not_negative"),
        Index("ix_courses_semester_id_code_section_id", "semester_id", "code", "section", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    semester_id: Mapped[UUID] = mapped_column(ForeignKey("semesters.id"))
    external_id: Mapped[str]
    code: Mapped[str]
    section: Mapped[str]
    course_name: Mapped[str]
    professor: Mapped[str | None]
    schedule: Mapped[str | None]
    credits: Mapped[int | None] = mapped_column(Integer)
    max_capacity: Mapped[int] = mapped_column(Integer)
    reserve_limit: Mapped[int] = mapped_column(Integer, server_default=text("10"))
    enrolled_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    reserved_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    applied_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class CourseRegistration(Timestamped, Base):
    """One student's place in one course: a seat, or a position on the reserve list."""

    __tablename__ = "course_registrations"
    __table_args__ = (
        UniqueConstraint("student_id", "course_id"),
        UniqueConstraint("course_id", "reserve_position", deferrable=True, initially="DEFERRED"),
        CheckConstraint(
            "(status = 'RESERVED') = (reserve_position IS NOT NULL)", name="position_only_if_reserved"
        ),
        CheckConstraint("reserve_position >= 1", name="position_from_one"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    student_id: Mapped[UUID] = mapped_column(ForeignKey("students.id"))
    course_id: Mapped[UUID] = mapped_column(ForeignKey("courses.id"))
    status: Mapped[str] = mapped_column(registration_status)
    reserve_position: Mapped[int | None] = mapped_column(Integer)


class RegistrationRequest(Base):
    """The ledger: one row per request that came to an end, never changed, never deleted.

    No foreign keys: it also records entries that named a student or course that never was, and outlives those that were.
    """

    __tablename__ = "registration_requests"
    __table_args__ = (
        UniqueConstraint("course_id", "applied_index"),
        UniqueConstraint("course_id", "generation", "sequence"),
        CheckConstraint("applied_index >= 1", name="index_from_one"),
        CheckConstraint("(status = 'APPLIED') = (result IS NOT NULL)", name="result_only_if_applied"),
        CheckConstraint("(status = 'APPLIED') = (reason IS NULL)", name="reason_unless_applied"),
        CheckConstraint(
            "(reserve_position IS NOT NULL) = (result IS NOT DISTINCT FROM 'RESERVED')",
            name="position_only_if_reserved",
        ),
        CheckConstraint(
            "promoted_student_id IS NULL OR result IS NOT DISTINCT FROM 'DROPPED'",
            name="promotion_only_by_drop",
        ),
        CheckConstraint(
            "status = 'FAILED' OR (student_id IS NOT NULL AND operation IS NOT NULL"
            " AND generation IS NOT NULL AND sequence IS NOT NULL AND accepted_at IS NOT NULL)",
            name="complete_unless_failed",
        ),
        Index(
            "ix_registration_requests_student_id_accepted_at_request_id",
            "student_id",
            "accepted_at",
            "request_id",
        ),
    )

    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    course_id: Mapped[UUID]
    student_id: Mapped[UUID | None]
    operation: Mapped[str | None] = mapped_column(operation_type)
    generation: Mapped[UUID | None]
    sequence: Mapped[int | None] = mapped_column(BigInteger)
    accepted_at: Mapped[datetime | None]
    applied_at: Mapped[datetime]
    applied_index: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(outcome_status)
    result: Mapped[str | None] = mapped_column(result_type)
    reason: Mapped[str | None]
    reserve_position: Mapped[int | None] = mapped_column(Integer)
    promoted_student_id: Mapped[UUID | None]
    worker: Mapped[str]
