"""What was chosen becomes the source `stash` of the performer database, when it differs from what it was.

Lives here: `LocalShard`. What versions are and who is left out of them is `store.performers`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.enroll.local_choice import Chosen
from pipelines.enroll.local_people import DOMAIN
from pipelines.errors import DatabaseMissing
from pipelines.faces.gallery import performer_table
from pipelines.faces.index import IndexDtype
from pipelines.faces.packs import ModelPack
from pipelines.store.performers import PerformerDatabase, SourceInfo


class LocalShard:
    """The source `stash` of one database."""

    def __init__(self, database: PerformerDatabase, pack: ModelPack) -> None:
        self._database = database
        self._pack = pack

    def alone(self) -> bool:
        """Returns whether nobody else gave anything: then a database of another pack is replaced."""
        try:
            return set(self._database.manifest().sources) <= {DOMAIN}
        except DatabaseMissing:
            return True

    def check_pack(self) -> None:
        """Raises PackMismatch when other sources gave templates of another pack."""
        if not self.alone():
            self._database.load(pack=self._pack)

    def stamps(self) -> dict[str, str]:
        """Returns, by source id of the current version, what changes whenever its faces do."""
        try:
            sources = self._database.manifest().sources.values()
        except DatabaseMissing:
            return {}
        return {source.id: f"{source.updated.isoformat()} {source.faces}" for source in sources}

    def publish(
        self,
        chosen: Chosen,
        *,
        label: str,
        details: Mapping[str, Any],
        dtype: IndexDtype,
        only_of: Collection[str] | None = None,
    ) -> tuple[str | None, bool]:
        """Writes a version when anything differs; returns the current one and whether it was written.

        Args:
            label: address of Stash.
            only_of: universal ids of all performers that the choice is about; all others stay as they are. By default
                it is about everybody.
        """
        current = self._database.current()
        performers, faces = performer_table(chosen.performers), chosen.faces
        before = None if current is None else self._database.source_performers(DOMAIN)
        if before is not None:
            enrolled = self._database.source_faces(DOMAIN)
            if only_of is not None and (faces is None or faces.schema.equals(enrolled.schema)):  # type: ignore[union-attr]
                performers, faces = _with_others(performers, faces, before, enrolled, only_of)
            if faces is not None and performers.equals(before) and faces.equals(enrolled):
                return current, False
        if faces is None:
            return (current, False) if before is None else (self._database.remove_source(DOMAIN), True)
        now = datetime.now(UTC)
        source = SourceInfo(id=DOMAIN, kind="stash", label=label, updated=now, details=dict(details))
        return self._database.put(self._pack, source, performers, faces, dtype=dtype, only=self.alone()), True


def _with_others(
    performers: pa.Table, faces: Any, before: pa.Table, enrolled: Any, mine: Collection[str]
) -> tuple[pa.Table, Any]:
    """Returns the tables with those who were enrolled before and are none of mine."""
    ids = pa.array(list(mine), pa.string())
    others = before.filter(pc.invert(pc.is_in(before["universal_id"], value_set=ids)))
    theirs = enrolled.filter(pc.invert(pc.is_in(enrolled["universal_id"], value_set=ids)))
    if not len(others):
        return performers, faces
    return pa.concat_tables([performers, others]), pa.concat_tables([t for t in (faces, theirs) if t is not None])
