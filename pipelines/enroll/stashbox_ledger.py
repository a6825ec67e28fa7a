"""What was seen of a stash-box: every picture that was looked at, with its faces, by performer.

    <folder>/pictures/r000003.<performer>.parquet    one performer, as run 3 saw it
    <folder>/pictures/joined.<unique>.parquet        many of them, joined

A performer's file appears by rename once all of its pictures were looked at, so what a killed run did is kept and
nothing is half there. Of two runs the later one counts. The version that is searched is made of this by
`enroll_stashbox_publish`; pictures that are in here need not be fetched again, whatever else changes of a performer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from filelock import FileLock

from pipelines.durable import rename_synced
from pipelines.errors import NotWritable
from pipelines.faces.engine import Face

JOIN_FROM = 500
"""Files of single performers from which they are joined."""
MOST_JOINED = 16
"""Joined files; when there are more they are joined again."""
MOST_TRIES = 3
"""Runs that try to fetch a picture whose server does not answer."""
PASSING = ("unreachable", "crashed")
"""Faults that a later run may not meet."""
ROWS_A_GROUP = 4096

State = Literal["seen", "gone", "left_out"]


@dataclass(slots=True)
class SeenPicture:
    """One picture of a performer.

    Attributes:
        sha256: of its bytes, "" when they were never had.
        side_px: its shorter side; 0 when unknown.
        tries: runs in which fetching failed for a passing reason.
        fault: why there are no faces to choose from: "" for none.
        reason, detail: what the gates said; "enrolled" when they took a face.
        faces: largest first; without landmarks and crops when they were read back.
        chosen: number of the face that is enrolled, -1 for none.
    """

    image_id: str
    url: str
    sha256: str = ""
    side_px: int = 0
    tries: int = 0
    fault: str = ""
    reason: str = ""
    detail: str = ""
    faces: list[Face] = field(default_factory=list)
    chosen: int = -1

    @property
    def open(self) -> bool:
        """Whether another run should try to fetch it."""
        return self.fault in PASSING and self.tries < MOST_TRIES


@dataclass(frozen=True, slots=True)
class SeenPerformer:
    """A performer as it was last seen.

    Attributes:
        updated: the box's text; "" when it is not known.
        state: "gone" from the box, "left_out" because it must not be enrolled.
        merged_into: id of the entry that a gone one was merged into.
        open: whether another run should try again to fetch a picture.
        text: what the box says of it, as JSON.
    """

    id: str
    updated: str
    run: int
    state: State
    open: bool
    text: str = "{}"

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)
        return found

    @property
    def merged_into(self) -> str:
        return str(self.facts.get("merged_into_id") or "")


def ledger_schema(template_dim: int) -> pa.Schema:
    """Returns one row a face; a picture without any, and a performer without pictures, have one with number -1."""
    return pa.schema(
        [
            *(pa.field(name, pa.string()) for name in ("performer", "updated", "state", "facts")),
            pa.field("run", pa.int32()),
            *(pa.field(name, pa.string()) for name in ("image_id", "url", "sha256", "fault", "reason", "detail")),
            pa.field("side_px", pa.int32()),
            pa.field("tries", pa.int16()),
            pa.field("number", pa.int16()),
            pa.field("chosen", pa.bool_()),
            pa.field("box", pa.list_(pa.float32(), 4)),
            *(pa.field(name, pa.float32()) for name in ("detection_score", "yaw_deg", "quality")),
            pa.field("template", pa.list_(pa.float16(), template_dim)),
        ]
    )


class Ledger:
    """The files of one box and one kind of template."""

    def __init__(self, folder: Path, template_dim: int) -> None:
        self.folder = folder / "pictures"
        self.schema = ledger_schema(template_dim)

    def write(
        self,
        run: int,
        performer: str,
        pictures: Sequence[SeenPicture],
        *,
        updated: str = "",
        facts: Mapping[str, Any] | None = None,
        state: State = "seen",
    ) -> None:
        """Writes what a run saw of a performer. Raises NotWritable."""
        head = {
            "performer": performer,
            "updated": updated,
            "state": state,
            "facts": json.dumps(facts or {}),
            "run": run,
        }
        rows = [head | row for picture in pictures for row in _rows(picture)] or [head | _EMPTY]
        self._write(self._part(run, performer), pa.Table.from_pylist(rows, self.schema))

    def written(self, run: int, performer: str) -> bool:
        """Whether a run has seen a performer already and its file is not joined yet."""
        return self._part(run, performer).exists()

    def performers(self) -> dict[str, SeenPerformer]:
        """Returns every performer that was ever seen, as last seen."""
        return _performers(self._files())

    def pictures(self, performers: Collection[str]) -> dict[str, list[SeenPicture]]:
        """Returns the pictures of performers as last seen, in the order in which they were looked at."""
        rows: dict[str, list[dict[str, Any]]] = {}
        wanted = pa.array(sorted(performers), pa.string())
        for table in self._tables(wanted):
            for row in table.to_pylist():
                own = rows.setdefault(row["performer"], [])
                if own and own[0]["run"] < row["run"]:
                    own.clear()
                if not own or own[0]["run"] == row["run"]:
                    own.append(row)
        return {performer: _pictures(own) for performer, own in rows.items()}

    def latest(self, seen: Mapping[str, SeenPerformer], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yields the rows that count, in blocks: those of each performer's last run, each row once."""
        return _latest(self._files(), seen, columns)

    def join(self, *, most: int = JOIN_FROM) -> None:
        """Joins the files of single performers when there are more than `most`, and joined ones when these are many.

        Rows that another run made out of date are dropped where that can be told.
        """
        with self._lock():
            single = sorted(self.folder.glob("r*.parquet"))
            if len(single) > most:
                self._join(single)
            if len(joined := sorted(self.folder.glob("joined.*.parquet"))) > MOST_JOINED:
                self._join(joined)

    def erase(self, performers: Collection[str]) -> int:
        """Removes all that was seen of performers; returns the number of faces removed."""
        gone, faces = pa.array(sorted(performers), pa.string()), 0
        with self._lock():
            for path in self._files():
                table = pq.read_table(path)
                hit = pc.is_in(table["performer"], value_set=gone)
                if not pc.any(hit).as_py():
                    continue
                faces += pc.sum(pc.greater_equal(table.filter(hit)["number"], 0)).as_py() or 0
                kept = table.filter(pc.invert(hit))
                if len(kept):
                    self._write(path, kept)
                else:
                    path.unlink()
        return faces

    def _join(self, files: Sequence[Path]) -> None:
        """Makes one file of several; the newer rows are in the files that come later."""
        partial = self.folder / f".joined.{secrets.token_hex(4)}.partial"
        try:
            with pq.ParquetWriter(partial, self.schema, compression="zstd") as writer:
                for table in _latest(files, _performers(files)):
                    writer.write_table(table, row_group_size=ROWS_A_GROUP)
            rename_synced(partial, self.folder / f"joined.{secrets.token_hex(4)}.parquet")
        except OSError as error:
            raise _not_writable(self.folder, error) from error
        finally:
            partial.unlink(missing_ok=True)
        for path in files:
            path.unlink(missing_ok=True)

    def _lock(self) -> FileLock:
        """Who joins and who erases take turns: a join would bring back what was erased meanwhile."""
        return FileLock(self.folder.with_name(".pictures.lock"))

    def _tables(self, wanted: pa.Array) -> Iterator[pa.Table]:
        for path in self._files():
            if (
                path.name[0] == "r"
                and len(wanted) < JOIN_FROM
                and not any(f".{p}." in path.name for p in wanted.to_pylist())
            ):
                continue
            for batch in pq.ParquetFile(path).iter_batches(batch_size=ROWS_A_GROUP):
                table = pa.Table.from_batches([batch])
                table = table.filter(pc.is_in(table["performer"], value_set=wanted))
                if len(table):
                    yield table

    def _files(self) -> list[Path]:
        """Returns the files, joined ones first."""
        return sorted(self.folder.glob("joined.*.parquet")) + sorted(self.folder.glob("r*.parquet"))

    def _part(self, run: int, performer: str) -> Path:
        return self.folder / f"r{run:06d}.{performer}.parquet"

    def _write(self, path: Path, table: pa.Table) -> None:
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, partial, compression="zstd", row_group_size=ROWS_A_GROUP)
            rename_synced(partial, path)
        except OSError as error:
            raise _not_writable(path.parent, error) from error
        finally:
            partial.unlink(missing_ok=True)

    def clean(self) -> None:
        """Removes what killed writers left."""
        for partial in self.folder.glob(".*.partial"):
            partial.unlink(missing_ok=True)


