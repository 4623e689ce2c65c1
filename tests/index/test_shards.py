import pickle

import numpy as np
import pytest
from sklearn.base import clone

import sk_amips
from sk_amips import AmortizedNeighbors, CentroidRouter
from sk_amips.index._placement import capacity
from sk_amips.index._shards import Shards
from sk_amips.persistence import InvalidFileError

N_LISTS = 30


def index(problem, router, **params):
    defaults = {"random_state": 0, "fallback": False, "k": 5, "target_recall": 0.9}
    return AmortizedNeighbors(router, **(defaults | params)).fit(problem.log[700:])


def test_touched_and_tolled(rng):
    of_list = rng.permutation(np.arange(12) % 4)
    shards = Shards(of_list)
    mask = rng.uniform(size=(12, 50)) < 0.2
    expected = [[mask[of_list == s, i].any() for i in range(50)] for s in range(4)]
    np.testing.assert_array_equal(shards.touched(mask), expected)
    scores = rng.integers(6, size=(12, 50)).astype(np.float32)
    tolled = shards.tolled(scores, 1.5)
    for i in range(50):
        best = [scores[of_list == s, i].max() for s in range(4)]
        for j in range(12):
            s = of_list[j]
            limit = np.inf if s == np.argmax(best) else best[s] - 1.5
            assert tolled[j, i] == min(scores[j, i], limit)
    np.testing.assert_array_equal(shards.tolled(scores, 0.0), scores)


def test_results_with_a_toll_are_the_best_keys_of_the_lists_visited(problem, routers):
    found = index(problem, routers["net"], shards=6)
    assert found.calibrations_[5].toll > 0
    rule, k = found._rule(5, None, None)
    ((_, mask),) = found._engine.visits(problem.test, k, rule)
    there = mask[found.partition_.labels_].T
    exact = problem.test.astype(float) @ problem.keys.T.astype(float)
    expected = np.sort(np.where(there, exact, -np.inf), axis=1)[:, :-6:-1]
    np.testing.assert_allclose(found.search(problem.test)[0], expected, rtol=1e-5)
    for one in range(20):
        alone = found.search(problem.test[one : one + 1])
        np.testing.assert_allclose(alone[0][0], expected[one], rtol=1e-5)


@pytest.mark.parametrize("lists", ["pqfastscan", "rabitq"])
def test_compressed_lists_on_shards(problem, routers, lists):
    found = index(problem, routers["net"], lists=lists, shards=5)
    assert found.score(problem.test) >= 0.9 - 0.04
    n_shards = found.shards_touched(problem.test)
    assert 1 <= n_shards.min() < n_shards.max() <= 5


@pytest.mark.parametrize("target", [0.9, None])
def test_shards_touched_by_counting(problem, routers, target):
    """In one round, or in two where results are exact."""
    found = index(problem, routers["net"], shards=9, target_recall=target)
    X = np.concatenate([problem.test, np.zeros((1, 16), np.float32)])
    rule, k = found._rule(5, None, None)
    assert rule.is_one_round == (target is not None)
    start = found._engine.begin(*found._engine.predict(X[:-1], rule.toll), k, rule)
    mask = start.mask if target is not None else start.mask | start.more(rule)
    expected = [len(set(found.shards_[row])) for row in mask.T]
    touched = found.shards_touched(X)
    np.testing.assert_array_equal(touched[:-1], expected)
    assert touched[-1] == 0
    assert touched.dtype == np.int64
    assert found.report_["toll"] == found.calibrations_[5].toll
    assert 1 <= found.report_["shards_touched"] <= 9
    np.testing.assert_array_equal(found.shards_touched(X, n_probe=N_LISTS)[:-1], 9)


def test_one_shard_is_none(problem, routers):
    found = index(problem, routers["net"])
    np.testing.assert_array_equal(found.shards_, np.zeros(N_LISTS))
    np.testing.assert_array_equal(found.shards_touched(problem.test), 1)
    assert found.calibrations_[5].toll == 0
    assert "shards_touched" not in found.report_
    found = index(problem, routers["net"], shards=1)
    assert not found.shards_.any()


@pytest.mark.parametrize("n_shards", [2, 8, N_LISTS])
def test_placement_of_a_fit(problem, routers, n_shards):
    found = index(problem, routers["net"], shards=n_shards)
    sizes = found.partition_.sizes_
    loads = np.bincount(found.shards_, sizes, minlength=n_shards)
    assert 0 < loads.min() <= loads.max() <= capacity(sizes, n_shards)
    rows = [found.shard_rows(s) for s in range(n_shards)]
    np.testing.assert_array_equal([len(r) for r in rows], loads)
    np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(1500))
    again = index(problem, routers["net"], shards=n_shards)
    np.testing.assert_array_equal(again.shards_, found.shards_)
    # Of a router that a fit has trained, the training queries tell too.
    fresh = index(problem, CentroidRouter(problem.keys, n_partitions=9), shards=3)
    assert fresh.shards_.max() == 2


