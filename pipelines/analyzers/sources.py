"""What analyzers read, and how a change of it is seen: a mark of what was seen, and what changed since.

A mark is {"at": the newest time seen, in the words of who keeps it; "seen": id -> time of what lies within the overlap
before it}. The overlap is read again every time, because times of Stash are no clock (see `stash.watermark`), and what
was seen with that very time is left out. What no time tells (removals, changes of linked things) is found when
everything is evaluated again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from pipelines.stash.watermark import OVERLAP, instant, updated_since

if TYPE_CHECKING:
    from pipelines.analyzers.tools import Tools
    from pipelines.duplicates.types import Relation

MOST_SEEN = 20_000
"""Things of the overlap that are remembered; more than these are evaluated once more, which does no harm."""
OWN_OVERLAP = timedelta(minutes=10)
"""Of rows that this project writes: the time is taken before the transaction ends."""

RESOLUTION = timedelta(seconds=2)
"""Stash's times have whole seconds; one more for a write that is not committed yet."""
UNSURE = "~"
"""Ends a time with which something was read that may have changed in the same second."""

Mark = dict[str, Any]
StashKind = Literal["scene", "image", "gallery", "performer"]


@dataclass(slots=True)
class Changes:
    """What changed.

    Attributes:
        ids: of what is new or has changed, or of everything.
        mark: to go on from.
        worth: of everything, those ids that are worth a look; None means all.
    """

    ids: list[str]
    mark: Mark = field(default_factory=dict)
    worth: list[str] | None = None


class Source(ABC):
    """Something that an analyzer reads.

    Attributes:
        name: of its mark.
        kind: of the ids that it gives.
    """

    name: str
    kind: str

    @abstractmethod
    async def everything(self, tools: Tools) -> Changes:
        """Returns all ids and the mark of now."""

    @abstractmethod
    async def changed(self, tools: Tools, mark: Mark) -> Changes:
        """Returns the ids that are new or have changed since a mark."""


class StashChanges(Source):
    """Scenes, images, galleries or performers of Stash, by the time of their last change.

    Args:
        worth: a filter of Stash; of everything, only what it lets through is worth a look. What has changed is looked
            at in any case.
    """

    def __init__(self, kind: StashKind, worth: Mapping[str, Any] | None = None) -> None:
        self.name = self.kind = kind
        self._kind: StashKind = kind
        self._worth = None if worth is None else dict(worth)

    async def everything(self, tools: Tools) -> Changes:
        found = [(one.id, one.updated_at) async for one in tools.library.outlines(self._kind)]
        changes = advance({}, found, instant, OVERLAP)
        if self._worth is not None:
            changes.worth = [one.id async for one in tools.library.outlines(self._kind, filter=self._worth)]
        return changes

    async def changed(self, tools: Tools, mark: Mark) -> Changes:
        since = updated_since(mark["at"]) if mark.get("at") else None
        found = [(one.id, one.updated_at) async for one in tools.library.outlines(self._kind, filter=since)]
        return advance(mark, found, instant, OVERLAP)


class SceneFileChanges(Source):
    """Scenes by the time of the last change of their files: new phashes, files that were replaced.

    Before Stash 0.30 it sees nothing; what changed is found when everything is evaluated again.
    """

    name = "scene files"
    kind = "scene"

    async def everything(self, tools: Tools) -> Changes:
        found = [(one.id, one.updated_at) async for one in tools.library.scene_files_changed(None)]
        return advance({}, found, instant, OVERLAP)

    async def changed(self, tools: Tools, mark: Mark) -> Changes:
        since = updated_since(mark["at"]) if mark.get("at") else None
        found = [(one.id, one.updated_at) async for one in tools.library.scene_files_changed(since)]
        return advance(mark, found, instant, OVERLAP)


class MatchChanges(Source):
    """Who is in scanned scenes or images, by when they were matched."""

    def __init__(self, kind: Literal["scene", "image"]) -> None:
        self.name, self.kind = f"{kind} matches", kind

    async def everything(self, tools: Tools) -> Changes:
        return await self.changed(tools, {})

    async def changed(self, tools: Tools, mark: Mark) -> Changes:
        since = datetime.fromisoformat(mark["at"]) - OWN_OVERLAP if mark.get("at") else None
        found = await tools.in_thread(lambda: tools.matches.matched_since(self.kind, since))
        return advance(mark, ((one, at.isoformat()) for one, at in found), datetime.fromisoformat, OWN_OVERLAP)


class ProofChanges(Source):
    """Pairs of files of which the pictures said one thing, by the candidates and proofs that duplicate_scenes keeps."""

    kind = "proof"

    def __init__(self, relation: Relation) -> None:
        self.name = f"{relation} proofs"
        self._relation: Relation = relation

    async def everything(self, tools: Tools) -> Changes:
        return await self.changed(tools, {})

    async def changed(self, tools: Tools, mark: Mark) -> Changes:
        from pipelines.duplicates.kept_candidates import searched_in
        from pipelines.duplicates.proof import PROOF_VERSION
        from pipelines.duplicates.proof_store import ProofStore

        proofs = ProofStore(tools.store, PROOF_VERSION)
        stamp = await tools.in_thread(lambda: proofs.stamp(self._relation))
        now = {
            "proofs": stamp,
            "candidates": await tools.in_thread(lambda: searched_in(tools.settings.candidates_path)),
        }
        return Changes([] if mark == now else [self._relation], now)


def advance(
    mark: Mark,
    found: Iterable[tuple[str, str]],
    time_of: Callable[[str], datetime],
    overlap: timedelta,
    read_at: datetime | None = None,
) -> Changes:
    """Returns what of (id, time) is not known to a mark, and the mark that knows it.

    Times are whole seconds, so what was read in the second of its change may change again without another time. The
    newest things are therefore known for sure only when they are read once more, RESOLUTION later on this clock.
    """
    rows, read_at = dict(found), read_at or datetime.now(UTC)
    seen: dict[str, str] = mark.get("seen", {})
    fresh = [one for one, at in rows.items() if seen.get(one) != at]
    times = [*rows.values(), *((mark["at"],) if mark.get("at") else ())]
    newest = max(times, key=time_of, default=None)
    if newest is None:
        return Changes(fresh, {})
    rested = bool(mark.get("read_at")) and read_at - datetime.fromisoformat(mark["read_at"]) >= RESOLUTION
    sure_until, limit = time_of(newest) - RESOLUTION, time_of(newest) - overlap
    late: list[tuple[datetime, str, str]] = []
    for one, at in {**{o: t.removesuffix(UNSURE) for o, t in seen.items()}, **rows}.items():
        time = time_of(at)
        if time >= limit:
            known = seen.get(one)
            sure = time < sure_until or known == at or (rested and known == at + UNSURE and one in rows)
            late.append((time, one, at if sure else at + UNSURE))
    late.sort(reverse=True)
    remembered = {one: at for _, one, at in late[:MOST_SEEN]}
    return Changes(fresh, {"at": newest, "seen": remembered, "read_at": read_at.isoformat()})
