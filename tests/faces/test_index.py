import json
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import DatabaseCorrupt, InputError
from pipelines.faces import index as index_module
from pipelines.faces import vectors as vectors_module
from pipelines.faces.index import FaceIndex
from pipelines.faces.vectors import SplitVectors

SPLIT = 30_000


def clustered(count: int, dimension: int, seed: int = 0, decay: float = 40.0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of people with several photos each, most of whose length lies in a few directions."""
    random = np.random.default_rng(seed)
    scale = np.exp(-np.arange(dimension) / decay) + 0.01
    people = random.standard_normal((max(1, count // 3), dimension)) * scale
    owner = np.sort(random.integers(0, len(people), count))
    vectors = people[owner] + 0.5 * random.standard_normal((count, dimension)) * scale
    turn = np.linalg.qr(random.standard_normal((dimension, dimension)))[0]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)) @ turn
    return vectors.astype(np.float32), owner.astype(np.int32)


def brute_force(vectors, owner, queries, k):
    """The k best performers of each query in float64: performers and scores."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T
    pooled = np.full((len(queries), owner.max() + 1), -np.inf)
    for column, performer in enumerate(owner):
        pooled[:, performer] = np.maximum(pooled[:, performer], scores[:, column])
    order = np.argsort(-pooled, axis=1)[:, :k]
    return order, np.take_along_axis(pooled, order, axis=1)


@pytest.fixture(scope="module")
def large():
    return clustered(SPLIT, 96)


@pytest.fixture(scope="module", params=["float32", "float16"])
def split_index(request, large):
    return FaceIndex.build(large[0], template_id="t", dtype=request.param, threads=2)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("queries", [1, 3, 70])
def test_pooled_search_equals_brute_force_on_the_stored_values(dtype, queries):
    vectors, owner = clustered(900, 64)
    index = FaceIndex.build(vectors, owner, template_id="t", dtype=dtype, threads=2)
    stored = np.concatenate([index.vectors_of(p) for p in np.unique(owner)])
    performers, scores = brute_force(stored, owner, vectors[:queries], 10)
    hits = index.search(vectors[:queries], 10)
    np.testing.assert_array_equal(hits.performers, performers)
    np.testing.assert_allclose(hits.scores, scores, atol=1e-6)


@pytest.mark.parametrize("queries", [1, 4, 300])
def test_split_search_equals_brute_force_on_the_stored_values(split_index, large, queries):
    vectors, _ = large
    assert split_index._vectors.is_split
    wanted = clustered(queries, 96, seed=5)[0] * 0.4 + vectors[:queries] * 0.6
    stored = split_index._vectors.original(slice(None))
    scores = wanted.astype(np.float64) @ stored.astype(np.float64).T
    order = np.argsort(-scores, axis=1)[:, :10]
    hits = split_index.search(wanted, 10)
    assert (np.sort(hits.performers, axis=1) == np.sort(order, axis=1)).mean() == 1.0
    np.testing.assert_allclose(hits.scores, np.take_along_axis(scores, order, axis=1), atol=2e-6)


def test_float16_storage_finds_what_float32_finds(large):
    vectors, _ = large
    single = FaceIndex.build(vectors, template_id="t", dtype="float32").search(vectors[:200], 10)
    half = FaceIndex.build(vectors, template_id="t", dtype="float16").search(vectors[:200], 10)
    agreement = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(single.performers, half.performers, strict=True)])
    assert agreement > 0.99
    np.testing.assert_allclose(single.scores, half.scores, atol=1e-3)


def test_bounds_are_never_below_the_scores(split_index, large):
    vectors = split_index._vectors
    queries = vectors.queries(clustered(50, 96, seed=8)[0])
    bounds = queries.head @ vectors.head.astype(np.float32).T
    exact = vectors.block_scores(queries, 0, vectors.count)
    assert (bounds + vectors_module.BOUND_SLACK >= exact).all()


