"""The tables of the SQL store, typed; `migrations` holds the same as steps, and a test compares the two.

Lives here: tables and column types only. Opening a database is `sql`; what is done with the rows is `jobs`,
`overrides`, `matches`, `recommendations` and `analyzers`. Times are UTC and aware in Python, whatever the database
keeps.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

SCHEMA_VERSION = "0007"
"""Revision of the newest migration; a test compares it with `migrations/versions`."""

LIVE_STATES = ("queued", "running", "stopping")
ENDED_STATES = ("done", "failed", "stopped", "cancelled")
RECOMMENDATION_STATUSES = ("pending", "resolved", "dismissed", "closed")
ACTION_STATES = ("planned", "performing", "done", "failed")
RUN_STATES = ("running", "done", "stopped", "failed")

_LIVE = text("state IN ('queued', 'running', 'stopping')")


class UtcTime(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC. SQLite has no zones: there the zone is left out and added again."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone.")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - signature of SQLAlchemy
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


RowId = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only where the type is INTEGER."""
Json = JSON(none_as_null=True)


class Table(DeclarativeBase):
    """Base of all tables; constraints are named after what they hold, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy
        datetime: UtcTime(),
        float: Double(),
        dict[str, Any]: Json,
        list[Any]: Json,
        Any: Json,
    }


class JobRow(Table):
    """One job, from its submission to the end of its history.

    Who runs it holds a lease: `lease_token` names the run, and until `lease_until` nobody else takes it over.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"state IN {(*LIVE_STATES, *ENDED_STATES)!r}", name="state"),
        Index("uq_jobs_live_type", "type", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
        Index("ix_jobs_state_priority", "state", "priority", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    type: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    priority: Mapped[int] = mapped_column(Integer)
    params: Mapped[dict[str, Any]]
    triggered_by: Mapped[str] = mapped_column(String(32))
    retry_of: Mapped[int | None] = mapped_column(RowId)
    attempts: Mapped[int] = mapped_column(Integer)
    done: Mapped[int] = mapped_column(BigInteger)
    total: Mapped[int | None] = mapped_column(BigInteger)
    counts: Mapped[dict[str, Any]]
    rate_per_s: Mapped[float | None]
    eta_s: Mapped[float | None]
    waiting_for: Mapped[str] = mapped_column(Text)
    result: Mapped[dict[str, Any] | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    stop_requested_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    lease_token: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None]


class JobEventRow(Table):
    """What happened to a job; ids only grow, in the order in which the events became visible.

    Events outlive their job, so that a listener who was away still finds where it was; one without a job says that
    the history was cleared.
    """

    __tablename__ = "job_events"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    job_id: Mapped[int | None] = mapped_column(RowId)
    kind: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime]
    data: Mapped[dict[str, Any]]


class ScheduleRow(Table):
    """When a type of job runs by itself; a type without a row has its default interval and is off."""

    __tablename__ = "schedules"

    type: Mapped[str] = mapped_column(String(64), primary_key=True)
    enabled: Mapped[bool]
    interval_hours: Mapped[int] = mapped_column(Integer)
    next_run_at: Mapped[datetime | None]
    last_run_at: Mapped[datetime | None]


class SettingOverrideRow(Table):
    """A setting that was changed while the server ran."""

    __tablename__ = "setting_overrides"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[Any] = mapped_column(JSON())  # null is a value here
    updated_at: Mapped[datetime]


class ContentMatchRow(Table):
    """One scene or image that was matched: which scan of it, against which database version, with which options."""

    __tablename__ = "content_matches"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    content_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    file_fingerprint: Mapped[str] = mapped_column(Text)
    recipe: Mapped[str] = mapped_column(Text)
    scanned_at: Mapped[datetime]
    database_version: Mapped[str] = mapped_column(String(128), index=True)
    options_digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(32))
    faces: Mapped[int] = mapped_column(Integer)
    frames: Mapped[int] = mapped_column(Integer)
    duration_s: Mapped[float | None]
    matched_at: Mapped[datetime]


