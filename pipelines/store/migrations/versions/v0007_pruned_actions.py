"""Why an action's before-images are not kept any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("actions", sa.Column("pruned", sa.Text, nullable=False, server_default=""))
