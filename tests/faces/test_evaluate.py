"""The leave-one-out protocol: known answers on made-up templates, equality with the identifier, real faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import InputError
from pipelines.faces.accuracy import Searches, accuracies
from pipelines.faces.calibrate import ACCEPT_FPIR, calibrate
from pipelines.faces.catalogue import OPEN
from pipelines.faces.degrade import CLEAN, CONDITIONS
from pipelines.faces.engine import EngineOptions, Face, FaceEngine
from pipelines.faces.evaluate import Photo, Samples, collect, gallery_scores, score
from pipelines.faces.gallery import Gallery, Performer
from pipelines.faces.identify import Identifier, IdentifyOptions
from pipelines.faces.types import Frame
from pipelines.media.images import load_image

BY_NAME = {c.name: c for c in CONDITIONS}
PLAIN = replace(OPEN, embedders=(replace(OPEN.embedders[0], weight=1.0),), centre=False)
DIM = PLAIN.template_dim


def made_up(spread: float, people: int = 6, photos: int = 4, seed: int = 0) -> Samples:
    """Unit templates around one random direction per person; the last person has one photo."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(people), photos)[: people * photos - photos + 1]
    centres = rng.normal(size=(people, DIM))
    conditions = (CLEAN, BY_NAME["noise"], BY_NAME["c16jpg"])
    noise = rng.normal(size=(len(person), 4, DIM)) * np.array([0.2, 0.2, 1, 2])[None, :, None] * spread
    templates = centres[person][:, None] + noise
    templates = (templates / np.linalg.norm(templates, axis=2, keepdims=True)).astype(np.float32)
    found = np.ones((len(person), 3), bool)
    found[::5, 2] = False
    return Samples(
        people=tuple(f"p{i}" for i in range(people)),
        person=person,
        keys=tuple(f"p{p}/{i}" for i, p in enumerate(person)),
        conditions=conditions,
        enrolled=templates[:, 0],
        probes=np.where(found[:, :, None], templates[:, 1:], 0).astype(np.float32),
        found=found,
        strangers=np.zeros_like(found, np.int64),
        unusable=(),
    )


def test_easy_faces_give_perfect_rates_and_lost_ones_are_misses() -> None:
    samples = made_up(0.1)
    single, hard = accuracies({"plain": (samples, score(samples, PLAIN))}, draws=20)
    assert (single.conditions_set, hard.conditions_set) == ("single", "hard")
    assert single.rank1.value == single.tpir_fpir1.value == 1
    assert single.eer == 0
    assert hard.rank1.value < 1
    assert hard.conditions[2].rank1 == pytest.approx(samples.found[:20, 2].mean())
    assert hard.conditions[2].found == pytest.approx(samples.found[:, 2].mean())
    assert hard.searches == (20 * 3, 21 * 3)


def test_scores_leave_out_the_probe_photo_and_in_non_mated_searches_the_person() -> None:
    samples = made_up(1.0)
    scores = score(samples, PLAIN)
    photo = 5
    own = samples.person == samples.person[photo]
    rest = own & (np.arange(len(own)) != photo)
    mean = samples.enrolled[rest].mean(axis=0)
    expected = samples.probes[photo] @ mean / np.linalg.norm(mean)
    np.testing.assert_allclose(scores.mated[photo], np.where(samples.found[photo], expected, -np.inf), atol=1e-6)
    others = [samples.enrolled[samples.person == p].mean(axis=0) for p in range(5) if p != samples.person[photo]]
    best = max(float(samples.probes[photo, 0] @ m / np.linalg.norm(m)) for m in others)
    assert scores.non_mated[photo, 0] == pytest.approx(best, abs=1e-6)
    assert np.isnan(scores.mated[-1]).all(), "a person with one photo is not enrolled"
    assert np.isnan(scores.impostors[photo, :, samples.person[photo]]).all()


def test_scores_are_those_of_the_identifier() -> None:
    """The same templates, enrolled and identified the way the server does it, get the same scores and the same name."""
    samples = made_up(1.5)
    scores = score(samples, OPEN_ONE)
    for photo in (0, 6, 13):
        keep = np.flatnonzero((np.arange(len(samples.person)) != photo) & (samples.person < 5))
        gallery = Gallery.build(
            OPEN_ONE,
            [Performer(f"local:{n}", n) for n in samples.people],
            samples.enrolled[keep],
            samples.person[keep],
            dtype="float32",
        )
        identifier = Identifier(gallery, IdentifyOptions(top_k=10))
        for condition in range(2):
            (person,) = identifier.image([_face(samples.probes[photo, condition])])
            by_name = {m.name: m.score for m in person.candidates}
            own = samples.people[samples.person[photo]]
            assert by_name[own] == pytest.approx(scores.mated[photo, condition], abs=2e-6)
            others = max(s for name, s in by_name.items() if name != own)
            assert others == pytest.approx(scores.best_wrong[photo, condition], abs=2e-6)


OPEN_ONE = replace(OPEN, embedders=(replace(OPEN.embedders[0], weight=1.0),))


def _face(template: np.ndarray) -> Face:
    box = np.array([0, 0, 100, 120], np.float32)
    return Face(box, np.zeros((5, 2), np.float32), 0.9, 0.0, 0.0, 1.0, template, np.zeros((112, 112, 3), np.uint8))


