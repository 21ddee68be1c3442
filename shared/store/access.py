"""Who may do what: the privileges of the API's and the workers' roles, given anew by every migration.

The role that migrates owns the tables. The others get what their statements need and nothing else: neither can change
or delete a row of the ledger, neither can touch the schema, the API cannot change a roster, a worker sees no password.
"""

from collections.abc import Mapping

from sqlalchemy import Connection, text

API_PRIVILEGES = {
    "students": "SELECT, UPDATE (password_hash, updated_at)",
    "semesters": "SELECT",
    "courses": "SELECT",
    "course_registrations": "SELECT",
    "registration_requests": "SELECT",
}
WORKER_PRIVILEGES = {
    "students": "SELECT (id)",
    "semesters": "SELECT",
    "courses": "SELECT, UPDATE (enrolled_count, reserved_count, applied_count, updated_at)",
    "course_registrations": "SELECT, INSERT, UPDATE (status, reserve_position, updated_at), DELETE",
    "registration_requests": "SELECT, INSERT",
}

TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")


def grant_access(connection: Connection, role: str, privileges: Mapping[str, str]) -> None:
    """Leave the role exactly these privileges: table -> what may be done with it. The role must exist."""
    quoted = connection.dialect.identifier_preparer.quote(role)
    connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {quoted}"))
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    for table in connection.scalars(TABLES).all():
        if table in privileges:
            connection.execute(text(f"GRANT {privileges[table]} ON {table} TO {quoted}"))
