"""Enrolment from a stash-box with a real Ray, real models and real photos; the box is a strict fake."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.enroll.stashbox import enroll_stashbox, run_job
from pipelines.enroll.stashbox_homes import box_folder, box_gates, erase_seen
from pipelines.enroll.stashbox_records import BoxEnrolment, EnrolProgress
from pipelines.errors import StashUnreachable
from pipelines.faces.catalogue import BUFFALO_L, OPEN
from pipelines.faces.identify import Identifier
from pipelines.jobs import EnrollStashboxRequest, JobContext, job_type
from pipelines.media.images import load_image
from pipelines.settings import Settings
from pipelines.stash.records import StashBox
from pipelines.stash.retries import Retries
from pipelines.store.performers import PerformerDatabase
from tests.fakes.stashbox import KEY, FakeStashBox, box_uuid, sample_world

pytestmark = pytest.mark.timeout(600)
DOMAIN = "127.0.0.1"
QUICK = Retries(first_wait_s=0.01, longest_wait_s=0.02)


@pytest.fixture
def box(data: Path) -> Iterator[FakeStashBox]:
    with FakeStashBox(sample_world(data)) as box:
        yield box


@pytest.fixture
def settings(tmp_path: Path, models_dir: Path, open_models: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data", models_dir=models_dir, scan_niceness=0, scan_workers=2, stashbox_requests_share=1.0
    )


def enrol(settings: Settings, box: FakeStashBox, *, per_minute: int = 600_000, **asked: Any) -> BoxEnrolment:
    given = {name: asked.pop(name) for name in ("on_progress", "should_stop") if name in asked}
    stash_box = StashBox(box.endpoint, KEY, "the box", per_minute)
    request = EnrollStashboxRequest(**asked)
    return enroll_stashbox(settings, stash_box, request, retries=QUICK, waits_s=(0.01, 0.01), **given)


def fetched(box: FakeStashBox) -> Counter[str]:
    return Counter(r.path.removeprefix("/images/") for r in box.requests.named("/images/"))


def database(settings: Settings) -> PerformerDatabase:
    return PerformerDatabase(settings.database_path)


def people(settings: Settings) -> dict[str, dict[str, Any]]:
    table = database(settings).source_performers(DOMAIN)
    return {row["universal_id"]: row for row in table.to_pylist()}


def sources(settings: Settings) -> Counter[str]:
    faces = database(settings).source_faces(DOMAIN, columns=["source"])
    return Counter(faces["source"].to_pylist())


def test_everybody_is_enrolled_and_later_only_what_changed(ray_cluster, settings, box, engine, data):
    world = box.world
    obama, biden = world.named("barack_obama"), world.named("joe_biden")
    obama.images[2].broken = "html"
    small = world.picture(data / "faces" / "formats" / "obama_tiny64.jpg", "tiny")
    group = world.picture(data / "faces" / "groups" / "azure_four_men_bw.jpg", "group")
    other = world.picture(biden.images[0].path, "other")
    again = world.picture(obama.images[0].path, "again")
    world.change(obama.id, images=[*obama.images, small, again], career_start_year=1997)
    world.change(biden.id, images=[*biden.images, group])
    minor = world.add("too young", [biden.images[0].path], birth_date="2015")
    excluded = world.add("excluded", [biden.images[0].path], merged_ids=[box_uuid("before")])
    db = database(settings)
    db.exclude([f"{DOMAIN}:{box_uuid('before')}"])
    said: list[EnrolProgress] = []
    first = enrol(settings, box, on_progress=said.append)

    assert (first.done, first.listed, first.stopped) == (len(world.performers) - 2,) * 2 + (False,)
    assert first.left_out == {"under_18": 1, "excluded": 1}
    assert {s.step for s in said} == {"listing", "enrolling", "publishing"}
    assert said[-1].faces >= first.faces >= 10
    assert first.version == db.current()
    assert sum(first.reasons.values()) == sum(len(p.images) for p in world if p not in (minor, excluded))
    assert first.reasons["enrolled"] == first.faces
    assert first.reasons["not_an_image"] == 1
    assert first.reasons["duplicate"] == 1
    assert first.reasons["small_image"] >= 1
    assert set(fetched(box).values()) == {1}
    not_fetched = {small.id, *(i.id for p in (minor, excluded) for i in p.images)}
    not_fetched |= {i.id for p in world for i in p.images if min(i.width, i.height) < 300}
    assert set(fetched(box)) == {i.id for p in world for i in p.images} - not_fetched
    assert first.watermark == excluded.updated.isoformat().replace("+00:00", "Z")

    info = db.manifest().sources[DOMAIN]
    assert (info.kind, info.watermark, info.label) == ("stashbox", first.watermark, box.endpoint)
    assert info.details["gates"] == first.reasons
    enrolled = people(settings)
    row = enrolled[f"{DOMAIN}:{obama.id}"]
    assert (row["name"], row["aliases"], row["birth_date"], row["career_start"]) == (
        "barack_obama", ["barack_obama a"], "1980-05-01", 1997,
    )  # fmt: skip
    assert {minor.id, excluded.id}.isdisjoint(i.partition(":")[2] for i in enrolled)
    found = Identifier(db.load()).image(engine.analyze([load_image(obama.images[1].path)])[0])
    assert {p.match.universal_id for p in found if p.match} == {f"{DOMAIN}:{obama.id}"}
    page = Path(first.page)
    assert "the picture is too small" in page.read_text()
    assert list(page.parent.glob("enrolled-*.jpg"))
    kept = sources(settings)
    assert set(kept.values()) == {1}
    assert not (box_folder(settings, DOMAIN, OPEN) / "run").exists()

    box.requests.clear()
    nothing = enrol(settings, box)
    assert (nothing.done, nothing.version, nothing.faces) == (0, first.version, first.faces)
    assert not fetched(box)
    assert len(box.requests.named("queryPerformers")) == 1

    # a name, a picture, a merge and a deletion
    box.requests.clear()
    lin, merged = world.named("lin_manuel_miranda"), world.named("compreface_b")
    world.change(lin.id, name="Lin-Manuel")
    world.change(obama.id, images=[*obama.images[:2], again])
    world.change(biden.id, images=[*biden.images[:2], other])
    world.merge(merged.id, world.named("compreface_c").id)
    world.delete(world.named("alex_lacamoire").id)
    delta = enrol(settings, box)
    assert (delta.done, delta.gone) == (4, 2)
    assert set(fetched(box)) == {other.id}
    now = people(settings)
    assert now[f"{DOMAIN}:{lin.id}"]["name"] == "Lin-Manuel"
    assert {f"{DOMAIN}:{merged.id}", f"{DOMAIN}:{world.named('alex_lacamoire').id}"}.isdisjoint(now)
    assert f"{DOMAIN}:{merged.id}" in now[f"{DOMAIN}:{world.named('compreface_c').id}"]["ids"]
    changed = {i.url or f"{box.url}/images/{i.id}" for p in (obama, biden, merged) for i in p.images}
    changed |= {f"{box.url}/images/{i.id}" for n in ("compreface_c", "alex_lacamoire") for i in world.named(n).images}
    assert {u for u in kept if u not in changed} == {u for u in sources(settings) if u not in changed}
    assert set(sources(settings).values()) == {1}

    # what was seen of somebody goes when the owner wants it to, and an exclusion that ends brings somebody back
    assert erase_seen(settings, [f"{DOMAIN}:{obama.id}"]) >= 2
    db.include([f"{DOMAIN}:{box_uuid('before')}"])
    box.requests.clear()
    back = enrol(settings, box, full=True)
    assert back.done == 2
    assert set(fetched(box)) == {i.id for i in (*obama.images, *excluded.images)}
    assert f"{DOMAIN}:{excluded.id}" not in people(settings) or back.reasons.get("other_performer", 0) == 0


def test_a_run_that_was_stopped_goes_on_and_fetches_nothing_twice(ray_cluster, settings, box):
    box.knobs.latency_s = 0.02
    seen: list[int] = []
    began: list[float] = []

    def stop() -> bool:
        if seen and seen[-1] >= 3 and not began:
            began.append(time.monotonic())
        return bool(began)

    stopped = enrol(settings, box, on_progress=lambda now: seen.append(now.done), should_stop=stop)
    assert stopped.stopped
    assert time.monotonic() - began[0] < 5
    assert database(settings).current() is None
    pages = len(box.requests.named("queryPerformers"))
    time.sleep(2)  # what was in hand
    before = fetched(box)
    done = len(list((box_folder(settings, DOMAIN, OPEN) / "pictures").glob("r*.parquet")))
    second = enrol(settings, box)
    assert done >= stopped.done >= 3
    assert second.done == second.listed == len(box.world.performers) - done
    assert len(box.requests.named("queryPerformers")) == pages
    assert second.version == database(settings).current()
    twice = sum(n - 1 for n in fetched(box).values())
    assert twice <= 2 * 4 * 3  # the performers in hand
    assert sum(before.values()) < sum(fetched(box).values())
    assert set(sources(settings).values()) == {1}


def test_a_box_that_goes_away_is_named_and_what_was_done_is_kept(ray_cluster, settings, box):
    box.knobs.latency_s = 0.02

    def cut(number: int) -> None:
        box.knobs.refuse = number > 8  # two of GraphQL, the others are pictures

    box.knobs.before = cut
    with pytest.raises(StashUnreachable, match="cannot be fetched"):
        enrol(settings, box)
    done = list((box_folder(settings, DOMAIN, OPEN) / "pictures").glob("r*.parquet"))
    assert done
    box.knobs.before, box.knobs.refuse = None, False
    rest = enrol(settings, box)
    assert rest.done >= len(box.world.performers) - len(done)  # those with a picture that failed are tried again
    assert rest.reasons.get("unreachable", 0) == 0
    assert rest.watermark


def test_pictures_that_fail_for_now_hold_the_watermark_back(ray_cluster, settings, box):
    world = box.world
    newest = world.named("barack_obama")
    world.change(newest.id, images=newest.images)
    picture = world.named("joe_biden").images[0]
    box.knobs.paths, box.knobs.fail_rate = (f"/images/{picture.id}",), 1.0
    first = enrol(settings, box, limit=5)
    assert (first.done, first.watermark) == (5, None)
    second = enrol(settings, box)
    assert second.done == len(world.performers) - 5
    assert second.reasons["unreachable"] == 1
    assert second.watermark == world.named("joe_biden").updated.isoformat().replace("+00:00", "Z")
    assert second.version == database(settings).current()
    box.knobs.fail_rate = 0.0
    box.requests.clear()
    third = enrol(settings, box)
    assert (third.done, set(fetched(box))) == (1, {picture.id})
    assert "unreachable" not in third.reasons
    assert third.watermark == newest.updated.isoformat().replace("+00:00", "Z")
    json.dumps(third.to_dict())


def test_gates_know_whose_scores_are_meant():
    assert box_gates(OPEN).min_detection_score is None
    assert OPEN.detector.min_score == 0.7
    assert box_gates(BUFFALO_L).min_detection_score == 0.7
    assert (box_gates(OPEN).min_face_px, box_gates(OPEN).min_image_side_px, box_gates(OPEN).max_faces) == (80, 300, 20)


def test_the_job_enrols_from_the_boxes_of_the_settings(ray_cluster, settings, box):
    settings = settings.model_copy(update={"stashboxes": (box.rule,)})
    said: list[tuple[int, int | None, dict[str, int]]] = []
    request = job_type("enroll_stashbox").parse({"endpoint": DOMAIN, "limit": 4})
    context = JobContext(settings, request, lambda *now: said.append((now[0], now[1], dict(now[2]))), lambda: False)
    report = json.loads(json.dumps(run_job(context)))
    (one,) = report["boxes"]
    assert (one["box"], one["done"], one["watermark"]) == (DOMAIN, 4, None)
    assert said[-1][:2] == (4, 4)
    assert said[-1][2].keys() >= {"faces", "frames"}
    times = sorted(r.at_s for r in box.requests)
    assert len(times) < 2 or times[-1] - times[0] >= (len(times) - 1) / 4 - 0.1  # 240 a minute