def test_loose_bounds_cost_time_and_not_answers(monkeypatch):
    """Vectors whose length is spread evenly: hardly any bound excludes anything."""
    random = np.random.default_rng(2)
    vectors = random.standard_normal((4000, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr(vectors_module, "TAIL_COST", 0.0)
    monkeypatch.setattr(vectors_module, "MIN_SPLIT_COUNT", 100)
    for dtype in ("float32", "float16"):
        index = FaceIndex.build(vectors, template_id="t", dtype=dtype, threads=2)
        assert index._vectors.is_split
        stored = index._vectors.original(slice(None))
        for count in (2, 40):
            expected = np.argsort(-(vectors[:count] @ stored.T), axis=1)[:, :5]
            np.testing.assert_array_equal(index.search(vectors[:count], 5).performers, expected)


def test_evenly_spread_vectors_are_not_split():
    vectors = np.random.default_rng(0).standard_normal((SPLIT, 64)).astype(np.float32)
    assert not SplitVectors.build(vectors, "float32").is_split


@given(
    count=st.integers(1, 60),
    people=st.integers(1, 8),
    k=st.integers(1, 12),
    queries=st.integers(1, 9),
    dtype=st.sampled_from(["float32", "float16"]),
    threads=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_any_shape_gives_each_performer_once_best_first(count, people, k, queries, dtype, threads):
    random = np.random.default_rng(count * 100 + people)
    vectors = random.standard_normal((count, 8)).astype(np.float32)
    owner = random.integers(0, people, count)
    index = FaceIndex.build(vectors, owner, template_id="t", dtype=dtype, threads=threads)
    hits = index.search(random.standard_normal((queries, 8)).astype(np.float32), k)
    found = len(np.unique(owner))
    for performers, scores in zip(hits.performers, hits.scores, strict=True):
        valid = performers[performers >= 0]
        assert len(valid) == min(k, found)
        assert len(set(valid.tolist())) == len(valid)
        assert set(valid.tolist()) <= set(owner.tolist())
        assert (np.diff(scores[: len(valid)]) <= 1e-6).all()
        assert np.isneginf(scores[len(valid) :]).all()


def test_a_performer_with_a_thousand_photos_does_not_hide_the_others():
    vectors = np.zeros((1003, 4), np.float32)
    vectors[:1000, 0] = 1
    vectors[1000:, 0] = (0.9, 0.8, 0.7)
    owner = np.array([0] * 1000 + [1, 2, 3])
    index = FaceIndex.build(vectors, owner, template_id="t", dtype="float32")
    assert index.search(np.eye(1, 4, dtype=np.float32), 4).performers.tolist() == [[0, 1, 2, 3]]


def test_an_empty_index_answers_with_nothing():
    index = FaceIndex.build(np.zeros((0, 8), np.float32), template_id="t")
    hits = index.search(np.ones((2, 8), np.float32), 3)
    assert hits.performers.tolist() == [[-1] * 3] * 2
    assert np.isneginf(hits.scores).all()
    assert index.search(np.ones((0, 8), np.float32), 3).scores.shape == (0, 3)


def test_scores_of_given_performers():
    vectors, owner = clustered(300, 32)
    index = FaceIndex.build(vectors, owner, template_id="t", dtype="float32")
    absent = int(owner.max()) + 1
    scores = index.scores_of(vectors[:3], np.array([int(owner[7]), absent]))
    np.testing.assert_allclose(scores[:, 0], (vectors[:3] @ vectors[owner == owner[7]].T).max(axis=1), atol=1e-5)
    assert np.isneginf(scores[:, 1]).all()


@pytest.mark.parametrize("mmap", [True, False])
def test_saved_and_loaded_index_gives_the_same_answers(tmp_path, split_index, large, mmap):
    split_index.save(tmp_path)
    again = FaceIndex.load(tmp_path, mmap=mmap, verify=True)
    for count in (1, 30):
        expected, found = split_index.search(large[0][:count], 5), again.search(large[0][:count], 5)
        np.testing.assert_array_equal(found.performers, expected.performers)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
    assert (again.count, again.dimension, again.dtype) == (SPLIT, 96, split_index.dtype)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(index_module.INDEX_FILES)


def small(tmp_path):
    FaceIndex.build(clustered(50, 16)[0], template_id="t").save(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", index_module.INDEX_FILES)
def test_missing_file_is_a_named_error(tmp_path, name):
    (small(tmp_path) / name).unlink()
    with pytest.raises(DatabaseCorrupt):
        FaceIndex.load(tmp_path)


@pytest.mark.parametrize("name", ["head.faiss", "performers.npy", "index.json"])
def test_truncated_file_is_a_named_error(tmp_path, name):
    path = small(tmp_path) / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatabaseCorrupt):
        FaceIndex.load(tmp_path)


def test_changed_byte_is_found_when_verified(tmp_path):
    path = small(tmp_path) / "head.faiss"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(DatabaseCorrupt, match="sha256"):
        FaceIndex.load(tmp_path, verify=True)


def test_other_format_is_a_named_error(tmp_path):
    header = json.loads((small(tmp_path) / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(header | {"format": 99}))
    with pytest.raises(DatabaseCorrupt, match="99"):
        FaceIndex.load(tmp_path)


def test_searches_of_several_threads_do_not_disturb_each_other(split_index, large):
    queries = [large[0][i : i + 1 + i % 9] for i in range(24)]
    expected = [split_index.search(q, 5).performers for q in queries]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda q: split_index.search(q, 5).performers, queries))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_thread_count_changes_no_answer(large):
    answers = [
        FaceIndex.build(large[0], template_id="t", dtype="float32", threads=n).search(large[0][:40], 7).performers
        for n in (1, 2, 5)
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


@pytest.mark.parametrize("bad", [np.zeros((2, 7), np.float32), np.zeros(8, np.float32)])
def test_queries_of_another_shape_are_refused(bad):
    with pytest.raises(InputError):
        FaceIndex.build(np.zeros((3, 8), np.float32), template_id="t").search(bad, 1)


def test_bad_arguments_are_refused():
    with pytest.raises(InputError):
        FaceIndex.build(np.zeros((3, 8), np.float32), template_id="t", dtype="int8")
    with pytest.raises(InputError):
        FaceIndex.build(np.zeros((3, 8), np.float32), np.zeros(2, int), template_id="t")
    with pytest.raises(InputError):
        FaceIndex.build(np.zeros((3, 8), np.float32), template_id="t").search(np.zeros((1, 8), np.float32), 0)


@pytest.mark.skipif(getattr(faiss, "get_num_gpus", lambda: 0)() > 0, reason="this FAISS has a GPU")
def test_without_a_gpu_the_search_runs_on_the_cpu(split_index):
    assert split_index.device == "cpu"


@pytest.mark.gpu
def test_gpu_finds_what_the_cpu_finds(large):
    index = FaceIndex.build(large[0], template_id="t", dtype="float32")
    assert index.device == "gpu"
    on_gpu = index.search(large[0][:50], 10)
    index._gpu = None
    on_cpu = index.search(large[0][:50], 10)
    assert (on_gpu.performers == on_cpu.performers).mean() > 0.99
    np.testing.assert_allclose(on_gpu.scores, on_cpu.scores, atol=1e-3)


@pytest.mark.parametrize("block_bytes", [1 << 12, 4 << 20])
def test_many_queries_find_what_few_find(monkeypatch, split_index, large, block_bytes):
    """The scan of whole vectors against the scan by bounds, in several blocks and several shares of the rows."""
    wanted = clustered(60, 96, seed=6)[0] * 0.4 + large[0][:60] * 0.6
    by_bounds = split_index.search(wanted, 9)
    monkeypatch.setattr(index_module, "_BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(index_module, "_MANY_QUERIES", 50)
    monkeypatch.setattr(index_module, "_MANY_AT_ONCE", 40)
    monkeypatch.setattr(index_module, "_SMALL_HEAD_SHARE", 0.0)
    assert split_index._scan(60) is index_module._scan_whole_vectors
    whole = split_index.search(wanted, 9)
    np.testing.assert_array_equal(whole.performers, by_bounds.performers)
    np.testing.assert_allclose(whole.scores, by_bounds.scores, atol=2e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_many_queries_equal_brute_force_where_performers_have_several_photos(dtype):
    vectors, owner = clustered(900, 64)
    index = FaceIndex.build(vectors, owner, template_id="t", dtype=dtype, threads=3)
    queries = np.tile(vectors[:300], (4, 1))
    assert len(queries) >= index_module._MANY_QUERIES
    stored = np.concatenate([index.vectors_of(p) for p in np.unique(owner)])
    performers, scores = brute_force(stored, owner, queries[:300], 10)
    hits = index.search(queries, 10)
    np.testing.assert_array_equal(hits.performers, np.tile(performers, (4, 1)))
    np.testing.assert_allclose(hits.scores, np.tile(scores, (4, 1)), atol=1e-6)


@pytest.mark.parametrize("count", [2, 40, 1200])
@pytest.mark.parametrize("several", [True, False])
def test_hidden_performers_are_as_if_they_were_not_there(count, several):
    """In each way of searching: the exact answer without them, however many of the best they are."""
    vectors, owner = clustered(900, 64)
    owner = owner if several else np.arange(900, dtype=np.int32)
    index = FaceIndex.build(vectors, owner, template_id="t", dtype="float16", threads=2)
    stored = index._vectors.original(slice(None))
    queries = stored[np.arange(count) % 900]
    best = index.search(queries[:60], 8).performers
    gone = np.union1d(best[:20], best[20:60, 0])
    hiding = index.hiding(gone)
    kept = ~np.isin(owner, gone)
    assert (hiding.count, hiding.hidden, index.hidden) == (900, int((~kept).sum()), 0)
    performers, scores = brute_force(stored[kept], owner[kept], queries, 10)
    hits = hiding.search(queries, 10)
    np.testing.assert_allclose(hits.scores, scores, atol=1e-5)
    assert (hits.performers == performers).mean() > 0.999
    assert not np.isin(hits.performers, gone).any()
    assert np.isneginf(hiding.scores_of(queries[:2], gone[:2])).all()
    np.testing.assert_array_equal(
        hiding.hiding(gone[:0]).search(queries, 5).performers, index.search(queries, 5).performers
    )
    everybody = index.hiding(owner)
    assert (everybody.search(queries[:3], 2).performers == -1).all()


def test_an_index_is_saved_whole_whoever_is_hidden(tmp_path):
    vectors, owner = clustered(60, 16)
    index = FaceIndex.build(vectors, owner, template_id="t")
    index.hiding(owner[:5]).save(tmp_path)
    hits = FaceIndex.load(tmp_path).search(vectors, 3)
    np.testing.assert_array_equal(hits.performers, index.search(vectors, 3).performers)
