import cv2
import numpy as np
import pytest

from pipelines.media.frames import SamplingPlan, sample_frames
from pipelines.media.hashes import VideoHashes, frame_hashes
from pipelines.media.images import load_image


def phash_distance(a, b) -> int:
    return (a[0] ^ b[0]).bit_count()


def pdq_distance(a, b) -> int:
    return int(np.unpackbits(a[1] ^ b[1]).sum())


@pytest.fixture(scope="module")
def frames(data) -> list:
    """Two frames of each of six videos, 1280 px wide."""
    names = ["asl_again.mkv", "asl_bird.mkv", "head_pose_female.mp4", "head_pose_male.mp4", "noface_bottles.mp4"]
    found = []
    for name in [*names, "short_hamilton_clip.mp4"]:
        plan = SamplingPlan(frames=2, start_fraction=0.2, end_fraction=0.8)
        for block in sample_frames(data / "video" / "real" / name, plan):
            found += [cv2.resize(frame.image, (1280, 720), interpolation=cv2.INTER_CUBIC) for frame in block]
    return found


def test_a_hash_is_64_bits_and_256_bits(frames):
    phash, pdq, quality = frame_hashes(frames[0])
    assert 0 <= phash < 2**64
    assert (pdq.dtype, pdq.shape) == (np.uint8, (32,))
    assert 0 <= quality <= 100
    again = frame_hashes(frames[0].copy())
    assert (again[0], again[1].tolist(), again[2]) == (phash, pdq.tolist(), quality)


def test_values_are_pinned(data):
    """They are stored for years: a change of them needs a new HASH_VERSION."""
    phash, pdq, quality = frame_hashes(load_image(data / "faces" / "formats" / "einstein.png"))
    assert (f"{phash:016x}", pdq.tobytes().hex(), quality) == PINNED


PINNED = ("c8c22f6f352d34f0", "298d9e63dbc8e0e40867436cbd84e72619966607b206ecda39568c7b73facda1", 100)


@pytest.mark.parametrize("size", [(640, 360), (854, 480), (426, 240), (1920, 1080)])
def test_copies_at_another_size_and_quality_are_near(frames, size):
    for frame in frames:
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        copy = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
        pair = frame_hashes(frame), frame_hashes(np.asarray(copy, np.uint8))
        assert phash_distance(*pair) <= 8
        assert pdq_distance(*pair) <= 20


def test_other_pictures_are_far(frames):
    hashes = [frame_hashes(frame) for frame in frames[::2]]
    pairs = [(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(pdq_distance(*pair) for pair in pairs) > 60
    assert min(phash_distance(*pair) for pair in pairs) > 12


def test_a_mirrored_picture_is_another_one(frames):
    for frame in frames[::3]:
        assert pdq_distance(frame_hashes(frame), frame_hashes(np.ascontiguousarray(frame[:, ::-1]))) > 60


@pytest.mark.parametrize("shape", [(1, 1), (1, 2000), (2000, 1), (16, 16), (63, 130), (3001, 4003), (320, 181)])
def test_any_size_has_a_hash(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    phash, pdq, _ = frame_hashes(image)
    assert phash.bit_length() <= 64
    assert pdq.shape == (32,)


def test_a_flat_picture_says_that_it_tells_nothing():
    assert frame_hashes(np.full((720, 1280, 3), 90, np.uint8))[2] == 0


def test_quality_is_high_where_there_is_something_to_see(frames):
    assert all(frame_hashes(frame)[2] >= 50 for frame in frames)


def hashes_of(frames) -> list:
    hashes = VideoHashes()
    for frame in frames:
        hashes.add(frame)
    return hashes.result()


def same(a, b) -> bool:
    return all((x[0], x[1].tobytes(), x[2]) == (y[0], y[1].tobytes(), y[2]) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("top", "left"), [(120, 0), (0, 160), (90, 0)], ids=["letterbox", "pillarbox", "narrow"])
def test_a_copy_with_bars_has_the_hashes_of_its_original(frames, top, left):
    """A scan of a version before this one kept the bars: its hashes are far from those of the original."""
    framed = [cv2.copyMakeBorder(f, top, top, left, left, cv2.BORDER_CONSTANT, value=(9, 9, 9)) for f in frames]
    before = [(frame_hashes(f), frame_hashes(g)) for f, g in zip(frames, framed, strict=True)]
    after = list(zip(hashes_of(frames), hashes_of(framed), strict=True))
    assert np.median([phash_distance(*pair) for pair in before]) > 12
    assert np.median([phash_distance(*pair) for pair in after]) <= 4
    assert max(pdq_distance(*pair) for pair in after) <= 32


def test_frames_without_bars_have_the_hashes_that_older_scans_stored(frames):
    assert same(hashes_of(frames), [frame_hashes(frame) for frame in frames])


def test_one_frame_with_dark_rims_or_frames_of_several_sizes_have_no_bars(frames):
    framed = [cv2.copyMakeBorder(frame, 120, 120, 0, 0, cv2.BORDER_CONSTANT) for frame in frames]
    for some in (framed[:1], [*framed, frames[0]], []):
        assert same(hashes_of(some), [frame_hashes(frame) for frame in some])
