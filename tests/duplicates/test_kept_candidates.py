"""Candidates on disk: nothing is lost by keeping them, and whatever a search reads makes another digest."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.duplicates.candidates import find_candidates
from pipelines.duplicates.kept_candidates import digest_of_search, pairs_of, read_pairs, searched_in, write_pairs
from pipelines.duplicates.scene_table import Links, SceneTable
from tests.duplicates.invented import NOBODY, Film, frame_table, scene

BOX = "https://stashdb.example/graphql"
PEOPLE = Links(np.array([0, 3, 3]), np.array([0, 0, 1]))


@pytest.fixture
def table() -> SceneTable:
    return SceneTable.of(
        [
            scene(2, phashes=(5,), stash_ids=((BOX, "a"),), performers=("1",), studio="1", date="2024-05-01"),
            scene(7, phashes=(7,), stash_ids=((BOX, "a"),)),
            scene(11, phashes=(1 << 60,), performers=("1",), studio="1", date="2024-05-01", duration_s=1000.0),
            scene(30, phashes=(2**63 + 2**50,)),
            scene(31),
        ]
    )


def test_kept_pairs_are_those_that_were_found(table: SceneTable, tmp_path: Path):
    film = Film(1)
    frames = frame_table(table, film.frames(2, [10, 60, 99, 200]) + film.frames(3, [10, 60, 99, 200], shift=4.0))
    found = find_candidates(table, frames, PEOPLE)
    assert len(found) == 6
    path = tmp_path / "folder" / "pairs.parquet"
    assert read_pairs(path) is None
    assert searched_in(path) == ""
    write_pairs(path, pairs_of(table, found, "a digest"))
    kept = read_pairs(path)
    assert kept is not None
    assert kept.searched == searched_in(path) == "a digest"
    assert kept.ids == ("2", "7", "11", "30"), "scenes in no pair are not kept"
    for row, (a, b, signals) in enumerate(found):
        assert kept.scenes(row) == (table.ids[a], table.ids[b])
        assert kept.files()[row] == (table.fingerprints[a], table.fingerprints[b])
        assert kept.found.signals(row) == signals
    path.write_bytes(path.read_bytes()[:-9])
    assert read_pairs(path) is None, "a damaged file is one that was never there"


def test_no_pairs_are_kept_too(tmp_path: Path):
    table = SceneTable.of([scene(1)])
    write_pairs(tmp_path / "a", pairs_of(table, find_candidates(table, frame_table(table, []), NOBODY), "none"))
    kept = read_pairs(tmp_path / "a")
    assert kept is not None
    assert (len(kept.found), kept.ids, kept.searched) == (0, (), "none")


@pytest.mark.parametrize("column", [one.name for one in fields(SceneTable)])
def test_the_digest_changes_with_every_column(table: SceneTable, column: str):
    def other(value: Any) -> Any:
        if isinstance(value, Links):
            return Links(value.scene, value.item + 1)
        return (*value[:-1], f"{value[-1]}0") if isinstance(value, tuple) else value + value.dtype.type(1)

    changed = replace(table, **{column: other(getattr(table, column))})
    assert digest_of_search(changed, PEOPLE, "scans") != digest_of_search(table, PEOPLE, "scans")


def test_the_digest_changes_with_people_and_scans_but_not_with_their_order(table: SceneTable):
    digest = digest_of_search(table, PEOPLE, "scans")
    assert digest_of_search(table, Links(PEOPLE.scene[::-1], PEOPLE.item[::-1]), "scans") == digest
    assert digest_of_search(table, NOBODY, "scans") != digest
    assert digest_of_search(table, PEOPLE, "other scans") != digest
