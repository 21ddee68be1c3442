"""The migrations lead up, down and up again, to exactly what the models say."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Engine, inspect, text

from shared.models import Base
from tests.conftest import REPOSITORY, migrate

LEFTOVERS = text("""
    SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
    UNION ALL
    SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
""")


def differences(engine: Engine) -> list[object]:
    """What Alembic would write into a new migration now."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return compare_metadata(context, Base.metadata)


def test_the_migrations_lead_up_down_and_up_again(scratch_engine: Engine) -> None:
    """Down to nothing at all: no table, no type, no function is left to trip the next one up."""
    migrate(scratch_engine)
    assert differences(scratch_engine) == []
    migrate(scratch_engine, "base")
    assert inspect(scratch_engine).get_table_names() == ["alembic_version"]
    with scratch_engine.connect() as connection:
        assert list(connection.scalars(LEFTOVERS)) == []
    migrate(scratch_engine)
    assert differences(scratch_engine) == []


def test_migrating_twice_changes_nothing(scratch_engine: Engine) -> None:
    """Every start may run it."""
    migrate(scratch_engine)
    migrate(scratch_engine)
    assert differences(scratch_engine) == []


def test_a_model_without_its_migration_is_noticed(scratch_engine: Engine) -> None:
    """The comparison does bite: a column taken away is a difference, and so is a default."""
    migrate(scratch_engine)
    with scratch_engine.begin() as connection:
        connection.execute(text("ALTER TABLE courses DROP COLUMN professor"))
        connection.execute(text("ALTER TABLE courses ALTER COLUMN reserve_limit SET DEFAULT 11"))
    assert len(differences(scratch_engine)) == 2


def test_there_is_one_line_of_migrations() -> None:
    """Two heads would leave it to chance which one a server gets."""
    scripts = ScriptDirectory(str(REPOSITORY / "alembic"))
    assert len(scripts.get_heads()) == len(scripts.get_bases()) == 1


def test_every_check_of_the_models_is_in_the_database(engine: Engine) -> None:
    """Alembic does not compare CHECK constraints, so their names are compared here."""
    inspector = inspect(engine)
    for table in Base.metadata.sorted_tables:
        declared = {
            str(constraint.name)
            for constraint in table.constraints
            if isinstance(constraint, CheckConstraint)
        }
        found = {constraint["name"] for constraint in inspector.get_check_constraints(table.name)}
        assert found == declared
