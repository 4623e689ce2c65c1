import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from sk_amips import exact_search
from sk_amips.exact._rescore import rescore, sort_by_score
from sk_amips.exact._search import check_k, top_k

N_KEYS, D = 700, 12
# The smallest blocks.
TINY = 2**19


@pytest.fixture
def keys(rng):
    return rng.normal(size=(N_KEYS, D))


@pytest.fixture
def queries(rng):
    return rng.normal(size=(23, D))


def assert_found(got, expected, rtol=1e-12):
    scores, indices = got
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, expected[0].astype(float), rtol=rtol, atol=1e-14)


@pytest.mark.parametrize("max_memory", [TINY, 2**26])
@pytest.mark.parametrize("k", [1, 5, N_KEYS - 1, N_KEYS])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_against_brute_force(brute_force, keys, queries, dtype, k, max_memory):
    keys = (10 * keys).astype(dtype)
    keys = keys[keys.any(axis=1)]
    k = min(k, len(keys))
    got = exact_search(keys, queries, k, max_memory=max_memory)
    assert_found(got, brute_force(keys, queries, k))


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keys_of_very_different_norms(rng, brute_force, keys, queries, dtype, k):
    keys = (keys * 10 ** rng.uniform(-5, 5, size=(N_KEYS, 1))).astype(dtype)
    got = exact_search(keys, queries, k, max_memory=TINY)
    assert_found(got, brute_force(keys, queries, k))


@pytest.mark.parametrize("key_size", [1e-30, 1e-22, 1.0, 1e20, 1e30])
@pytest.mark.parametrize("query_size", [1e-30, 1e-22, 1.0, 1e20, 1e30])
def test_scores_beyond_the_range_of_float32(
    brute_force, keys, queries, query_size, key_size
):
    scores, indices = exact_search(key_size * keys, query_size * queries, 3)
    np.testing.assert_array_equal(indices, brute_force(keys, queries, 3)[1])
    expected = np.take_along_axis(queries @ keys.T, indices, axis=1)
    np.testing.assert_allclose(scores, query_size * key_size * expected, rtol=1e-9)


@pytest.mark.parametrize("max_memory", [TINY, 2**26])
@pytest.mark.parametrize("k", [1, 30, 60])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_duplicates_are_in_order_of_their_index(
    rng, brute_force, queries, dtype, order, k, max_memory
):
    keys = rng.normal(size=(20, D)).astype(dtype)[rng.permutation(np.arange(800) % 20)]
    keys = np.asarray(keys, order=order)
    got = exact_search(keys, queries, k, max_memory=max_memory)
    assert_found(got, brute_force(keys, queries, k))


def test_all_keys_equal(queries):
    keys = np.ones((600, D))
    scores, indices = exact_search(keys, queries, 3, max_memory=TINY)
    np.testing.assert_array_equal(indices, [[0, 1, 2]] * len(queries))
    assert (scores == scores[:, :1]).all()


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("max_memory", [TINY, 2**26])
def test_near_ties_are_settled_in_float64(rng, brute_force, k, max_memory):
    """Keys one float32 step apart in a coordinate: float32 scores mix them up."""
    queries = rng.normal(size=(20, 40)).astype(np.float32)
    keys = np.tile(rng.normal(size=40).astype(np.float32), (600, 1))
    for row in keys:
        for i in rng.choice(40, 3, replace=False):
            row[i] = np.nextafter(row[i], np.float32(rng.choice([-9, 9])))
    expected = brute_force(keys, queries, k)
    in_float32 = np.argsort(-(queries @ keys.T), axis=1, kind="stable")[:, :k]
    assert (in_float32 != expected[1]).any(axis=1).mean() > 0.5
    _, indices = exact_search(keys, queries, k, max_memory=max_memory)
    np.testing.assert_array_equal(indices, expected[1])


def test_near_ties_of_float64_keys(rng, brute_force):
    """Keys that are equal once rounded to float32."""
    direction = rng.normal(size=D)
    steps = rng.permutation(500)
    keys = direction * (1 + 1e-12 * steps)[:, None]
    _, indices = exact_search(keys, [direction, -direction], 4, max_memory=TINY)
    up = np.argsort(-steps)
    np.testing.assert_array_equal(indices, [up[:4], up[:-5:-1]])


