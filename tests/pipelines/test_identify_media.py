import random
import threading

import pytest

from pipelines.errors import LimitExceeded, MediaCorrupt, MediaError
from pipelines.identify_media import analyze_image, analyze_video, identify_media, identify_path
from pipelines.media.frames import SamplingPlan

PEOPLE_OF = {
    "derived/signers_mix2.mp4": {"signer_a", "signer_b", "signer_c"},
    "derived/signers_mix1__vp9.webm": {"signer_a", "signer_b", "signer_c"},
    "derived/signers_mix1__360p_low.mp4": {"signer_a", "signer_b", "signer_c"},
    "real/asl_again.mkv": {"signer_a"},
    "real/asl_bird.mkv": {"signer_b"},
    "real/asl_book.mkv": {"signer_c"},
    "real/head_pose_female.mp4": {"headpose_female"},
    "real/head_pose_male.mp4": {"headpose_male"},
    "real/head_pose_female_and_male.mp4": {"headpose_female", "headpose_male"},
    "real/noface_bottles.mp4": set(),
    "real/noface_nasa_dark.mp4": set(),
}

SIGNERS_MIX2 = {"signer_b": (0.0, 2.4), "signer_c": (2.4, 4.8), "signer_a": (4.8, 7.0)}
"""Where the shots of signers_mix2.mp4 begin and end, s; signer_c comes again at the end."""


def named(result) -> set[str]:
    return {p.match.name for p in result.people if p.match}


@pytest.mark.parametrize("name", PEOPLE_OF)
def test_the_people_of_each_video_are_found_and_nobody_else(engine, identifier, data, name):
    result = identify_media(data / "video" / name, engine, identifier)
    assert result.error is None
    assert named(result) == PEOPLE_OF[name]
    if not PEOPLE_OF[name]:
        assert result.people == ()


def test_the_stage_clip_names_no_one_who_is_not_there(engine, identifier, data):
    """The audience is in the dark, and Alex Lacamoire is seen in profile only."""
    result = identify_media(data / "video" / "real" / "short_hamilton_clip.mp4", engine, identifier)
    assert {"lin_manuel_miranda", "barack_obama"} <= named(result)
    assert named(result) <= {"lin_manuel_miranda", "barack_obama", "alex_lacamoire"}


def test_ranges_are_where_the_shots_are(engine, identifier, data):
    result = identify_media(data / "video" / "derived" / "signers_mix2.mp4", engine, identifier)
    ranges = {p.match.name: p.ranges for p in result.people if p.match}
    for name, (start, end) in SIGNERS_MIX2.items():
        assert any(abs(s - start) < 0.5 and abs(e - end) < 0.5 for s, e in ranges[name]), (name, ranges[name])
    assert result.duration_s == pytest.approx(10, abs=0.2)


def test_order_of_the_faces_changes_nobody(engine, identifier, data):
    video = analyze_video(data / "video" / "derived" / "signers_mix2.mp4", engine)
    shuffled = list(video.seen)
    random.Random(3).shuffle(shuffled)
    answers = [
        identifier.scene(seen, frame_times=video.frame_times, duration_s=video.info.duration_s)
        for seen in (video.seen, shuffled)
    ]
    assert [(p.match, p.faces, p.ranges) for p in answers[0]] == [(p.match, p.faces, p.ranges) for p in answers[1]]


def test_readers_give_the_same_people(engine, identifier, data):
    path = data / "video" / "derived" / "signers_mix2.mp4"
    found = [
        named(identify_media(path, engine, identifier, SamplingPlan(frames=24, reader=r))) for r in ("pyav", "decord")
    ]
    assert found[0] == found[1] == {"signer_a", "signer_b", "signer_c"}


def test_fewer_frames_give_the_same_people(engine, identifier, data):
    path = data / "video" / "derived" / "signers_mix2.mp4"
    assert named(identify_media(path, engine, identifier, SamplingPlan(frames=12))) == {
        "signer_a",
        "signer_b",
        "signer_c",
    }


def test_group_photo_names_both(engine, identifier, data):
    result = identify_media(data / "faces" / "groups" / "obama_biden_1.jpg", engine, identifier)
    assert result.kind == "image"
    assert named(result) == {"barack_obama", "joe_biden"}
    assert all(p.best.face.crop.shape == (112, 112, 3) for p in result.people)


