import joblib
import numpy as np
import pytest
from joblib import Memory

from sk_amips import exact_search
from sk_amips.exact import _blocks, partition_search
from sk_amips.exact._blocks import over_query_blocks
from sk_amips.partition import spherical_kmeans


@pytest.fixture
def keys(rng):
    return rng.normal(size=(300, 6))


@pytest.fixture
def queries(rng):
    return rng.normal(size=(100, 6))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(_blocks, "_STORED", 30)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_blocks_are_put_together(queries, size, n_jobs):
    def search(block):
        assert len(block) <= size
        return block[:, :2].astype(np.float64), block[:, 2:4].astype(np.int64)

    scores, indices = over_query_blocks(search, queries, size, n_jobs=n_jobs)
    np.testing.assert_array_equal(scores, queries[:, :2])
    np.testing.assert_array_equal(indices, queries[:, 2:4].astype(np.int64))
    _, nothing = over_query_blocks(lambda b: (b, None), queries, size)
    assert nothing is None


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_any_backend_of_joblib(keys, queries, backend):
    """Processes would fill copies of the results."""
    expected = exact_search(keys, queries, 2)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        found = exact_search(keys, queries, 2)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_blocks_that_are_kept_do_not_depend_on_the_budget(
    tmp_path, monkeypatch, keys, queries
):
    exact_search(keys, queries, 3, memory=str(tmp_path))
    monkeypatch.setattr("sk_amips.exact._search.scan", None)
    exact_search(keys, queries, 3, memory=str(tmp_path), max_memory=2**16)


@pytest.mark.parametrize("form", ["folder", "Memory"])
def test_results_are_read_the_second_time(
    tmp_path, monkeypatch, small_blocks, keys, queries, form
):
    memory = str(tmp_path) if form == "folder" else Memory(tmp_path, verbose=0)
    expected = exact_search(keys, queries, 3)
    first = exact_search(keys, queries, 3, memory=memory)
    monkeypatch.setattr("sk_amips.exact._search.scan", None)
    second = exact_search(keys, queries, 3, memory=memory)
    for found in (first, second):
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for changed in [(keys, queries, 4), (2 * keys, queries, 3), (keys, -queries, 3)]:
        with pytest.raises(TypeError):  # it would search anew
            exact_search(*changed, memory=memory)


def test_a_memmap_is_the_same_as_its_array(tmp_path, monkeypatch, keys, queries):
    np.save(tmp_path / "keys.npy", keys)
    mapped = np.load(tmp_path / "keys.npy", mmap_mode="r")
    expected = exact_search(keys, queries, memory=str(tmp_path / "labels"))
    monkeypatch.setattr("sk_amips.exact._search.scan", None)
    found = exact_search(mapped, queries, memory=str(tmp_path / "labels"))
    np.testing.assert_array_equal(found[1], expected[1])


def test_an_interrupted_search_goes_on(tmp_path, small_blocks, queries):
    searched = []

    def search(block):
        if len(searched) == 2:
            raise Interrupted
        searched.append(block)
        return block[:, :1], None

    with pytest.raises(Interrupted):
        over_query_blocks(search, queries, 1000, memory=str(tmp_path))

    def rest(block):
        searched.append(block)
        return block[:, :1], None

    scores, _ = over_query_blocks(rest, queries, 1000, memory=str(tmp_path))
    np.testing.assert_array_equal(scores, queries[:, :1])
    np.testing.assert_array_equal(np.concatenate(searched), queries)


def test_lists_are_stored_too(tmp_path, monkeypatch, keys, queries):
    partition = spherical_kmeans(keys, 5)
    first = partition_search(keys, queries, partition, memory=str(tmp_path))
    monkeypatch.setattr("sk_amips.exact._per_partition._tile", None)
    second = partition_search(keys, queries, partition, memory=str(tmp_path))
    for ours, theirs in zip(second, first, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(TypeError):
        partition_search(keys, queries, spherical_kmeans(keys, 6), memory=str(tmp_path))
