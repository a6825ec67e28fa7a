"""Streams with ranges, pictures made of media, addresses that a client gets, the files of the sample library."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from PIL import Image as Pillow

from pipelines.media.frames import HttpSource, SamplingPlan, probe, sample_frames
from tests.fakes.conftest import Asker
from tests.fakes.stash import FakeStash, bench_library, md5, oshash, sample_library, sample_stash_id
from tests.fakes.stash.ranges import ByteRange, RangeInvalid, RangeUnsatisfiable, parse_range

HAMILTON = "/data/video/real/short_hamilton_clip.mp4"


def scene_of(media: Asker, path: str) -> dict[str, object]:
    query = """query($p: String!) { findScenes(scene_filter: {path: {value: $p, modifier: EQUALS}}) { scenes {
        id performers { name stash_ids { endpoint stash_id } } paths { stream screenshot sprite vtt }
        files { path basename size duration width height video_codec fingerprints { type value } } } } }"""
    (scene,) = media(query, p=path)["findScenes"]["scenes"]
    assert isinstance(scene, dict)
    return scene


class TestRanges:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("", []),
            ("bytes=0-", [(0, 100)]),
            ("bytes=10-19", [(10, 10)]),
            ("bytes=90-500", [(90, 10)]),
            ("bytes=-7", [(93, 7)]),
            ("bytes=-700", [(0, 100)]),
            ("bytes=0-0, 5-6,-1", [(0, 1), (5, 2), (99, 1)]),
            ("bytes=0-99,0-99", []),
            ("bytes=5-5,200-300", [(5, 1)]),
        ],
    )
    def test_parsed(self, header: str, expected: list[tuple[int, int]]) -> None:
        assert parse_range(header, 100) == [ByteRange(*one) for one in expected]

    @pytest.mark.parametrize("header", ["lines=1-2", "bytes=a-b", "bytes=9-3", "bytes=-", "bytes=1-2-3"])
    def test_not_understood(self, header: str) -> None:
        with pytest.raises(RangeInvalid):
            parse_range(header, 100)

    def test_beyond_the_end(self) -> None:
        with pytest.raises(RangeUnsatisfiable):
            parse_range("bytes=100-", 100)
        assert parse_range("bytes=5-", 0) == []


class TestStream:
    @pytest.fixture
    def clip(self, data: Path) -> bytes:
        return (data / "video" / "real" / "short_hamilton_clip.mp4").read_bytes()

    @pytest.fixture
    def url(self, media: Asker) -> str:
        return str(scene_of(media, HAMILTON)["paths"]["stream"])  # type: ignore[index]

    def test_whole_file(self, url: str, clip: bytes) -> None:
        answer = httpx.get(url)
        assert (answer.status_code, answer.content) == (200, clip)
        assert (answer.headers["Content-Type"], answer.headers["Accept-Ranges"]) == ("video/mp4", "bytes")
        assert "short_hamilton_clip.mp4" in answer.headers["Content-Disposition"]

    @pytest.mark.parametrize(("header", "start", "end"), [("0-9", 0, 10), ("100000-", 100_000, None), ("-5", -5, None)])
    def test_one_range(self, url: str, clip: bytes, header: str, start: int, end: int | None) -> None:
        answer = httpx.get(url, headers={"Range": f"bytes={header}"})
        wanted = clip[start:end]
        first = start if start >= 0 else len(clip) + start
        assert (answer.status_code, answer.content) == (206, wanted)
        assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(wanted) - 1}/{len(clip)}"

    def test_several_ranges(self, url: str, clip: bytes) -> None:
        answer = httpx.get(url, headers={"Range": "bytes=0-3,10-12"})
        assert answer.status_code == 206
        mark = re.fullmatch(r"multipart/byteranges; boundary=(\w+)", answer.headers["Content-Type"])
        assert mark is not None
        parts = answer.content.split(f"--{mark[1]}".encode())[1:-1]
        bodies = [part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in parts]
        assert bodies == [clip[:4], clip[10:13]]
        assert f"Content-Range: bytes 10-12/{len(clip)}".encode() in parts[1]

    def test_beyond_the_end(self, url: str, clip: bytes) -> None:
        answer = httpx.get(url, headers={"Range": f"bytes={len(clip)}-"})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(clip)}")
        assert httpx.get(url, headers={"Range": "bytes=x"}).status_code == 416

    def test_conditions(self, url: str, clip: bytes) -> None:
        modified = httpx.head(url).headers["Last-Modified"]
        same = httpx.get(url, headers={"Range": "bytes=0-3", "If-Range": modified})
        other = httpx.get(url, headers={"Range": "bytes=0-3", "If-Range": "Mon, 01 Jan 2001 00:00:00 GMT"})
        assert (same.status_code, other.status_code, len(other.content)) == (206, 200, len(clip))
        assert httpx.get(url, headers={"If-Modified-Since": modified}).status_code == 304

    def test_head_has_no_body(self, url: str, clip: bytes) -> None:
        answer = httpx.head(url)
        assert (answer.status_code, answer.content, int(answer.headers["Content-Length"])) == (200, b"", len(clip))

    def test_the_projects_own_reader_reads_it(self, media_stash: FakeStash, url: str, data: Path) -> None:
        source = HttpSource(url.split("?", maxsplit=1)[0], {"ApiKey": "secret"})
        local = data / "video" / "real" / "short_hamilton_clip.mp4"
        assert probe(source) == probe(local)
        plan = SamplingPlan(frames=5)
        over_http = [frame.time_s for block in sample_frames(source, plan) for frame in block]
        assert over_http == [frame.time_s for block in sample_frames(local, plan) for frame in block]
        assert any(request.range for request in media_stash.requests.named("/stream"))

    def test_without_a_file_there_is_nothing(self, ask: Asker) -> None:
        assert ask.http.get("/scene/1/stream").status_code == 404
        assert ask.http.get("/scene/999/stream").status_code == 404


class TestAddresses:
    def test_built_from_the_host_that_was_asked(self, media: Asker) -> None:
        query = "{ findScene(id: 1) { paths { stream sprite } } findImage(id: 1) { paths { image thumbnail } } }"
        answer = media.http.post("/graphql", json={"query": query}, headers={"Host": "stash.example:9999"}).json()[
            "data"
        ]
        assert answer["findScene"]["paths"]["stream"] == "http://stash.example:9999/scene/1/stream?apikey=secret"
        assert answer["findScene"]["paths"]["sprite"].startswith("http://stash.example:9999/scene/")
        assert re.fullmatch(r"http://stash\.example:9999/image/1/image\?t=\d+", answer["findImage"]["paths"]["image"])

    def test_behind_a_proxy(self, media: Asker) -> None:
        headers = {"X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/stash/"}
        body = {"query": "{ findScene(id: 1) { paths { screenshot } } }"}
        url = media.http.post("/graphql", json=body, headers=headers).json()["data"]["findScene"]["paths"]["screenshot"]
        assert url.startswith("https://127.0.0.1:")
        assert "/stash/scene/1/screenshot?t=" in url

    def test_no_key_in_them_without_a_key(self, ask: Asker) -> None:
        assert ask("{ findScene(id: 1) { paths { stream } } }")["findScene"]["paths"]["stream"].endswith(
            "/scene/1/stream"
        )


class TestPictures:
    def test_sprite_and_its_cues(self, media: Asker) -> None:
        scene = scene_of(media, HAMILTON)
        (file,) = scene["files"]  # type: ignore[misc]
        paths = scene["paths"]
        sprite = media.http.get(paths["sprite"])  # type: ignore[index]
        with Pillow.open(io.BytesIO(sprite.content)) as picture:
            size = picture.size
        height = round(160 * file["height"] / file["width"] / 2) * 2
        assert size[0] == 9 * 160
        assert abs(size[1] - 9 * height) <= 9
        cues = media.http.get(paths["vtt"])  # type: ignore[index]
        assert cues.headers["Content-Type"].startswith("text/vtt")
        lines = cues.text.split("\n")
        assert lines[0] == "WEBVTT"
        places = [line for line in lines if "#xywh=" in line]
        times = [line.split(" --> ") for line in lines if "-->" in line]
        assert len(places) == len(times) == 81
        digest = {f["type"]: f["value"] for f in file["fingerprints"]}["oshash"]
        assert places[10] == f"{digest}_sprite.jpg#xywh=160,{size[1] // 9},160,{size[1] // 9}"
        assert times[0][0] == "00:00:00.000"
        assert all(before[1] == after[0] for before, after in pairwise(times))
        assert times[-1][1] == f"00:00:{file['duration']:06.3f}"

    def test_sprite_shows_the_right_moments(self, media: Asker, data: Path) -> None:
        """The picture of a tile is nearer to the frame at its own time than to frames elsewhere."""
        import cv2
        import numpy as np

        path = data / "video" / "derived" / "signers_mix2.mp4"
        scene = scene_of(media, f"/data/video/derived/{path.name}")
        sprite = cv2.imdecode(
            np.frombuffer(media.http.get(scene["paths"]["sprite"]).content, np.uint8),  # type: ignore[index]
            cv2.IMREAD_COLOR,
        )
        assert sprite is not None
        height = sprite.shape[0] // 9
        plan = SamplingPlan(frames=81, start_fraction=0, end_fraction=80 / 81, min_step_s=0)
        frames = [frame for block in sample_frames(path, plan) for frame in block]
        small = [cv2.resize(cv2.cvtColor(f.image, cv2.COLOR_RGB2BGR), (160, height)).astype(int) for f in frames]
        duration_s = probe(path).duration_s
        for index in (5, 40, 70):
            x, y = 160 * (index % 9), height * (index // 9)
            tile = sprite[y : y + height, x : x + 160].astype(int)
            nearest = min(range(len(small)), key=lambda i: float(np.abs(small[i] - tile).mean()))
            assert frames[nearest].time_s == pytest.approx(index * duration_s / 81, abs=0.2)

    def test_screenshot_has_the_size_of_the_video(self, media: Asker) -> None:
        scene = scene_of(media, HAMILTON)
        (file,) = scene["files"]  # type: ignore[misc]
        answer = media.http.get(scene["paths"]["screenshot"])  # type: ignore[index]
        with Pillow.open(io.BytesIO(answer.content)) as picture:
            assert picture.size == (file["width"], file["height"])

    def test_without_media_there_is_a_default_cover_and_no_sprite(self, ask: Asker) -> None:
        assert ask.http.get("/scene/1/screenshot").headers["Content-Type"] == "image/svg+xml"
        assert ask.http.get("/scene/1/vtt/thumbs").status_code == 404
        assert ask.http.get("/scene/1/vtt/sprite").status_code == 404
        assert ask.http.get("/scene/0123456789abcdef_sprite.jpg").status_code == 404

    def test_image_and_thumbnail(self, media: Asker, data: Path) -> None:
        rows = media("""{ findImages(filter: {per_page: -1}) { images {
            paths { image thumbnail } visual_files { ... on ImageFile { path fingerprints { type value } } } } } }""")
        for image in rows["findImages"]["images"][:5]:
            (file,) = image["visual_files"]
            local = data / file["path"].removeprefix("/data/")
            assert media.http.get(image["paths"]["image"]).content == local.read_bytes()
            assert file["fingerprints"] == [{"type": "md5", "value": md5(local)}]
            with Pillow.open(io.BytesIO(media.http.get(image["paths"]["thumbnail"]).content)) as picture:
                assert max(picture.size) <= 640

    def test_performer_without_a_picture_has_a_silhouette(self, media: Asker, media_stash: FakeStash) -> None:
        rows = media("{ findPerformers(filter: {per_page: -1}) { performers { id image_path } } }")["findPerformers"]
        for row in rows["performers"]:
            has_picture = media_stash.library.performers.one(row["id"]).image is not None
            assert ("default=true" in row["image_path"]) is not has_picture
            kind = media.http.get(row["image_path"]).headers["Content-Type"]
            assert kind == ("image/jpeg" if has_picture else "image/svg+xml")


class TestOshash:
    def test_small_numbers_by_hand(self, tmp_path: Path) -> None:
        path = tmp_path / "numbers"
        path.write_bytes((1).to_bytes(8, "little") + (2).to_bytes(8, "little") + b"xyz")
        assert oshash(path) == f"{19 + 3 + _words(path.read_bytes()[-16:]):016x}"

    def test_zeros_are_their_size_and_sums_wrap_around(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(bytes(200_000))
        assert oshash(path) == f"{200_000:016x}"
        path.write_bytes(b"\xff" * 200_000)
        words = 2 * 64 * 1024 // 8
        assert oshash(path) == f"{(200_000 - words) % 2**64:016x}"

    def test_only_head_and_tail_count(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        content = bytearray(range(256)) * 1000
        path.write_bytes(content)
        before = oshash(path)
        content[128_000] ^= 255
        path.write_bytes(content)
        assert oshash(path) == before
        content[-1] ^= 255
        path.write_bytes(content)
        assert oshash(path) != before

    def test_tiny_files_have_none(self, tmp_path: Path) -> None:
        path = tmp_path / "tiny"
        path.write_bytes(b"12345678")
        with pytest.raises(ValueError, match="more than 8"):
            oshash(path)


def _words(data: bytes) -> int:
    return sum(int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8))


def test_sample_library_knows_its_media_and_people(media: Asker, data: Path) -> None:
    scene = scene_of(media, HAMILTON)
    (file,) = scene["files"]  # type: ignore[misc]
    local = data / "video" / "real" / "short_hamilton_clip.mp4"
    info = probe(local)
    assert (file["size"], file["width"], file["height"]) == (local.stat().st_size, info.width, info.height)
    assert file["duration"] == pytest.approx(info.duration_s, abs=0.001)
    assert (file["video_codec"], file["basename"]) == (info.codec, local.name)
    assert {"type": "oshash", "value": oshash(local)} in file["fingerprints"]
    people = {p["name"]: p["stash_ids"][0]["stash_id"] for p in scene["performers"]}  # type: ignore[attr-defined]
    assert people == {
        "Alex Lacamoire": sample_stash_id("alex_lacamoire"),
        "Lin Manuel Miranda": sample_stash_id("lin_manuel_miranda"),
    }
    assert {p.relative_to(data) for p in (data / "video").rglob("*.*")} == {
        Path(f["path"].removeprefix("/data/"))
        for s in media("{ findScenes(filter: {per_page: -1}) { scenes { files { path } } } }")["findScenes"]["scenes"]
        for f in s["files"]
    }


def test_sample_library_may_be_untagged(data: Path) -> None:
    library = sample_library(data)
    assert not any(row.performer_ids for table in (library.scenes, library.images) for row in table.values())


def test_bench_library_names_a_few_files_many_times(data: Path, tmp_path: Path) -> None:
    files = sorted((data / "video" / "real").glob("asl_*.mkv"))
    library = bench_library(tmp_path, files, scenes=8)
    again = bench_library(tmp_path, files, scenes=8)
    assert len(library.scenes) == 8
    paths = [library.files[i].path for i in library.files]
    assert paths[:2] == ["/library/scene_000001.mkv", "/library/scene_000002.mkv"]
    for path in paths:
        link = tmp_path / path.removeprefix("/library/")
        assert link.resolve() in {file.resolve() for file in files}
    assert [f.fingerprints for f in library.files.values()] == [f.fingerprints for f in again.files.values()]
    assert library.files[1].fingerprint("oshash") == oshash(files[0])
    with FakeStash(library) as stash:
        assert httpx.get(f"{stash.url}/scene/4/stream").content == files[0].read_bytes()