def _performers(files: Iterable[Path]) -> dict[str, SeenPerformer]:
    found: dict[str, SeenPerformer] = {}
    open_rows: set[tuple[str, int]] = set()
    names = ["performer", "updated", "state", "facts", "run", "fault", "tries"]
    for path in files:
        for batch in pq.ParquetFile(path).iter_batches(columns=names):
            for row in batch.to_pylist():
                if row["fault"] in PASSING and row["tries"] < MOST_TRIES:
                    open_rows.add((row["performer"], row["run"]))
                before = found.get(row["performer"])
                if before is None or before.run < row["run"]:
                    found[row["performer"]] = SeenPerformer(
                        row["performer"], row["updated"], row["run"], row["state"], open=False, text=row["facts"]
                    )
    for performer, run in open_rows:
        if found[performer].run == run:
            found[performer] = replace(found[performer], open=True)
    return found


def _latest(
    files: Iterable[Path], seen: Mapping[str, SeenPerformer], columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    done: set[str] = set()
    for path in files:
        own: set[str] = set()
        for batch in pq.ParquetFile(path).iter_batches(batch_size=ROWS_A_GROUP):
            table = pa.Table.from_batches([batch])
            pairs = zip(table["performer"].to_pylist(), table["run"].to_pylist(), strict=True)
            counts = [p in seen and seen[p].run == run and p not in done for p, run in pairs]
            table = table.filter(pa.array(counts, pa.bool_()))
            own.update(table["performer"].to_pylist())
            if len(table):
                yield table if columns is None else table.select(list(columns))
        done |= own


_EMPTY: dict[str, Any] = {
    **dict.fromkeys(("image_id", "url", "sha256", "fault", "reason", "detail"), ""),
    "side_px": 0,
    "tries": 0,
    "number": -1,
    "chosen": False,
    "box": None,
    **dict.fromkeys(("detection_score", "yaw_deg", "quality", "template")),
}


def _rows(picture: SeenPicture) -> list[dict[str, Any]]:
    names = ("image_id", "url", "sha256", "fault", "reason", "detail", "side_px", "tries")
    common = _EMPTY | {name: getattr(picture, name) for name in names}
    return [
        common
        | {
            "number": number,
            "chosen": number == picture.chosen,
            "box": face.box.tolist(),
            "detection_score": face.detection_score,
            "yaw_deg": face.yaw_deg,
            "quality": face.quality,
            "template": face.template.astype(np.float16),
        }
        for number, face in enumerate(picture.faces)
    ] or [common]


def _pictures(rows: Sequence[Mapping[str, Any]]) -> list[SeenPicture]:
    found: dict[str, SeenPicture] = {}
    for row in rows:
        if not row["image_id"]:
            continue
        names = ("image_id", "url", "sha256", "side_px", "tries", "fault", "reason", "detail")
        picture = found.setdefault(row["image_id"], SeenPicture(**{name: row[name] for name in names}))
        if row["number"] == len(picture.faces):
            if row["chosen"]:
                picture.chosen = row["number"]
            picture.faces.append(_face(row))
    return list(found.values())


def _face(row: Mapping[str, Any]) -> Face:
    return Face(
        box=np.array(row["box"], np.float32),
        landmarks=np.zeros((5, 2), np.float32),
        detection_score=row["detection_score"],
        yaw_deg=row["yaw_deg"],
        roll_deg=0.0,
        quality=row["quality"],
        template=np.array(row["template"], np.float32),
        crop=np.zeros((0, 0, 3), np.uint8),
    )


def _not_writable(folder: Path, error: OSError) -> NotWritable:
    return NotWritable(f"{folder} cannot be written: {error}.", "Free some space or choose another data folder.")
