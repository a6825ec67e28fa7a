"""Real clips, encoded as copies are: decoded, aligned and judged as in a library."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.duplicates.evidence import EvidenceCache
from pipelines.duplicates.footage import Footage
from pipelines.duplicates.proof import ProofLimits, prove, prove_all
from pipelines.duplicates.types import Proof, ProofHints, ProofRequest, SceneVideo
from pipelines.media.frames import HttpSource, VideoSource
from tests.bench.duplicate_render import Encoding, Source, encode, frames_at, load, resized, scene, shots, title
from tests.bench.media_files import cut_short, write_sound
from tests.fakes.media_server import serve_media

SECONDS = 36.0
QUICK = Encoding(options={"preset": "ultrafast", "crf": "26"})


def _video(name: str, source: VideoSource, duration_s: float = 0.0) -> SceneVideo:
    return SceneVideo(name, f"oshash:{name}", source, duration_s)


def _prove(a: VideoSource, b: VideoSource, cache: EvidenceCache | None = None, **limits: float) -> Proof:
    return prove(ProofRequest(_video("1", a), _video("2", b)), cache, ProofLimits(**limits))


@pytest.fixture(scope="session")
def film(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Scenes of 46 s of two people: `take`, its copy of other times, size and sides, and `other`, cut alike."""
    folder = tmp_path_factory.mktemp("film")
    signer = [Source(data / "video/real/asl_again.mkv", 0, 2.5)]
    other = [Source(data / "video/real/asl_book.mkv", 0, 3.5)]
    edit = shots("film", SECONDS, fixed=False)
    files = {name: folder / f"{name}.mp4" for name in ("take", "copy", "other", "same_edit")}
    encode(files["take"], scene(edit, load(signer), "studio"), QUICK)
    encode(files["other"], scene(shots("else", SECONDS, fixed=False), load(other), "studio"), QUICK)
    encode(files["same_edit"], scene(edit, load(other), "studio"), QUICK)
    times = np.arange(9.3, SECONDS + 6, 1 / 24)
    mirror = (frame[::2, ::-2] for frame in frames_at(files["take"], times))
    encode(files["copy"], mirror, Encoding(fps=Fraction(24), options={"preset": "ultrafast", "crf": "30"}))
    return files


def test_a_mirrored_and_trimmed_copy_is_proven_with_its_place(film: dict[str, Path]) -> None:
    proof = _prove(film["take"], film["copy"])
    assert (proof.relation, proof.failure) == ("trim", "")
    assert proof.d is not None
    assert proof.r is not None
    assert proof.d < 35
    assert proof.r > 0.8
    assert proof.alignment is not None
    assert proof.alignment.mirrored
    assert proof.alignment.offset_s == pytest.approx(-9.3, abs=0.3)
    assert proof.alignment.a == pytest.approx((9.3, SECONDS + 6), abs=2)
    back = _prove(film["copy"], film["take"])
    assert back.alignment is not None
    assert back.alignment.offset_s == pytest.approx(9.3, abs=0.3)


def test_a_shared_intro_or_a_shared_edit_is_no_copy(film: dict[str, Path]) -> None:
    assert _prove(film["take"], film["other"]).relation == "different"
    assert not _prove(film["take"], film["same_edit"]).duplicate


def test_a_file_is_decoded_once_and_proofs_resume(film: dict[str, Path], tmp_path: Path) -> None:
    cache = EvidenceCache(tmp_path / "evidence")
    first = _prove(film["take"], film["copy"], cache)
    gone = tmp_path / "gone.mp4"
    again = prove(ProofRequest(_video("1", gone, 46.0), _video("2", gone, 32.7)), cache)
    assert again.failure.startswith("media_not_found"), "a stretch of other length is another grid"
    with Footage(_video("1", film["take"]), cache, 60) as take:
        exact = take.duration_s
    with Footage(_video("2", film["copy"]), cache, 60) as copy:
        short = copy.duration_s
    assert prove(ProofRequest(_video("1", gone, exact), _video("2", gone, short)), cache) == first


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("kind", ["missing", "empty", "text", "sound"])
def test_broken_files_are_results_with_reasons(film: dict[str, Path], tmp_path: Path, kind: str, side: str) -> None:
    path = tmp_path / "broken.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a video")
    elif kind == "sound":
        write_sound(path)
    pair = (path, film["take"]) if side == "a" else (film["take"], path)
    proof = _prove(*pair)
    codes = {"missing": "media_not_found", "empty": "media_empty", "text": "media_", "sound": "media_no_video"}
    assert proof.relation == "undecided"
    assert proof.failure.startswith(codes[kind])
    assert proof.retryable == (kind == "missing")


def test_a_broken_file_leaves_the_other_pairs_of_its_scene(film: dict[str, Path], tmp_path: Path) -> None:
    take = _video("1", film["take"])
    others = [_video("2", film["copy"]), _video("3", tmp_path / "none.mp4"), _video("4", film["other"])]
    proofs = list(prove_all([ProofRequest(take, other) for other in others]))
    assert [p.relation for p in proofs] == ["trim", "undecided", "different"]