class ContentPersonRow(Table):
    """One person of a scene or image, best first; `universal_id` is null for somebody unknown."""

    __tablename__ = "content_people"
    __table_args__ = (
        ForeignKeyConstraint(
            ["kind", "content_id"], ["content_matches.kind", "content_matches.content_id"], ondelete="CASCADE"
        ),
    )

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    content_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    rank: Mapped[int] = mapped_column(Integer, primary_key=True)
    universal_id: Mapped[str | None] = mapped_column(String(255), index=True)
    name: Mapped[str | None] = mapped_column(Text)
    faces: Mapped[int] = mapped_column(Integer)
    frames: Mapped[int] = mapped_column(Integer)
    share: Mapped[float]
    confidence: Mapped[float | None]
    distance: Mapped[float | None]
    ranges: Mapped[list[Any]]
    candidates: Mapped[list[Any]]
    best_time_s: Mapped[float | None]
    best_box: Mapped[list[Any] | None]


class SceneProofRow(Table):
    """What the pictures of two files said, see `pipelines.duplicates.types.Proof`; files by their fingerprints."""

    __tablename__ = "scene_proofs"

    file_a: Mapped[str] = mapped_column(String(255), primary_key=True)
    file_b: Mapped[str] = mapped_column(String(255), primary_key=True, index=True)
    version: Mapped[int] = mapped_column(Integer)
    relation: Mapped[str] = mapped_column(String(16))
    d: Mapped[float | None]
    r: Mapped[float | None]
    evidence_s: Mapped[float]
    alignment: Mapped[dict[str, Any] | None]
    failure: Mapped[str] = mapped_column(Text)
    retryable: Mapped[bool]
    tries: Mapped[int] = mapped_column(Integer, server_default="1")
    proven_at: Mapped[datetime]


class PersonRejectionRow(Table):
    """A person who is not in a scene, image or gallery; `ids` are all that were known of the person."""

    __tablename__ = "person_rejections"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    content_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    universal_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    ids: Mapped[list[Any]]
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]


