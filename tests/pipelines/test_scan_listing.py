import threading
import time
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from pipelines.errors import InputError, StashUnauthorized, StashUnreachable
from pipelines.jobs import ScanRequest
from pipelines.scan_listing import list_contents
from pipelines.scan_manifest import NO_FILE, Manifest, recipes
from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.retries import Retries
from pipelines.store.templates import ScanDataset
from tests.fakes.stash import FakeStash, generate_library, sample_library
from tests.store.scans import failed, make_scan


@pytest.fixture
def stash(data):
    with FakeStash(sample_library(data), api_key="secret-key") as stash:
        yield stash


def settings_for(stash: FakeStash, folder, **more) -> Settings:
    more = {"stash_api_key": stash.api_key, "stash_requests_per_s": 100, **more}
    return Settings(data_dir=folder, stash_url=stash.url, **more)


def listed(settings: Settings, folder, **request):
    listing = list_contents(settings, ScanRequest(**request), folder / "manifest.parquet")
    return listing, list(listing.manifest.entries())


def test_scenes_and_images_with_all_that_a_worker_needs(stash, tmp_path):
    listing, entries = listed(settings_for(stash, tmp_path), tmp_path, kinds=("scene", "image"))
    assert listing.total == len(entries) == listing.counts.listed
    scenes, images = ([e for e in entries if e.kind == kind] for kind in ("scene", "image"))
    assert (len(scenes), len(images)) == (12, 46)
    assert all(e.path.startswith("/data/video/") and e.duration_s > 0 for e in scenes)
    assert all(e.file_fingerprint.startswith("oshash:") and e.galleries == () for e in scenes)
    assert all(e.path.startswith("/data/faces/") and e.galleries and e.duration_s == 0 for e in images)
    assert all(e.url.startswith(stash.url) for e in entries)
    assert "secret-key" not in str(entries)
    assert b"secret-key" not in listing.manifest.path.read_bytes()


def test_what_is_scanned_is_left_out(stash, tmp_path):
    settings = settings_for(stash, tmp_path)
    _, entries = listed(settings, tmp_path)
    recipe = recipes(settings)["scene"]
    dataset = ScanDataset(settings.scans_path)
    same, changed, other_recipe, broken, passing, *rest = entries
    for entry, more in (
        (same, {}),
        (changed, {"fingerprint": "oshash:old"}),
        (other_recipe, {"recipe": make_scan(1).key.recipe}),
    ):
        facts = {"fingerprint": entry.file_fingerprint, "recipe": recipe, **more}
        dataset.write(make_scan(entry.content_id, **facts))
    for entry, retryable in ((broken, False), (passing, True)):
        kept = {"fingerprint": entry.file_fingerprint, "recipe": recipe, "retryable": retryable}
        dataset.write(failed(entry.content_id, **kept))

    def ids(**request) -> set[str]:
        return {e.content_id for e in listed(settings, tmp_path, **request)[1]}

    everything = {e.content_id for e in entries}
    assert ids() == everything - {same.content_id, broken.content_id}
    assert ids(retry_failed=False) == everything - {same.content_id, broken.content_id, passing.content_id}
    assert ids(fresh=True) == everything
    assert listed(settings, tmp_path)[0].counts.settled == 2
    assert len(rest) == 7


def test_a_change_of_the_recipe_makes_everything_due(stash, tmp_path):
    settings = settings_for(stash, tmp_path)
    _, (entry, *_) = listed(settings, tmp_path)
    scan = make_scan(entry.content_id, fingerprint=entry.file_fingerprint, recipe=recipes(settings)["scene"])
    ScanDataset(settings.scans_path).write(scan)
    assert listed(settings, tmp_path)[0].total == 11
    for change in ({"frames_per_scene": 30}, {"min_face_px": 40}, {"pack": "open-dlib"}, {"max_side_px": 640}):
        assert listed(settings_for(stash, tmp_path, **change), tmp_path)[0].total == 12, change
    assert listed(settings_for(stash, tmp_path, decode_timeout_s=9), tmp_path)[0].total == 11


def test_filters_ids_limits_and_order(stash, tmp_path):
    settings = settings_for(stash, tmp_path)
    ids = [e.content_id for e in listed(settings, tmp_path)[1]]
    assert ids == sorted(ids, key=int)
    assert [e.content_id for e in listed(settings, tmp_path, newest_first=True)[1]] == ids[::-1]
    assert [e.content_id for e in listed(settings, tmp_path, newest_first=True, limit=2)[1]] == ids[:-3:-1]
    listing, entries = listed(settings, tmp_path, ids=(ids[3], "9999", ids[1]))
    assert {e.content_id for e in entries} == {ids[1], ids[3]}
    assert listing.counts.vanished == 1
    wanted = {"title": {"value": "asl", "modifier": "INCLUDES"}}
    assert {e.path.split("/")[-1][:3] for e in listed(settings, tmp_path, filter=wanted)[1]} == {"asl"}


