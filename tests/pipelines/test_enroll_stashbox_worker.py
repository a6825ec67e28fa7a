"""Looking at the pictures of performers, without Ray: what is fetched, what is counted, what is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.enroll.report import EXAMPLES
from pipelines.enroll.stashbox_data import WorkSource
from pipelines.enroll.stashbox_homes import box_gates
from pipelines.enroll.stashbox_ledger import MOST_JOINED, MOST_TRIES, Ledger, SeenPicture
from pipelines.enroll.stashbox_listing import write_work
from pipelines.enroll.stashbox_pictures import BoxRun, PictureLooker
from pipelines.enroll.stashbox_worker import WORK_SCHEMA, performers_of, work_row
from pipelines.errors import StashUnreachable
from pipelines.faces.catalogue import OPEN
from pipelines.scan_worker import ScanStopped, ungrouped
from pipelines.settings import Settings
from pipelines.stash.records import StashBox
from pipelines.stash.stashbox import domain_of
from pipelines.stash.stashbox_records import BoxImage, BoxPerformer
from pipelines.store.face_crops import FaceCrops, face_key
from tests.fakes.people import face
from tests.fakes.stashbox import FakeStashBox, Performer, World, sample_world


@pytest.fixture
def box(data: Path) -> Iterator[FakeStashBox]:
    with FakeStashBox(sample_world(data)) as box:
        yield box


class Looking:
    """A run that this process works off."""

    def __init__(self, folder: Path, box: FakeStashBox, engine: Any) -> None:
        self.folder, self.box, self.engine = folder, box, engine
        (folder / "run" / "marks").mkdir(parents=True)
        self.going = folder / "run" / "x.going"
        self.going.touch()
        self.ledger = Ledger(folder, OPEN.template_dim)
        self.stash_box = StashBox(box.endpoint, "", max_requests_per_minute=6_000_000)
        self.settings = Settings(stashbox_requests_share=1.0, data_dir=folder)

    def look(self, *performers: Performer, number: int = 1, known: bool = False) -> dict[str, list[SeenPicture]]:
        gates = box_gates(OPEN)
        run = BoxRun(number, self.folder, self.folder / "run", self.going, self.stash_box, gates, waits_s=(0.01,))
        looker = PictureLooker(self.settings, run, self.engine)
        self.rows = list(looker.look([(self.record(p), known) for p in performers]))
        return self.ledger.pictures([p.id for p in performers])

    def record(self, performer: Performer) -> BoxPerformer:
        images = [BoxImage(i.id, i.url or f"{self.box.url}/images/{i.id}", i.width, i.height) for i in performer.images]
        return BoxPerformer(performer.id, performer.name, images=tuple(images), updated=performer.updated.isoformat())


@pytest.fixture
def looking(tmp_path: Path, box: FakeStashBox, engine) -> Looking:
    return Looking(tmp_path, box, engine)


def reasons(pictures: list[SeenPicture]) -> list[str]:
    return [p.reason for p in pictures]


def test_whatever_is_wrong_with_a_picture_is_counted_and_the_others_are_enrolled(looking, box, data):
    world = box.world
    obama = world.named("barack_obama")
    wrong = {
        "missing": "missing",
        "html": "not_an_image",
        "cut": "unreadable",
        "empty": "unreadable",
        "http://localhost/": "refused",
        "elsewhere": "refused",
        "no face": "no_face",
        "twice": "duplicate",
    }
    for name in wrong:
        file = data / "faces" / "noface" / "eagle.jpg" if name == "no face" else obama.images[0].path
        picture = world.picture(file, name)
        picture.broken = name if name in {"missing", "html", "cut", "empty"} or name.startswith("http") else ""
        picture.url = "http://10.1.2.3/a.jpg" if name == "elsewhere" else ""
        obama.images.append(picture)
    found = looking.look(obama)[obama.id]
    assert reasons(found[3:]) == list(wrong.values())
    assert reasons(found[:2]) == ["enrolled", "enrolled"]
    assert {p.chosen for p in found[:2]} == {0}
    crops = FaceCrops(looking.settings.enrolled_crops_path, domain_of(looking.stash_box))
    enrolled = {face_key(p.faces[p.chosen].template) for p in found if p.chosen >= 0}
    assert crops.keys(f"{domain_of(looking.stash_box)}:{obama.id}") == enrolled
    assert looking.rows[0]["faces"] == reasons(found).count("enrolled")
    assert not list((looking.folder / "run" / "marks").iterdir())
    shown = list((looking.folder / "run" / "examples" / "enrolled").iterdir())
    assert 2 <= len(shown) <= EXAMPLES


def test_of_many_pictures_the_best_are_enrolled(looking, box):
    world = box.world
    man = world.named("compreface_a")
    for number in range(9):
        for photo in list(man.images[:3]):
            man.images.append(world.picture(photo.path, f"more {number} {photo.id}", bytes([number]) * 8))
    found = looking.look(man)[man.id]
    assert reasons(found).count("enrolled") == min(20, len(found) - reasons(found).count("turned_away"))
    worst = min(p.faces[p.chosen].quality for p in found if p.chosen >= 0)
    assert all(p.faces[0].quality <= worst + 1e-6 for p in found if p.reason == "surplus")


def test_what_is_known_is_not_fetched_again(looking, box):
    obama = box.world.named("barack_obama")
    first = looking.look(obama)[obama.id]
    box.requests.clear()
    obama.images.pop(0)
    second = looking.look(obama, number=2, known=True)[obama.id]
    assert not len(box.requests)
    assert [p.image_id for p in second] == [p.image_id for p in first[1:]]
    for before, now in zip(first[1:], second, strict=True):
        assert (before.reason, before.sha256, before.chosen) == (now.reason, now.sha256, now.chosen)
        np.testing.assert_array_equal(before.faces[0].template, now.faces[0].template)


def test_a_picture_that_cannot_be_had_for_now_is_tried_a_few_times(looking, box):
    obama = box.world.named("barack_obama")
    box.knobs.paths, box.knobs.fail_rate = (f"/images/{obama.images[1].id}",), 1.0
    for number in range(1, MOST_TRIES + 2):
        found = looking.look(obama, number=number, known=number > 1)[obama.id]
        assert reasons(found)[1] == "unreachable"
        assert found[1].tries == min(number, MOST_TRIES)
        assert looking.ledger.performers()[obama.id].open == (number < MOST_TRIES)
    assert len(box.requests.named(f"/images/{obama.images[1].id}")) == 2 * MOST_TRIES
    assert len(box.requests.named(f"/images/{obama.images[0].id}")) == 1


def test_a_box_that_is_down_ends_the_work_and_nothing_half_is_kept(looking, box):
    obama = box.world.named("barack_obama")
    with box.down(), pytest.raises(StashUnreachable, match="cannot be fetched"):
        looking.look(obama)
    assert looking.ledger.performers() == {}
    assert not list((looking.folder / "run" / "marks").iterdir())


def test_a_stopped_run_ends_between_two_pictures(looking, box):
    obama = box.world.named("barack_obama")
    box.knobs.before = lambda number: looking.going.unlink() if number == 2 else None
    with pytest.raises(ScanStopped):
        looking.look(obama)
    assert looking.ledger.performers() == {}


def test_pictures_at_which_processes_end_are_left_alone(looking, box):
    obama = box.world.named("barack_obama")
    mark = looking.folder / "run" / "marks" / obama.id
    mark.write_bytes(b"..")
    found = looking.look(obama)[obama.id]
    assert set(reasons(found)) == {"crashed"}
    assert looking.ledger.performers()[obama.id].open
    again = looking.look(obama, number=2, known=True)[obama.id]
    assert "enrolled" in reasons(again)


def picture(name: str, seed: int) -> SeenPicture:
    template = np.random.default_rng(seed).standard_normal(4).astype(np.float32)
    return SeenPicture(name, f"u/{name}", f"sha-{name}", 500, reason="enrolled", faces=[face(template)], chosen=0)


def test_the_ledger_keeps_the_last_run_of_everybody_also_when_joined_and_cut_off(tmp_path):
    ledger = Ledger(tmp_path, 4)
    for number in range(6):
        ledger.write(1, f"p{number}", [picture(f"{number}a", number), picture(f"{number}b", number + 9)], updated="1")
    ledger.write(2, "p1", [picture("1c", 30)], updated="2", facts={"name": "one"})
    ledger.write(2, "p2", [], state="gone", facts={"merged_into_id": "p3"})
    ledger.write(2, "p4", [])

    def state() -> tuple[Any, Any]:
        seen = ledger.performers()
        rows = [r for t in ledger.latest(seen, ["performer", "image_id", "chosen"]) for r in t.to_pylist()]
        return seen, sorted((r["performer"], r["image_id"], r["chosen"]) for r in rows)

    before = state()
    assert before[0]["p1"].facts == {"name": "one"}
    assert before[0]["p2"].merged_into == "p3"
    assert [r for r in before[1] if r[0] in {"p1", "p2", "p4"}] == [
        ("p1", "1c", True),
        ("p2", "", False),
        ("p4", "", False),
    ]
    copies = tmp_path / "copies"
    shutil.copytree(ledger.folder, copies)
    ledger.join(most=1)
    assert len(list(ledger.folder.iterdir())) == 1
    assert state() == before
    for part in copies.iterdir():  # the process ended before it removed what it had joined
        shutil.copy(part, ledger.folder)
    (ledger.folder / ".x.partial").write_bytes(b"half")
    ledger.clean()
    assert state() == before
    found = ledger.pictures(["p1", "p3"])
    assert [p.image_id for p in found["p1"]] == ["1c"]
    assert [p.image_id for p in found["p3"]] == ["3a", "3b"]
    assert ledger.erase(["p3", "nobody"]) == 4  # each of its two faces stands in two files
    assert "p3" not in ledger.performers()
    for number in range(MOST_JOINED + 2):
        ledger.write(3 + number, "p0", [picture(f"0-{number}", number)], updated=str(number))
        ledger.join(most=0)
    assert len(list(ledger.folder.iterdir())) <= MOST_JOINED
    assert [p.image_id for p in ledger.pictures(["p0"])["p0"]] == [f"0-{MOST_JOINED + 1}"]
    assert ledger.performers()["p0"].updated == str(MOST_JOINED + 1)


def test_the_work_list_comes_in_small_groups_without_what_is_done(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    world = World()
    people = [
        BoxPerformer(world.add(str(n)).id, f"n{n}", aliases=("a",), images=(BoxImage("i", "u"),)) for n in range(30)
    ]
    (tmp_path / "listing").mkdir()
    rows = [work_row(p) for p in people]
    rows.append({"performer": "settled", "facts": "", "known": False})
    pq.write_table(pa.Table.from_pylist(rows, WORK_SCHEMA), tmp_path / "listing" / "000001.parquet")
    path, total = write_work(tmp_path, {people[0].id}, {p.id for p in people[::2]})
    assert total == 29
    groups = [performers_of(ungrouped(g)) for task in WorkSource(path, 2).get_read_tasks() for g in task()]
    assert [p for group in groups for p, _ in group] == people[1:]
    assert [k for group in groups for _, k in group] == [n % 2 == 0 for n in range(1, 30)]
    assert max(map(len, groups)) <= 8
    assert len(groups[-1]) == 1
