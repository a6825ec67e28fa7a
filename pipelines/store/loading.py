"""The folder of a version as a gallery: mapped as it was written, or computed from the templates of its shards.

Lives here: reading what `publishing` writes, and the means and the raw templates of the people of several shards.
Memory of the means is that of the people (float32), not of the templates, which are read a row group at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.faces.gallery import Gallery, RawTemplates
from pipelines.faces.index import FaceIndex, IndexDtype
from pipelines.faces.packs import ModelPack
from pipelines.faces.templates import TemplateSpace
from pipelines.faces.types import F32, I32
from pipelines.store.manifest import Manifest
from pipelines.store.people import People
from pipelines.store.shards import SHARD_FILES, face_batches, readable, shard_folder
from pipelines.store.tables import batch_templates


def load_gallery(folder: Path, manifest: Manifest, pack: ModelPack, threads: int) -> Gallery:
    """Returns a version as a gallery, everybody included; centre and index are computed anew when the pack changed."""
    sources = list(manifest.sources)
    table = _table(folder / "performers.parquet")
    space = TemplateSpace.from_dict(json.loads((folder / "space.json").read_text()))
    if not space.fits(pack):
        people = People(table, _table(folder / "members.parquet"))
        return build_gallery(
            folder, manifest.version, pack, people, sources, dtype=manifest.index_dtype, threads=threads
        )

    def templates() -> RawTemplates:
        return read_templates(folder, People(table, _table(folder / "members.parquet")), sources)

    return Gallery(manifest.version, pack, table, space, FaceIndex.load(folder, threads=threads), templates)


def build_gallery(
    folder: Path,
    version: str,
    pack: ModelPack,
    people: People,
    sources: Sequence[str],
    *,
    dtype: IndexDtype,
    threads: int = 0,
) -> Gallery:
    """Returns the gallery of the shards in a version's folder; centre and index are computed from them."""
    means, counts = _means(folder, pack.template_dim, people, sources)
    enrolled = np.flatnonzero(counts)
    if len(enrolled) < len(means):
        means = means[enrolled]
    return Gallery.of_means(
        pack,
        people.table,
        means,
        enrolled,
        lambda: read_templates(folder, people, sources),
        version=version,
        dtype=dtype,
        threads=threads,
    )


def read_templates(folder: Path, people: People, sources: Sequence[str]) -> RawTemplates:
    """Returns the raw templates of all shards of a version, float16, in ascending order of person row."""
    found = [(rows, batch_templates(batch)) for rows, batch in _blocks(folder, people, sources)]
    rows = np.concatenate([rows for rows, _ in found])
    order = np.argsort(rows, kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    templates = np.empty((len(rows), found[0][1].shape[1]), dtype=np.float16)
    start = 0
    for own, values in found:
        templates[place[start : start + len(own)]] = values
        start += len(own)
    return RawTemplates(templates, rows[order])


def _means(folder: Path, template_dim: int, people: People, sources: Sequence[str]) -> tuple[F32, npt.NDArray[np.intp]]:
    """Returns (people, template_dim) float32 mean raw templates and the number of templates of each person."""
    sums: F32 = np.zeros((len(people), template_dim), dtype=np.float32)
    counts = np.zeros(len(people), dtype=np.intp)
    for rows, batch in _blocks(folder, people, sources):
        order = np.argsort(rows, kind="stable")
        persons, starts, sizes = np.unique(rows[order], return_index=True, return_counts=True)
        values = batch_templates(batch)[order].astype(np.float32)
        sums[persons] += np.add.reduceat(values, starts, axis=0)
        counts[persons] += sizes
    sums /= np.maximum(counts, 1)[:, None].astype(np.float32)
    return sums, counts


def _blocks(folder: Path, people: People, sources: Sequence[str]) -> Iterator[tuple[I32, pa.RecordBatch]]:
    """Yields (n,) person rows and a batch with the column `template`, a row group at a time."""
    for source in sources:
        path = shard_folder(folder, source) / SHARD_FILES[1]
        entries = people.members.filter(pc.equal(people.members["source"], source))
        with readable(path):
            owners = pq.read_table(path, columns=["universal_id"], memory_map=True)["universal_id"]
        numbers = pc.index_in(owners, value_set=entries["universal_id"].combine_chunks())
        rows = entries["row"].to_numpy()[numbers.to_numpy()]
        start = 0
        for batch in face_batches(path, ["template"]):
            yield rows[start : start + len(batch)], batch
            start += len(batch)


def _table(path: Path) -> pa.Table:
    return pq.read_table(path, memory_map=True)
