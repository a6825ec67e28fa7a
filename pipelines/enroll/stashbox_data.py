"""The work list of an enrolment as a source of Ray Data: small groups of performers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ray.data import Datasource, ReadTask
from ray.data.block import BlockMetadata

from pipelines.scan_worker import grouped

LARGEST_GROUP = 8
"""Performers that an actor is given at once: they share the pictures that are fetched ahead."""
TAIL_GROUPS = 4


class WorkSource(Datasource):
    """A work list as groups of performers, one row a group, whose columns are lists."""

    def __init__(self, path: Path, workers: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path
        self._workers = workers

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        with pq.ParquetFile(self._path) as file:
            lengths = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        tasks, after = [], sum(lengths)
        for number, length in enumerate(lengths):
            after -= length
            facts = BlockMetadata(num_rows=length, size_bytes=None, input_files=None, exec_stats=None)
            tasks.append(ReadTask(_reading(self._path, number, after, self._workers), facts))
        return tasks


def _reading(path: Path, number: int, after: int, workers: int) -> Callable[[], Iterator[pa.Table]]:
    def read() -> Iterator[pa.Table]:
        with pq.ParquetFile(path) as file:
            rows = file.read_row_group(number)
        start = 0
        while start < len(rows):
            left = after + len(rows) - start
            size = max(1, min(LARGEST_GROUP, left // (workers * TAIL_GROUPS)))
            yield grouped(rows.slice(start, size))
            start += size

    return read