@pytest.mark.parametrize("name", ["azure_cheese_clipart.png", "azure_printed_text.jpg", "eagle.jpg"])
def test_pictures_without_people_have_none(engine, identifier, data, name):
    assert named(identify_media(data / "faces" / "noface" / name, engine, identifier)) == set()


def test_json_record_has_the_promised_fields(engine, identifier, data):
    record = identify_path(data / "video" / "real" / "asl_bird.mkv", engine, identifier)
    assert set(record) == {"path", "kind", "people", "unknown", "timing_ms", "error"}
    assert (record["kind"], record["error"]) == ("video", None)
    (person,) = record["people"]
    assert set(person) == {"name", "universal_id", "confidence", "distance", "faces", "ranges", "candidates"}
    assert (person["name"], person["universal_id"]) == ("signer_b", "local:signer_b")
    assert 0.9 < person["confidence"] <= 1
    assert person["faces"] >= 8
    ((start, end),) = person["ranges"]
    assert 0 <= start < 0.3
    assert 1.8 < end < 2.5
    assert set(person["candidates"][0]) == {"name", "universal_id", "confidence", "distance"}
    assert len(person["candidates"]) == 5
    assert set(record["timing_ms"]) == {"decode", "detect_embed", "match", "total"}
    assert all(ms >= 0 for ms in record["timing_ms"].values())


@pytest.mark.parametrize("name", ["corrupted.png", "empty.png"])
def test_bad_files_are_answers_of_kind_error(engine, identifier, data, name):
    record = identify_path(data / "faces" / "formats" / name, engine, identifier)
    assert (record["kind"], record["people"], record["unknown"]) == ("error", [], [])
    assert set(record["error"]) == {"error", "message", "hint"}
    assert record["error"]["error"].startswith("media_")


def test_missing_file_is_an_answer_of_kind_error(engine, identifier, tmp_path):
    assert identify_path(tmp_path / "no.mp4", engine, identifier)["error"]["error"] == "media_not_found"


def test_limits_are_named_errors(engine, identifier, data):
    with pytest.raises(LimitExceeded):
        analyze_video(data / "video" / "real" / "noface_bottles.mp4", engine, max_duration_s=5)
    with pytest.raises(LimitExceeded):
        analyze_image(data / "faces" / "groups" / "obama_biden_1.jpg", engine, max_megapixels=0.01)
    path = data / "video" / "real" / "noface_bottles.mp4"
    assert identify_path(path, engine, identifier, max_duration_s=5)["error"]["error"] == "limit_exceeded"


def decode_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "decode"]


def test_an_engine_that_fails_stops_the_decoding(data, engine):
    class Failing:
        pack = engine.pack

        def analyze(self, _images, **_options):
            raise MediaCorrupt("on purpose")

    with pytest.raises(MediaCorrupt, match="on purpose"):
        analyze_video(data / "video" / "real" / "noface_bottles.mp4", Failing())
    assert not decode_threads()


def test_half_a_file_is_half_an_answer(engine, identifier, data, tmp_path):
    content = (data / "video" / "derived" / "signers_mix2.mp4").read_bytes()
    half = tmp_path / "half.mp4"
    half.write_bytes(content[: len(content) // 2])
    video = analyze_video(half, engine)
    assert video.report.partial
    assert 0 < len(video.frame_times) < video.report.wanted
    assert not decode_threads()


def test_errors_of_the_decoder_reach_the_caller(engine, data, tmp_path):
    bad = tmp_path / "bad.mkv"
    bad.write_bytes((data / "video" / "real" / "asl_bird.mkv").read_bytes()[:3000])
    with pytest.raises(MediaError):
        analyze_video(bad, engine)
    assert not decode_threads()


def test_frames_are_numbered_and_timed_in_order(engine, data):
    video = analyze_video(data / "video" / "real" / "asl_book.mkv", engine)
    assert list(video.frame_times) == sorted(video.frame_times)
    assert all(s.time_s == video.frame_times[s.frame] for s in video.seen)
    assert video.report.decoded == len(video.frame_times)
    assert set(video.timing_ms) == {"decode", "detect_embed", "total"}