def test_centring_takes_out_what_all_faces_share() -> None:
    samples = made_up(1.0, people=60, photos=3)
    shared = np.zeros(DIM, np.float32)
    shared[0] = 5
    both = replace_templates(samples, samples.enrolled + shared, samples.probes + shared)
    plain, centred = (Searches(both, score(both, p), np.arange(2)) for p in (PLAIN, OPEN_ONE))
    assert plain.impostors.mean() > 0.5
    assert centred.impostors.mean() < plain.impostors.mean() - 0.2


def replace_templates(samples: Samples, enrolled: np.ndarray, probes: np.ndarray) -> Samples:
    return replace(samples, enrolled=enrolled.astype(np.float32), probes=probes.astype(np.float32))


def test_one_threshold_holds_for_all_conditions_of_a_set() -> None:
    samples = made_up(1.5)
    scores = score(samples, PLAIN)
    searches = Searches(samples, scores, np.arange(3))
    threshold = searches.threshold(0.05)
    assert (scores.non_mated >= threshold).mean() <= 0.05
    per_condition = [(scores.non_mated[:, c] >= threshold).mean() for c in range(3)]
    assert np.mean(per_condition) == pytest.approx((scores.non_mated >= threshold).mean())


def test_the_gain_is_paired_and_none_for_the_first_method() -> None:
    samples = made_up(1.5)
    scores = score(samples, PLAIN)
    results = accuracies({"first": (samples, scores), "same": (samples, scores)}, draws=50)
    assert [a.gain_fpir1 is None for a in results] == [True, False, True, False]
    assert results[1].gain_fpir1 is not None
    assert (results[1].gain_fpir1.low, results[1].gain_fpir1.value, results[1].gain_fpir1.high) == (0, 0, 0)


def test_too_few_people_are_an_error() -> None:
    samples = made_up(0.1, people=2)
    with pytest.raises(InputError, match="1 people"):
        score(samples, PLAIN)


def test_calibration_accepts_right_people_and_keeps_the_rate() -> None:
    samples = made_up(1.0, people=20, photos=5)
    scores = score(samples, PLAIN)
    record = calibrate(samples, scores, same_person_score=0.4, provenance="made up")
    assert record.gallery_size == 19
    assert (scores.non_mated >= record.accept_score).mean() <= ACCEPT_FPIR
    assert record.score_per_decade > 0
    assert record.slope > 0
    assert record.confidence(record.accept_score + 0.3, 19) > 0.95
    assert record.confidence(record.accept_score - 0.3, 19) < 0.3


class Blind:
    def analyze(self, images: Sequence[Frame]) -> list[list[Face]]:
        return [[] for _ in images]


def test_no_face_anywhere_is_an_error() -> None:
    photos = [Photo("a", "1.jpg", np.zeros((50, 50, 3), np.uint8))]
    with pytest.raises(InputError, match="No photo shows a face"):
        collect(photos, Blind(), Blind())


@pytest.fixture(scope="module")
def engine(open_models: Path) -> FaceEngine:
    return FaceEngine(OPEN, open_models, EngineOptions(min_face_px=16))


@pytest.fixture(scope="module")
def photos(data: Path) -> list[Photo]:
    files = [
        f for name in ("signer_a", "headpose_male", "compreface_a") for f in (data / "faces/people" / name).iterdir()
    ]
    return [Photo(f.parent.name, f.name, load_image(f)) for f in sorted(files)]


def test_real_faces_clean_and_degraded(engine: FaceEngine, photos: list[Photo]) -> None:
    conditions = (CLEAN, BY_NAME["size32"], BY_NAME["noise"], BY_NAME["mask"])
    samples = collect(photos, engine, engine, conditions)
    assert samples.keys == tuple(p.key for p in photos)
    assert samples.people == ("compreface_a", "headpose_male", "signer_a")
    assert samples.found.all()
    same = np.einsum("nd,ncd->nc", samples.enrolled, samples.probes)
    assert same[:, 0].min() > 0.9, "the clean probe is nearly the photo"
    (single,) = accuracies({"open": (samples, score(samples, OPEN))}, draws=20)
    assert single.rank1.value == 1


def test_the_same_photos_give_the_same_templates(engine: FaceEngine, photos: list[Photo]) -> None:
    twice = [collect(photos[:2], engine, engine, (BY_NAME["noise"],)) for _ in range(2)]
    np.testing.assert_array_equal(twice[0].probes, twice[1].probes)


def test_a_face_elsewhere_in_the_picture_is_a_miss_and_a_stranger(engine: FaceEngine, photos: list[Photo]) -> None:
    photo = photos[0]
    ((face, *_),) = engine.analyze([photo.image])

    class Elsewhere:
        def analyze(self, images: Sequence[Frame]) -> list[list[Face]]:
            return [[replace(face, landmarks=face.landmarks + 5000)] for _ in images]

    samples = collect([photo], engine, Elsewhere(), (CLEAN,))
    assert not samples.found.any()
    assert samples.strangers.tolist() == [[1]]


def test_gallery_scores_are_cosines(engine: FaceEngine, photos: list[Photo]) -> None:
    templates = np.stack([engine.analyze([p.image])[0][0].template for p in photos[:3]])
    np.testing.assert_allclose(np.diag(gallery_scores(OPEN, templates, templates)), 1, atol=1e-5)
