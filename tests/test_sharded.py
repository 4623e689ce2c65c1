import pickle

import numpy as np
import pytest
from joblib import parallel_config
from numpy.testing import assert_array_equal
from sklearn.base import clone

import sk_amips
from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    KeyNetRegressor,
    ShardedArray,
    SupportNetRegressor,
    exact_search,
)
from sk_amips._sharded import rows_of

D = 6


@pytest.fixture
def whole(rng):
    return rng.normal(size=(200, D)).astype(np.float32)


@pytest.fixture
def sharded(tmp_path, whole):
    """Three shards, two of them files."""
    shards = []
    for i, rows in enumerate(np.split(whole, [50, 51])):
        np.save(tmp_path / f"{i}.npy", rows)
        shards.append(np.load(tmp_path / f"{i}.npy", mmap_mode="r" if i else None))
    return ShardedArray(shards)


def test_describes_itself_as_an_array(sharded, whole):
    for name in ("shape", "dtype", "ndim", "size", "nbytes", "itemsize"):
        assert getattr(sharded, name) == getattr(whole, name)
    assert len(sharded) == len(whole)
    assert_array_equal(np.asarray(sharded), whole)
    assert np.asarray(sharded, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(10, 20),
        slice(45, 60),
        slice(50, 51),
        slice(-30, None),
        slice(20, 10),
        slice(199, 0, -7),
        [3, 199, 50, 51, 3, -1],
        [[0, 51], [199, 50]],
        np.array([], dtype=int),
        7,
        np.int64(-200),
        np.arange(200) % 3 == 0,
    ],
    ids=str,
)
def test_rows_are_those_of_the_whole(sharded, whole, rows):
    assert_array_equal(sharded[rows], whole[rows])


@pytest.mark.parametrize("rows", [200, [-201], [0.5], np.ones(3, dtype=bool)], ids=str)
def test_rows_that_are_not_there(sharded, rows):
    with pytest.raises(IndexError, match=r"rows must|a mask"):
        sharded[rows]


def test_slices_share_memory(sharded):
    assert np.shares_memory(sharded[60:80], sharded.shards[2])
    part = rows_of(sharded, slice(40, 90))
    assert isinstance(part, ShardedArray)
    assert np.shares_memory(part.shards[0], sharded.shards[0])
    assert_array_equal(part[:], sharded[40:90])


@pytest.mark.parametrize(
    ("shards", "match"),
    [
        ([], "at least one"),
        ([np.zeros(3)], "matrices"),
        ([np.zeros((0, 3))], "at least one row"),
        ([np.array([["a"]])], "numbers"),
        ([np.zeros((2, 3)), np.zeros((2, 4))], "width"),
        ([np.zeros((2, 3)), np.zeros((2, 3), dtype=np.float32)], "type"),
    ],
)
def test_shards_have_to_fit(shards, match):
    with pytest.raises(ValueError, match=match):
        ShardedArray(shards)


def test_pickles_name_files(sharded, whole):
    data = pickle.dumps(sharded)
    assert len(data) < whole[:50].nbytes + 2000
    assert_array_equal(pickle.loads(data)[:], whole)


@pytest.mark.parametrize("memory", [True, False])
def test_exact_search(tmp_path, sharded, whole, rng, memory):
    queries = rng.normal(size=(40, D)).astype(np.float32)
    more = ShardedArray([queries[:10], queries[10:]])
    memory = str(tmp_path / "kept") if memory else None
    for _ in range(2):
        found = exact_search(sharded, more, 5, memory=memory)
        for ours, theirs in zip(found, exact_search(whole, queries, 5), strict=True):
            assert_array_equal(ours, theirs)
    with parallel_config("loky", n_jobs=2):
        assert_array_equal(exact_search(sharded, more, 5)[1], found[1])
    more.shards[1][3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        exact_search(sharded, more)


@pytest.mark.parametrize("Estimator", [SupportNetRegressor, KeyNetRegressor])
def test_estimators_learn_the_same(tmp_path, sharded, whole, rng, Estimator):
    queries = rng.normal(size=(100, D)).astype(np.float32)
    params = {"n_partitions": 5, "max_epochs": 2, "random_state": 0, "device": "cpu"}
    est = clone(Estimator(sharded, **params))
    assert est.keys is sharded
    expected = Estimator(whole, **params).fit(queries)
    assert_array_equal(est.fit(queries).transform(queries), expected.transform(queries))
    for ours, theirs in zip(
        est.search(queries, 3, n_probe=2),
        expected.search(queries, 3, n_probe=2),
        strict=True,
    ):
        assert_array_equal(ours, theirs)
    est.save(tmp_path / "est")
    again = sk_amips.load(tmp_path / "est", keys=sharded)
    assert_array_equal(again.transform(queries), est.transform(queries))


@pytest.mark.parametrize("lists", ["flat", "pqfastscan"])
def test_indexes_find_the_same(tmp_path, sharded, whole, rng, lists):
    queries = rng.normal(size=(300, D)).astype(np.float32)
    found = []
    for keys in (sharded, whole):
        router = CentroidRouter(keys, n_partitions=8, random_state=0)
        index = AmortizedNeighbors(router, lists=lists, k=3, n_probe=4, random_state=0)
        found.append(index.fit(queries).search(queries))
        index.save(tmp_path / type(keys).__name__, keys=True)
        again = sk_amips.load(tmp_path / type(keys).__name__)
        found.append(again.search(queries))
    for scores, indices in found:
        assert_array_equal(indices, found[0][1])
        assert_array_equal(scores, found[0][0])
