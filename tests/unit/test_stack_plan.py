"""What the local stack leaves for other commands to find it by."""

from pathlib import Path

import pytest

from scripts import stack_plan

REACHED_BY = {"DATABASE_URL": "postgresql://u:a b@h/d", "REDIS_URL": "redis://h/0", "SECRET_KEY": "s" * 32}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it is left."""
    path = tmp_path / "stack.env"
    monkeypatch.setattr(stack_plan, "ENVIRONMENT_FILE", path)
    return path


def test_other_commands_are_told_how_the_stack_is_reached(published: Path) -> None:
    """In a form that a shell can source, and nothing of the rest of the environment."""
    stack_plan.publish_environment(REACHED_BY | {"HOME": "/root"})
    assert published.read_text() == (
        f"DATABASE_URL='postgresql://u:a b@h/d'\nREDIS_URL=redis://h/0\nSECRET_KEY={'s' * 32}\n"
    )


def test_the_number_of_shards_is_told_where_one_was_given(published: Path) -> None:
    """So that whatever else is started on the stack goes by it as well."""
    stack_plan.publish_environment(REACHED_BY | {"QUEUE_SHARDS": "8"})
    assert published.read_text().endswith("\nQUEUE_SHARDS=8\n")
