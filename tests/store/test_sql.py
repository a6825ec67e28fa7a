"""Opening the SQL store: both databases, many processes at once, versions, damage, permissions, transactions."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import IntegrityError

from pipelines.errors import StoreCorrupt, StoreTooNew, StoreUnreachable
from pipelines.store.schema import (
    SCHEMA_VERSION,
    ContentMatchRow,
    ContentPersonRow,
    SettingOverrideRow,
    Table,
)
from pipelines.store.sql import MIGRATIONS, Store, open_store

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def match(content_id: str = "7") -> ContentMatchRow:
    return ContentMatchRow(
        kind="scene",
        content_id=content_id,
        file_fingerprint="oshash:1",
        recipe="r",
        scanned_at=NOW,
        database_version="v1",
        options_digest="o",
        status="ok",
        faces=2,
        frames=60,
        duration_s=12.5,
        matched_at=NOW,
    )


def person(content_id: str = "7") -> ContentPersonRow:
    return ContentPersonRow(
        kind="scene",
        content_id=content_id,
        rank=0,
        universal_id="stashdb.org:a",
        name="A",
        faces=2,
        frames=2,
        share=0.5,
        confidence=0.9,
        distance=0.2,
        ranges=[[0.0, 1.5]],
        candidates=[{"name": "A"}],
        best_box=None,
    )


def test_models_and_migrations_agree(store: Store):
    with store.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_schema_version_is_the_newest_migration():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION


def test_rows_come_back_as_they_went_in(store: Store):
    local = timezone(timedelta(hours=5))
    with store.session() as session:
        session.add(match())
        session.flush()
        session.add(person())
        session.add(SettingOverrideRow(key="a", value={"x": [1, None]}, updated_at=NOW.astimezone(local)))
        session.add(SettingOverrideRow(key="nothing", value=None, updated_at=NOW))
    with store.reading() as session:
        people = session.scalars(select(ContentPersonRow)).one()
        assert (people.ranges, people.candidates, people.best_box) == ([[0.0, 1.5]], [{"name": "A"}], None)
        assert (people.share, people.best_time_s) == (0.5, None)
        kept = session.get_one(SettingOverrideRow, "a")
        assert (kept.value, kept.updated_at, kept.updated_at.tzinfo) == ({"x": [1, None]}, NOW, UTC)
        assert session.get_one(SettingOverrideRow, "nothing").value is None


def test_times_without_a_zone_are_refused(store: Store):
    with pytest.raises(Exception, match="no time zone"), store.session() as session:
        session.add(SettingOverrideRow(key="a", value=1, updated_at=NOW.replace(tzinfo=None)))


def test_people_belong_to_a_match_and_go_with_it(store: Store):
    with pytest.raises(IntegrityError), store.session() as session:
        session.add(person("no such match"))
    with store.session() as session:
        session.add(match())
        session.flush()
        session.add(person())
    with store.session() as session:
        session.delete(session.get_one(ContentMatchRow, ("scene", "7")))
    with store.reading() as session:
        assert session.scalars(select(ContentPersonRow)).all() == []


def test_an_exception_takes_everything_back(store: Store):
    def half_done() -> None:
        with store.session() as session:
            session.add(match())
            session.flush()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        half_done()
    with store.reading() as session:
        assert session.scalars(select(ContentMatchRow)).all() == []


def test_writers_take_turns_and_lose_nothing(store: Store):
    with store.session() as session:
        session.add(SettingOverrideRow(key="n", value=0, updated_at=NOW))

    def count_up() -> None:
        for _ in range(20):
            with store.session() as session:
                row = session.get_one(SettingOverrideRow, "n")
                row.value += 1

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reading() as session:
        assert session.get_one(SettingOverrideRow, "n").value == 80


def test_a_reader_does_not_wait_for_a_writer(store: Store):
    with store.session() as writing:
        writing.add(match())
        writing.flush()
        with store.reading() as reading:
            assert reading.scalars(select(ContentMatchRow)).all() == []


def test_processes_that_open_at_once_migrate_once(store_url: str):
    script = "import sys; from pipelines.store.sql import open_store; open_store(sys.argv[1]); print('opened')"
    processes = [
        subprocess.Popen([sys.executable, "-c", script, store_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert out == b"opened\n", err.decode()
    assert version_in(store_url) == SCHEMA_VERSION


def test_a_killed_migration_leaves_nothing_half_done(sqlite_url: str):
    script = (
        "import os, sys; from pipelines.store import sql; from pipelines.store.migrations.versions import "
        "v0001_jobs_settings_matches as first; from alembic import command; from sqlalchemy import event\n"
        "from sqlalchemy.engine import Engine\n"
        "seen = []\n"
        "@event.listens_for(Engine, 'before_cursor_execute')\n"
        "def count(*a):\n"
        "    seen.append(1) if 'CREATE TABLE' in a[2] else None\n"
        "    os._exit(9) if len(seen) == 4 else None\n"
        "sql.open_store(sys.argv[1])\n"
    )
    assert subprocess.run([sys.executable, "-c", script, sqlite_url], check=False, timeout=60).returncode == 9
    open_store(sqlite_url).close()
    assert version_in(sqlite_url) == SCHEMA_VERSION


def test_a_later_version_is_left_alone(store_url: str):
    open_store(store_url).close()
    change(store_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew, match="9999"):
        open_store(store_url)
    assert version_in(store_url) == "9999"


def test_opening_again_keeps_the_locks_of_this_process(sqlite_url: str, tmp_path: Path):
    """A file that is opened and closed beside SQLite drops its locks; the next process then deletes the WAL in use."""
    store = open_store(sqlite_url)
    with store.session() as session:
        session.add(match())
    wal = (tmp_path / "state.db-wal").stat().st_ino
    open_store(sqlite_url).close()
    script = "import sys; from pipelines.store.sql import open_store; open_store(sys.argv[1]).close()"
    subprocess.run([sys.executable, "-c", script, sqlite_url], check=True, timeout=60)
    assert (tmp_path / "state.db-wal").stat().st_ino == wal
    with store.session() as session:
        session.add(match("8"))
    with open_store(sqlite_url).reading() as session:
        assert len(session.scalars(select(ContentMatchRow)).all()) == 2


def test_tables_of_another_program_are_left_alone(store_url: str):
    if store_url.startswith("sqlite"):
        sqlite3.connect(store_url.removeprefix("sqlite:///")).close()
    change(store_url, "CREATE TABLE jobs (a INTEGER)")
    with pytest.raises(StoreCorrupt, match="jobs"):
        open_store(store_url)


def test_the_file_is_private_and_in_wal_mode(sqlite_url: str, tmp_path: Path):
    path = tmp_path / "state.db"
    path.touch(mode=0o666)
    store = open_store(sqlite_url)
    with store.session() as session:
        session.add(match())
    files = sorted(p.name for p in tmp_path.glob("state.db*"))
    assert files == ["state.db", "state.db-shm", "state.db-wal"]
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.glob("state.db*")} == {0o600}
    store.close()


@pytest.mark.parametrize("content", [b"this is no database, but long enough to be looked at" * 100])
def test_a_damaged_file_is_named(sqlite_url: str, tmp_path: Path, content: bytes):
    (tmp_path / "state.db").write_bytes(content)
    with pytest.raises(StoreCorrupt, match=r"state\.db"):
        open_store(sqlite_url)
    assert (tmp_path / "state.db").read_bytes() == content


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://a/b",
        "sqlite://",
        "sqlite:////proc/no/such/state.db",
        "postgresql://owner:secret-word@127.0.0.1:1/x",
    ],
)
def test_what_cannot_be_opened_is_named_without_its_password(url: str):
    with pytest.raises(StoreUnreachable) as raised:
        open_store(url)
    assert "secret-word" not in f"{raised.value} {raised.value.__cause__}"
    assert raised.value.hint


def test_a_server_that_goes_away_is_named_and_found_again(postgres_url: str):
    store = open_store(postgres_url)
    with store.reading() as session:
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        change(postgres_url, f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(StoreUnreachable), store._answering():
            session.execute(text("SELECT 1"))
        session.rollback()
    with store.session() as session:
        session.add(match())
    store.close()


def change(url: str, statement: str) -> None:
    for connection in connected(url):
        connection.execute(text(statement))


def version_in(url: str) -> str:
    return next(c.execute(text("SELECT version_num FROM alembic_version")).scalar_one() for c in connected(url))


def connected(url: str) -> Iterator[object]:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        yield connection
    engine.dispose()
