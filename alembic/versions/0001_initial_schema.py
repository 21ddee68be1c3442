"""The initial schema: students, semesters, courses, registrations and the append-only ledger of requests.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

REFUSE_CHANGES = """
    CREATE FUNCTION refuse_changes() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END $$
"""

LEDGER_IS_APPEND_ONLY = """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON registration_requests
       FOR EACH STATEMENT EXECUTE FUNCTION refuse_changes()
"""


def upgrade() -> None:
    """Apply the change; give up rather than block registrations behind a waiting lock."""
    op.execute("SET LOCAL lock_timeout = '3s'")
    op.create_table(
        "registration_requests",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("student_id", sa.Uuid(), nullable=True),
        sa.Column("operation", sa.Enum("REGISTER", "DROP", name="request_operation"), nullable=True),
        sa.Column("generation", sa.Uuid(), nullable=True),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_index", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Enum("APPLIED", "REJECTED", "FAILED", name="request_status"), nullable=False),
        sa.Column("result", sa.Enum("ENROLLED", "RESERVED", "DROPPED", name="request_result"), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reserve_position", sa.Integer(), nullable=True),
        sa.Column("promoted_student_id", sa.Uuid(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(reserve_position IS NOT NULL) = (result IS NOT DISTINCT FROM 'RESERVED')",
            name=op.f("ck_registration_requests_position_only_if_reserved"),
        ),
        sa.CheckConstraint(
            "(status = 'APPLIED') = (reason IS NULL)",
            name=op.f("ck_registration_requests_reason_unless_applied"),
        ),
        sa.CheckConstraint(
            "(status = 'APPLIED') = (result IS NOT NULL)",
            name=op.f("ck_registration_requests_result_only_if_applied"),
        ),
        sa.CheckConstraint(
            "promoted_student_id IS NULL OR result IS NOT DISTINCT FROM 'DROPPED'",
            name=op.f("ck_registration_requests_promotion_only_by_drop"),
        ),
        sa.CheckConstraint(
            "status = 'FAILED' OR (student_id IS NOT NULL AND operation IS NOT NULL AND generation IS NOT NULL AND sequence IS NOT NULL AND accepted_at IS NOT NULL)",
            name=op.f("ck_registration_requests_complete_unless_failed"),
        ),
        sa.CheckConstraint("applied_index >= 1", name=op.f("ck_registration_requests_index_from_one")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_registration_requests")),
        sa.UniqueConstraint(
            "course_id", "applied_index", name=op.f("uq_registration_requests_course_id_applied_index")
        ),
        sa.UniqueConstraint(
            "course_id",
            "generation",
            "sequence",
            name=op.f("uq_registration_requests_course_id_generation_sequence"),
        ),
    )
    op.create_index(
        "ix_registration_requests_student_id_accepted_at_request_id",
        "registration_requests",
        ["student_id", "accepted_at", "request_id"],
        unique=False,
    )
    op.create_table(
        "semesters",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("registration_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registration_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "registration_start < registration_end", name=op.f("ck_semesters_window_not_empty")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_semesters")),
        sa.UniqueConstraint("name", name=op.f("uq_semesters_name")),
    )
    op.create_table(
        "students",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("student_number", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_students")),
        sa.UniqueConstraint("student_number", name=op.f("uq_students_student_number")),
    )
    op.create_table(
        "courses",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("semester_id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("course_name", sa.Text(), nullable=False),
        sa.Column("professor", sa.Text(), nullable=True),
        sa.Column("schedule", sa.Text(), nullable=True),
        sa.Column("credits", sa.Integer(), nullable=True),
        sa.Column("max_capacity", sa.Integer(), nullable=False),
        sa.Column("reserve_limit", sa.Integer(), server_default=sa.text("10"), nullable=False),
        sa.Column("enrolled_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reserved_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("applied_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("applied_count >= 0", name=op.f("ck_courses_applied_count_not_negative")),
        sa.CheckConstraint(
            "enrolled_count BETWEEN 0 AND max_capacity", name=op.f("ck_courses_never_oversold")
        ),
        sa.CheckConstraint("max_capacity >= 0", name=op.f("ck_courses_capacity_not_negative")),
        sa.CheckConstraint("reserve_limit >= 0", name=op.f("ck_courses_reserve_limit_not_negative")),
        sa.CheckConstraint(
            "reserved_count = 0 OR enrolled_count = max_capacity",
            name=op.f("ck_courses_no_seat_free_while_waiting"),
        ),
        sa.CheckConstraint(
            "reserved_count BETWEEN 0 AND reserve_limit", name=op.f("ck_courses_reserve_never_overfilled")
        ),
        sa.ForeignKeyConstraint(
            ["semester_id"], ["semesters.id"], name=op.f("fk_courses_semester_id_semesters")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_courses")),
        sa.UniqueConstraint("semester_id", "external_id", name=op.f("uq_courses_semester_id_external_id")),
    )
    op.create_index(
        "ix_courses_semester_id_code_section_id",
        "courses",
        ["semester_id", "code", "section", "id"],
        unique=False,
    )
    op.create_table(
        "course_registrations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("student_id", sa.Uuid(), nullable=False),
        sa.Column("course_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.Enum("ENROLLED", "RESERVED", name="registration_status"), nullable=False),
        sa.Column("reserve_position", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(status = 'RESERVED') = (reserve_position IS NOT NULL)",
            name=op.f("ck_course_registrations_position_only_if_reserved"),
        ),
        sa.CheckConstraint("reserve_position >= 1", name=op.f("ck_course_registrations_position_from_one")),
        sa.ForeignKeyConstraint(
            ["course_id"], ["courses.id"], name=op.f("fk_course_registrations_course_id_courses")
        ),
        sa.ForeignKeyConstraint(
            ["student_id"], ["students.id"], name=op.f("fk_course_registrations_student_id_students")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_course_registrations")),
        sa.UniqueConstraint(
            "course_id",
            "reserve_position",
            deferrable=True,
            initially="DEFERRED",
            name=op.f("uq_course_registrations_course_id_reserve_position"),
        ),
        sa.UniqueConstraint(
            "student_id", "course_id", name=op.f("uq_course_registrations_student_id_course_id")
        ),
    )
    op.execute(REFUSE_CHANGES)
    op.execute(LEDGER_IS_APPEND_ONLY)


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '3s'")
    op.drop_table("course_registrations")
    op.drop_index("ix_courses_semester_id_code_section_id", table_name="courses")
    op.drop_table("courses")
    op.drop_table("students")
    op.drop_table("semesters")
    op.drop_index(
        "ix_registration_requests_student_id_accepted_at_request_id", table_name="registration_requests"
    )
    op.drop_table("registration_requests")
    op.execute("DROP FUNCTION refuse_changes()")
    for name in ("registration_status", "request_operation", "request_status", "request_result"):
        op.execute(f"DROP TYPE {name}")
