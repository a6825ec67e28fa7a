"""The steps that bring a SQL store up to date, run by `pipelines.store.sql.open_store` through Alembic.

A new step is a file in `versions` with the next number as its revision; `SCHEMA_VERSION` in `pipelines.store.schema`
is raised with it.
"""
