"""The log of actions, the pictures they took away, and what was shown before them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pipelines.store.schema import Json, RowId, UtcTime

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "actions",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("params", Json, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("destructive", sa.Boolean, nullable=False),
        sa.Column("undoable", sa.Boolean, nullable=False),
        *(sa.Column(name, Json, nullable=False) for name in ("before", "changes", "steps", "results", "after")),
        *(sa.Column(name, Json, nullable=False) for name in ("gone", "not_undone", "pictures")),
        sa.Column("recommendation_id", RowId, index=True),
        sa.Column("job_id", RowId),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("touched_at", UtcTime, nullable=False),
        sa.Column("ended_at", UtcTime),
        sa.Column("undo_state", sa.String(16), index=True),
        sa.Column("undo_made", Json, nullable=False),
        sa.Column("undo_report", Json),
        sa.Column("undone_at", UtcTime),
        sa.CheckConstraint("state IN ('planned', 'performing', 'done', 'failed')", name="state"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_actions_state", "actions", ["state"])
    op.create_table(
        "action_pictures",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "action_previews",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("batch", sa.String(64), nullable=False, index=True),
        sa.Column("digest", sa.String(64), nullable=False, index=True),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("params", Json, nullable=False),
        sa.Column("before", Json, nullable=False),
        sa.Column("recommendation_id", RowId),
        sa.Column("created_at", UtcTime, nullable=False, index=True),
    )