class RecommendationRow(Table):
    """What was found about something, and what became of it; kept narrow, since whole lists of it change at once.

    `found` says whether the newest evaluation still found it, `run_id` which run of its analyzer found it last;
    `content` is a digest of everything that is shown, so that what is unchanged need not be read.
    """

    __tablename__ = "recommendations"
    __table_args__ = (
        UniqueConstraint("type", "target_type", "target_id", "finding"),
        CheckConstraint(f"status IN {RECOMMENDATION_STATUSES!r}", name="status"),
        Index("ix_recommendations_type_status", "type", "status"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    type: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    target_type: Mapped[str] = mapped_column(String(16))
    target_id: Mapped[str] = mapped_column(String(255))
    finding: Mapped[str] = mapped_column(String(64))
    evidence: Mapped[str] = mapped_column(String(64))
    content: Mapped[str] = mapped_column(String(32))
    confidence: Mapped[float]
    logic_version: Mapped[int] = mapped_column(Integer)
    found: Mapped[bool]
    run_id: Mapped[int] = mapped_column(RowId)
    action_id: Mapped[int | None] = mapped_column(RowId, index=True)
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class RecommendationTextRow(Table):
    """What is read and searched of a recommendation; `title_key` is sorted by, `search` is in one case."""

    __tablename__ = "recommendation_texts"

    recommendation_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("recommendations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    title: Mapped[str] = mapped_column(Text)
    title_key: Mapped[str] = mapped_column(Text)
    summary: Mapped[str] = mapped_column(Text)
    search: Mapped[str] = mapped_column(Text)


class RecommendationDetailRow(Table):
    """The evidence for the page; the widest part, read only for what is shown."""

    __tablename__ = "recommendation_details"

    recommendation_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("recommendations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    details: Mapped[dict[str, Any]]


class RecommendationEntityRow(Table):
    """What in Stash a recommendation is about: both scenes of a pair, for example."""

    __tablename__ = "recommendation_entities"
    __table_args__ = (Index("ix_recommendation_entities_kind_entity_id", "kind", "entity_id"),)

    recommendation_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("recommendations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    entity_id: Mapped[str] = mapped_column(String(64), primary_key=True)


class DismissalBatchRow(Table):
    """One dismissal, of one recommendation or of thousands."""

    __tablename__ = "dismissal_batches"
    __table_args__ = (
        CheckConstraint("mode IN ('until_changed', 'forever')", name="mode"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    mode: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]


class DismissalRow(Table):
    """That a recommendation was dismissed, with the evidence of that moment."""

    __tablename__ = "dismissals"
    __table_args__ = ({"sqlite_with_rowid": False},)

    recommendation_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("recommendations.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    batch_id: Mapped[int] = mapped_column(
        RowId, ForeignKey("dismissal_batches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    evidence: Mapped[str] = mapped_column(String(64))


class AnalyzerStateRow(Table):
    """Where the next run of an analyzer goes on; `marks` are what it has seen of each source.

    `reconciled_at` is when everything was last put up for evaluation, `completed_at` when a run last left nothing over.
    """

    __tablename__ = "analyzer_states"

    type: Mapped[str] = mapped_column(String(64), primary_key=True)
    logic_version: Mapped[int] = mapped_column(Integer)
    marks: Mapped[dict[str, Any]]
    unfinished: Mapped[bool]
    reconciled_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class AnalyzerQueueRow(Table):
    """What an analyzer still has to evaluate; what failed stays, with the reason and how often."""

    __tablename__ = "analyzer_queue"
    __table_args__ = (Index("ix_analyzer_queue_type_attempts", "type", "attempts"),)

    type: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    attempts: Mapped[int] = mapped_column(Integer)
    error: Mapped[str] = mapped_column(Text)


class AnalyzerRunRow(Table):
    """One run of an analyzer."""

    __tablename__ = "analyzer_runs"
    __table_args__ = (
        CheckConstraint(f"state IN {RUN_STATES!r}", name="state"),
        Index("ix_analyzer_runs_type_id", "type", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    type: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    full: Mapped[bool]
    logic_version: Mapped[int] = mapped_column(Integer)
    counts: Mapped[dict[str, Any]]
    error: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ActionRow(Table):
    """One change of Stash: what was there before, what was written, how it ended, and whether it was undone.

    Attributes:
        steps: the writes; `results` has one entry for each that was carried out.
        owner: who performs it, so that others know whether that is still alive.
        undo_made: what the undo has made anew, by what it stands for.
        pruned: why its before-images are not kept any more; "" while they are.
    """

    __tablename__ = "actions"
    __table_args__ = (
        CheckConstraint(f"state IN {ACTION_STATES!r}", name="state"),
        Index("ix_actions_state", "state"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    action: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(Text)
    params: Mapped[dict[str, Any]]
    digest: Mapped[str] = mapped_column(String(64))
    destructive: Mapped[bool]
    undoable: Mapped[bool]
    before: Mapped[list[Any]]
    changes: Mapped[list[Any]]
    steps: Mapped[list[Any]]
    results: Mapped[list[Any]]
    after: Mapped[list[Any]]
    gone: Mapped[list[Any]]
    not_undone: Mapped[list[Any]]
    pictures: Mapped[dict[str, Any]]
    recommendation_id: Mapped[int | None] = mapped_column(RowId, index=True)
    job_id: Mapped[int | None] = mapped_column(RowId)
    owner: Mapped[str] = mapped_column(String(255))
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    touched_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    undo_state: Mapped[str | None] = mapped_column(String(16), index=True)
    undo_made: Mapped[dict[str, Any]]
    undo_report: Mapped[dict[str, Any] | None]
    pruned: Mapped[str] = mapped_column(Text, server_default="")
    undone_at: Mapped[datetime | None]


class ActionPictureRow(Table):
    """A picture that an action took away, by the SHA-256 of its bytes."""

    __tablename__ = "action_pictures"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ActionPreviewRow(Table):
    """What somebody was shown before an action: with it a conflict can say what has changed since."""

    __tablename__ = "action_previews"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    batch: Mapped[str] = mapped_column(String(64), index=True)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    action: Mapped[str] = mapped_column(String(64))
    params: Mapped[dict[str, Any]]
    before: Mapped[list[Any]]
    recommendation_id: Mapped[int | None] = mapped_column(RowId)
    created_at: Mapped[datetime] = mapped_column(index=True)
