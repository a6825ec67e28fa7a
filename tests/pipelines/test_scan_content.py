import cv2
import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.identify_media import analyze_video
from pipelines.media.frames import HttpSource, SamplingPlan, sample_frames
from pipelines.media.hashes import frame_hashes
from pipelines.scan_content import scan_content
from pipelines.store.scan_schema import ScanKey, ScanRecipe
from tests.bench.media_files import cut_short
from tests.bench.odd_files import ODD_FILES, Recoded
from tests.fakes.media_server import serve_media

SLOW_TO_MAKE = {"8K", "AV1", "turned by 90 degrees"}

PLAN = SamplingPlan(frames=12)
RECIPE = ScanRecipe("open-test", "s", "h")


def key(kind="scene") -> ScanKey:
    return ScanKey(kind, "1", "oshash:1", RECIPE)


def test_a_scene_has_the_faces_of_its_frames_and_the_hashes_of_all(data, engine):
    path = data / "video" / "real" / "asl_bird.mkv"
    scan = scan_content(key(), path, engine, PLAN)
    video = analyze_video(path, engine, PLAN)
    assert (scan.status, scan.reason, scan.retryable) == ("ok", "", False)
    assert (scan.width, scan.height, scan.duration_s) == (640, 480, video.info.duration_s)
    assert len(scan.faces) == len(video.seen)
    assert scan.faces.frame.tolist() == [s.frame for s in video.seen]
    assert np.allclose(scan.faces.time_s, [s.time_s for s in video.seen])
    assert np.allclose(scan.faces.template, [s.face.template for s in video.seen], atol=1e-3)
    assert scan.frame_times == pytest.approx(video.frame_times, abs=1e-3)
    images = [frame.image for block in sample_frames(path, PLAN) for frame in block]
    assert scan.frames.phash.tolist() == [frame_hashes(image)[0] for image in images]
    assert all((scan.frames.pdq[i] == frame_hashes(image)[1]).all() for i, image in enumerate(images))


def test_boxes_are_px_of_the_source_picture_however_small_it_is_decoded(data, engine):
    path = data / "video" / "real" / "head_pose_female.mp4"
    whole = scan_content(key(), path, engine, SamplingPlan(frames=5))
    small = scan_content(key(), path, engine, SamplingPlan(frames=5, max_side_px=320))
    assert (whole.width, whole.height) == (small.width, small.height)
    assert max(whole.width, whole.height) > 320
    for frame in range(5):
        one, other = (s.faces.box[s.faces.frame == frame][0] for s in (whole, small))
        assert np.abs(one - other).max() < 0.12 * (one[2] - one[0])
        marks = small.faces.landmarks[small.faces.frame == frame][0]
        assert (marks > other[:2] - 10).all()
        assert (marks < other[2:] + 10).all()


def test_an_image_has_one_frame_without_a_time(data, engine):
    scan = scan_content(key("image"), data / "faces" / "groups" / "obama_biden_1.jpg", engine, PLAN, galleries=["3"])
    assert (scan.status, len(scan.faces), len(scan.frames), scan.galleries) == ("ok", 2, 1, ("3",))
    assert scan.frame_times == ()
    assert np.isnan(scan.faces.time_s).all()
    assert np.isnan(scan.duration_s)
    assert (scan.width, scan.height) == (1126, 661)
    data_bytes = (data / "faces" / "groups" / "obama_biden_1.jpg").read_bytes()
    again = scan_content(key("image"), data_bytes, engine, PLAN)
    assert (again.faces.box == scan.faces.box).all()


def test_a_short_clip_among_the_images_is_looked_at_like_a_video(data, engine):
    scan = scan_content(key("image"), data / "video" / "real" / "asl_bird.mkv", engine, SamplingPlan(frames=4))
    assert (scan.status, len(scan.frames)) == ("ok", 4)
    assert len(scan.frame_times) == 4


def test_no_face_is_an_answer_with_hashes(data, engine):
    scan = scan_content(key(), data / "video" / "real" / "noface_nasa_dark.mp4", engine, SamplingPlan(frames=4))
    assert (scan.status, len(scan.faces), len(scan.frames)) == ("no_face", 0, 4)


