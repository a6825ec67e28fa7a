"""What was proven about pairs of files, in the SQL store: no pair is decoded twice while neither file changes.

Proofs are kept by the fingerprints of both files, so they outlive scenes that are merged, renamed or imported anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any

from sqlalchemy import and_, case, delete, func, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from pipelines.duplicates.types import WORKER_FAILED, Alignment, Proof, Relation
from pipelines.store.jobs import Clock, utc_now
from pipelines.store.schema import SceneProofRow
from pipelines.store.sql import Store

FilePair = tuple[str, str]
"""Fingerprints of the files of a and b, in this order."""

MOST_WORKER_TRIES = 3
"""Runs in which a proof is tried that takes its worker with it: what broke may have been the machine's memory or a
library that is newer by then, but a file that ends a decoder ends it every week (own choice)."""

MOST_GONE = 0.5
"""Share of the proofs whose files may have left the library between two searches."""
_FAILED = f"{WORKER_FAILED}:"
_ROWS_AT_ONCE = 400
"""SQLite takes 999 parameters a statement in its oldest builds; a row of a look-up takes two."""


class ProofStore:
    """Proofs of one version of the method. Thread-safe; every method blocks and raises StoreUnreachable."""

    def __init__(self, store: Store, version: int, now: Clock = utc_now) -> None:
        """
        Args:
            version: of the method that proves; proofs of another one are as if they were not there.
        """
        self._store = store
        self._version = version
        self._now = now

    def get(self, pairs: Iterable[FilePair]) -> dict[FilePair, Proof]:
        """Returns the proofs that there are of pairs; one whose worker failed too often is not retryable any more."""
        row = SceneProofRow
        found: dict[FilePair, Proof] = {}
        todo = iter(dict.fromkeys(pairs))
        with self._store.reading() as session:
            while part := list(islice(todo, _ROWS_AT_ONCE)):
                query = session.query(row).where(tuple_(row.file_a, row.file_b).in_(part), row.version == self._version)
                found |= {(one.file_a, one.file_b): _proof(one) for one in query}
        return found

    def of_relation(self, relation: Relation) -> dict[FilePair, Proof]:
        """Returns all proofs that say that two files are this to each other."""
        row = SceneProofRow
        own = select(row).where(row.version == self._version, row.relation == relation)
        with self._store.reading() as session:
            return {(one.file_a, one.file_b): _proof(one) for one in session.scalars(own)}

    def stamp(self, relation: Relation) -> str:
        """Returns what changes with the proofs of a relation: their number and the newest time."""
        row = SceneProofRow
        own = select(func.count(), func.max(row.proven_at)).where(
            row.version == self._version, row.relation == relation
        )
        with self._store.reading() as session:
            number, newest = session.execute(own).one()
        return f"{self._version} {number} {newest}"

    def put(self, proofs: Mapping[FilePair, Proof]) -> None:
        """Keeps proofs, in the place of older ones of the same pairs."""
        if not proofs:
            return
        insert = postgresql.insert if self._store.dialect == "postgresql" else sqlite.insert
        values = [self._columns(*pair, proof) for pair, proof in proofs.items()]
        with self._store.session() as session:
            statement = insert(SceneProofRow)
            row, other = SceneProofRow, statement.excluded
            again = and_(
                row.version == other.version, row.failure.startswith(_FAILED), other.failure.startswith(_FAILED)
            )
            new = {name: other[name] for name in values[0] if name not in {"file_a", "file_b"}}
            tries = {"tries": case((again, row.tries + 1), else_=1)}
            statement = statement.on_conflict_do_update(index_elements=["file_a", "file_b"], set_=new | tries)
            session.execute(statement, values)

    def remove_other_versions(self) -> int:
        """Removes the proofs of other versions of the method; returns how many."""
        with self._store.session() as session:
            gone: Any = session.execute(delete(SceneProofRow).where(SceneProofRow.version != self._version))
            return int(gone.rowcount)

    def remove_gone(self, files: Collection[str]) -> int:
        """Removes the proofs about files that are not among those of the library; returns how many.

        Nothing is removed when that were most of them: then another library is connected, or an empty one, and what
        took hours to prove is needed again when the right one is back.
        """
        row, known = SceneProofRow, set(files)
        with self._store.reading() as session:
            pairs = session.execute(select(row.file_a, row.file_b)).tuples().all()
        gone = [pair for pair in pairs if not known.issuperset(pair)]
        if len(gone) > MOST_GONE * len(pairs):
            return 0
        for start in range(0, len(gone), _ROWS_AT_ONCE):
            part = gone[start : start + _ROWS_AT_ONCE]
            with self._store.session() as session:
                session.execute(delete(row).where(tuple_(row.file_a, row.file_b).in_(part)))
        return len(gone)

    def _columns(self, file_a: str, file_b: str, proof: Proof) -> dict[str, object]:
        return {
            "file_a": file_a,
            "file_b": file_b,
            "version": self._version,
            "relation": proof.relation,
            "d": proof.d,
            "r": proof.r,
            "evidence_s": proof.evidence_s,
            "alignment": None if proof.alignment is None else asdict(proof.alignment),
            "failure": proof.failure,
            "retryable": proof.retryable,
            "proven_at": self._now(),
        }


def _proof(row: SceneProofRow) -> Proof:
    where = row.alignment
    alignment = None
    if where is not None:
        a, b = ((float(start), float(end)) for start, end in (where["a"], where["b"]))
        alignment = Alignment(where["offset_s"], where["speed"], where["mirrored"], a, b)
    return Proof(
        row.relation,  # type: ignore[arg-type]  # checked by the record itself
        row.d,
        row.r,
        row.evidence_s,
        alignment,
        row.failure,
        row.retryable and not (row.failure.startswith(_FAILED) and row.tries >= MOST_WORKER_TRIES),
        row.version,
    )
