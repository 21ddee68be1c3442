"""${message}

Revision: ${up_revision}, after ${down_revision | comma,n}

Before you write this: the API and the workers of the old version run on while it is applied.
Expand first (add columns that may be NULL, add tables), contract in a later release.
An index on a large table wants `postgresql_concurrently=True` in an autocommit block.
"""

import sqlalchemy as sa

from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Apply the change; give up rather than block registrations behind a waiting lock."""
    op.execute("SET LOCAL lock_timeout = '3s'")
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Take the change back."""
    op.execute("SET LOCAL lock_timeout = '3s'")
    ${downgrades if downgrades else "pass"}
