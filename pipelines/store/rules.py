"""Who must not be in the performer database: people on the exclusion list and people younger than 18.

Lives here: deciding who that is among the people of a version. The list itself is `exclusions`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.store.people import People, having

ADULT_YEARS = 18
_DATE = r"^(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2}))?)?"


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """Which people are left out; one value a person each. Somebody may be both."""

    excluded: npt.NDArray[np.bool_]
    under_18: npt.NDArray[np.bool_]

    @property
    def any(self) -> npt.NDArray[np.bool_]:
        return self.excluded | self.under_18

    @property
    def counts(self) -> dict[str, int]:
        """Number of people by reason; who is excluded is not counted a second time."""
        return {"excluded": int(self.excluded.sum()), "under_18": int((self.under_18 & ~self.excluded).sum())}


def left_out(
    people: People, sources: Mapping[str, pa.Table], excluded: Collection[str], today: date | None = None
) -> LeftOut:
    """Returns who is left out.

    Args:
        sources: the tables of which the people were combined, by source id.
        excluded: ids on the exclusion list.
        today: UTC; now by default.
    """
    young = np.zeros(len(people), dtype=bool)
    for source, table in sources.items():
        young[people.rows_of(source)[under_18(table["birth_date"], today)]] = True
    return LeftOut(having(people.table, excluded), young)


def under_18(birth_dates: pa.ChunkedArray, today: date | None = None) -> npt.NDArray[np.bool_]:
    """Returns, for each ISO 8601 date, whether somebody born then is younger than 18.

    Of a year or a year and month the last day counts, so in doubt somebody is younger; a day or month 00 is an unknown
    one. What is no date says nothing.
    """
    today = today or datetime.now(UTC).date()
    parts = pc.extract_regex(birth_dates, pattern=_DATE)
    year, month, day = (_numbers(pc.struct_field(parts, name)) for name in ("year", "month", "day"))
    born = year * 10_000 + np.where(month == 0, 12, month) * 100 + np.where(day == 0, 31, day)
    limit = (today.year - ADULT_YEARS) * 10_000 + today.month * 100 + today.day
    young: npt.NDArray[np.bool_] = born > limit
    return young & (year > 0)


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Returns the numbers of a column of digits; 0 where there are none."""
    digits = pc.if_else(pc.equal(pc.fill_null(column, ""), ""), "0", column)
    numbers: npt.NDArray[np.int64] = pc.cast(digits, pa.int64()).to_numpy()
    return numbers