def test_a_file_cut_short_is_compared_as_far_as_it_goes(film: dict[str, Path], tmp_path: Path) -> None:
    encode(tmp_path / "whole.mkv", frames_at(film["take"], np.arange(0, 40, 1 / 25)), QUICK)
    cut = cut_short(tmp_path / "cut.mkv", tmp_path / "whole.mkv", 0.8)
    proof = _prove(film["take"], cut)
    assert proof.duplicate
    assert proof.evidence_s > 20


def test_short_still_and_black_files(film: dict[str, Path], tmp_path: Path) -> None:
    take = film["take"]
    encode(tmp_path / "short.mp4", frames_at(take, np.arange(12, 22, 1 / 25)), QUICK)
    short = _prove(take, tmp_path / "short.mp4")
    assert short.relation == "clip"
    assert short.d is not None
    assert short.d <= 35
    encode(tmp_path / "tiny.mp4", frames_at(take, np.arange(12, 15, 1 / 25)), QUICK)
    assert _prove(take, tmp_path / "tiny.mp4").relation == "undecided"
    encode(tmp_path / "black.mp4", (np.zeros((90, 160, 3), np.uint8) for _ in range(700)), QUICK)
    assert _prove(tmp_path / "black.mp4", take).relation == "undecided"
    encode(tmp_path / "still.mp4", (f for f in title("card", 25.0, still=True)), QUICK)
    assert _prove(take, tmp_path / "still.mp4").relation == "different"


def test_a_deadline_ends_a_proof(film: dict[str, Path]) -> None:
    proof = _prove(film["take"], film["copy"], timeout_s=0.001)
    assert proof.failure.startswith("media_timeout")
    assert not proof.retryable


def test_files_behind_an_address(film: dict[str, Path]) -> None:
    with serve_media(take=film["take"], copy=film["copy"]) as server:
        proof = _prove(HttpSource(server.url("take")), HttpSource(server.url("copy")))
        assert proof.relation == "trim"
        lost = _prove(HttpSource(server.url("nothing")), film["take"])
    assert lost.failure.startswith("media_not_found")
    refused = _prove(HttpSource("http://127.0.0.1:9/x?apikey=secret"), film["take"])
    assert refused.failure.startswith("media_unreachable")
    assert refused.retryable
    assert "secret" not in refused.failure


@pytest.fixture(scope="session")
def long_film(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Films of 10 and 9 minutes without a second that comes twice, the second one a copy from 70 s on, and another."""
    folder = tmp_path_factory.mktemp("long")
    small = Encoding(fps=Fraction(12), options={"preset": "ultrafast", "crf": "30"})

    def film(seed: int, start: float, end: float) -> Iterator[np.ndarray]:
        names = ["asl_again.mkv", "noface_bottles.mp4", "short_hamilton_clip.mp4", "head_pose_male.mp4"]
        clips = load([Source(data / "video/real" / name, 0, 2.4) for name in names])
        rng = np.random.default_rng(seed)
        for second in np.arange(0, end, 4.0):
            clip = clips[int(rng.integers(len(clips)))]
            left, top = rng.uniform(0, 0.4, 2)
            h, w = clip.shape[1:3]
            part = clip[:, int(top * h) : int((top + 0.55) * h), int(left * w) : int((left + 0.55) * w)]
            first = int(rng.integers(20))
            for index in range(48):
                time_s = second + index / 12
                if start <= time_s < end:
                    turn = (first + index) % (2 * len(part) - 2)
                    yield resized(part[turn if turn < len(part) else 2 * len(part) - 2 - turn], 160, 90)

    files = {name: folder / f"{name}.mp4" for name in ("whole", "later", "other")}
    for name, seed, start in (("whole", 1, 0.0), ("later", 1, 70.0), ("other", 2, 0.0)):
        encode(files[name], film(seed, start, 600.0), small)
    return files


def test_long_files_are_compared_by_windows(long_film: dict[str, Path], tmp_path: Path) -> None:
    cache = EvidenceCache(tmp_path)
    request = ProofRequest(_video("1", long_film["whole"]), _video("2", long_film["later"]))
    proof = prove(request, cache)
    assert proof.relation == "trim"
    assert proof.alignment is not None
    assert proof.alignment.offset_s == pytest.approx(-70, abs=0.4)
    assert proof.alignment.a == pytest.approx((70, 600), abs=2)
    assert proof.alignment.b == pytest.approx((0, 530), abs=2)
    different = prove(ProofRequest(_video("1", long_film["whole"]), _video("3", long_film["other"])), cache)
    assert different.relation == "different"


def test_hints_may_be_right_or_wrong(long_film: dict[str, Path], tmp_path: Path) -> None:
    cache = EvidenceCache(tmp_path)
    a, b = _video("1", long_film["whole"]), _video("2", long_film["later"])
    for offset_s in (-70.0, 200.0):
        proof = prove(ProofRequest(a, b, ProofHints((offset_s,))), cache)
        assert proof.relation == "trim", offset_s


def test_memory_is_bounded(long_film: dict[str, Path]) -> None:
    with Footage(_video("1", long_film["whole"]), None, 120) as video:
        tracemalloc.start()
        grid = video.grid(0, 400)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert grid.nbytes < 400 * 6 * 700
        assert peak < 120 << 20
        with pytest.raises(ValueError, match="at once"):
            video.grid(700, 900)