def test_shards_of_lists_that_are_given(problem, routers):
    given = np.arange(N_LISTS) % 4
    found = index(problem, routers["net"], shards=given.astype(np.int32))
    np.testing.assert_array_equal(found.shards_, given)
    assert clone(found).fit(problem.log[700:]).shards_.max() == 3
    # Fewer are touched where lists of the same queries are together.
    placed = index(problem, routers["net"], shards=4)
    touched = (one.shards_touched(problem.test).mean() for one in (placed, found))
    assert next(touched) < next(touched)


def test_without_queries_that_choose(problem, routers):
    found = AmortizedNeighbors(
        routers["net"], k=1, target_recall=0.5, shards=3, random_state=0
    )
    groups = np.zeros(700)
    found.fit(problem.log[700:], groups=groups)
    assert found.shards_.max() == 2
    assert found.calibrations_[1].toll == 0


def test_calibrated_anew_for_another_k(problem, routers):
    """With a toll and one round of its own, over the same shards."""
    found = index(problem, routers["net"], shards=5)
    before = found.shards_.copy()
    found.calibrate(problem.log[700:], k=9)
    np.testing.assert_array_equal(found.shards_, before)
    assert found.calibrations_[9].toll > 0
    assert found._rule(9, 0.9, None)[0].is_one_round
    assert found.shards_touched(problem.test, k=9).mean() < 5


@pytest.mark.parametrize("lists", ["flat", "pqfastscan"])
def test_saved_and_pickled(problem, routers, lists, tmp_path):
    found = index(problem, routers["net"], shards=6, lists=lists)
    found.save(tmp_path / "index")
    for again in (
        sk_amips.load(tmp_path / "index", problem.keys),
        pickle.loads(pickle.dumps(found)),
    ):
        np.testing.assert_array_equal(again.shards_, found.shards_)
        assert again.calibrations_[5].toll == found.calibrations_[5].toll
        for name in ("search", "visited", "shards_touched"):
            one, other = (getattr(e, name)(problem.test) for e in (again, found))
            np.testing.assert_array_equal(one, other)
    given = index(problem, routers["net"], shards=found.shards_, lists=lists)
    given.save(tmp_path / "given")
    again = sk_amips.load(tmp_path / "given", problem.keys)
    np.testing.assert_array_equal(again.shards, found.shards_)


def test_files_of_releases_without_shards(problem, routers, tmp_path, monkeypatch):
    from sk_amips.persistence import _tree

    found = index(problem, routers["net"])
    expected = found.search(problem.test)
    del found.shards_
    monkeypatch.setattr(found, "_get_param_names", lambda: list(parameters), raising=0)
    parameters = [p for p in type(found)._get_param_names() if p != "shards"]
    fields = _tree.FIELDS["calibration"]
    monkeypatch.setitem(
        _tree.FIELDS,
        "calibration",
        lambda c: {name: v for name, v in fields(c).items() if name != "toll"},
    )
    del found.shards
    found.save(tmp_path / "old")
    assert "shards" not in (tmp_path / "old" / "params.json").read_text()
    again = sk_amips.load(tmp_path / "old", problem.keys)
    np.testing.assert_array_equal(again.search(problem.test), expected)
    assert not again.shards_.any()
    assert again.shards is None


@pytest.mark.parametrize(
    ("attribute", "match"),
    [
        (np.zeros(3, np.int64), "each list is on a shard"),
        (np.zeros(N_LISTS, np.float32), "shards have numbers"),
        (np.arange(N_LISTS) - 1, "all shards have lists"),
        (np.arange(N_LISTS) * 2, "all shards have lists"),
    ],
)
def test_files_with_shards_that_are_none(problem, routers, tmp_path, attribute, match):
    found = index(problem, routers["centroid"], shards=2)
    found.shards_ = attribute
    found.save(tmp_path / "index")
    with pytest.raises(InvalidFileError, match=match):
        sk_amips.load(tmp_path / "index", problem.keys)


@pytest.mark.parametrize(
    ("shards", "match"),
    [
        (0, "The 'shards' parameter"),
        ("many", "The 'shards' parameter"),
        (2.5, "The 'shards' parameter"),
        (31, "at most the number of lists, 30: got 31"),
        (np.zeros(29, dtype=int), "one number a list: got 29 numbers for 30 lists"),
        (np.linspace(0, 1, 30), "integers from 0 on"),
        (np.arange(30) - 1, "integers from 0 on"),
        (np.arange(30) // 2 * 2, "leave no shard without a list"),
    ],
)
def test_bad_shards(problem, routers, shards, match):
    with pytest.raises(ValueError, match=match):
        index(problem, routers["centroid"], shards=shards)


def test_rows_of_no_shard(problem, routers):
    found = index(problem, routers["centroid"], shards=2)
    for shard in (-1, 2):
        with pytest.raises(ValueError, match="shard =="):
            found.shard_rows(shard)
    with pytest.raises(TypeError, match="shard must be"):
        found.shard_rows(0.5)
