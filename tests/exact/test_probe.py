import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips import exact_search
from sk_amips.exact import probe_search
from sk_amips.partition import Partition

N_KEYS, C, D = 120, 6, 5


@pytest.fixture
def keys(rng):
    return rng.normal(size=(N_KEYS, D))


@pytest.fixture
def queries(rng):
    return rng.normal(size=(25, D))


@pytest.fixture
def partition(rng):
    """Lists of very different sizes: the last one has two keys."""
    labels = rng.choice(C - 1, size=N_KEYS, p=[0.5, 0.25, 0.15, 0.06, 0.04])
    labels[[31, 77]] = C - 1
    return Partition(labels, np.zeros((C, D)))


def draw_probes(rng, n_queries, n_probe, n_lists=C):
    return np.stack([rng.permutation(n_lists)[:n_probe] for _ in range(n_queries)])


def brute_probe(brute_force, keys, queries, labels, probes, k):
    """The k best keys of the probed lists; -1 and -inf where they hold fewer."""
    scores = np.full((len(queries), k), -np.inf)
    indices = np.full((len(queries), k), -1)
    for i, (query, lists) in enumerate(zip(queries, probes, strict=True)):
        members = np.flatnonzero(np.isin(labels, lists))
        found, best = brute_force(keys[members], query[None], k)
        scores[i, : found.shape[1]] = found[0]
        indices[i, : best.shape[1]] = members[best[0]]
    return scores, indices


@pytest.mark.parametrize("n_probe", [1, 2, C])
@pytest.mark.parametrize("k", [1, 5, 40, N_KEYS])
@pytest.mark.parametrize("key_type", [np.float16, np.float32, np.float64])
def test_against_brute_force(
    rng, brute_force, keys, queries, partition, key_type, k, n_probe
):
    keys = keys.astype(key_type)
    probes = draw_probes(rng, len(queries), n_probe)
    scores, indices = probe_search(keys, queries, partition, probes, k)
    expected = brute_probe(brute_force, keys, queries, partition.labels_, probes, k)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, expected[0], rtol=1e-12)


def test_padding(keys, queries, partition):
    """The last list holds two keys only."""
    probes = np.full((len(queries), 1), C - 1)
    scores, indices = probe_search(keys, queries, partition, probes, 5)
    np.testing.assert_array_equal(np.sort(indices[:, :2]), [[31, 77]] * len(queries))
    assert (indices[:, 2:] == -1).all()
    assert (scores[:, 2:] == -np.inf).all()
    assert np.isfinite(scores[:, :2]).all()


@pytest.mark.parametrize("n_probe", [1, 3, C])
def test_one_query(rng, brute_force, keys, queries, partition, n_probe):
    probes = draw_probes(rng, 1, n_probe)
    got = probe_search(keys, queries[:1], partition, probes, 4)
    expected = brute_probe(brute_force, keys, queries[:1], partition.labels_, probes, 4)
    np.testing.assert_array_equal(got[1], expected[1])
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-12)


def test_list_that_one_query_visits(brute_force, keys, queries, partition):
    probes = np.array([[0, 1], [1, 2], [0, 5], [3, 1]])
    got = probe_search(keys, queries[:4], partition, probes, 4)
    expected = brute_probe(brute_force, keys, queries[:4], partition.labels_, probes, 4)
    np.testing.assert_array_equal(got[1], expected[1])


def test_all_lists_give_the_exact_answer(rng, keys, queries, partition):
    probes = draw_probes(rng, len(queries), C)
    got = probe_search(keys, queries, partition, probes, 7)
    for ours, theirs in zip(got, exact_search(keys, queries, 7), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_have_the_precision_of_the_queries(keys, queries, partition, dtype):
    probes = np.zeros((len(queries), 1), dtype=np.int64)
    scores, _ = probe_search(keys, queries.astype(dtype), partition, probes, 3)
    assert scores.dtype == dtype


@pytest.mark.parametrize("key_size", [1e-30, 1e-22, 1e20, 1e30])
@pytest.mark.parametrize("query_size", [1e-30, 1e-22, 1e20, 1e30])
def test_scores_beyond_the_range_of_float32(
    rng, keys, queries, partition, query_size, key_size
):
    probes = draw_probes(rng, len(queries), 3)
    expected = probe_search(keys, queries, partition, probes, 4)
    keys, queries = key_size * keys, query_size * queries
    scores, indices = probe_search(keys, queries, partition, probes, 4)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, key_size * query_size * expected[0], rtol=1e-9)


def test_order_of_the_lists_does_not_matter(rng, keys, queries, partition):
    probes = draw_probes(rng, len(queries), 3)
    got = probe_search(keys, queries, partition, probes, 4)
    turned = probe_search(keys, queries, partition, probes[:, ::-1], 4)
    for ours, theirs in zip(got, turned, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(
    n_keys=st.integers(3, 12),
    n_probe=st.integers(1, 3),
    k=st.integers(1, 12),
    seed=st.integers(0, 2**16),
)
def test_ties(brute_force, n_keys, n_probe, k, seed):
    """Of equal keys any may be found, each once, in order of their index."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(-1, 2, size=(n_keys, 2)).astype(float)
    queries = rng.integers(-1, 2, size=(4, 2)).astype(float)
    labels = np.append(rng.integers(0, 3, size=n_keys - 3), [0, 1, 2])
    partition = Partition(labels, np.zeros((3, 2)))
    probes = draw_probes(rng, 4, n_probe, n_lists=3)
    scores, indices = probe_search(keys, queries, partition, probes, k)
    expected = brute_probe(brute_force, keys, queries, labels, probes, k)
    np.testing.assert_array_equal(scores, expected[0])
    for i in range(4):
        real = indices[i, indices[i] >= 0]
        assert len(real) == np.isfinite(scores[i]).sum() == len(set(real))
        np.testing.assert_array_equal(keys[real] @ queries[i], scores[i, : len(real)])
        assert np.isin(labels[real], probes[i]).all()
        in_order = np.diff(real) > 0
        assert in_order[scores[i, 1 : len(real)] == scores[i, : len(real) - 1]].all()


@pytest.mark.parametrize("k", [1, 5])
def test_near_ties_within_the_spare_places(rng, brute_force, k):
    """A few keys whose order only float64 scores tell."""
    query = rng.normal(size=D)
    keys = rng.normal(size=(60, D))
    keys = keys[keys @ query < 0.5]
    near = query * (1 + 1e-11 * rng.permutation(k + 4))[:, None]
    keys = np.concatenate([near, keys])
    partition = Partition(np.arange(len(keys)) % 2, np.zeros((2, D)))
    _, indices = probe_search(keys, query[None], partition, np.array([[1, 0]]), k)
    np.testing.assert_array_equal(indices, brute_force(keys, query[None], k)[1])


@pytest.mark.parametrize("form", ["memmap", "fortran", "read-only"])
def test_forms_of_keys(tmp_path, rng, keys, queries, partition, form):
    probes = draw_probes(rng, len(queries), 2)
    expected = probe_search(keys, queries, partition, probes, 3)
    if form == "memmap":
        np.save(tmp_path / "keys.npy", keys)
        keys = np.load(tmp_path / "keys.npy", mmap_mode="r")
    elif form == "fortran":
        keys = np.asfortranarray(keys)
    else:
        keys.flags.writeable = queries.flags.writeable = False
        probes.flags.writeable = False
    got = probe_search(keys, queries, partition, probes, 3)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