def test_worse_later_blocks_leave_room_in_the_short_list(brute_force, keys, queries):
    """The first block has k keys but fewer than the short-list has places."""
    keys, query = keys[:400], queries[:1]
    keys[256:] = -10 * query
    for k in (252, 253, 255, 256):
        got = exact_search(keys, query, k, max_memory=TINY)
        assert_found(got, brute_force(keys, query, k))


def test_a_good_last_key_does_not_fill_the_room(brute_force, keys, queries):
    """The same, but for the last key of all, in a block of its own."""
    keys, query = keys[:513], queries[:1]
    keys[256:512] = -10 * query
    keys[512] = 10 * query
    got = exact_search(keys, query, 254, max_memory=TINY)
    assert_found(got, brute_force(keys, query, 254))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_near_ties_in_different_blocks(rng, k):
    """Better by less than a rounding error, and the only such key of its block."""
    keys = rng.normal(size=(700, D))
    query = 10 * rng.normal(size=D)
    near = [3, 300, 699]
    keys[near] = query * (1 + 1e-9 * np.arange(3))[:, None]
    _, indices = exact_search(keys, query[None], k, max_memory=TINY)
    np.testing.assert_array_equal(indices, [near[::-1][:k]])


def test_best_keys_in_the_last_block(brute_force, keys, queries):
    keys[-3:] *= 100
    got = exact_search(keys, queries, 5, max_memory=TINY)
    assert_found(got, brute_force(keys, queries, 5))


