import dataclasses
import threading
import time
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest

from pipelines.errors import NotWritable
from pipelines.store import matches as matches_module
from pipelines.store.match_table import PEOPLE_SCHEMA, write_people
from pipelines.store.matches import ContentMatch, ContentPerson, MatchCandidate, MatchStamp, MatchStore
from pipelines.store.schema import ContentPersonRow

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STAMP = MatchStamp("oshash:1", "abc", AT, "v1", "d1")


def person(number: int | None, frames: int = 4) -> ContentPerson:
    candidate = MatchCandidate(f"local:{number or 0}", f"P{number or 0}", 0.25, 0.75)
    return ContentPerson(
        universal_id=None if number is None else f"local:{number}",
        name=None if number is None else f"P{number}",
        faces=5,
        frames=frames,
        share=frames / 10,
        confidence=None if number is None else 0.75,
        distance=None if number is None else 0.25,
        ranges=((0.0, 1.5), (3.25, 4.0)),
        candidates=(candidate,),
        best_time_s=1.25,
        best_box=(1.0, 2.5, 30.0, 40.0),
    )


def match(content_id: str, *people: ContentPerson, kind: str = "scene", **changes) -> ContentMatch:
    stamp = dataclasses.replace(STAMP, **{k: v for k, v in changes.items() if k in MatchStamp.__dataclass_fields__})
    return ContentMatch(kind, content_id, stamp, "ok" if people else "no_face", 9, 10, 12.5, people, AT)  # type: ignore[arg-type]


@pytest.fixture
def matches(store):
    return MatchStore(store)


def test_what_is_written_is_read_again(matches):
    written = match("1", person(3), person(None))
    nobody = match("2")
    image = dataclasses.replace(
        match("1", dataclasses.replace(person(7), ranges=(), best_time_s=None), kind="image"), duration_s=None, frames=1
    )
    matches.replace([written, nobody, image])
    assert matches.get("scene", "1") == written
    assert matches.get("scene", "2") == nobody
    assert matches.get("image", "1") == image
    assert matches.get("scene", "3") is None
    assert matches.stamps() == {("scene", "1"): STAMP, ("scene", "2"): STAMP, ("image", "1"): STAMP}


def test_a_newer_match_replaces_the_older_with_all_its_people(matches, store):
    matches.replace([match("1", person(1), person(2), person(None)), match("2", person(1))])
    newer = match("1", person(5), scanned_at=AT + timedelta(microseconds=1), database_version="v2")
    matches.replace([newer])
    assert matches.get("scene", "1") == newer
    assert matches.stamps()["scene", "1"] == newer.stamp
    with store.reading() as session:
        assert session.query(ContentPersonRow).count() == 2


def test_removed_contents_take_their_people_along(matches, store):
    matches.replace([match(str(n), person(n)) for n in range(5)])
    matches.remove([("scene", "1"), ("scene", "3"), ("scene", "404")])
    assert sorted(content_id for _, content_id in matches.stamps()) == ["0", "2", "4"]
    with store.reading() as session:
        assert session.query(ContentPersonRow).count() == 3


def test_transactions_are_bounded_and_a_content_is_never_divided(matches, monkeypatch):
    monkeypatch.setattr(matches_module, "ROWS_A_TRANSACTION", 10)
    contents = [match(str(i), *[person(p) for p in range(n)]) for i, n in enumerate((0, 3, 5, 2, 30, 1, 1))]
    parts = list(matches_module._parts(contents))
    assert [c for part in parts for c in part] == contents
    assert [sum(1 + len(c.people) for c in part) for part in parts] == [5, 9, 31, 4]
    matches.replace(contents)
    assert len(matches.stamps()) == len(contents)


def test_a_failing_transaction_leaves_the_content_as_it_was(matches):
    before = match("1", person(1))
    matches.replace([before])
    doubled = dataclasses.replace(match("1", person(2)), status=None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"(?i)null"):
        matches.replace([doubled])
    assert matches.get("scene", "1") == before


def test_other_writers_get_their_turn(matches, store):
    """While thousands of rows are written, somebody else writes again and again."""
    contents = [match(str(n), *[person(p) for p in range(4)]) for n in range(3000)]
    turns, over = [], threading.Event()

    def write() -> None:
        other = MatchStore(store)
        while not over.is_set():
            began = time.perf_counter()
            other.replace([match("other", person(1), kind="image")])
            turns.append(time.perf_counter() - began)
            time.sleep(0.002)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        matches.replace(contents)
    finally:
        over.set()
        thread.join()
    assert len(turns) >= 2
    assert len(matches.stamps()) == 3001


def test_the_table_has_one_row_a_person_and_one_for_nobody(matches, tmp_path):
    matches.replace([match("2"), match("10", person(3), person(None)), match("1", person(4), kind="image")])
    matches.replace([match("old", person(1), database_version="v0"), match("else", person(1), options_digest="d0")])
    path = tmp_path / "v1.parquet"
    assert write_people(path, matches.rows("v1", "d1"), {"database_version": "v1"}) == 4
    table = pq.read_table(path)
    assert table.schema.equals(PEOPLE_SCHEMA, check_metadata=False)
    assert table.schema.metadata[b"database_version"] == b"v1"
    rows = table.to_pylist()
    assert [(r["kind"], r["content_id"], r["rank"], r["universal_id"]) for r in rows] == [
        ("image", "1", 0, "local:4"),
        ("scene", "10", 0, "local:3"),
        ("scene", "10", 1, None),
        ("scene", "2", None, None),
    ]
    first, nobody = rows[1], rows[3]
    assert first["ranges"] == [{"start_s": 0.0, "end_s": 1.5}, {"start_s": 3.25, "end_s": 4.0}]
    assert first["candidates"] == [{"universal_id": "local:3", "name": "P3", "distance": 0.25, "confidence": 0.75}]
    assert (first["share"], first["best_time_s"], first["best_box"]) == (
        pytest.approx(0.4),
        1.25,
        [1.0, 2.5, 30.0, 40.0],
    )
    assert (nobody["status"], nobody["content_faces"], nobody["content_frames"]) == ("no_face", 9, 10)
    assert nobody["ranges"] is None
    assert [p.name for p in tmp_path.glob(".*partial*")] == []


def test_a_table_that_cannot_be_written_is_named_and_the_old_one_stays(matches, tmp_path):
    path = tmp_path / "v1.parquet"
    matches.replace([match("1", person(1))])
    write_people(path, matches.rows("v1", "d1"), {})

    def broken():
        yield from ()
        raise OSError(28, "No space left on device")

    with pytest.raises(NotWritable, match="No space"):
        write_people(path, broken(), {})
    assert len(pq.read_table(path)) == 1
