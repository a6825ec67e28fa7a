"""Who is not in which content."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pipelines.store.schema import Json, UtcTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "person_rejections",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("content_id", sa.String(64), primary_key=True),
        sa.Column("universal_id", sa.String(255), primary_key=True),
        sa.Column("ids", Json, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
    )
