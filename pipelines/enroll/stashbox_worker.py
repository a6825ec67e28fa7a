"""The actors of an enrolment from a stash-box: performers in, one status row each out.

Lives here: the tables that go in and out, and the process around `PictureLooker`, which stands back for requests and
ends when the run is stopped.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from pipelines.enroll.stashbox_pictures import BoxRun, PictureLooker
from pipelines.scan_worker import GRACE_S, LOOK_S, ScanStopped, grouped, ungrouped
from pipelines.settings import Settings
from pipelines.stash.stashbox_records import BoxImage, BoxPerformer

WORK_SCHEMA = pa.schema(
    [pa.field("performer", pa.string()), pa.field("facts", pa.string()), pa.field("known", pa.bool_())]
)
STATUS_SCHEMA = pa.schema(
    [
        pa.field("performer", pa.string()),
        pa.field("pictures", pa.int64()),
        pa.field("fetched", pa.int64()),
        pa.field("faces", pa.int64()),
        pa.field("reasons", pa.string()),  # JSON, pictures by reason
    ]
)


class BoxWorker:
    """Looks at the performers that it is given and returns one status row each. Made once in each actor."""

    def __init__(self, settings: Settings, run: BoxRun) -> None:
        os.nice(settings.scan_niceness)
        self._run = run
        self._looker = PictureLooker(settings, run)
        self._busy = False
        threading.Thread(target=self._watch, name="stop", daemon=True).start()

    def __call__(self, group: pa.Table) -> pa.Table:
        """Columns in: those of the work list, one row holding lists. Columns out: STATUS_SCHEMA, the same way."""
        rows: list[dict[str, Any]] = []
        self._busy = True
        try:
            with suppress(ScanStopped):
                rows.extend(self._looker.look(performers_of(ungrouped(group))))
        finally:
            self._busy = False
        return grouped(pa.Table.from_pylist(rows, STATUS_SCHEMA))

    def _watch(self) -> None:
        """Ends the process when the run was stopped and its work does not come to an end, or when Ray is gone."""
        parent = os.getppid()
        stopped_s = 0.0
        while True:
            time.sleep(LOOK_S)
            if os.getppid() != parent:
                os._exit(0)
            stopped_s = stopped_s + LOOK_S if self._busy and self._run.stopped() else 0.0
            if stopped_s > GRACE_S:  # it waits for a permit, or a decoder is stuck
                os._exit(0)


def work_row(performer: BoxPerformer, *, known: bool = False) -> dict[str, Any]:
    """Returns a row of the work list: WORK_SCHEMA."""
    return {"performer": performer.id, "facts": json.dumps(asdict(performer)), "known": known}


def performers_of(rows: pa.Table) -> list[tuple[BoxPerformer, bool]]:
    """Returns the performers of a work list, each with whether the ledger knows it."""
    return [(read_performer(row["facts"]), row["known"]) for row in rows.to_pylist()]


def read_performer(text: str) -> BoxPerformer:
    """Returns the performer of a row's facts."""
    facts = json.loads(text)
    lists = {name: tuple(facts[name]) for name in ("aliases", "merged_ids")}
    return BoxPerformer(**{**facts, **lists, "images": tuple(BoxImage(**image) for image in facts["images"])})
