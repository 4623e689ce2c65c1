import pickle

import numpy as np
import pytest

from sk_amips import AmortizedNeighbors
from sk_amips.index import KeyShard
from sk_amips.partition import as_partition


def index(problem, router, **params):
    defaults = {"random_state": 0, "fallback": False, "k": 5, "shards": 7}
    return AmortizedNeighbors(router, **(defaults | params)).fit(problem.log[700:])


def served(found):
    """A way to ask shards that are elsewhere, and the queries that each was asked."""
    shards = [
        pickle.loads(pickle.dumps(found.shard(s)))
        for s in range(found.shards_.max() + 1)
    ]
    asked = []

    def ask(shard, X, visits, k):
        assert visits.any(axis=1).all()
        asked.append((shard, len(X)))
        return shards[shard].search(X, visits, k)

    return ask, asked


@pytest.mark.parametrize("router", ["centroid", "net"])
@pytest.mark.parametrize(
    "params",
    [
        {"target_recall": 0.9},
        {"target_recall": 0.9, "k": 1},
        {"target_recall": 0.9, "max_lists": 3},
        {"n_probe": 4, "n_jobs": 2},
        {"max_keys": 90},
        {"n_probe": 2, "shards": None},
        {"n_probe": 3, "shards": 30, "k": 60},
    ],
)
def test_results_are_those_of_one_machine(problem, routers, router, params):
    found = index(problem, routers[router], **params)
    ask, asked = served(found)
    for X in (
        problem.test,
        problem.test.astype(float),
        problem.test[:1],
        problem.test[[3, 5]] * np.float32([[1], [0]]),
        np.zeros((2, 16)),
    ):
        asked.clear()
        expected = found.search(X)
        for one, other in zip(found.search_by_shard(X, ask), expected, strict=True):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        # Each shard once, with the queries that touch it and no other.
        assert len({shard for shard, _ in asked}) == len(asked)
        assert sum(n for _, n in asked) == found.shards_touched(X).sum()
    args = {"k": 3, "n_probe": 6}
    for one, other in zip(
        found.search_by_shard(X, ask, **args), found.search(X, **args), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_in_batches(problem, routers, monkeypatch):
    monkeypatch.setattr("sk_amips.index._engine.BLOCK", 100)
    found = index(problem, routers["net"], target_recall=0.9)
    ask, asked = served(found)
    expected = found.search(problem.test)
    for one, other in zip(
        found.search_by_shard(problem.test, ask), expected, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert max(n for _, n in asked) <= 100


def test_a_shard_holds_its_keys_alone(problem, routers):
    found = index(problem, routers["net"], n_probe=3)
    shards = [found.shard(s) for s in range(7)]
    for s, shard in enumerate(shards):
        np.testing.assert_array_equal(shard.rows, found.shard_rows(s))
        np.testing.assert_array_equal(shard.keys, problem.keys[shard.rows])
        assert shard.partition.n_partitions == (found.shards_ == s).sum()
        assert shard.nbytes > shard.keys.nbytes
        assert len(pickle.dumps(shard)) < 1.5 * shard.keys.nbytes + 4000
    assert repr(shards[0]).startswith(f"KeyShard({len(shards[0].keys)} keys in ")


def test_what_is_there_and_what_is_not(rng):
    keys = np.repeat(rng.normal(size=(10, 4)), 2, axis=0)
    rows = np.arange(20) * 3
    shard = KeyShard(keys, rows, as_partition(keys, np.arange(20) // 5), 9.0)
    X = rng.normal(size=(6, 4))
    visits = np.zeros((6, 4), dtype=bool)
    visits[1:, 2] = True
    scores, indices = shard.search(X, visits, 7)
    for some in (np.s_[0], np.s_[:, 5:]):
        assert (indices[some] == -1).all()
        assert np.isneginf(scores[some]).all()
    exact = X[1:] @ keys[10:15].T
    np.testing.assert_allclose(scores[1:, :5], -np.sort(-exact, axis=1), atol=1e-12)
    for row in indices[1:, :5]:
        np.testing.assert_array_equal(np.sort(row), rows[10:15])
    # Of equal keys the first one first.
    place = np.argsort(indices[1:, :5], axis=1)
    assert (place[:, 0] < place[:, 1]).all()
    assert (place[:, 2] < place[:, 3]).all()


def test_bad_input(problem, routers):
    found = index(problem, routers["net"], n_probe=3)
    shard = found.shard(0)
    n_lists = shard.partition.n_partitions
    with pytest.raises(ValueError, match="features"):
        shard.search(problem.test[:, :3], np.ones((600, n_lists), bool), 2)
    with pytest.raises(ValueError, match="visits must be of shape"):
        shard.search(problem.test, np.ones((n_lists, 600), bool), 2)
    with pytest.raises(ValueError, match="shard =="):
        found.shard(7)
    exact = index(problem, routers["net"])
    with pytest.raises(ValueError, match="Shards are asked once"):
        exact.search_by_shard(problem.test, served(exact)[0])
