import numpy as np
import pytest

from sk_amips import exact_search
from sk_amips.exact import partition_search
from sk_amips.partition import Partition

N_KEYS, C, D = 90, 4, 6


@pytest.fixture
def keys(rng):
    return rng.normal(size=(N_KEYS, D))


@pytest.fixture
def queries(rng):
    return rng.normal(size=(25, D))


@pytest.fixture
def partition(rng, keys):
    """Lists of very different sizes, one of them of a single key."""
    labels = rng.choice(3, size=N_KEYS, p=[0.8, 0.15, 0.05])
    labels[17] = 3
    means = np.stack([keys[labels == j].mean(axis=0) for j in range(C)])
    return Partition(labels, means)


def brute_lists(brute_force, keys, queries, labels):
    """Exact best key of each list, ties by lowest index."""
    columns = []
    for j in range(labels.max() + 1):
        members = np.flatnonzero(labels == j)
        scores, best = brute_force(keys[members], queries, 1)
        columns.append((scores[:, 0], members[best[:, 0]]))
    scores, indices = zip(*columns, strict=True)
    return np.stack(scores, axis=1).astype(float), np.stack(indices, axis=1)


@pytest.mark.parametrize("max_memory", [1, 2**17, None])
@pytest.mark.parametrize("key_type", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("query_type", [np.float32, np.float64])
def test_against_brute_force(
    brute_force, keys, queries, partition, key_type, query_type, max_memory
):
    keys, queries = keys.astype(key_type), queries.astype(query_type)
    scores, indices = partition_search(keys, queries, partition, max_memory=max_memory)
    expected = brute_lists(brute_force, keys, queries, partition.labels_)
    assert scores.shape == indices.shape == (25, C)
    assert scores.dtype == query_type
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_allclose(scores, expected[0], rtol=1e-5, atol=1e-5)
    alone, nothing = partition_search(
        keys, queries, partition, max_memory=max_memory, with_indices=False
    )
    assert nothing is None
    np.testing.assert_array_equal(alone, scores)


def test_ties_by_lowest_index(rng, brute_force):
    """Small integers: exact in float32, with many equal scores."""
    keys = rng.integers(-1, 2, size=(200, 3)).astype(float)
    queries = rng.integers(-2, 3, size=(30, 3)).astype(float)
    labels = rng.integers(0, C, size=200)
    partition = Partition(labels, np.zeros((C, 3)))
    scores, indices = partition_search(keys, queries, partition)
    expected = brute_lists(brute_force, keys, queries, labels)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_array_equal(scores, expected[0])


@pytest.mark.parametrize("key_size", [1e-30, 1e-22, 1e20, 1e30])
@pytest.mark.parametrize("query_size", [1e-30, 1e-22, 1e20, 1e30])
def test_scores_beyond_the_range_of_float32(
    keys, queries, partition, query_size, key_size
):
    _, expected = partition_search(keys, queries, partition)
    with np.errstate(over="ignore"):  # the scores that are returned are float32
        _, indices = partition_search(key_size * keys, query_size * queries, partition)
    np.testing.assert_array_equal(indices, expected)


def test_best_of_all_lists_is_the_best_key(keys, queries, partition):
    scores, indices = partition_search(keys, queries, partition)
    best_scores, best = exact_search(keys, queries)
    first = scores.argmax(axis=1)[:, None]
    np.testing.assert_array_equal(np.take_along_axis(indices, first, 1), best)
    np.testing.assert_allclose(np.take_along_axis(scores, first, 1), best_scores, 1e-6)
    np.testing.assert_array_equal(partition.labels_[indices], [range(C)] * 25)


def test_single_list(keys, queries):
    partition = Partition(np.zeros(N_KEYS, dtype=int), keys.mean(axis=0)[None])
    scores, indices = partition_search(keys, queries, partition)
    expected_scores, expected = exact_search(keys, queries)
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-6)


@pytest.mark.parametrize("form", ["memmap", "fortran", "read-only"])
def test_forms_of_keys(tmp_path, keys, queries, partition, form):
    expected = partition_search(keys, queries, partition)
    if form == "memmap":
        np.save(tmp_path / "keys.npy", keys)
        keys = np.load(tmp_path / "keys.npy", mmap_mode="r")
    elif form == "fortran":
        keys = np.asfortranarray(keys)
    else:
        keys.flags.writeable = queries.flags.writeable = False
    got = partition_search(keys, queries, partition)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
