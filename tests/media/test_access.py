"""Where a file of Stash's library is: path rules, addresses set on the configured one, keys in headers only."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import InputError, MediaNotFound, MediaUnreachable
from pipelines.media.access import MediaAccess, PathRule, pure_path
from pipelines.media.frames import sample_frames
from pipelines.media.video import HttpSource, SamplingPlan
from pipelines.parts import media_access
from pipelines.settings import Settings
from pipelines.stash.connect import open_library
from pipelines.stash.limiter import RateLimiter
from tests.fakes.stash import FakeStash, sample_library

STASH = "http://stash.lan:9999"
STREAM = "http://localhost:9999/scene/7/stream"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("a.mp4", "deep/b.mp4", "other/c.mp4", "x=y/d.mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"bytes")
    return tmp_path


def test_the_longest_rule_wins_whatever_its_place(files: Path):
    for rules in ([f"/data={files}", f"/data/far={files}/other"], [f"/data/far={files}/other", f"/data={files}"]):
        access = MediaAccess(rules, STASH)
        assert access.video("/data/a.mp4", STREAM) == files / "a.mp4"
        assert access.video("/data/deep/b.mp4", STREAM) == files / "deep/b.mp4"
        assert access.video("/data/far/c.mp4", STREAM) == files / "other/c.mp4"


def test_a_rule_is_for_its_folder_and_not_for_names_that_begin_alike(files: Path):
    access = MediaAccess([f"/data={files}"], STASH)
    assert isinstance(access.video("/database/a.mp4", STREAM), HttpSource)
    assert isinstance(access.video("data/a.mp4", STREAM), HttpSource)
    assert MediaAccess([f"/={files}"], STASH).video("/a.mp4", STREAM) == files / "a.mp4"


def test_windows_paths_of_stash(files: Path):
    access = MediaAccess([rf"D:\Media={files}", rf"\\nas\share={files}/other"], STASH)
    assert access.video(r"d:\media\deep\b.mp4", STREAM) == files / "deep/b.mp4"
    assert access.video(r"\\NAS\share\c.mp4", STREAM) == files / "other/c.mp4"
    assert isinstance(access.video(r"E:\Media\a.mp4", STREAM), HttpSource)
    assert isinstance(access.video(r"D:\Media\..\a.mp4", STREAM), HttpSource)


def test_a_path_with_the_sign_between_the_sides(files: Path):
    assert MediaAccess([f"/x=y={files}/x=y"], STASH).video("/x=y/d.mp4", STREAM) == files / "x=y/d.mp4"


@pytest.mark.parametrize("rule", ["", "/data", "/data=", "data=/x", "/data=x", "=/x", "/data/..=/x", "/data=/x/../y"])
def test_what_is_no_rule_is_refused(rule: str):
    with pytest.raises(InputError, match="path_map"):
        MediaAccess([rule], STASH)


@pytest.mark.parametrize("path", ["/data/../secret", "/data/deep/../../secret", "/data/deep/..", "/data/\0", ""])
def test_nothing_climbs_out_of_a_folder(files: Path, path: str):
    (files.parent / "secret").write_bytes(b"x")
    assert isinstance(MediaAccess([f"/data={files}"], STASH).video(path, STREAM), HttpSource)


@given(st.lists(st.sampled_from(["..", ".", "a", "b c", "ü", "x=y", "%2e%2e", "..."]), max_size=6))
def test_a_mapped_path_is_below_the_rules_folder(parts: list[str]):
    rule = PathRule.parse("/data=/mnt/media")
    found = rule.map(pure_path("/data/" + "/".join(parts)))
    assert found is None or (found.is_relative_to("/mnt/media") and ".." not in found.parts)


def test_a_missing_file_comes_from_stash_and_is_said_once(files: Path, caplog: pytest.LogCaptureFixture):
    access = MediaAccess([f"/data={files}", f"/gone={files}/nowhere"], STASH)
    for path in ("/data/none.mp4", "/data/none2.mp4", "/data/deep", "/data/archive.zip/1.jpg", "/data/" + "x" * 300):
        assert isinstance(access.video(path, STREAM), HttpSource)
    said = [record.getMessage() for record in caplog.records if "does not exist" in record.getMessage()]
    assert len(said) == 1
    assert str(files / "none.mp4") in said[0]
    for _ in range(3):
        assert isinstance(access.video("/gone/a.mp4", STREAM), HttpSource)
    assert sum("folder that does not exist" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("configured", "given_url", "expected"),
    [
        ("http://stash.lan:9999", "http://localhost:9999/scene/7/stream", "http://stash.lan:9999/scene/7/stream"),
        ("http://stash.lan:9999/", "https://outside.test/my/scene/7/stream", "http://stash.lan:9999/scene/7/stream"),
        ("https://host/stash", "http://10.0.0.2:9999/scene/7/stream", "https://host/stash/scene/7/stream"),
        ("https://host/stash/", "https://host/stash/scene/7/stream", "https://host/stash/scene/7/stream"),
        ("https://host/stash/graphql", "/scene/7/screenshot?t=5", "https://host/stash/scene/7/screenshot?t=5"),
        ("http://h", "http://x/scene/0f_sprite.jpg?APIKEY=hush&t=1", "http://h/scene/0f_sprite.jpg?t=1"),
        ("http://h", "http://x/image/3/image?apikey=hush", "http://h/image/3/image"),
        (
            "http://u:hush@h:1",
            "http://x/performer/3/image?t=1&default=true",
            "http://h:1/performer/3/image?t=1&default=true",
        ),
        ("http://h/stash", "http://h/stash/custom/x.png", "http://h/stash/custom/x.png"),
    ],
)
def test_addresses_are_set_on_the_configured_one(configured: str, given_url: str, expected: str):
    access = MediaAccess([], configured, "hush")
    assert access.rebase(given_url) == expected
    assert access.rebase(expected) == expected
    source = access.remote(given_url)
    assert (source.url, source.headers) == (expected, {"ApiKey": "hush"})
    assert "hush" not in repr(source) + repr(access)


@given(st.sampled_from(["", "/stash", "/a/b"]), st.text(max_size=20), st.sampled_from(["apikey", "ApiKey", "APIKEY"]))
def test_no_key_is_left_in_any_address(prefix: str, value: str, name: str):
    from urllib.parse import urlencode

    given_url = f"http://inside:9999{prefix}/scene/7/stream?{urlencode({name: value, 't': '5'})}"
    parts = urlsplit(MediaAccess([], f"https://host{prefix}").rebase(given_url))
    assert (parts.netloc, parts.path, parse_qsl(parts.query)) == ("host", f"{prefix}/scene/7/stream", [("t", "5")])


def test_what_cannot_be_had_is_named():
    with pytest.raises(MediaUnreachable, match="stash_url"):
        MediaAccess([], None).video("/data/a.mp4", STREAM)
    with pytest.raises(MediaNotFound):
        MediaAccess([], STASH).video("/data/a.mp4", "")
    with pytest.raises(InputError):
        MediaAccess([], "stash.lan:9999")


def test_no_key_no_header():
    assert MediaAccess([], STASH).remote(STREAM).headers == {}


@pytest.mark.parametrize("mapped", [True, False])
def test_the_same_frames_from_disk_and_from_stash(data: Path, caplog: pytest.LogCaptureFixture, mapped: bool):
    caplog.set_level(logging.DEBUG)
    with FakeStash(sample_library(data), api_key="hush-key") as stash:
        rules = (f"/data={data}",) if mapped else ()
        settings = Settings(stash_url=stash.url, stash_api_key="hush-key", path_map=rules)

        async def first_scene():
            async with open_library(settings, limiter=RateLimiter(1e6)) as library:
                return await anext(scene async for scene in library.scenes() if "real" in scene.files[0].path)

        scene = asyncio.run(first_scene())
        source = media_access(settings).video(scene.files[0].path, scene.paths.stream)
        assert isinstance(source, Path) is mapped
        stash.requests.clear()
        times = [frame.time_s for frame in sampled(source)]
        asked = list(stash.requests)
    assert times == [frame.time_s for frame in sampled(data / Path(scene.files[0].path).relative_to("/data"))]
    assert bool(asked) is not mapped
    assert all(one.keyed == "header" and one.status == 206 for one in asked)
    assert "hush-key" not in caplog.text


def sampled(source) -> list:
    plan = SamplingPlan(frames=5, reader="pyav")
    return [frame for block in sample_frames(source, plan) for frame in block]