def test_galleries_are_their_images_each_once(stash, tmp_path):
    settings = settings_for(stash, tmp_path)
    galleries = {e.galleries[0] for e in listed(settings, tmp_path, kinds=("image",))[1]}
    some = tuple(sorted(galleries)[:2])
    _, entries = listed(settings, tmp_path, galleries=(*some, some[0]))
    assert {e.galleries[0] for e in entries} == set(some)
    assert len({e.content_id for e in entries}) == len(entries) > 0
    assert {e.kind for e in entries} == {"image"}


def test_a_scene_without_a_file_is_listed_as_such(stash, tmp_path):
    stash.library.scenes.one("1").file_ids = ()
    _, entries = listed(settings_for(stash, tmp_path), tmp_path, ids=("1",))
    assert [(e.file_fingerprint, e.path) for e in entries] == [(NO_FILE, "")]


def test_scenes_that_vanish_while_they_are_listed_end_nothing(tmp_path):
    with FakeStash(generate_library(scenes=1200)) as stash:
        stash.knobs.vanish_after(3, range(600, 700))
        listing, entries = listed(settings_for(stash, tmp_path), tmp_path)
    assert 1100 <= listing.total == len({e.content_id for e in entries}) <= 1200


def test_a_restart_of_stash_is_waited_for(tmp_path):
    with FakeStash(generate_library(scenes=1200)) as stash:
        settings = settings_for(stash, tmp_path)
        threading.Timer(0.2, lambda: stash.knobs.fail_next(2, 503)).start()
        stash.knobs.fail_next(2, 0)
        assert listed(settings, tmp_path)[0].total == 1200


def test_a_stash_that_stays_away_or_refuses_is_named(stash, tmp_path):
    with pytest.raises(StashUnauthorized):
        listed(settings_for(stash, tmp_path, stash_api_key="wrong"), tmp_path)
    hasty = Retries(first_wait_s=0.01, longest_wait_s=0.02)
    with stash.down(), pytest.raises(StashUnreachable):
        list_contents(
            settings_for(stash, tmp_path),
            ScanRequest(),
            tmp_path / "manifest.parquet",
            library_opener=lambda settings: open_library(settings, retries=hasty),
        )
    with pytest.raises(StashUnreachable):
        listed(Settings(data_dir=tmp_path), tmp_path)
    with pytest.raises(InputError, match="path_map"):
        listed(settings_for(stash, tmp_path, path_map=("/stash=relative",)), tmp_path)


def test_a_listing_that_is_stopped_ends_at_once(tmp_path):
    with FakeStash(generate_library(scenes=1200)) as stash:
        stash.knobs.latency_s = 30
        began = time.monotonic()
        listing = list_contents(
            settings_for(stash, tmp_path),
            ScanRequest(),
            tmp_path / "manifest.parquet",
            should_stop=lambda: time.monotonic() - began > 0.5,
        )
        assert listing.stopped
        assert time.monotonic() - began < 5
        stash.knobs.latency_s = 0


def test_many_rows_are_written_in_groups(tmp_path):
    with FakeStash(generate_library(scenes=2500)) as stash:
        listing, entries = listed(settings_for(stash, tmp_path), tmp_path)
    assert listing.total == len(entries) == 2500
    assert Manifest(listing.manifest.path).row_groups() == [1000, 1000, 500]
    assert pq.ParquetFile(listing.manifest.path).metadata.num_rows == 2500


def test_scans_of_videos_with_bars_in_their_hashes_are_made_again_and_those_of_images_stay(stash, tmp_path):
    settings = settings_for(stash, tmp_path)
    both = ("scene", "image")
    _, entries = listed(settings, tmp_path, kinds=both)
    dataset = ScanDataset(settings.scans_path)
    for entry in entries:
        older = replace(recipes(settings)[entry.kind], hashes="phash64+pdq/2")
        dataset.write(make_scan(entry.content_id, kind=entry.kind, fingerprint=entry.file_fingerprint, recipe=older))
    due = listed(settings, tmp_path, kinds=both)[1]
    assert len(due) == 12
    assert {e.kind for e in due} == {"scene"}
