"""How often the proof of a pair took its worker with it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("scene_proofs", sa.Column("tries", sa.Integer, nullable=False, server_default="1"))