@given(
    n_keys=st.integers(1, 9),
    n_queries=st.integers(1, 4),
    d=st.integers(1, 4),
    k=st.integers(1, 9),
    seed=st.integers(0, 2**16),
)
def test_small_integers(brute_force, n_keys, n_queries, d, k, seed):
    """Many exact ties, for one key, one query and one feature too."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(1, 4, size=(n_keys, d)) * rng.choice([-1, 1], (n_keys, d))
    queries = rng.integers(-2, 3, size=(n_queries, d))
    k = min(k, n_keys)
    got = exact_search(keys, queries, k)
    assert_found(got, brute_force(keys, queries, k))


def test_zero_query(keys):
    scores, indices = exact_search(keys, np.zeros((2, D)), 3, max_memory=TINY)
    assert not scores.any()
    np.testing.assert_array_equal(indices, [[0, 1, 2]] * 2)


# --- forms of input


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_have_the_precision_of_the_queries(keys, queries, dtype):
    scores, _ = exact_search(keys, queries.astype(dtype), 3)
    assert scores.dtype == dtype
    integers, _ = exact_search(keys, np.ones((1, D), dtype=int))
    assert integers.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", ["fortran", "columns", "rows", "reversed"])
def test_memory_layouts(brute_force, keys, queries, dtype, form):
    keys = {
        "fortran": np.asfortranarray(keys),
        "columns": keys[:, ::2],
        "rows": keys[::3],
        "reversed": keys[::-1, ::-1],
    }[form].astype(dtype, order="K", copy=False)
    queries = np.asfortranarray(queries[:, : keys.shape[1]])
    assert not (keys.flags.c_contiguous and dtype == np.float64)
    got = exact_search(keys, queries, 5, max_memory=TINY)
    assert_found(got, brute_force(keys, queries, 5))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_input_is_only_read(keys, queries, dtype):
    keys, queries = keys.astype(dtype), queries.astype(dtype)
    before = keys.copy(), queries.copy()
    writeable = exact_search(keys, queries, 3, max_memory=TINY)
    np.testing.assert_array_equal(keys, before[0])
    np.testing.assert_array_equal(queries, before[1])
    keys.flags.writeable = queries.flags.writeable = False
    read_only = exact_search(keys, queries, 3, max_memory=TINY)
    for ours, theirs in zip(read_only, writeable, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_lists_are_input_too(brute_force, keys, queries):
    got = exact_search(keys[:9].tolist(), queries.tolist(), 2)
    assert_found(got, brute_force(keys[:9], queries, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_memmap_is_searched_in_blocks(tmp_path, rng, dtype):
    """Nothing as large as half the keys is ever allocated."""
    shape = (200_000, 16)
    written = np.lib.format.open_memmap(tmp_path / "keys.npy", "w+", dtype, shape)
    written[:] = rng.normal(size=shape)
    written[123_456] *= 100
    written.flush()
    keys = np.load(tmp_path / "keys.npy", mmap_mode="r")
    query = np.array(keys[123_456:123_457], dtype=np.float64)
    size = keys.size * 4
    tracemalloc.start()
    _, indices = exact_search(keys, query, 2, max_memory=2**16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert indices[0, 0] == 123_456
    assert peak < size / 2


def test_many_queries_are_searched_in_blocks(brute_force, rng):
    keys, queries = rng.normal(size=(50, 3)), rng.normal(size=(4500, 3))
    alone = exact_search(keys, queries, 2)
    assert_found(alone, brute_force(keys, queries, 2))
    together = exact_search(keys, queries, 2, n_jobs=2)
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["highest", "high"])
def test_cuda_finds_the_same(brute_force, keys, queries, precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        got = exact_search(keys, queries, 5, max_memory=TINY, device="cuda")
    finally:
        torch.set_float32_matmul_precision(before)
    assert_found(got, brute_force(keys, queries, 5))


# --- top_k with an offset, and its parts


@pytest.mark.parametrize("max_memory", [TINY, 2**26])
@pytest.mark.parametrize("k", [1, 5, N_KEYS])
def test_offset_gives_euclidean_neighbours(keys, queries, k, max_memory):
    keys *= np.linspace(0.1, 3, N_KEYS)[:, None]
    norms = np.linalg.norm(keys, axis=1)
    scores, indices = top_k(
        keys,
        queries,
        k,
        max_norm=norms.max(),
        offset=-0.5 * norms**2,
        max_memory=max_memory,
    )
    distances = np.linalg.norm(queries[:, None] - keys, axis=2)
    np.testing.assert_array_equal(indices, np.argsort(distances, axis=1)[:, :k])
    half_squares = np.square(np.sort(distances, axis=1)[:, :k]) / 2
    own = np.square(queries).sum(axis=1, keepdims=True) / 2
    np.testing.assert_allclose(scores, own - half_squares, atol=1e-12)


def test_offset_near_ties(keys, queries):
    """Offsets whose differences float32 cannot hold."""
    steps = np.random.default_rng(1).permutation(N_KEYS)
    keys[:] = keys[0]
    _, indices = top_k(
        keys,
        queries,
        3,
        max_norm=np.linalg.norm(keys[0]),
        offset=100 + 1e-8 * steps,
        max_memory=TINY,
    )
    np.testing.assert_array_equal(indices, [np.argsort(-steps)[:3]] * len(queries))


@pytest.mark.parametrize("size", [1e-7, 1e-5, 1.0])
def test_rounding_of_offsets_is_bounded(rng, size):
    """Queries so small that the offsets are almost all of a score."""
    keys = rng.normal(size=(N_KEYS, D))
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    keys *= 1 + 1e-7 * rng.normal(size=(N_KEYS, 1))
    queries = size * rng.normal(size=(50, D))
    offset = -0.5 * np.square(keys).sum(axis=1)
    _, indices = top_k(keys, queries, 1, max_norm=1.001, offset=offset)
    best = (queries @ keys.T + offset).argmax(axis=1)
    np.testing.assert_array_equal(indices[:, 0], best)


def test_rescore(keys, queries):
    indices = np.array([[3, 1], [0, 0]])
    scores = rescore(keys.astype(np.float32), queries[:2], indices)
    gathered = keys.astype(np.float32).astype(float)[indices]
    expected = np.einsum("nmd,nd->nm", gathered, queries[:2])
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, expected, rtol=1e-14)


def test_sort_by_score():
    scores, indices = sort_by_score(
        np.array([[1.0, 3.0, 3.0, -np.inf]]), np.array([[5, 9, 2, -1]]), 3
    )
    np.testing.assert_array_equal(scores, [[3, 3, 1]])
    np.testing.assert_array_equal(indices, [[2, 9, 5]])


# --- errors


def test_widths_differ(keys):
    with pytest.raises(ValueError, match=r"has 3 features, .*keys have 12\b"):
        exact_search(keys, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("k", "kind", "message"),
    [
        (701, ValueError, "k must be at most the number of keys, 700: got 701"),
        (0, ValueError, "k == 0, must be >= 1"),
        (-1, ValueError, "k == -1, must be >= 1"),
        (1.0, TypeError, "k must be an instance of"),
        ("1", TypeError, "k must be an instance of"),
        (None, TypeError, "k must be an instance of"),
    ],
)
def test_bad_k(keys, queries, k, kind, message):
    with pytest.raises(kind, match=message):
        exact_search(keys, queries, k)


def test_check_k():
    check_k(3, 3)
    check_k(np.int64(1), 1)
    with pytest.raises(ValueError, match=r"n_neighbors must be at most .* 3: got 4"):
        check_k(4, 3, "n_neighbors")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_key_not_finite(keys, queries, dtype, value):
    keys = keys.astype(dtype)
    keys[413, 5] = keys[600, 0] = value
    with pytest.raises(ValueError, match=r"keys contains NaN or infinity .*row 413\)"):
        exact_search(keys, queries)


def test_a_zero_key_can_be_the_best():
    scores, indices = exact_search([[-1.0, 0.0], [0.0, 0.0]], [[1.0, 0.0]])
    assert (scores.item(), indices.item()) == (0.0, 1)


@pytest.mark.parametrize("norm", [1e-40, 1e40])
def test_keys_out_of_the_range_of_float32(keys, queries, norm):
    with pytest.raises(ValueError, match=r"norms up to .* rescale them"):
        exact_search(keys * norm, queries)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_query_not_finite(keys, queries, value):
    queries[3, 1] = value
    with pytest.raises(ValueError, match=r"queries contains (NaN|infinity)"):
        exact_search(keys, queries)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (sparse.csr_array(np.eye(D)), TypeError, "keys must be a dense array.*toarray"),
        (
            np.ones(D),
            ValueError,
            r"keys must be a 2-D array .*got 1-D",
        ),
        (np.ones((2, 2, D)), ValueError, "keys must be a 2-D array .*got 3-D"),
        ([1.0, 2.0], ValueError, "Expected 2D array, got 1D array"),
        (np.empty((0, D)), ValueError, r"keys must not be empty, got shape \(0, 12\)"),
        (np.empty((3, 0)), ValueError, r"keys must not be empty, got shape \(3, 0\)"),
        (np.empty((0, D), dtype=int), ValueError, "keys must not be empty"),
        ([["a"] * D], ValueError, "could not convert string to float"),
        (np.ones((3, D), dtype=complex), ValueError, "Complex data not supported"),
    ],
)
def test_bad_keys(queries, wrong, kind, message):
    with pytest.raises(kind, match=message):
        exact_search(wrong, queries)


@pytest.mark.parametrize(
    ("wrong", "kind", "message"),
    [
        (sparse.csr_array(np.eye(D)), TypeError, "[Ss]parse data was passed"),
        (np.ones(D), ValueError, "Expected 2D array, got 1D array"),
        (np.empty((0, D)), ValueError, "0 sample"),
        ([["a"] * D], ValueError, "could not convert string to float"),
    ],
)
def test_bad_queries(keys, wrong, kind, message):
    with pytest.raises(kind, match=message):
        exact_search(keys, wrong)


def test_bad_device(keys, queries):
    with pytest.raises(ValueError, match=r"device must be 'auto', .*got 'abacus'"):
        exact_search(keys, queries, device="abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_absent_device(keys, queries):
    with pytest.raises(ValueError, match="torch sees no CUDA device"):
        exact_search(keys, queries, device="cuda")
