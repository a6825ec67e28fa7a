"""From what was seen of a stash-box to a version of the performer database, and to the report of what was left out.

The faces are streamed from the ledger, so that they are never held together in memory. What an older version has of
performers that the ledger never saw (it was lost, or belongs to another machine) stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.enroll.report import GateReport
from pipelines.enroll.stashbox_ledger import Ledger, SeenPerformer
from pipelines.faces.gallery import Performer, performer_table
from pipelines.faces.index import IndexDtype
from pipelines.faces.packs import ModelPack
from pipelines.store.manifest import SourceInfo
from pipelines.store.performers import PerformerDatabase
from pipelines.store.tables import face_schema

OTHER = "other_performer"


@dataclass(slots=True)
class Publication:
    """What a version will hold of one box.

    Attributes:
        domain: of the universal ids, and the id of the source.
        kept: universal ids that only the version before knows.
        faces: enrolled, by performer.
        doubled: pictures whose bytes are enrolled for another performer already: (performer, image id).
    """

    domain: str
    seen: Mapping[str, SeenPerformer]
    kept: frozenset[str] = frozenset()
    faces: Counter[str] = field(default_factory=Counter)
    doubled: set[tuple[str, str]] = field(default_factory=set)

    def universal_id(self, performer: str) -> str:
        return f"{self.domain}:{performer}"


def plan_publication(
    ledger: Ledger, domain: str, seen: Mapping[str, SeenPerformer], old: pa.Table | None
) -> Publication:
    """Returns who will be enrolled, and with which faces; `old` is what the current version has of this box."""
    known = {f"{domain}:{performer}" for performer in seen}
    before = [] if old is None else old["universal_id"].to_pylist()
    plan = Publication(domain, seen, frozenset(before) - known)
    owner: dict[str, str] = {}
    for table in ledger.latest(seen, ["performer", "image_id", "sha256", "chosen", "state"]):
        for row in table.filter(table["chosen"]).to_pylist():
            performer = row["performer"]
            if owner.setdefault(row["sha256"], performer) != performer:
                plan.doubled.add((performer, row["image_id"]))
            elif row["state"] == "seen":
                plan.faces[performer] += 1
    return plan


def publish(
    database: PerformerDatabase,
    pack: ModelPack,
    ledger: Ledger,
    plan: Publication,
    *,
    endpoint: str,
    watermark: str | None,
    details: dict[str, Any],
    dtype: IndexDtype,
) -> str | None:
    """Writes what a box gives in place of what it gave before; returns the version, None when there is nobody.

    Raises PackMismatch, NotWritable, NoSpace.
    """
    current = database.current()
    before = database.source_performers(plan.domain) if current else None
    if not plan.faces and not plan.kept:
        return database.remove_source(plan.domain) if before is not None else None
    source = SourceInfo(
        id=plan.domain,
        kind="stashbox",
        label=endpoint,
        updated=datetime.now(UTC),
        watermark=watermark,
        details=details,
    )
    table = performer_table(_performers(plan))
    if before is not None and plan.kept:
        kept = pc.is_in(before["universal_id"], value_set=pa.array(sorted(plan.kept)))
        table = pa.concat_tables([table, before.filter(kept)])
    old = database.source_faces(plan.domain) if before is not None and plan.kept else None
    return database.put(pack, source, table, _faces(pack, ledger, plan, old), dtype=dtype)


def gate_report(ledger: Ledger, seen: Mapping[str, SeenPerformer], plan: Publication, examples: Path) -> GateReport:
    """Returns what became of every picture that the ledger has, with the examples that workers left."""
    report = GateReport()
    details: dict[str, tuple[str, str]] = {}
    shown = {path.stem: path for path in sorted(examples.glob("*/*.jpg"))}
    for table in ledger.latest(seen, ["performer", "image_id", "number", "reason", "detail"]):
        first = pc.and_(pc.less_equal(table["number"], 0), pc.not_equal(table["image_id"], ""))
        for row in table.filter(first).to_pylist():
            doubled = (row["performer"], row["image_id"]) in plan.doubled
            reason = OTHER if doubled else row["reason"]
            report.add(reason)
            if row["image_id"] in shown:
                details[row["image_id"]] = (reason, row["detail"] or seen[row["performer"]].facts.get("name", ""))
    for image_id, (reason, detail) in details.items():
        report.add(reason, detail, shown[image_id].read_bytes(), count=0)
    return report


def _performers(plan: Publication) -> Iterator[Performer]:
    merged: dict[str, list[str]] = {}
    for one in plan.seen.values():
        if one.state == "gone" and one.merged_into:
            merged.setdefault(one.merged_into, []).append(one.id)
    for performer in plan.faces:
        facts = plan.seen[performer].facts
        ids = {*facts["merged_ids"], *_merged_into(performer, merged)}
        yield Performer(
            plan.universal_id(performer),
            facts["name"],
            tuple(facts["aliases"]),
            ids=tuple(plan.universal_id(i) for i in ids),
            career_start=facts["career_start"],
            career_end=facts["career_end"],
            **{k: facts[k] or None for k in ("disambiguation", "gender", "country", "birth_date", "image_url")},
        )


def _merged_into(performer: str, merged: Mapping[str, Sequence[str]]) -> set[str]:
    """Returns all entries that became this one, also by way of others."""
    found: set[str] = set()
    waiting = [performer]
    while waiting:
        fresh = set(merged.get(waiting.pop(), ())) - found - {performer}
        found |= fresh
        waiting += fresh
    return found


def _faces(pack: ModelPack, ledger: Ledger, plan: Publication, old: pa.Table | None) -> Iterator[pa.RecordBatch]:
    schema = face_schema(pack.template_dim)
    columns = ["performer", "image_id", "url", "sha256", "quality", "yaw_deg", "detection_score", "template", "chosen"]
    for table in ledger.latest(plan.seen, [*columns, "state"]):
        good = pc.and_(table["chosen"], pc.equal(table["state"], "seen"))
        if plan.doubled:
            pairs = zip(table["performer"].to_pylist(), table["image_id"].to_pylist(), strict=True)
            good = pc.and_(good, pa.array([pair not in plan.doubled for pair in pairs], pa.bool_()))
        table = table.filter(good)  # noqa: PLW2901
        prefix = pa.scalar(plan.domain)
        renamed = {
            "universal_id": pc.binary_join_element_wise(prefix, table["performer"], ":"),
            "source": table["url"],
            "source_sha256": table["sha256"],
            **{name: table[name] for name in ("quality", "yaw_deg", "detection_score", "template")},
        }
        yield from pa.table(renamed).cast(schema).to_batches()
    if old is not None:
        kept = pc.is_in(old["universal_id"], value_set=pa.array(sorted(plan.kept)))
        yield from old.filter(kept).cast(schema).to_batches()