@pytest.mark.parametrize("odd", [o for o in ODD_FILES if o.name not in SLOW_TO_MAKE], ids=lambda odd: odd.name)
def test_odd_and_broken_files_are_rows(odd, tmp_path, engine):
    path = tmp_path / odd.file_name
    if odd.make is not None:
        odd.make(path)
    scan = scan_content(key(), path, engine, SamplingPlan(frames=6))
    assert scan.status in odd.statuses, scan.reason
    assert scan.reason.startswith(odd.reason)
    assert scan.retryable == (odd.name == "not there")
    if scan.status == "ok":
        assert len(scan.faces) > 0


@pytest.mark.slow
@pytest.mark.parametrize("odd", [o for o in ODD_FILES if o.name in SLOW_TO_MAKE], ids=lambda odd: odd.name)
def test_slow_and_new_formats(odd, tmp_path, engine):
    odd.make(tmp_path / odd.file_name)
    scan = scan_content(key(), tmp_path / odd.file_name, engine, SamplingPlan(frames=4))
    assert scan.status == "ok"
    assert len(scan.faces) > 0


def test_turned_videos_have_boxes_in_the_picture_as_it_is_shown(tmp_path, engine):
    path = Recoded(seconds=2, turned_deg=90).write(tmp_path / "turned.mp4")
    upright = Recoded(seconds=2).write(tmp_path / "upright.mp4")
    scans = [scan_content(key(), p, engine, SamplingPlan(frames=1)) for p in (path, upright)]
    assert [(s.width, s.height) for s in scans] == [(640, 480), (640, 480)]
    assert np.abs(scans[0].faces.box[0] - scans[1].faces.box[0]).max() < 10


def test_a_cut_file_is_partial_and_final(data, engine, tmp_path):
    half = tmp_path / "half.mp4"
    cut_short(half, data / "video" / "derived" / "signers_mix2.mp4", 0.5)
    scan = scan_content(key(), half, engine, PLAN)
    assert (scan.status, scan.retryable) == ("partial", False)
    assert scan.reason
    assert 0 < len(scan.frames) < 12


@pytest.mark.parametrize(
    ("name", "reason"),
    [("corrupted.png", "media_"), ("empty.png", "media_"), ("truncated.jpg", "media_corrupt")],
)
def test_broken_images_are_rows(data, engine, name, reason):
    scan = scan_content(key("image"), data / "faces" / "formats" / name, engine, PLAN)
    assert (scan.status, scan.retryable) == ("failed", False)
    assert scan.reason.startswith(reason)


def test_a_picture_of_too_many_pixels_is_refused(data, engine):
    path = data / "faces" / "groups" / "obama_biden_1.jpg"
    scan = scan_content(key("image"), path, engine, PLAN, max_megapixels=0.1)
    assert scan.reason.startswith("limit_exceeded")


def test_pictures_and_videos_behind_an_address(data, engine, tmp_path):
    files = {"clip": data / "video" / "real" / "asl_bird.mkv", "photo": data / "faces/people/signer_a/01.jpg"}
    with serve_media(**files) as server:
        clip, photo, none = (HttpSource(server.url(name)) for name in ("clip", "photo", "none"))
        video = scan_content(key(), clip, engine, SamplingPlan(frames=4))
        image = scan_content(key("image"), photo, engine, PLAN)
        missing = scan_content(key("image"), none, engine, PLAN)
    gone = scan_content(key(), clip, engine, PLAN)
    assert (video.status, image.status) == ("ok", "ok")
    assert (missing.status, missing.reason.split(":")[0], missing.retryable) == ("failed", "media_not_found", True)
    assert (gone.status, gone.reason.split(":")[0], gone.retryable) == ("failed", "media_unreachable", True)


def test_what_the_checkpoint_raises_ends_the_scan(data, engine):
    def stop() -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        scan_content(key(), data / "video" / "real" / "asl_bird.mkv", engine, PLAN, checkpoint=stop)


def test_a_scene_is_no_bytes(engine):
    with pytest.raises(InputError):
        scan_content(key(), b"x", engine, PLAN)


def test_an_upscaled_small_picture_keeps_its_own_size(data, engine, tmp_path):
    image = cv2.imread(str(data / "faces" / "people" / "signer_a" / "01.jpg"))
    cv2.imwrite(str(tmp_path / "large.png"), cv2.resize(image, None, fx=2, fy=2))
    scan = scan_content(key("image"), tmp_path / "large.png", engine, PLAN)
    assert (scan.width, scan.height) == (image.shape[1] * 2, image.shape[0] * 2)
    assert scan.faces.box.max() > max(image.shape[:2]) / 2
