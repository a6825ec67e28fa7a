"""Opens the SQL store: SQLite in a file by default, PostgreSQL by URL; brings its tables up to date.

    store = open_store(settings.store_url)
    with store.session() as session:    # one transaction; one writer at a time
        session.add(...)

SQLite runs in WAL mode: readers never wait, writers wait for each other up to `BUSY_TIMEOUT_S`. `synchronous=NORMAL`
keeps the file whole in every crash; only a power cut may take the last commits back. The file must be on a local disk.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from tenacity import RetryError, Retrying, retry_if_exception, retry_if_result, stop_after_delay, wait_random

from pipelines.errors import StoreCorrupt, StoreTooNew, StoreUnreachable
from pipelines.store.schema import SCHEMA_VERSION, Table

BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
WRITER_LOCK = 0x57A5_5E05
"""Key of the advisory lock that makes writers of a PostgreSQL store take turns; any number, but always the same."""
MIGRATIONS = Path(__file__).with_name("migrations")


class Store:
    """An open store. Thread-safe; not to be sent to another process, which opens the URL itself.

    Attributes:
        url: where it is; its text never shows a password.
    """

    def __init__(self, url: URL, engine: Engine) -> None:
        self.url = url
        self._engine = engine
        self._writing = sessionmaker(engine, expire_on_commit=False)
        self._reading = sessionmaker(engine.execution_options(read_only=True), expire_on_commit=False)

    @property
    def dialect(self) -> str:
        """Its name: sqlite or postgresql."""
        return self._engine.dialect.name

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that may write: committed at the end of the block, rolled back by an exception.

        Writers take turns from the first line of the block, so what is read in it stays true until the end of it.
        Raises StoreUnreachable when the database does not answer.
        """
        with self._answering(), self._writing.begin() as session:
            if self.dialect == "postgresql":
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One transaction that only reads; it waits for nobody. Raises StoreUnreachable."""
        with self._answering(), self._reading.begin() as session:
            yield session

    def compact(self) -> None:
        """Writes the database anew without what was removed from it, which is nowhere in its files afterwards.

        Of PostgreSQL's files that holds once the server has reused the space. Raises StoreUnreachable while others
        keep it busy for longer than BUSY_TIMEOUT_S.
        """
        connection = self._engine.raw_connection()  # VACUUM takes no transaction
        try:
            with self._answering():
                if self.dialect == "sqlite":
                    _rewrite(connection.driver_connection)
                else:
                    driver: Any = connection.driver_connection
                    driver.autocommit = True
                    driver.execute("VACUUM")
                    driver.autocommit = False
        finally:
            connection.close()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise unreachable(self.url, error) from error
        except DBAPIError as error:
            if error.connection_invalidated or _is_damaged(error):
                raise unreachable(self.url, error) from error
            raise


def open_store(url: str) -> Store:
    """Returns the store at a SQLAlchemy URL, created or brought up to date; any number of processes may do so at once.

    Raises StoreUnreachable when it cannot be opened, StoreTooNew when a later version of this program wrote it (it is
    left as it is), StoreCorrupt when the file is no database or holds tables of something else.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        _create_file(parsed)
    engine = _engine(parsed)
    try:
        if _version(engine) != SCHEMA_VERSION:
            _bring_up_to_date(engine, parsed)
    except DBAPIError as error:
        engine.dispose()
        raise unreachable(parsed, error) from error
    except BaseException:
        engine.dispose()
        raise
    return Store(parsed, engine)


def unreachable(url: URL, error: DBAPIError) -> StoreUnreachable | StoreCorrupt:
    """Returns the named error for what a database driver raised."""
    if _is_damaged(error):
        return StoreCorrupt(f"{shown(url)} is not a whole database: {error.orig}.", "Put a backup of it in its place.")
    reason = " ".join(str(error.orig).split())
    return StoreUnreachable(f"The SQL store {shown(url)} cannot be used: {reason}.", "Check state_url and its server.")


