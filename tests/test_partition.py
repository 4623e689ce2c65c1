import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.partition import Partition, as_partition, spherical_kmeans


@pytest.fixture
def keys(rng):
    """Keys of many directions and norms."""
    return rng.normal(size=(300, 8)) * 10 ** rng.uniform(-3, 3, size=(300, 1))


def assert_consistent(partition, keys, n_partitions):
    """No list is empty, and all attributes tell of the same lists."""
    labels = partition.labels_
    assert labels.shape == (len(keys),)
    assert labels.dtype == np.int32
    assert partition.n_partitions == n_partitions
    assert partition.sizes_.shape == (n_partitions,)
    assert partition.sizes_.min() >= 1
    assert partition.sizes_.sum() == len(keys)
    assert partition.centroids_.shape == (n_partitions, keys.shape[1])
    assert partition.centroids_.dtype == np.float32
    for j in range(n_partitions):
        members = partition.members(j)
        np.testing.assert_array_equal(members, np.flatnonzero(labels == j))
        assert len(members) == partition.sizes_[j]
        mean = keys[members].astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(
            partition.centroids_[j], mean, rtol=1e-6, atol=1e-6 * np.abs(mean).max()
        )


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    seed=st.integers(0, 2**16),
)
def test_partition(sizes, seed):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    keys = rng.normal(size=(len(labels), 3))
    means = np.stack([keys[labels == j].mean(axis=0) for j in range(len(sizes))])
    partition = Partition(labels, means)
    np.testing.assert_array_equal(partition.sizes_, sizes)
    assert_consistent(partition, keys, len(sizes))


def test_repr():
    partition = Partition(np.array([0, 1, 0]), np.zeros((2, 4)))
    assert repr(partition) == "Partition(3 keys in 2 lists)"


# --- as_partition


@pytest.mark.parametrize("n_partitions", [1, 7, 300])
@pytest.mark.parametrize("form", [list, np.int64, np.uint8, np.int8])
def test_partition_of_labels(keys, n_partitions, form):
    labels = np.random.default_rng(1).permutation(300) % min(n_partitions, 120)
    partition = as_partition(keys, form(labels))
    assert_consistent(partition, keys, labels.max() + 1)
    np.testing.assert_array_equal(partition.labels_, labels)


def test_partition_of_labels_is_that_of_kmeans(keys):
    expected = spherical_kmeans(keys, 6)
    partition = as_partition(keys, expected.labels_)
    np.testing.assert_array_equal(partition.centroids_, expected.centroids_)


def test_given_partition_is_kept(keys):
    partition = spherical_kmeans(keys, 6)
    assert as_partition(keys, partition) is partition


def test_given_labels_are_not_written(keys):
    labels = np.arange(300, dtype=np.int32) % 4
    before = labels.copy()
    labels.flags.writeable = False
    as_partition(keys, labels)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(299, dtype=int), "got 299 labels for 300 keys"),
        (Partition(np.zeros(4), np.zeros((1, 8))), "got 4 labels for 300 keys"),
        (np.zeros(300), "integer labels"),
        (np.zeros(300, dtype=bool), "integer labels"),
        (["a"] * 300, "integer labels"),
        (np.arange(300) - 1, "integer labels from 0 on"),
        (np.arange(300) + 1, "list empty"),
        (np.arange(300) * 2, "list empty"),
        (np.full(300, 2**62), "list empty"),
        (np.zeros((300, 2), dtype=int), "1d array"),
    ],
)
def test_bad_labels(keys, labels, message):
    with pytest.raises(ValueError, match=message):
        as_partition(keys, labels)


def test_partition_of_keys_of_another_width(keys):
    partition = spherical_kmeans(keys[:, :5], 6)
    with pytest.raises(ValueError, match="features"):
        as_partition(keys, partition)


# --- spherical k-means


@pytest.mark.parametrize("n_partitions", [1, 2, 7, 299, 300])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_kmeans_gives_lists(keys, dtype, n_partitions):
    keys = keys.astype(dtype)
    partition = spherical_kmeans(keys, n_partitions)
    assert_consistent(partition, keys, n_partitions)


@pytest.mark.parametrize("n_partitions", [1, 2, 5, 40, 150, 200])
@pytest.mark.parametrize("n_distinct", [1, 2, 4])
def test_no_list_is_empty_with_many_duplicates(rng, n_distinct, n_partitions):
    keys = rng.normal(size=(n_distinct, 4))[rng.integers(0, n_distinct, 200)]
    assert_consistent(spherical_kmeans(keys, n_partitions), keys, n_partitions)


def test_a_sample_of_the_keys_is_enough(rng):
    """More keys than 256 a list, and than one block has rows."""
    keys = rng.normal(size=(20_000, 3)).astype(np.float32)
    partition = spherical_kmeans(keys, 3)
    assert_consistent(partition, keys, 3)
    assert partition.sizes_.min() > 4000


def test_bundles_are_found(rng):
    """Keys of any norm, in three narrow bundles of directions."""
    bundle = rng.integers(0, 3, 150)
    keys = np.eye(3)[bundle] + 0.05 * rng.normal(size=(150, 3))
    keys *= 10 ** rng.uniform(-3, 3, size=(150, 1))
    labels = spherical_kmeans(keys, 3).labels_
    assert len(set(zip(bundle, labels, strict=True))) == 3


def test_lists_gather_similar_directions(keys):
    directions = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    labels = spherical_kmeans(keys, 10).labels_

    def tightness(labels):
        """Norm of the mean direction, over all keys."""
        sums = [np.linalg.norm(directions[labels == j].sum(axis=0)) for j in range(10)]
        return sum(sums) / len(keys)

    shuffled = np.random.default_rng(1).permutation(labels)
    assert tightness(labels) > tightness(shuffled) + 0.3


def test_norms_do_not_matter(rng, keys):
    factors = 2.0 ** rng.integers(-20, 20, size=(300, 1))
    np.testing.assert_array_equal(
        spherical_kmeans(keys, 6).labels_, spherical_kmeans(factors * keys, 6).labels_
    )


def test_reproducible_by_seed(keys, keeps_global_rng):
    first, again, other = (spherical_kmeans(keys, 6, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.labels_, again.labels_)
    np.testing.assert_array_equal(first.centroids_, again.centroids_)
    assert (first.labels_ != other.labels_).any()


def test_iterations_tighten_the_lists(keys):
    directions = keys / np.linalg.norm(keys, axis=1, keepdims=True)

    def tightness(n_iter):
        labels = spherical_kmeans(keys, 6, n_iter=n_iter).labels_
        sums = [np.linalg.norm(directions[labels == j].sum(axis=0)) for j in range(6)]
        return sum(sums)

    assert tightness(12) > tightness(1)


@pytest.mark.parametrize("form", ["memmap", "fortran", "read-only"])
def test_forms_of_keys(tmp_path, keys, form):
    expected = spherical_kmeans(keys, 6)
    before = keys.copy()
    if form == "memmap":
        np.save(tmp_path / "keys.npy", keys)
        keys = np.load(tmp_path / "keys.npy", mmap_mode="r")
    elif form == "fortran":
        keys = np.asfortranarray(keys)
    else:
        keys.flags.writeable = False
    partition = spherical_kmeans(keys, 6)
    np.testing.assert_array_equal(partition.labels_, expected.labels_)
    np.testing.assert_array_equal(keys, before)
