"""What the pictures of two scene files said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from pipelines.store.schema import Json, UtcTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "scene_proofs",
        sa.Column("file_a", sa.String(255), primary_key=True),
        sa.Column("file_b", sa.String(255), primary_key=True, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("relation", sa.String(16), nullable=False),
        sa.Column("d", sa.Double),
        sa.Column("r", sa.Double),
        sa.Column("evidence_s", sa.Double, nullable=False),
        sa.Column("alignment", Json),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("retryable", sa.Boolean, nullable=False),
        sa.Column("proven_at", UtcTime, nullable=False),
    )
