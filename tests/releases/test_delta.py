"""Deltas and chains of them, made with the real usearch library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.faces.catalogue import BUFFALO_L
from pipelines.faces.gallery import Performer
from pipelines.releases import import_release, inspect
from pipelines.releases.bundle import Bundle
from pipelines.releases.delta import apply_delta
from pipelines.releases.facts import Watch
from pipelines.store.performers import PerformerDatabase
from tests.releases import bundles
from tests.releases.bundles import write_delta
from tests.releases.conftest import Import, SmallRelease
from tests.releases.deltas import FULL, SOURCE, by_name, face, faces_by_key, performer, stashdb


def test_inspect_says_what_a_delta_leads_to(tmp_path: Path):
    path = write_delta(tmp_path, FULL, "2026.09.08", {})
    facts = inspect(path)
    assert (facts.kind, facts.from_version, facts.version) == ("stash-sense2-delta", FULL, "2026.09.08")
    assert facts.source == SOURCE
    assert inspect(path.with_suffix("")).version == "2026.09.08"


def test_a_delta_adds_replaces_and_removes(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    before = faces_by_key(database)
    new_person = performer(
        50,
        "New",
        birth_date="1991",
        gender="FEMALE",
        aliases_json='["N.", "Newcomer"]',
        images_json='[{"url": "https://cdn.invalid/n.jpg"}]',
        career_start_year=2015,
    )
    report = import_new(
        write_delta(
            tmp_path,
            FULL,
            "2026.09.08",
            {
                "performers": [new_person, performer(2, "Two renamed")],
                "faces": [face(500, 50, 60), face(501, 50, 61), face(1, 1, 62)],
                "removed_faces": [{"embedding_index": 4}, {"embedding_index": 9999}],
            },
        )
    )
    assert (report.release, dict(report.skipped)) == ("2026.09.08", {"unknown_removals": 1})
    found = faces_by_key(database)
    assert set(found) == set(before) - {4} | {500, 501}
    assert report.faces == len(found) == 61
    for key, seed, owner in ((500, 60, 50), (501, 61, 50), (1, 62, 1)):
        assert found[key][0] == stashdb(owner)
        assert np.abs(found[key][1] - bundles.vectors(1, seed=seed)[0]).max() < 1e-3
    for key in set(before) - {1, 4}:
        assert found[key][0] == before[key][0]
        assert np.array_equal(found[key][1], before[key][1])
    people = by_name(database)
    new = people["New"]
    assert (new["universal_id"], new["birth_date"], new["career_start"]) == (stashdb(50), "1991", 2015)
    assert (new["aliases"], new["image_url"]) == (["N.", "Newcomer"], "https://cdn.invalid/n.jpg")
    assert "Person 2" not in people
    assert people["Two renamed"]["universal_id"] == stashdb(2)
    info = database.manifest().sources[SOURCE]
    assert (info.release, info.details["full"], info.details["deltas"]) == ("2026.09.08", FULL, ["2026.09.08"])


def test_a_chain_is_written_as_one_version(
    release2: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    first = write_delta(tmp_path, FULL, "b", {"performers": [performer(50, "New")], "faces": [face(500, 50, 60)]})
    second = write_delta(
        tmp_path,
        "b",
        "c",
        {"faces": [face(500, 50, 61), face(501, 50, 62)], "removed_faces": [{"embedding_index": 1}]},
    )
    third = write_delta(tmp_path, "c", "d", {"faces": [face(1, 3, 63)], "removed_faces": [{"embedding_index": 501}]})
    report = import_new(release2.folder, first, second, third)
    assert (report.release, len(database.versions())) == ("d", 1)
    found = faces_by_key(database)
    assert set(found) == set(release2.keys) | {500}
    assert np.abs(found[500][1] - bundles.vectors(1, seed=61)[0]).max() < 1e-3
    assert found[1][0] == stashdb(3)
    one_by_one = PerformerDatabase(tmp_path / "other")
    for path in (release2.folder, first, second, third):
        import_release(path, one_by_one, BUFFALO_L, workdir=tmp_path / "work")
    other = faces_by_key(one_by_one)
    assert {k: v[0] for k, v in other.items()} == {k: v[0] for k, v in found.items()}
    assert all(np.array_equal(other[k][1], found[k][1]) for k in found)
    assert by_name(one_by_one) == by_name(database)


def test_older_deltas_without_newer_tables_and_columns(
    imported: SmallRelease, database: PerformerDatabase, import_new: Import, tmp_path: Path
):
    schema = """
    CREATE TABLE performers (endpoint TEXT, stashbox_id TEXT, action TEXT, name TEXT, aliases_json TEXT, extra TEXT);
    CREATE TABLE faces (embedding_index INTEGER, endpoint TEXT, stashbox_id TEXT, image_url TEXT, embedding BLOB);
    CREATE TABLE removed_faces (embedding_index INTEGER);
    """
    new = {"endpoint": "stashdb", "stashbox_id": bundles.uuid(50), "action": "upsert", "name": "New"}
    row = {k: v for k, v in face(500, 50, 92).items() if k not in {"quality_score", "yaw"}}
    import_new(write_delta(tmp_path, FULL, "b", {"performers": [new], "faces": [row]}, schema=schema))
    assert faces_by_key(database)[500][0] == stashdb(50)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("face"), st.integers(0, 12), st.integers(1, 6)),
        st.tuples(st.just("remove face"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("performer"), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("remove performer"), st.integers(1, 6), st.just(0)),
    ),
    max_size=8,
)


@given(chain=st.lists(OPERATIONS, min_size=1, max_size=3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_chain_gives_what_a_plain_replay_gives(chain: list[list[tuple[str, int, int]]], tmp_path: Path):
    """The reference is two dictionaries: names by performer, owners by face."""
    people = {1, 2, 3}
    owners = {0: 1, 2: 2, 4: 3, 6: 1}
    vectors = {key: bundles.vectors(1, seed=key)[0] for key in owners}
    keys = np.array(list(owners))
    start = np.stack([vectors[k] for k in owners]).astype(np.float16)
    bundle = Bundle(
        people=[Performer(stashdb(n), f"P{n}") for n in sorted(people)],
        owner=np.array([owners[k] - 1 for k in owners], dtype=np.int32),
        key=keys,
        url=pa.nulls(len(keys), pa.string()),
        sha256=pa.nulls(len(keys), pa.string()),
        quality=np.zeros(len(keys), np.float32),
        yaw_deg=np.zeros(len(keys), np.float32),
        take=lambda rows: start[rows],
    )
    for number, operations in enumerate(chain):
        tables: dict[str, dict[Any, Any]] = {"performers": {}, "faces": {}, "removed_faces": {}}
        for what, first, second in operations:
            if what in {"performer", "remove performer"}:
                action = "removed" if what.startswith("remove") else "upsert"
                tables["performers"][first] = performer(first, f"P{first}", action=action)
            elif what == "face":
                tables["faces"][first] = face(first, second, 100 * (number + 1) + first)
            else:
                tables["removed_faces"][first] = {"embedding_index": first}
        for n, row in tables["performers"].items():
            (people.discard if row["action"] == "removed" else people.add)(n)
        owners = {k: n for k, n in owners.items() if n in people}
        for key, row in tables["faces"].items():
            owner = int(row["stashbox_id"][-3:])
            if owner in people:
                owners[key], vectors[key] = owner, bundles.vectors(1, seed=100 * (number + 1) + key)[0]
        owners = {k: n for k, n in owners.items() if k not in tables["removed_faces"]}
        inner = tmp_path / f"{number}-{np.random.default_rng().integers(1 << 40)}"
        rows = {table: list(of_table.values()) for table, of_table in tables.items()}
        folder = write_delta(inner, str(number), str(number + 1), rows, zipped=False)
        bundle = apply_delta(bundle, folder, BUFFALO_L, Watch())
    assert {p.universal_id for p in bundle.people} == {stashdb(n) for n in people}
    live = np.flatnonzero(bundle.owner >= 0)
    found = {int(bundle.key[i]): bundle.people[bundle.owner[i]].universal_id for i in live}
    assert found == {key: stashdb(n) for key, n in owners.items()}
    templates = bundle.take(live).astype(np.float32)
    for i, template in zip(live, templates, strict=True):
        assert np.abs(template - vectors[int(bundle.key[i])]).max() < 1e-3
    assert len(live) == len(found)