def shown(url: URL) -> str:
    """Returns the URL without its password."""
    return url.render_as_string(hide_password=True)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreUnreachable(
            "state_url is not a database URL.", "Write sqlite:////path or postgresql://..."
        ) from None
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise StoreUnreachable(f"There is no store on {parsed.drivername}.", "Use sqlite:////path or postgresql://...")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise StoreUnreachable("The SQL store must be a file.", "Write sqlite:////path/state.db.")
    return parsed


def _create_file(url: URL) -> None:
    """Makes the file of a SQLite store for its owner alone; its neighbours -wal and -shm get the same mode.

    A file that is there is never opened here: closing it would drop the locks that SQLite has on it in this process
    (POSIX locks belong to the process; sqlite.org/howtocorrupt.html, 2.2), and the next process would delete the WAL.
    """
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
            temporary.touch(0o600)
            with suppress(FileExistsError):
                os.link(temporary, path)
            temporary.unlink()
        if path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise StoreUnreachable(
            f"The SQL store {path} cannot be opened: {error.strerror}.", "Make its folder writable, or set state_url."
        ) from error


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        options = {"connect_timeout": CONNECT_TIMEOUT_S}
        return create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=options)
    except ModuleNotFoundError as error:
        raise StoreUnreachable(
            "The driver for PostgreSQL is not installed.", "Install the extra `postgres` (psycopg)."
        ) from error


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin in _begin_sqlite, not where the driver guesses
    for pragma in (f"busy_timeout={int(1000 * BUSY_TIMEOUT_S)}", "foreign_keys=ON", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}")
    _use_wal(connection)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switches the file to WAL, which it remembers. The switch needs the file for itself and does not wait for it."""
    busy = retry_if_exception(lambda e: isinstance(e, sqlite3.OperationalError) and "locked" in str(e))
    for attempt in Retrying(
        retry=busy, stop=stop_after_delay(BUSY_TIMEOUT_S), wait=wait_random(0.01, 0.1), reraise=True
    ):
        with attempt:
            connection.execute("PRAGMA journal_mode=WAL")


def _rewrite(connection: Any) -> None:
    """Vacuums, and empties the write-ahead log, which still has the pages from before. Raises OperationalError."""
    try:
        connection.execute("VACUUM")
        for attempt in Retrying(
            retry=retry_if_result(bool), stop=stop_after_delay(BUSY_TIMEOUT_S), wait=wait_random(0.01, 0.1)
        ):
            with attempt:
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            attempt.retry_state.set_result(busy)
    except (sqlite3.OperationalError, RetryError) as error:
        raise OperationalError(None, None, error) from error


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the write lock at once: a transaction that reads first could not get it later."""
    only_reads = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


def _version(engine: Engine) -> str | None:
    """Returns the revision of the tables; None for an empty database."""
    with engine.execution_options(read_only=True).connect() as connection:
        return _version_of(connection)


def _version_of(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _bring_up_to_date(engine: Engine, url: URL) -> None:
    """Migrates in one transaction that other processes wait for; whoever comes second finds it done."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})
        version = _version_of(connection)
        if version == SCHEMA_VERSION:
            return
        if version is not None and version not in known:
            raise StoreTooNew(
                f"The SQL store {shown(url)} has version {version}; this program knows up to {SCHEMA_VERSION}.",
                "Start the later version that wrote it, or set state_url to another store.",
            )
        strangers = set(inspect(connection).get_table_names()) & set(Table.metadata.tables)
        if version is None and strangers:
            raise StoreCorrupt(
                f"{shown(url)} holds tables of another program: {', '.join(sorted(strangers))}.",
                "Set state_url to a database of its own.",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _is_damaged(error: DBAPIError) -> bool:
    said = str(error.orig)
    return isinstance(error.orig, sqlite3.DatabaseError) and ("not a database" in said or "malformed" in said)
