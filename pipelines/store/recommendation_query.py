"""Filters, sorting and cursors of recommendations as SQL. Reads nothing itself."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, get_args

from sqlalchemy import ColumnElement, and_, exists, func, or_, select

from pipelines.errors import InputError
from pipelines.store.recommendation_records import SORTS, RecommendationFilter, Sort
from pipelines.store.schema import (
    DismissalBatchRow,
    DismissalRow,
    RecommendationEntityRow,
    RecommendationRow,
    RecommendationTextRow,
)

MOST_WORDS = 16
Conditions = list[ColumnElement[bool]]


def conditions(wanted: RecommendationFilter) -> Conditions:
    """Returns what rows of recommendations must fulfil."""
    row = RecommendationRow
    found: Conditions = []
    if wanted.types:
        found.append(row.type.in_(wanted.types))
    if wanted.without_types:
        found.append(row.type.not_in(wanted.without_types))
    if wanted.statuses:
        found.append(row.status.in_(wanted.statuses))
    if wanted.min_confidence is not None:
        found.append(row.confidence >= wanted.min_confidence)
    if wanted.target_type is not None:
        found.append(row.target_type == wanted.target_type)
    if wanted.target_id is not None:
        found.append(_about(wanted.target_type, wanted.target_id))
    words = wanted.q.casefold().split()[:MOST_WORDS]
    if words:
        text = RecommendationTextRow
        having = [text.search.contains(word, autoescape=True) for word in words]
        found.append(row.id.in_(select(text.recommendation_id).where(*having)))
    return found


def _about(target_type: str | None, target_id: str) -> ColumnElement[bool]:
    if ":" in target_id:
        return RecommendationRow.target_id == target_id
    entity = RecommendationEntityRow
    found = select(entity.recommendation_id).where(entity.entity_id == target_id)
    kinds = (target_type,) if target_type else ("scene", "performer", "image", "gallery", "person")
    return RecommendationRow.id.in_(found.where(entity.kind.in_(kinds)))


def about_entities(kind: str, ids: Sequence[str]) -> ColumnElement[bool]:
    """Returns that a recommendation is about one of these ids; at most some thousand of them."""
    entity = RecommendationEntityRow
    found = select(entity.recommendation_id).where(entity.kind == kind, entity.entity_id.in_(ids))
    return RecommendationRow.id.in_(found)


def latest_mode(*, without_batch: int | None = None) -> Any:
    """Returns the mode of a recommendation's newest dismissal as a scalar subquery, "" when there is none."""
    newest = (
        select(DismissalBatchRow.mode)
        .join(DismissalRow, DismissalRow.batch_id == DismissalBatchRow.id)
        .where(DismissalRow.recommendation_id == RecommendationRow.id)
        .order_by(DismissalRow.batch_id.desc())
        .limit(1)
        .correlate(RecommendationRow)
    )
    if without_batch is not None:
        newest = newest.where(DismissalRow.batch_id != without_batch)
    return func.coalesce(newest.scalar_subquery(), "")


def is_dismissed(*, without_batch: int | None = None) -> ColumnElement[bool]:
    """Returns that the dismissals of a recommendation count against its evidence of now, see `findings.dismissed`."""
    same = exists().where(
        DismissalRow.recommendation_id == RecommendationRow.id,
        DismissalRow.batch_id == DismissalBatchRow.id,
        DismissalBatchRow.mode == "until_changed",
        DismissalRow.evidence == RecommendationRow.evidence,
    )
    if without_batch is not None:
        same = same.where(DismissalRow.batch_id != without_batch)
    return or_(latest_mode(without_batch=without_batch) == "forever", same)


def was_dismissed_otherwise(batch_id: int) -> ColumnElement[bool]:
    """Returns that a recommendation has a dismissal besides that of a batch: quicker to ask than `is_dismissed`."""
    return exists().where(DismissalRow.recommendation_id == RecommendationRow.id, DismissalRow.batch_id != batch_id)


def ordered(query: Any, sort: Sort) -> Any:
    """Returns the query in a stable order: ids settle what is equal."""
    row, text = RecommendationRow, RecommendationTextRow
    if sort == "confidence":
        return query.order_by(row.confidence.desc(), row.id)
    if sort == "newest":
        return query.order_by(row.id.desc())
    if sort == "oldest":
        return query.order_by(row.id)
    joined = query.join(text, text.recommendation_id == row.id).add_columns(text.title_key)
    return joined.order_by(text.title_key, row.id)


def after(sort: Sort, cursor: str) -> ColumnElement[bool]:
    """Returns what comes after a cursor of the same sort. Raises InputError."""
    row, text = RecommendationRow, RecommendationTextRow
    value, last_id = read_cursor(sort, cursor)
    if sort == "confidence":
        return or_(row.confidence < value, and_(row.confidence == value, row.id > last_id))
    if sort == "newest":
        return row.id < last_id
    if sort == "oldest":
        return row.id > last_id
    return or_(text.title_key > value, and_(text.title_key == value, row.id > last_id))


def make_cursor(sort: Sort, value: float | str | None, last_id: int) -> str:
    """Returns a cursor: opaque text that fits into a URL."""
    text = json.dumps([sort, value, last_id], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(sort: Sort, cursor: str) -> tuple[Any, int]:
    """Returns the sorted value and the id where a page ended. Raises InputError."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        made_for, value, last_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        fits = {"confidence": isinstance(value, float | int), "title": isinstance(value, str)}.get(sort, value is None)
        if made_for == sort and fits and isinstance(last_id, int) and abs(last_id) < 2**63:
            return value, last_id
    except (ValueError, TypeError, binascii.Error):
        pass
    raise InputError(
        f"The cursor {cursor[:60]!r} is not one of this list.",
        "Pass `next_cursor` of the page before, with the same sort; leave it out for the first page.",
    )


def checked_sort(sort: str) -> Sort:
    """Returns a sort. Raises InputError."""
    if sort not in get_args(Sort):
        raise InputError(f"There is no sort {sort!r}.", f"There are {', '.join(SORTS)}.")
    return sort  # type: ignore[return-value]
