"""Before-images that are not kept any more: of people who were erased, and of actions of long ago.

An action without its before-images stays in the log, with the reason why it cannot be undone. Lives here: which rows
lose what. Actions that are under way keep everything, since they could not be finished otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from pipelines.store.schema import ActionPictureRow, ActionPreviewRow, ActionRow
from pipelines.store.scrubbing import Scrubber
from pipelines.store.sql import Store

OF_SOMEBODY_ERASED = "It cannot be undone: what was there before named somebody who was erased."
OF_LONG_AGO = "It cannot be undone any more: what was there before is kept for {days} days."
_AT_ONCE = 100
_IMAGES = ("before", "after")
_WRITES = ("params", "steps", "results", "undo_made")
_WORDS = ("title", "changes", "gone", "not_undone", "undo_report", "error_message")


@dataclass(slots=True)
class ForgottenActions:
    """What became of the log.

    Attributes:
        dropped: actions that lost their before-images, so that they cannot be undone any more.
        cleaned: other actions in whose words a name was replaced; they can be undone as before.
        left: actions under way that name somebody; erase again when they have ended.
        previews: that were removed.
    """

    dropped: int = 0
    cleaned: int = 0
    left: int = 0
    previews: int = 0


def names_in_actions(store: Store, scrubber: Scrubber) -> set[str]:
    """Returns what Stash calls these people in before-images of their own: names and aliases."""
    found: set[str] = set()
    with store.reading() as session:
        for row in _rows(session):
            for image in [*row.before, *row.after]:
                if _is_own(image, scrubber):
                    found |= {str(image.get("name") or ""), *map(str, image.get("alias_list") or ())}
    return found - {""}


def forget_people(store: Store, scrubber: Scrubber) -> ForgottenActions:
    """Removes the before-images that name somebody, and puts a neutral word into what people read."""
    done = ForgottenActions()
    with store.session() as session:
        for row in _rows(session):
            if not _names_somebody(row, scrubber):
                continue
            if row.state in {"planned", "performing"} or row.undo_state == "undoing":
                done.left += 1
            elif any(scrubber.names_somebody(getattr(row, name)) for name in _WRITES) or any(
                _is_own(image, scrubber) or scrubber.names_somebody(_without_labels(image))
                for image in [*row.before, *row.after]
            ):
                _clean_words(row, scrubber)
                _drop(row, OF_SOMEBODY_ERASED)
                done.dropped += 1
            else:
                _clean_words(row, scrubber)
                row.before = [_with_clean_labels(image, scrubber) for image in row.before]
                row.after = [_with_clean_labels(image, scrubber) for image in row.after]
                done.cleaned += 1
        previews = session.scalars(select(ActionPreviewRow).execution_options(yield_per=_AT_ONCE))
        naming = [one for one in previews if scrubber.names_somebody([one.params, one.before])]
        for one in naming:
            session.delete(one)
        done.previews = len(naming)
        session.flush()
        _drop_pictures(session)
    return done


def count_before(store: Store, before: datetime) -> int:
    """Returns how many actions that ended before a time have their before-images still."""
    with store.reading() as session:
        return session.scalar(select(func.count()).select_from(ActionRow).where(*_old(before))) or 0


def prune(store: Store, before: datetime, days: int) -> int:
    """Removes the before-images of actions that ended before a time; returns of how many."""
    pruned = 0
    with store.session() as session:
        for row in session.scalars(select(ActionRow).where(*_old(before))).all():
            _drop(row, OF_LONG_AGO.format(days=days))
            pruned += 1
        session.flush()
        if pruned:
            _drop_pictures(session)
    return pruned


def _old(before: datetime) -> list[ColumnElement[bool]]:
    row = ActionRow
    at_rest = and_(row.state.in_(("done", "failed")), or_(row.undo_state.is_(None), row.undo_state != "undoing"))
    return [row.ended_at < before, row.pruned == "", at_rest]


def _rows(session: Session) -> Iterator[ActionRow]:
    yield from session.scalars(select(ActionRow).order_by(ActionRow.id).execution_options(yield_per=_AT_ONCE))


def _names_somebody(row: ActionRow, scrubber: Scrubber) -> bool:
    everything = [getattr(row, name) for name in (*_IMAGES, *_WRITES, *_WORDS)]
    return scrubber.names_somebody(everything) or any(_is_own(one, scrubber) for one in [*row.before, *row.after])


def _is_own(image: Any, scrubber: Scrubber) -> bool:
    """Whether a before-image is of the performer itself."""
    if image.get("kind") != "performer":
        return False
    return image.get("id") in scrubber.local_ids or scrubber.has_id(image.get("stash_ids"))


def _without_labels(image: Any) -> dict[str, Any]:
    return {name: value for name, value in image.items() if name != "labels"}


def _with_clean_labels(image: Any, scrubber: Scrubber) -> dict[str, Any]:
    """Returns an image whose labels, which no undo reads, name nobody."""
    return {**image, "labels": scrubber.clean(image["labels"])} if "labels" in image else image


def _clean_words(row: ActionRow, scrubber: Scrubber) -> None:
    for name in _WORDS:
        setattr(row, name, scrubber.clean(getattr(row, name)))


def _drop(row: ActionRow, reason: str) -> None:
    row.before, row.after, row.steps, row.results = [], [], [], []
    row.params, row.pictures, row.undo_made = {}, {}, {}
    row.undoable, row.pruned, row.not_undone = False, reason, [reason]


def _drop_pictures(session: Session) -> None:
    """Removes pictures that no action needs any more."""
    used = {digest for pictures in session.scalars(select(ActionRow.pictures)) for digest in pictures.values()}
    known = session.scalars(select(ActionPictureRow.digest)).all()
    for digest in sorted(set(known) - used):
        session.execute(delete(ActionPictureRow).where(ActionPictureRow.digest == digest))
