"""Recommendations with their dismissals; where analyzers go on, what they still have to do, and their runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pipelines.store.schema import Json, RowId, UtcTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _recommendations()
    _dismissals()
    _analyzers()


def _recommendation_id() -> sa.Column[int]:
    owner = sa.ForeignKey("recommendations.id", ondelete="CASCADE")
    return sa.Column("recommendation_id", RowId, owner, primary_key=True, autoincrement=False)


def _recommendations() -> None:
    op.create_table(
        "recommendations",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("target_type", sa.String(16), nullable=False),
        sa.Column("target_id", sa.String(255), nullable=False),
        sa.Column("finding", sa.String(64), nullable=False),
        sa.Column("evidence", sa.String(64), nullable=False),
        sa.Column("content", sa.String(32), nullable=False),
        sa.Column("confidence", sa.Double, nullable=False),
        sa.Column("logic_version", sa.Integer, nullable=False),
        sa.Column("found", sa.Boolean, nullable=False),
        sa.Column("run_id", RowId, nullable=False),
        sa.Column("action_id", RowId, index=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
        sa.UniqueConstraint("type", "target_type", "target_id", "finding"),
        sa.CheckConstraint("status IN ('pending', 'resolved', 'dismissed', 'closed')", name="status"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_recommendations_type_status", "recommendations", ["type", "status"])
    op.create_table(
        "recommendation_texts",
        _recommendation_id(),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("title_key", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
    )
    op.create_table(
        "recommendation_details",
        _recommendation_id(),
        sa.Column("details", Json, nullable=False),
    )
    op.create_table(
        "recommendation_entities",
        _recommendation_id(),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("entity_id", sa.String(64), primary_key=True),
    )
    op.create_index("ix_recommendation_entities_kind_entity_id", "recommendation_entities", ["kind", "entity_id"])


def _dismissals() -> None:
    op.create_table(
        "dismissal_batches",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.CheckConstraint("mode IN ('until_changed', 'forever')", name="mode"),
        sqlite_autoincrement=True,
    )
    batch = sa.ForeignKey("dismissal_batches.id", ondelete="CASCADE")
    op.create_table(
        "dismissals",
        _recommendation_id(),
        sa.Column("batch_id", RowId, batch, primary_key=True, autoincrement=False),
        sa.Column("evidence", sa.String(64), nullable=False),
        sqlite_with_rowid=False,
    )


def _analyzers() -> None:
    op.create_table(
        "analyzer_states",
        sa.Column("type", sa.String(64), primary_key=True),
        sa.Column("logic_version", sa.Integer, nullable=False),
        sa.Column("marks", Json, nullable=False),
        sa.Column("unfinished", sa.Boolean, nullable=False),
        sa.Column("reconciled_at", UtcTime),
        sa.Column("completed_at", UtcTime),
    )
    op.create_table(
        "analyzer_queue",
        sa.Column("type", sa.String(64), primary_key=True),
        sa.Column("subject_id", sa.String(64), primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("ix_analyzer_queue_type_attempts", "analyzer_queue", ["type", "attempts"])
    op.create_table(
        "analyzer_runs",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("full", sa.Boolean, nullable=False),
        sa.Column("logic_version", sa.Integer, nullable=False),
        sa.Column("counts", Json, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("started_at", UtcTime, nullable=False),
        sa.Column("ended_at", UtcTime),
        sa.CheckConstraint("state IN ('running', 'done', 'stopped', 'failed')", name="state"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_analyzer_runs_type_id", "analyzer_runs", ["type", "id"])
