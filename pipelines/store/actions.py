"""The log of actions: before-images and writes before they are sent, how far they came, their ends and undos.

    planned ──▶ performing ──▶ done ──▶ undoing ──▶ undone, or partly
                    └────────▶ failed ──▲ (when something was written before)

Rows only. What an action does is `pipelines.actions`; before-images, steps and reports are its JSON.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from pipelines.errors import ActionConflict, ActionUnknown
from pipelines.store.jobs import Clock, utc_now
from pipelines.store.schema import ActionPictureRow, ActionPreviewRow, ActionRow
from pipelines.store.sql import Store

PREVIEWS_KEPT = timedelta(days=1)
"""How long somebody may think about a preview."""
Also = Callable[[Session, "ActionRecord"], None]
"""What else is to be written in the transaction that ends an action."""


@dataclass(frozen=True, slots=True)
class ActionRecord:
    """One action as it is now; see `schema.ActionRow`.

    Attributes:
        state: planned, performing, done or failed.
        undo_state: None before an undo; undoing, undone, or partly: something is not as it was before.
        undo_report: restored, conflicts and lost, of the last undo.
        pruned: why its before-images are not kept any more; "" while they are.
    """

    id: int
    action: str
    state: str
    title: str
    params: dict[str, Any]
    digest: str
    destructive: bool
    undoable: bool
    before: list[Any]
    changes: list[Any]
    steps: list[Any]
    results: list[Any]
    after: list[Any]
    gone: list[Any]
    not_undone: list[Any]
    pictures: dict[str, Any]
    recommendation_id: int | None
    job_id: int | None
    owner: str
    error_code: str | None
    error_message: str | None
    created_at: datetime
    touched_at: datetime
    ended_at: datetime | None
    undo_state: str | None
    undo_made: dict[str, Any]
    undo_report: dict[str, Any] | None
    pruned: str
    undone_at: datetime | None


@dataclass(frozen=True, slots=True)
class PreviewRecord:
    """One item of a preview; `batch` is the digest that names the whole preview, `digest` that of the item."""

    batch: str
    digest: str
    action: str
    params: dict[str, Any]
    before: list[Any]
    recommendation_id: int | None = None


class ActionStore:
    """All actions of a store. Thread-safe; every method blocks, so call it in a thread."""

    def __init__(self, store: Store, now: Clock = utc_now) -> None:
        self.store = store
        self._now = now

    # --- performing

    def begin(self, planned: Mapping[str, Any], pictures: Mapping[str, bytes], *, owner: str) -> ActionRecord:
        """Returns the new action, planned: its before-images, writes and pictures are kept from now on.

        Args:
            planned: the columns of a plan: action, title, params, digest, destructive, undoable, before, changes,
                steps, gone, not_undone, recommendation_id, job_id.
            pictures: "scene:45" -> bytes.
        """
        now = self._now()
        named = {what: hashlib.sha256(data).hexdigest() for what, data in pictures.items()}
        with self.store.session() as session:
            for what, digest in named.items():
                if session.get(ActionPictureRow, digest) is None:
                    session.add(ActionPictureRow(digest=digest, data=pictures[what]))
                    session.flush()
            row = ActionRow(
                state="planned",
                results=[],
                after=[],
                pictures=named,
                owner=owner,
                created_at=now,
                touched_at=now,
                undo_made={},
                pruned="",
                **planned,
            )
            session.add(row)
            session.flush()
            return _record(row)

    def performing(self, action_id: int, owner: str) -> None:
        """Marks an action as under way, or as taken over; its writes may reach Stash from now on."""
        self._set(action_id, state="performing", owner=owner)

    def step_done(self, action_id: int, results: Sequence[Mapping[str, Any]]) -> None:
        """Writes down that one more step was carried out: `results` of all so far."""
        self._set(action_id, results=list(results), error_code=None, error_message=None)

    def note(self, action_id: int, code: str, message: str) -> None:
        """Says why an action does not go on, without ending it."""
        self._set(action_id, error_code=code, error_message=message)

    def finish(self, action_id: int, after: Sequence[Mapping[str, Any]], also: Also | None = None) -> ActionRecord:
        """Ends an action that is done; `also` writes in the same transaction."""
        return self._end(action_id, also, state="done", after=list(after), error_code=None, error_message=None)

    def fail(self, action_id: int, code: str, message: str, after: Sequence[Mapping[str, Any]] = ()) -> ActionRecord:
        """Ends an action that is not done; `after` is what it left of what it touched."""
        return self._end(action_id, None, state="failed", after=list(after), error_code=code, error_message=message)

    # --- undoing

    def begin_undo(self, action_id: int, owner: str) -> ActionRecord:
        """Returns the action, marked as being undone.

        Raises ActionUnknown, ActionConflict where there is nothing to undo.
        """
        with self.store.session() as session:
            row = _row(session, action_id)
            written = row.state == "done" or (row.state == "failed" and bool(row.results))
            if not written:
                raise ActionConflict(f"Action {action_id} is {row.state}: it has changed nothing that could be undone.")
            if row.undo_state == "undone":
                raise ActionConflict(f"Action {action_id} was undone already.", "Look at GET /actions/{id}.")
            if row.pruned:
                raise ActionConflict(f"Action {action_id}: {row.pruned}")
            before = _record(row)
            row.undo_state, row.owner, row.touched_at = "undoing", owner, self._now()
            return before

    def undo_made(self, action_id: int, what: str, made_id: str) -> None:
        """Writes down what an undo has made anew."""
        with self.store.session() as session:
            row = _row(session, action_id)
            row.undo_made = {**row.undo_made, what: made_id}

    def end_undo(self, action_id: int, report: Mapping[str, Any], also: Also | None = None) -> ActionRecord:
        """Ends an undo; `also` writes in the same transaction."""
        whole = not report["conflicts"] and not report["lost"]
        with self.store.session() as session:
            row = _row(session, action_id)
            row.undo_state, row.undo_report = "undone" if whole else "partly", dict(report)
            row.undone_at = row.touched_at = self._now()
            session.flush()
            record = _record(row)
            if also is not None:
                also(session, record)
            return record

    # --- looking

    def get(self, action_id: int) -> ActionRecord:
        """Returns one action. Raises ActionUnknown."""
        with self.store.reading() as session:
            return _record(_row(session, action_id))

    def newest(self, *, limit: int = 50, before_id: int | None = None, action: str | None = None) -> list[ActionRecord]:
        """Returns actions, newest first, those with ids smaller than `before_id`."""
        query = select(ActionRow).order_by(ActionRow.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(ActionRow.id < before_id)
        if action is not None:
            query = query.where(ActionRow.action == action)
        with self.store.reading() as session:
            return [_record(row) for row in session.scalars(query)]

    def count(self, action: str | None = None) -> int:
        """Returns how many actions there are, of one type or of all."""
        query = select(func.count()).select_from(ActionRow)
        with self.store.reading() as session:
            return session.scalar(query if action is None else query.where(ActionRow.action == action)) or 0

    def unfinished(self) -> list[ActionRecord]:
        """Returns actions that have begun and not ended, oldest first: somebody performs them, or died doing so."""
        query = select(ActionRow).where(ActionRow.state.in_(("planned", "performing"))).order_by(ActionRow.id)
        with self.store.reading() as session:
            return [_record(row) for row in session.scalars(query)]

    def oldest_unfinished(self) -> datetime | None:
        """Returns when the action that has waited longest for its end was touched; None when all have ended. Cheap."""
        query = select(func.min(ActionRow.touched_at)).where(ActionRow.state.in_(("planned", "performing")))
        with self.store.reading() as session:
            return session.scalar(query)

    def why_gone(self, kind: str) -> dict[str, str]:
        """Returns id -> reason for entities of a kind that actions merged or deleted, without those that came back."""
        row = ActionRow
        ended = select(row.gone).where(row.state == "done", row.undo_state.is_(None)).order_by(row.id)
        with self.store.reading() as session:
            return {one: why for gone in session.scalars(ended) for of, one, why in gone if of == kind}

    def picture(self, digest: str) -> bytes | None:
        """Returns a kept picture."""
        with self.store.reading() as session:
            row = session.get(ActionPictureRow, digest)
            return None if row is None else row.data

    # --- previews

    def keep_previews(self, previews: Sequence[PreviewRecord]) -> None:
        """Keeps what was shown; forgets what was shown more than a day ago."""
        now = self._now()
        with self.store.session() as session:
            session.execute(delete(ActionPreviewRow).where(ActionPreviewRow.created_at < now - PREVIEWS_KEPT))
            for batch in {one.batch for one in previews}:
                session.execute(delete(ActionPreviewRow).where(ActionPreviewRow.batch == batch))
            names = [f.name for f in fields(PreviewRecord)]
            session.add_all(
                ActionPreviewRow(created_at=now, **{name: getattr(one, name) for name in names}) for one in previews
            )

    def shown(self, digest: str) -> PreviewRecord | None:
        """Returns what was last shown under the digest of one item; None when that is not known any more."""
        row = ActionPreviewRow
        query = select(row).where(row.digest == digest).order_by(row.id.desc()).limit(1)
        with self.store.reading() as session:
            found = session.scalar(query)
            return None if found is None else _preview(found)

    def previews(self, batch: str) -> list[PreviewRecord]:
        """Returns what was shown under a digest, in order; [] when that is not known any more."""
        query = select(ActionPreviewRow).where(ActionPreviewRow.batch == batch).order_by(ActionPreviewRow.id)
        with self.store.reading() as session:
            return [_preview(row) for row in session.scalars(query)]

    def _set(self, action_id: int, **columns: Any) -> None:
        with self.store.session() as session:
            row = _row(session, action_id)
            for name, value in columns.items():
                setattr(row, name, value)
            row.touched_at = self._now()

    def _end(self, action_id: int, also: Also | None, **columns: Any) -> ActionRecord:
        with self.store.session() as session:
            row = _row(session, action_id)
            for name, value in columns.items():
                setattr(row, name, value)
            row.ended_at = row.touched_at = self._now()
            session.flush()
            record = _record(row)
            if also is not None:
                also(session, record)
            return record


def _row(session: Session, action_id: int) -> ActionRow:
    row = session.get(ActionRow, action_id)
    if row is None:
        raise ActionUnknown(f"There is no action {action_id}.", "GET /actions lists them.")
    return row


def _preview(row: ActionPreviewRow) -> PreviewRecord:
    return PreviewRecord(**{f.name: getattr(row, f.name) for f in fields(PreviewRecord)})


def _record(row: ActionRow) -> ActionRecord:
    return ActionRecord(**{f.name: getattr(row, f.name) for f in fields(ActionRecord)})
