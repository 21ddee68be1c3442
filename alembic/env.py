"""Runs the migrations on DATABASE_URL, one runner at a time."""

from alembic import context
from sqlalchemy import Connection, text

from shared.database import command_engine
from shared.models import Base
from shared.settings import load_settings
from shared.store.access import API_PRIVILEGES, WORKER_PRIVILEGES, grant_access

# Any number, as long as every migration run takes the same one.
MIGRATION_LOCK = 7_314_001


def run_migrations_offline() -> None:
    """Print the SQL instead of running it."""
    context.configure(url=load_settings().sqlalchemy_url, target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_on(connection: Connection) -> None:
    """Migrate through a given connection; two runs at once wait for each other."""
    context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.run_migrations()
        grant_roles(connection)


def grant_roles(connection: Connection) -> None:
    """Give the roles that the settings name what they need of the tables as they now are."""
    settings = load_settings()
    roles = {settings.database_api_role: API_PRIVILEGES, settings.database_worker_role: WORKER_PRIVILEGES}
    for role, privileges in roles.items():
        if role:
            grant_access(connection, role, privileges)


def run_migrations_online() -> None:
    """Migrate the database that the settings name, or the connection a test hands in."""
    given = context.config.attributes.get("connection")
    if given is not None:
        run_migrations_on(given)
        return
    with command_engine(load_settings(), "migration").connect() as connection:
        run_migrations_on(connection)


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
