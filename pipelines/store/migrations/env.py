"""Read by Alembic: runs the steps on the connection that `open_store` gives, inside its transaction."""

from __future__ import annotations

from alembic import context

from pipelines.store.schema import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    transactional_ddl=True,  # true of SQLite as well, when transactions are begun by hand as in `sql`
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
