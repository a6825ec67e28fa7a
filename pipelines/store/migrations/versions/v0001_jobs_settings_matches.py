"""Jobs, their events and schedules; changed settings; who is in what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pipelines.store.schema import Json, RowId, UtcTime

revision = "0001"
down_revision = None

LIVE = sa.text("state IN ('queued', 'running', 'stopping')")


def upgrade() -> None:
    _jobs()
    _settings()
    _matches()


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("params", Json, nullable=False),
        sa.Column("triggered_by", sa.String(32), nullable=False),
        sa.Column("retry_of", RowId),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("counts", Json, nullable=False),
        sa.Column("rate_per_s", sa.Double),
        sa.Column("eta_s", sa.Double),
        sa.Column("waiting_for", sa.Text, nullable=False),
        sa.Column("result", Json),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("started_at", UtcTime),
        sa.Column("stop_requested_at", UtcTime),
        sa.Column("ended_at", UtcTime),
        sa.Column("lease_token", sa.String(64)),
        sa.Column("lease_until", UtcTime),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'stopping', 'done', 'failed', 'stopped', 'cancelled')",
            name="state",
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_jobs_live_type", "jobs", ["type"], unique=True, sqlite_where=LIVE, postgresql_where=LIVE)
    op.create_index("ix_jobs_state_priority", "jobs", ["state", "priority", "id"])
    op.create_table(
        "job_events",
        sa.Column("id", RowId, primary_key=True),
        sa.Column("job_id", RowId),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("data", Json, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "schedules",
        sa.Column("type", sa.String(64), primary_key=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("interval_hours", sa.Integer, nullable=False),
        sa.Column("next_run_at", UtcTime),
        sa.Column("last_run_at", UtcTime),
    )


def _settings() -> None:
    op.create_table(
        "setting_overrides",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("updated_at", UtcTime, nullable=False),
    )


def _matches() -> None:
    op.create_table(
        "content_matches",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("content_id", sa.String(64), primary_key=True),
        sa.Column("file_fingerprint", sa.Text, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("scanned_at", UtcTime, nullable=False),
        sa.Column("database_version", sa.String(128), nullable=False, index=True),
        sa.Column("options_digest", sa.String(64), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("faces", sa.Integer, nullable=False),
        sa.Column("frames", sa.Integer, nullable=False),
        sa.Column("duration_s", sa.Double),
        sa.Column("matched_at", UtcTime, nullable=False),
    )
    op.create_table(
        "content_people",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("content_id", sa.String(64), primary_key=True),
        sa.Column("rank", sa.Integer, primary_key=True),
        sa.Column("universal_id", sa.String(255), index=True),
        sa.Column("name", sa.Text),
        sa.Column("faces", sa.Integer, nullable=False),
        sa.Column("frames", sa.Integer, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        sa.Column("confidence", sa.Double),
        sa.Column("distance", sa.Double),
        sa.Column("ranges", Json, nullable=False),
        sa.Column("candidates", Json, nullable=False),
        sa.Column("best_time_s", sa.Double),
        sa.Column("best_box", Json),
        sa.ForeignKeyConstraint(
            ["kind", "content_id"], ["content_matches.kind", "content_matches.content_id"], ondelete="CASCADE"
        ),
    )
