"""People leave the SQL store: what names them there goes, or a neutral word takes the place of the name.

Matches and rejections are removed by their own stores, see `pipelines.erase`. Lives here: everything else that may name
somebody. Recommendations about somebody go; recommendations about other things, the log of actions, jobs that have
ended with their events, errors and reasons that somebody wrote lose the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from pipelines.store import action_images
from pipelines.store.action_images import ForgottenActions
from pipelines.store.findings import parts
from pipelines.store.schema import (
    ENDED_STATES,
    AnalyzerQueueRow,
    AnalyzerRunRow,
    DismissalBatchRow,
    JobEventRow,
    JobRow,
    RecommendationDetailRow,
    RecommendationEntityRow,
    RecommendationRow,
    RecommendationTextRow,
    Table,
)
from pipelines.store.scrubbing import Scrubber
from pipelines.store.sql import Store

_ROWS_AT_ONCE = 500

_MENTIONS: tuple[tuple[type[Table], tuple[InstrumentedAttribute[Any], ...], ColumnElement[bool] | None], ...] = (
    (RecommendationRow, (RecommendationRow.reason,), None),
    (
        RecommendationTextRow,
        (
            RecommendationTextRow.title,
            RecommendationTextRow.title_key,
            RecommendationTextRow.summary,
            RecommendationTextRow.search,
        ),
        None,
    ),
    (RecommendationDetailRow, (RecommendationDetailRow.details,), None),
    (DismissalBatchRow, (DismissalBatchRow.reason,), None),
    (AnalyzerQueueRow, (AnalyzerQueueRow.error,), None),
    (AnalyzerRunRow, (AnalyzerRunRow.error,), None),
    (JobRow, (JobRow.params, JobRow.result, JobRow.error_message), JobRow.state.in_(ENDED_STATES)),
    (JobEventRow, (JobEventRow.data,), None),
)
"""Tables, their columns that people or Stash may have put a name into, and which rows; of all when None."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was removed.

    Attributes:
        recommendations: about somebody, whatever was decided about them: analyzers find again, without these people,
            what there still is to find.
        mentions: rows of recommendations, jobs and notes in which a neutral word took the place of a name or an id.
    """

    recommendations: int
    actions: ForgottenActions
    mentions: int


def forget_people(store: Store, scrubber: Scrubber) -> Forgotten:
    """Takes people out of all that names them. Raises StoreUnreachable."""
    everything = Scrubber(scrubber.ids, scrubber.names | action_images.names_in_actions(store, scrubber))
    recommendations = _remove_recommendations(store, everything)
    actions = action_images.forget_people(store, everything)
    return Forgotten(recommendations, actions, sum(_clean(store, everything, *one) for one in _MENTIONS))


def _remove_recommendations(store: Store, scrubber: Scrubber) -> int:
    """Removes the recommendations whose details have an id of somebody, or that are about the performer in Stash."""
    row, detail, entity = RecommendationRow, RecommendationDetailRow, RecommendationEntityRow
    own = select(entity.recommendation_id).where(entity.kind == "performer", entity.entity_id.in_(scrubber.local_ids))
    with store.session() as session:
        gone = set(session.scalars(own))
        every = select(detail.recommendation_id, detail.details).execution_options(yield_per=_ROWS_AT_ONCE)
        gone |= {one for one, details in session.execute(every).tuples() if scrubber.has_id(details)}
        for part in parts(sorted(gone)):
            session.execute(delete(row).where(row.id.in_(part)), execution_options={"synchronize_session": False})
        return len(gone)


def _clean(
    store: Store,
    scrubber: Scrubber,
    table: type[Table],
    columns: Sequence[InstrumentedAttribute[Any]],
    where: ColumnElement[bool] | None,
) -> int:
    """Cleans the rows of a table, some at a time in order of the key; returns in how many something was found."""
    keys = tuple(getattr(table, one.name) for one in table.__table__.primary_key)
    changed, last = 0, None
    while True:
        query = select(table).order_by(*keys).limit(_ROWS_AT_ONCE)
        if where is not None:
            query = query.where(where)
        if last is not None:
            query = query.where(tuple_(*keys) > last)
        with store.session() as session:
            rows = session.scalars(query).all()
            for row in rows:
                changed += _clean_row(row, columns, scrubber)
        if len(rows) < _ROWS_AT_ONCE:
            return changed
        last = tuple(getattr(rows[-1], key.key) for key in keys)


def _clean_row(row: Any, columns: Sequence[InstrumentedAttribute[Any]], scrubber: Scrubber) -> bool:
    found = [one.key for one in columns if scrubber.names_somebody(getattr(row, one.key))]
    for name in found:
        setattr(row, name, scrubber.clean(getattr(row, name)))
    return bool(found)
