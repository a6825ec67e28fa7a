"""What a scan has to look at: the contents of Stash that are not scanned yet, as a Parquet file.

Contents come page by page from Stash, what the dataset already holds is left out (the anti-join), and the rest is
written as it comes, so that a library of any size needs little memory here. Nothing here decodes, or knows Ray.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.jobs import ScanRequest
from pipelines.media.access import MediaAccess
from pipelines.settings import Settings
from pipelines.stash.library import StashLibrary
from pipelines.stash.records import Image, Scene, content_fingerprint
from pipelines.store.scan_schema import ContentKind, ScanKey, ScanRecipe
from pipelines.store.templates import ScanDataset

NO_FILE = "none"
"""Fingerprint of a content without a file."""
ROWS_A_GROUP = 1000

SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("file_fingerprint", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("galleries", pa.list_(pa.string()), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class ScanEntry:
    """One content to look at.

    Attributes:
        path: of its file as Stash names it; empty when it has none.
        url: where Stash serves it, on the configured address and without a key; empty when there is no such address.
        duration_s: what Stash says; 0.0 for images.
    """

    kind: ContentKind
    content_id: str
    file_fingerprint: str
    path: str
    url: str
    duration_s: float = 0.0
    galleries: tuple[str, ...] = ()

    def key(self, recipes: Mapping[ContentKind, ScanRecipe]) -> ScanKey:
        return ScanKey(self.kind, self.content_id, self.file_fingerprint, recipes[self.kind])


@dataclass(slots=True)
class ListingCounts:
    """How a listing went so far.

    Attributes:
        listed: contents that Stash named.
        settled: of these, scanned already.
        vanished: ids that were asked for and do not exist.
    """

    listed: int = 0
    settled: int = 0
    vanished: int = 0


class Settled:
    """Which contents need no scan: those whose scan is of the same file and recipe."""

    def __init__(self, dataset: ScanDataset, request: ScanRequest) -> None:
        self._keys: set[tuple[str, str, str, str]] = set()
        if request.fresh:
            return
        done = dataset.done(("kind", "content_id", "file_fingerprint", "recipe", "retryable"))
        columns = [done[name].to_pylist() for name in done.schema.names]
        for kind, content_id, fingerprint, recipe, retryable in zip(*columns, strict=True):
            if not (retryable and request.retry_failed):
                self._keys.add((kind, content_id, fingerprint, recipe))

    def __contains__(self, key: ScanKey) -> bool:
        return (key.kind, key.content_id, key.file_fingerprint, key.recipe_digest) in self._keys


async def entries_to_scan(
    library: StashLibrary,
    access: MediaAccess,
    request: ScanRequest,
    settled: Settled,
    recipes: Mapping[ContentKind, ScanRecipe],
    counts: ListingCounts,
) -> AsyncGenerator[ScanEntry, None]:
    """Yields what has to be scanned, in Stash's order of ids or newest first; `counts` is kept up to date.

    Raises the StashError leaves of the library.
    """
    found = 0
    async with aclosing(_listed(library, access, request, counts)) as listing:
        async for entry in listing:
            counts.listed += 1
            if entry.key(recipes) in settled:
                counts.settled += 1
                continue
            yield entry
            found += 1
            if found == request.limit:
                return


async def _listed(
    library: StashLibrary, access: MediaAccess, request: ScanRequest, counts: ListingCounts
) -> AsyncGenerator[ScanEntry, None]:
    kinds: Sequence[ContentKind] = ("image",) if request.galleries is not None else request.kinds
    for kind in dict.fromkeys(kinds):
        seen: set[str] = set()
        asked: dict[str, Any] = {"filter": request.filter, "newest_first": request.newest_first, "detail": "scan"}
        for gallery in request.galleries if request.galleries is not None else (None,):
            if kind == "scene":
                source: AsyncIterator[Scene | Image] = library.scenes(ids=request.ids, **asked)
            else:
                source = library.images(ids=request.ids, gallery_id=gallery, **asked)
            async for content in source:
                if request.galleries is None or content.id not in seen:
                    yield _entry(kind, content, access)
                if request.ids is not None or request.galleries is not None:
                    seen.add(content.id)
        if request.ids is not None:
            counts.vanished += len(set(request.ids) - seen)


def _entry(kind: ContentKind, content: Scene | Image, access: MediaAccess) -> ScanEntry:
    file = content.primary_file
    url = content.paths.stream if isinstance(content, Scene) else content.paths.image
    return ScanEntry(
        kind,
        content.id,
        NO_FILE if file is None else content_fingerprint(file),
        "" if file is None else file.path,
        access.rebase(url) if url and file is not None else "",
        float(getattr(file, "duration_s", 0.0)),
        content.galleries,
    )


class Manifest:
    """The file that holds the entries of one scan."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def write(self, entries: AsyncIterator[ScanEntry], on_row: Callable[[int], None]) -> int:
        """Writes the entries as they come and returns their number; `on_row` is told each."""
        rows: list[dict[str, Any]] = []
        total = 0
        with pq.ParquetWriter(self.path, SCHEMA, compression="zstd") as writer:
            async for entry in entries:
                rows.append(asdict(entry))
                total += 1
                on_row(total)
                if len(rows) == ROWS_A_GROUP:
                    writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                    rows.clear()
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        return total

    def read(self, row_group: int) -> pa.Table:
        """Returns the rows of one row group."""
        with pq.ParquetFile(self.path) as file:
            return file.read_row_group(row_group)

    def row_groups(self) -> list[int]:
        """Returns the number of rows of each row group."""
        with pq.ParquetFile(self.path) as file:
            return [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]

    def entries(self) -> Iterator[ScanEntry]:
        """Yields all entries, a row group in memory at a time."""
        for number in range(len(self.row_groups())):
            yield from entries_of(self.read(number))


def entries_of(table: pa.Table) -> list[ScanEntry]:
    """Returns the rows of a manifest as entries."""
    return [ScanEntry(**{**row, "galleries": tuple(row["galleries"])}) for row in table.to_pylist()]


def recipes(settings: Settings) -> dict[ContentKind, ScanRecipe]:
    """Returns the recipe in force for each kind. Raises PackUnknown."""
    from pipelines.parts import scan_recipe

    return {"scene": scan_recipe(settings, "scene"), "image": scan_recipe(settings, "image")}
