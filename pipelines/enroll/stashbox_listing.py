"""Asking a stash-box whom it has, what changed and what is gone; kept page by page, so that a killed run goes on.

<run>/run.json             what is asked for, and how far the asking is
<run>/listing/000001.parquet    performers of one answer, WORK_SCHEMA
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.durable import rename_synced
from pipelines.enroll.stashbox_ledger import Ledger, SeenPerformer
from pipelines.enroll.stashbox_pictures import facts_of
from pipelines.enroll.stashbox_worker import WORK_SCHEMA, read_performer, work_row
from pipelines.jobs import EnrollStashboxRequest
from pipelines.stash.stashbox import StashBoxClient
from pipelines.stash.stashbox_records import BoxPerformer, instant
from pipelines.stash.stashbox_walk import WalkState, walk
from pipelines.store.rules import under_18

ROWS_A_GROUP = 200


@dataclass(slots=True)
class BoxListing:
    """How far the asking is; run.json.

    Attributes:
        first: number of the call that began it; number: of the one that is under way.
        full, limit: what is asked for.
        since: watermark of the run before; "" asks for everybody.
        walk: where the walk is.
        parts: answers that are kept.
        asked: everything was asked.
        cut: more is to be done than was asked for.
        gone: performers that the box does not have any more.
        left_out: by reason.
    """

    first: int
    number: int
    full: bool = False
    limit: int | None = None
    since: str = ""
    walk: WalkState = field(default_factory=WalkState)
    parts: int = 0
    asked: bool = False
    cut: bool = False
    gone: int = 0
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> BoxListing | None:
        """Returns that of a run's folder, None when there is none that can be read."""
        try:
            found = json.loads((folder / "run.json").read_text())
            return cls(**{**found, "walk": WalkState(**found["walk"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def write(self, folder: Path) -> None:
        partial = folder / ".run.json.partial"
        partial.write_text(json.dumps(asdict(self)) + "\n")
        rename_synced(partial, folder / "run.json")

    def same_question(self, request: EnrollStashboxRequest, since: str) -> bool:
        return (self.full, self.limit, self.since) == (request.full, request.limit, since)


class BoxLister:
    """Lists what a run has to do."""

    def __init__(
        self,
        client: StashBoxClient,
        folder: Path,
        listing: BoxListing,
        ledger: Ledger,
        *,
        seen: Mapping[str, SeenPerformer],
        enrolled: Collection[str] = (),
        excluded: Collection[str] = (),
    ) -> None:
        """
        Args:
            folder: of the run.
            listing: goes on where it is.
            seen: what the ledger has.
            enrolled: ids of performers that are enrolled from this box.
            excluded: universal ids that must not be enrolled.
        """
        self._client = client
        self._folder = folder
        self.listing = listing
        self._ledger = ledger
        self._seen = seen
        self._enrolled = enrolled
        self._excluded = excluded
        self._listed: set[str] = set()
        self.work = 0

    async def ask(self) -> None:
        """Asks for everything that the listing lacks. Raises the StashError leaves of the client."""
        for row in work_rows(self._folder):
            self._listed.add(row["performer"])
            self.work += bool(row["facts"])
        self.listing.parts = max((int(p.stem) for p in _parts(self._folder)), default=0)  # one more than it may know of
        if self.listing.asked:
            return
        await self._changed()
        if self.listing.walk.done:
            await self._gone()
            await self._again()
        self.listing.asked = True
        self.listing.write(self._folder)

    async def _changed(self) -> None:
        since = instant(self.listing.since) if self.listing.since else None
        async for page in walk(self._client.page, self.listing.walk, self._listed, since=since):
            self._keep(page)
            if self.listing.limit is not None and self.work >= self.listing.limit and not self.listing.walk.done:
                self.listing.cut = True
                return

    async def _gone(self) -> None:
        """Looks for performers that were deleted or merged: those are in no list."""
        alive = {i for i, one in self._seen.items() if one.state != "gone"} | set(self._enrolled)
        missing = sorted(alive - self._listed)
        if self.listing.since and self.listing.walk.count == len(alive | self._listed):
            return
        found = await self._client.performers(missing, outline=True) if missing else {}
        targets = set()
        for performer in missing:
            one = found.get(performer)
            if one is not None and not one.deleted:
                continue
            self.listing.gone += 1
            into = one.merged_into_id if one else ""
            targets |= {into} - {""}
            self._ledger.write(self.listing.number, performer, [], facts={"merged_into_id": into}, state="gone")
        await self._look_up(targets)

    async def _again(self) -> None:
        """Looks up whose pictures could not be fetched, and who may be enrolled by now."""
        due = {i for i, one in self._seen.items() if one.open}
        for performer, one in self._seen.items():
            if one.state == "left_out" and not self._left_out(performer, one.facts):
                due.add(performer)
        await self._look_up(due)

    async def _look_up(self, ids: Collection[str]) -> None:
        wanted = sorted(set(ids) - self._listed)
        found = await self._client.performers(wanted) if wanted else {}
        living = [p for p in found.values() if not p.deleted]
        self._listed |= {p.id for p in living}
        self._keep(living, force=True)

    def _keep(self, performers: Sequence[BoxPerformer], *, force: bool = False) -> None:
        """Writes an answer: who has to be looked at, and, without facts, who was listed besides."""
        rows = []
        for performer in performers:
            reason = self._left_out(performer.id, facts_of(performer))
            if reason:
                self._leave_out(performer, reason)
            before = self._seen.get(performer.id)
            due = not reason and performer.name and (force or before is None or self._changed_since(performer, before))
            if due and self.listing.limit is not None and self.work >= self.listing.limit:
                due, self.listing.cut = False, True
            if not due:
                rows.append({"performer": performer.id, "facts": "", "known": False})
                continue
            self.work += 1
            rows.append(work_row(performer, known=before is not None))
        if not rows:
            self.listing.write(self._folder)
            return
        self.listing.parts += 1
        path = self._folder / "listing" / f"{self.listing.parts:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        pq.write_table(pa.Table.from_pylist(rows, WORK_SCHEMA), partial)
        rename_synced(partial, path)
        self.listing.write(self._folder)

    def _changed_since(self, performer: BoxPerformer, before: SeenPerformer) -> bool:
        return before.updated != performer.updated or before.state != "seen" or before.open

    def _left_out(self, performer: str, facts: Mapping[str, Any]) -> str:
        """Returns why somebody must not be enrolled, "" when they may."""
        ids = {f"{self._client.domain}:{i}" for i in (performer, *facts.get("merged_ids", ()))}
        if ids & set(self._excluded):
            return "excluded"
        born = pa.chunked_array([[facts.get("birth_date") or None]], pa.string())
        return "under_18" if under_18(born)[0] else ""

    def _leave_out(self, performer: BoxPerformer, reason: str) -> None:
        self.listing.left_out[reason] = self.listing.left_out.get(reason, 0) + 1
        facts = {"birth_date": performer.birth_date, "merged_ids": performer.merged_ids}
        number, updated = self.listing.number, performer.updated
        before = self._seen.get(performer.id)
        if before is not None and before.state == "seen":
            self._ledger.erase([performer.id])
        elif before is not None and (before.state, before.updated) == ("left_out", updated):
            return
        self._ledger.write(number, performer.id, [], updated=updated, facts=facts, state="left_out")


def work_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yields the rows of all answers, in order; `facts` is empty for those who need no look."""
    for path in _parts(folder):
        yield from pq.read_table(path).to_pylist()


def write_work(folder: Path, done: Collection[str], known: Collection[str]) -> tuple[Path, int]:
    """Writes the work list, without those that are done; returns its file and its length.

    Args:
        known: of whom the ledger has something by now.
    """
    path, total = folder / "work.parquet", 0
    done_ids, known_ids = (pa.array(sorted(ids), pa.string()) for ids in (done, known))
    with pq.ParquetWriter(path, WORK_SCHEMA, compression="zstd") as writer:
        for part in _parts(folder):
            table = pq.read_table(part)
            left = pc.and_(
                pc.not_equal(table["facts"], ""), pc.invert(pc.is_in(table["performer"], value_set=done_ids))
            )
            table = table.filter(left)
            seen = pc.is_in(table["performer"], value_set=known_ids)
            table = table.set_column(2, WORK_SCHEMA.field("known"), seen)
            total += len(table)
            if len(table):
                writer.write_table(table, row_group_size=ROWS_A_GROUP)
    return path, total


def _parts(folder: Path) -> list[Path]:
    return sorted((folder / "listing").glob("*.parquet"))


def watermark(listing: BoxListing, folder: Path, seen: Mapping[str, SeenPerformer], before: str | None) -> str | None:
    """Returns the time up to which everything of the box is done: of its newest change, or the one before.

    A performer with a picture that another run must try again holds it back.
    """
    if listing.cut or not listing.walk.done:
        return before
    held: list[tuple[datetime, str]] = []
    for row in work_rows(folder):
        one = seen.get(row["performer"])
        if row["facts"] and (one is None or one.open):
            updated = read_performer(row["facts"]).updated
            held.append((instant(updated), updated))
    newest = listing.walk.newest or before
    if not held:
        return newest
    oldest = min(held)[1]
    return before if before and instant(before) >= instant(oldest) else oldest
