import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    KeyNetRegressor,
    LinearRouter,
    OptimisticRouter,
    SupportNetRegressor,
    exact_search,
)
from sk_amips.metrics import recall_at_k

LISTS = ["flat", "pqfastscan", "rabitq"]
ROUTERS = ["centroid", "linear", "cross-entropy", "net"]


@parametrize_with_checks(
    [
        AmortizedNeighbors(CentroidRouter(random_state=0), k=1),
        AmortizedNeighbors(CentroidRouter(random_state=0), k=1, n_probe=1),
    ]
)
def test_sklearn_checks(estimator, check):
    check(estimator)


def index(router, log, **params):
    # Routers under test are used, whether they pay on so few keys or not.
    defaults = {"random_state": 0, "fallback": False}
    return AmortizedNeighbors(router, **(defaults | params)).fit(log)


def held_out(problem):
    return problem.log[700:]


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("lists", LISTS)
@pytest.mark.parametrize("router", ROUTERS)
def test_the_target_is_reached_with_less_than_a_scan(
    problem, routers, router, lists, k
):
    for target in (0.8, 0.95):
        found = index(
            routers[router], held_out(problem), lists=lists, k=k, target_recall=target
        )
        # 600 test and 560 calibration queries: three standard errors.
        slack = 3 * (target * (1 - target) * (1 / 600 + 1 / 560)) ** 0.5
        assert found.score(problem.test) >= target - slack
        n_lists, n_keys = found.visited(problem.test)
        assert n_keys.mean() < 0.5 * len(problem.keys)
        assert (n_lists >= 1).all()


@pytest.mark.parametrize("lists", LISTS)
def test_scores_are_those_of_the_queries(problem, routers, lists):
    found = index(routers["net"], held_out(problem), lists=lists, k=4, n_probe=3)
    for X in (problem.test, problem.test.astype(np.float64)):
        scores, indices = found.search(X)
        true = np.einsum("nkd,nd->nk", problem.keys[indices].astype(X.dtype), X)
        np.testing.assert_allclose(scores, true, rtol=1e-5, atol=1e-5)
        assert scores.dtype == X.dtype
        assert indices.dtype == np.int64
        assert (np.diff(scores) <= 0).all()
        assert all(len(set(row)) == 4 for row in indices.tolist())


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_probing_all_lists_is_exact(problem, routers, n_jobs, monkeypatch):
    monkeypatch.setattr("sk_amips.index._engine.BLOCK", 100)
    exact = exact_search(problem.keys, problem.test, 7)
    params = {"k": 7, "n_probe": 30, "n_jobs": n_jobs}
    found = index(routers["centroid"], held_out(problem), **params)
    scores, indices = found.search(problem.test)
    np.testing.assert_array_equal(indices, exact[1])
    np.testing.assert_allclose(scores, exact[0], rtol=1e-5)


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("k", [1, 10])
def test_without_a_target_results_are_exact(problem, routers, router, k):
    found = index(routers[router], held_out(problem), k=k)
    indices = found.search(problem.test)[1]
    _, expected = exact_search(problem.keys, problem.test, k)
    np.testing.assert_array_equal(indices, expected)
    assert found.visited(problem.test)[1].mean() < len(problem.keys)


def test_more_recall_takes_more_lists(problem, routers):
    found = index(routers["net"], held_out(problem), k=3, target_recall=0.9)
    mean_keys = [
        found.visited(problem.test, target_recall=target)[1].mean()
        for target in (0.5, 0.8, 0.9, 0.99)
    ]
    assert np.diff(mean_keys).min() >= 0
    assert mean_keys[-1] > 1.2 * mean_keys[0]
    low = found.search(problem.test, target_recall=0.5)
    high = found.search(problem.test, target_recall=0.99)
    assert high[0].sum() > low[0].sum()
    np.testing.assert_array_equal(
        found.search(problem.test)[1], found.search(problem.test, target_recall=0.9)[1]
    )


def test_fewer_keys_than_calibrated_for(problem, routers):
    found = index(routers["net"], held_out(problem), k=6, target_recall=0.9)
    exact, _ = exact_search(problem.keys, problem.test, 6)
    for k in (1, 2, 4, 6):
        recall = recall_at_k(exact, *found.search(problem.test, k), k=k)
        assert recall > 0.86
    with pytest.raises(ValueError, match=r"calibrate\(X, k=9\)"):
        found.search(problem.test, 9)
    found.calibrate(held_out(problem), k=9)
    exact, _ = exact_search(problem.keys, problem.test, 9)
    assert recall_at_k(exact, *found.search(problem.test, 9)) > 0.86
    assert sorted(found.calibrations_) == [1, 6, 9]


def test_budgets(problem, routers):
    params = {"k": 2, "max_lists": 3, "max_keys": 200}
    alone = index(routers["net"], held_out(problem), **params)
    n_lists, n_keys = alone.visited(problem.test)
    assert n_lists.max() <= 3
    assert (n_keys[n_lists > 1] <= 200).all()
    bounded = index(routers["net"], held_out(problem), target_recall=0.99, **params)
    assert (bounded.visited(problem.test)[0] <= n_lists).all()
    predicted = alone.predict_recall(max_lists=3, max_keys=200)
    assert predicted == pytest.approx(alone.score(problem.test), abs=0.05)
    assert alone.predict_recall(max_lists=30) == 1.0
    assert alone.predict_recall(max_lists=1) < alone.predict_recall(max_lists=2)


def test_report(problem):
    net = SupportNetRegressor(
        problem.keys, n_partitions=30, hidden_layer_sizes=(32,), random_state=0
    )
    found = index(net, problem.log, k=1, target_recall=0.9)
    report = found.report_
    assert report["n_calibration"] == 233
    assert report["k"] == 1
    ours, plain = report["router"], report["centroids"]
    assert plain["recall"] >= 0.9
    assert 0.85 < ours["recall"] <= 1
    weights = sum(x.numel() for x in found.router_.net_.module_.state_dict().values())
    assert ours["macs"] == pytest.approx(weights + 16 * ours["keys_scanned"])
    assert plain["macs"] == pytest.approx(30 * 16 + 16 * plain["keys_scanned"])
    assert report["macs_ratio"] == plain["macs"] / ours["macs"]
    assert report["worth_it"] == (report["macs_ratio"] > 1)
    # All that was labelled counts, and what noise has added.
    assert found.router_.n_samples_seen_ > 64 * 30
    spent = 1500 * 16 + 3 * found.router_.n_iter_ * weights
    saved = plain["macs"] - ours["macs"]
    if report["break_even"] is not None:
        assert report["break_even"] == pytest.approx(
            found.router_.n_samples_seen_ * spent / saved, abs=1
        )
    assert (report["break_even"] is None) == (not report["worth_it"])
    easy = index(CentroidRouter(problem.keys, random_state=0), problem.log, k=1)
    assert easy.report_["break_even"] in (None, 0)  # nothing is learned
    again = index(found.router_, held_out(problem), k=1, target_recall=0.9)
    assert again.report_["break_even"] is None


def test_router_is_fitted_unless_it_is(problem, routers):
    net = routers["net"]
    used = index(net, held_out(problem), n_probe=2)
    assert used.router_ is net
    assert used.keys_ is problem.keys
    frozen = index(
        clone(used.set_params(router=FrozenEstimator(net))).router, held_out(problem)
    )
    assert frozen.router_ is net
    anew = index(LinearRouter(problem.keys, random_state=0), problem.log, n_probe=2)
    assert anew.router_ is not anew.router
    assert clone(anew).router.keys is problem.keys
    with pytest.raises(NotFittedError):
        clone(anew).search(problem.test)


def test_groups_are_not_divided(problem, monkeypatch):
    seen = {}

    class Watched(CentroidRouter):
        def fit(self, X, y=None):
            seen["train"] = X
            return super().fit(X)

    groups = np.repeat(np.arange(350), 4)
    index_ = AmortizedNeighbors(Watched(problem.keys, random_state=0), random_state=0)
    index_.fit(problem.log, groups=groups)
    rows = {
        row.tobytes(): group for row, group in zip(problem.log, groups, strict=True)
    }
    trained = {rows[row.tobytes()] for row in seen["train"]}
    assert len(seen["train"]) == 4 * len(trained) < len(problem.log)
    index_.fit(problem.log, X_cal=problem.test)
    assert len(seen["train"]) == len(problem.log)


def test_neighbors_in_the_form_of_sklearn(problem, routers):
    found = index(routers["net"], held_out(problem), k=3, target_recall=0.9)
    scores, indices = found.search(problem.test)
    distances, neighbors = found.kneighbors(problem.test)
    np.testing.assert_array_equal(distances, -scores)
    np.testing.assert_array_equal(neighbors, indices)
    np.testing.assert_array_equal(
        found.kneighbors(problem.test, 2, return_distance=False),
        found.search(problem.test, 2)[1],
    )
    graph = found.kneighbors_graph(problem.test)
    assert graph.shape == (600, 1500)
    assert (graph.sum(axis=1) == 3).all()
    assert (graph[0, indices[0]].toarray() == 1).all()
    graph = found.kneighbors_graph(problem.test, 1, mode="distance")
    np.testing.assert_array_equal(
        graph.data, found.kneighbors(problem.test, 1)[0][:, 0]
    )
    with pytest.raises(ValueError, match="mode"):
        found.kneighbors_graph(problem.test, mode="other")
    np.testing.assert_array_equal(found.predict(problem.test), indices[:, 0])


def test_in_a_pipeline_and_a_grid_search(problem):
    router = LinearRouter(problem.keys, n_partitions=30, random_state=0)
    pipe = make_pipeline(
        Normalizer(),
        AmortizedNeighbors(
            router, k=1, target_recall=0.9, fallback=False, random_state=0
        ),
    ).fit(problem.log)
    assert pipe.predict(problem.test).shape == (600,)
    assert pipe.score(problem.test) > 0.85
    optimistic = OptimisticRouter(problem.keys, n_partitions=30, random_state=0)

    def cost(est, X, y=None):
        return -est.visited(X)[1].mean()

    search = GridSearchCV(
        pipe[-1],
        {"router": [router, optimistic], "lists": ["flat", "pqfastscan"]},
        scoring=cost,
        cv=2,
        n_jobs=2,
    ).fit(problem.log)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    frame = pd.DataFrame(problem.log, columns=[f"x{i}" for i in range(16)])
    named = clone(pipe[-1]).fit(frame)
    assert named.feature_names_in_[3] == "x3"
    with pytest.warns(UserWarning, match="feature names"):
        named.predict(problem.test)


@pytest.mark.parametrize("lists", LISTS)
def test_pickle(problem, routers, lists):
    found = index(routers["net"], held_out(problem), lists=lists, target_recall=0.9)
    copy = pickle.loads(pickle.dumps(found))
    for one, other in zip(
        found.search(problem.test), copy.search(problem.test), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("params", [{"n_probe": 1}, {"target_recall": 0.9}, {}])
def test_zero_queries_and_large_k(problem, routers, params):
    found = index(routers["net"], held_out(problem), k=300, **params)
    X = problem.test[:5].copy()
    X[2] = 0
    scores, indices = found.search(X)
    np.testing.assert_array_equal(indices[2], np.arange(300))
    assert (scores[2] == 0).all()
    assert (indices >= 0).all()
    # Duplicates of one key are all there, in order.
    near = np.repeat(problem.keys[99:100], 2, axis=0)
    row = found.search(near)[1][0].tolist()
    place = row.index(99)
    assert row[place : place + 5] == [99, 100, 101, 102, 103]


def test_keys_of_other_types_and_layouts(problem, tmp_path):
    np.save(tmp_path / "keys.npy", problem.keys)
    mapped = np.load(tmp_path / "keys.npy", mmap_mode="r")
    expected = None
    for keys in (mapped, np.asfortranarray(problem.keys), problem.keys.astype(">f4")):
        found = index(CentroidRouter(keys, random_state=0), problem.log, k=3, n_probe=3)
        assert found.keys_ is keys
        indices = found.search(problem.test)[1]
        expected = indices if expected is None else expected
        np.testing.assert_array_equal(indices, expected)
    half = index(
        CentroidRouter(problem.keys.astype(np.float16), random_state=0), problem.log
    )
    exact = exact_search(problem.keys.astype(np.float16), problem.test, 10)
    assert (half.search(problem.test)[1] == exact[1]).mean() > 0.999


def test_keynet_through_the_centroids(problem):
    net = KeyNetRegressor(
        problem.keys, n_partitions=30, shared_head=True, max_epochs=5, random_state=0
    )
    found = index(net, problem.log, k=1, target_recall=0.9)
    assert found.score(problem.test) > 0.85
    mapped = found.query_map_.transform(problem.test)
    np.testing.assert_array_equal(mapped, found.router_.transform(problem.test))
    with pytest.raises(AttributeError, match="maps no queries"):
        _ = index(CentroidRouter(problem.keys), problem.log).query_map_


def test_to_faiss(problem):
    faiss = pytest.importorskip("faiss")
    router = LinearRouter(problem.keys, fit_intercept=False, random_state=0)
    found = index(router, problem.log, k=5, n_probe=2)
    plain = found.to_faiss()
    assert isinstance(plain, faiss.IndexIVFFlat)
    assert plain.nprobe == 2
    assert plain.ntotal == len(problem.keys)
    plain = faiss.deserialize_index(faiss.serialize_index(plain))
    same = (
        plain.search(problem.test, 5)[1]
        == found.router_.search(problem.test, 5, n_probe=2)[1]
    )
    assert same.mean() > 0.99
    plain.nprobe = plain.nlist
    exact = exact_search(problem.keys, problem.test, 5)
    assert (plain.search(problem.test, 5)[1] == exact[1]).mean() > 0.99
    target = index(router, problem.log, k=1, target_recall=0.8)
    indices = target.to_faiss().search(problem.test, 1)[1]
    assert (indices == exact[1][:, :1]).mean() > 0.75


def test_to_faiss_needs_a_linear_order(problem, routers):
    for name in ("linear", "net"):
        with pytest.raises(ValueError, match="fit_intercept=False"):
            index(routers[name], held_out(problem)).to_faiss()
    assert index(routers["centroid"], held_out(problem)).to_faiss().nprobe == 30


def test_bad_input(problem, routers):
    net = routers["net"]
    cases = [
        ({"n_probe": 2, "target_recall": 0.9}, {}, ValueError, "not both"),
        ({"k": 2000}, {}, ValueError, "at most the number of keys"),
        ({"lists": "ivf"}, {}, ValueError, "lists"),
        ({"target_recall": 1.0}, {}, ValueError, "target_recall"),
        ({"router": Normalizer()}, {}, TypeError, "routers of sk_amips"),
        ({}, {"X": problem.log[:, :3]}, ValueError, "features"),
        ({}, {"X": np.zeros((5, 16))}, ValueError, "zero"),
    ]
    for params, inputs, error, match in cases:
        est = AmortizedNeighbors(**({"router": net, "fallback": False} | params))
        with pytest.raises(error, match=match):
            est.fit(**({"X": problem.log} | inputs))
    found = index(net, held_out(problem), target_recall=0.9)
    for params, error, match in [
        ({"k": 0}, ValueError, "k"),
        ({"n_probe": 0}, ValueError, "n_probe"),
        ({"target_recall": 1.5}, ValueError, "target_recall"),
        ({"n_probe": 1, "target_recall": 0.5}, ValueError, "not both"),
    ]:
        with pytest.raises(error, match=match):
            found.search(problem.test, **params)


def test_too_few_calibration_queries(problem, routers):
    with pytest.warns(UserWarning, match="cannot be promised"):
        found = index(routers["net"], problem.log[700:750], target_recall=0.99)
    assert (found.visited(problem.test)[0] == 30).all()


def test_compressed_lists_keep_to_what_they_are_calibrated_for(problem, routers):
    with pytest.raises(ValueError, match="never exact"):
        index(routers["net"], held_out(problem), lists="rabitq")
    found = index(
        routers["net"], held_out(problem), lists="rabitq", target_recall=0.8, k=1
    )
    with pytest.raises(ValueError, match="alone"):
        found.search(problem.test, target_recall=0.9)
    few = CentroidRouter(problem.keys[:10], random_state=0)
    with pytest.raises(ValueError, match="16 keys"):
        index(few, problem.log, lists="pqfastscan", n_probe=1, k=1)


@pytest.mark.parametrize("lists", LISTS)
@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_keys_of_any_scale(problem, lists, scale):
    keys = problem.keys * np.float32(scale)
    found = index(
        CentroidRouter(keys, random_state=0), problem.log, lists=lists, n_probe=99, k=3
    )
    X = problem.test.astype(np.float64) * 1e20
    exact = exact_search(keys, X, 3)
    assert (found.search(X)[1] == exact[1]).mean() > 0.9


def test_keys_are_the_queries(problem):
    found = index(CentroidRouter(random_state=0), problem.log, k=1, n_probe=3)
    np.testing.assert_array_equal(found.keys_, problem.log)


def test_a_failed_fit_changes_nothing(problem, routers):
    found = index(routers["net"], held_out(problem), target_recall=0.9)
    before = found.search(problem.test)[1]
    with pytest.raises(ValueError, match="features"):
        found.fit(problem.log[:, :3])
    np.testing.assert_array_equal(found.search(problem.test)[1], before)


def test_groups_apart_in_tuning_and_calibration(problem, routers, monkeypatch):
    from sk_amips.index import _calibrating

    seen = []

    def watched(engine, X, *args, choose=_calibrating.choose_stop):
        seen.append(X)
        return choose(engine, X, *args)

    monkeypatch.setattr(_calibrating, "choose_stop", watched)
    groups = np.repeat(np.arange(175), 4)
    found = AmortizedNeighbors(routers["net"], k=2, fallback=False, random_state=0)
    found.fit(held_out(problem), groups=groups)
    rows = {row.tobytes(): g for row, g in zip(held_out(problem), groups, strict=True)}
    tuned = {rows[row.tobytes()] for row in seen[0]}
    assert len(seen[0]) == 4 * len(tuned)
    with pytest.raises(ValueError, match="inconsistent"):
        found.fit(held_out(problem), groups=[1, 2, 3])


def test_exact_with_few_queries_scans_little(problem, routers):
    for n in (3, 15, 40):
        found = AmortizedNeighbors(routers["net"], k=3, fallback=False, random_state=0)
        found.fit(problem.log[700 : 700 + n])
        indices = exact_search(problem.keys, problem.test, 3)[1]
        np.testing.assert_array_equal(found.search(problem.test)[1], indices)
        assert found.visited(problem.test)[1].mean() < 0.6 * len(problem.keys)


@pytest.mark.parametrize("scale", [1e22, 1e-22])
def test_extreme_keys_in_float32(problem, scale):
    keys = (problem.keys * scale).astype(np.float32)
    X = (problem.test * scale**0.5).astype(np.float32)
    router = CentroidRouter(keys, n_partitions=30, random_state=0).fit(X)
    found = AmortizedNeighbors(router, k=4, fallback=False, random_state=0).fit(X)
    np.testing.assert_array_equal(found.search(X)[1], exact_search(keys, X, 4)[1])


def test_plain_arrays_are_checked_as_any_other(problem, routers):
    found = index(routers["net"], held_out(problem), target_recall=0.9)
    X = problem.test[:20]
    scores, indices = found.search(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    for same in (read_only, np.asfortranarray(X), X.astype(">f4"), X.tolist(), X[::1]):
        np.testing.assert_array_equal(found.search(same)[1], indices)
    one_by_one = np.concatenate([found.search(X[i : i + 1])[0] for i in range(20)])
    np.testing.assert_allclose(one_by_one, scores, rtol=1e-6)
    for bad in (np.nan, np.inf):
        broken = X.copy()
        broken[3, 2] = bad
        with pytest.raises(ValueError, match=r"NaN|infinity"):
            found.search(broken)
    with pytest.raises(ValueError, match="0 sample"):
        found.search(X[:0])
    with pytest.raises(ValueError, match="features"):
        found.search(X[:, :3])
    with pytest.raises(ValueError, match="2D"):
        found.search(X[0])


@pytest.fixture(scope="module")
def hopeless(problem):
    """A linear router that ranks lists by nothing but chance."""
    router = LinearRouter(problem.keys, n_partitions=30, random_state=0)
    router.fit(problem.log[:700])
    router.coef_ = np.random.default_rng(0).permutation(router.coef_)
    return router


def test_a_router_that_does_not_pay_is_left_and_said_so(problem, hopeless):
    params = {"k": 2, "target_recall": 0.9}
    with pytest.warns(UserWarning, match=r"CentroidRouter .* the latter"):
        found = index(hopeless, held_out(problem), fallback=True, **params)
    assert found.learned_router_ is hopeless
    assert isinstance(found.router_, CentroidRouter)
    assert found.router_.partition_ is hopeless.partition_
    report = found.report_
    assert report["chosen"] == "centroids"
    assert report["break_even"] is None
    work = report["candidates"]
    assert work["centroids"]["macs"] < work["router"]["macs"]
    assert report["router"]["macs"] < 1.1 * report["centroids"]["macs"]
    plain = index(found.router_, held_out(problem), **params)
    results = found.search(problem.test), plain.search(problem.test)
    np.testing.assert_array_equal(*(indices for _, indices in results))
    kept = index(hopeless, held_out(problem), **params)
    assert kept.router_ is hopeless
    assert kept.report_["chosen"] == "router"
    assert kept.report_["candidates"] == {}
    n_keys = [x.visited(problem.test)[1].mean() for x in (kept, found)]
    assert n_keys[0] > 2 * n_keys[1]


def test_routers_that_decide_what_is_found_are_kept(problem, hopeless):
    target = {"target_recall": 0.9}
    for budget in (
        {"n_probe": 3},
        {"max_keys": 200},
        target | {"max_keys": 200},
        target | {"max_lists": 2},
    ):
        found = index(hopeless, held_out(problem), k=2, fallback=True, **budget)
        assert found.router_ is hopeless
    with pytest.warns(UserWarning, match="the latter"):
        found = index(hopeless, held_out(problem), k=2, fallback=True)  # exact
    assert found.router_ is not hopeless


def test_a_router_that_pays_is_kept(problem):
    keys = problem.keys / np.linalg.norm(problem.keys, axis=1, keepdims=True)
    # A query is far from the keys that it asks for, in a way that can be learned.
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    queries = keys[np.random.default_rng(1).integers(1500, size=1400)]
    log = (queries + 2 * np.abs(queries @ turn)).astype(np.float32)
    router = LinearRouter(keys, n_partitions=30, random_state=0).fit(log[:1000])
    found = index(router, log[1000:], k=1, target_recall=0.9, fallback=True)
    assert found.router_ is found.learned_router_ is router
    assert set(found.report_["candidates"]) >= {"router", "centroids"}
    plain = index(
        CentroidRouter(keys, partition=router.partition_).fit(log),
        log[1000:],
        k=1,
        target_recall=0.9,
    )
    new = queries[:300] + 2 * np.abs(queries[:300] @ turn)
    scanned = [x.visited(new)[1].mean() for x in (found, plain)]
    assert scanned[0] < 0.8 * scanned[1]


def test_few_queries_do_not_judge(problem, hopeless):
    params = {"k": 2, "target_recall": 0.9, "fallback": True}
    found = index(hopeless, held_out(problem)[:198], **params)
    assert found.report_["n_tuning"] == 99
    assert found.router_ is hopeless
    with pytest.warns(UserWarning, match="the latter"):
        found = index(hopeless, held_out(problem)[:200], **params)
    assert found.report_["n_tuning"] == 100


def test_exact_results_are_judged_by_their_own_work(problem, hopeless):
    with pytest.warns(UserWarning, match="for exact results"):
        found = index(hopeless, held_out(problem), k=2, fallback=True)
    work = found.report_["candidates"]
    kept = index(hopeless, held_out(problem), k=2)
    for name, searched in ("router", kept), ("centroids", found):
        visited = searched.visited(problem.test)[1].mean()
        assert work[name]["keys_scanned"] == pytest.approx(visited, rel=0.1)


def test_a_network_makes_way_for_a_linear_router(problem):
    # As good as none: its weights are those of the centroids, with much beside.
    net = SupportNetRegressor(
        problem.keys,
        n_partitions=30,
        hidden_layer_sizes=(512,),
        max_epochs=1,
        lr=1e-6,
        noisy_queries=0.0,
        noisy_keys=0.0,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="SupportNetRegressor takes .* LinearRouter"):
        found = index(net, problem.log, k=1, target_recall=0.95, fallback=True)
    assert found.report_["chosen"] == "linear"
    assert isinstance(found.router_, LinearRouter)
    assert found.router_.partition_ is found.learned_router_.partition_
    assert found.score(problem.test) > 0.9
    # Fitted ahead, nobody knows what it learned from.
    with pytest.warns(UserWarning, match="CentroidRouter"):
        found = index(
            found.learned_router_, problem.log, k=1, target_recall=0.95, fallback=True
        )
    assert "linear" not in found.report_["candidates"]


def test_without_a_log(problem):
    usual = {"n_partitions": 30, "random_state": 0}
    net = SupportNetRegressor(
        problem.keys, hidden_layer_sizes=(16,), max_epochs=3, **usual
    )
    for router in (net, LinearRouter(problem.keys, **usual)):
        with pytest.warns(UserWarning, match="calibrated on noisy keys"):
            found = index(router, None, k=2, target_recall=0.9)
        assert found.n_features_in_ == 16
        pays_back = found.report_["break_even"] is not None
        assert pays_back == found.report_["worth_it"]
        noisy = problem.keys + 0.01 * np.random.default_rng(0).normal(
            size=problem.keys.shape
        )
        assert found.score(noisy) > 0.88
        found.calibrate(problem.log, groups=np.arange(len(problem.log)) // 2)
        assert found.score(problem.test) > 0.87
        # For fewer keys too, nothing rests on noisy keys any more.
        exact, _ = exact_search(problem.keys, problem.test)
        assert recall_at_k(exact, *found.search(problem.test, k=1)) > 0.87
        one = np.zeros(len(problem.log))
        assert found.calibrate(problem.log, groups=one).calibrations_[2].share == 1.0
        with pytest.raises(ValueError, match="inconsistent numbers"):
            found.calibrate(problem.log, groups=one[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = AmortizedNeighbors(net, k=2, target_recall=0.9).fit(None)
    assert {"router", "linear", "centroids"} <= set(found.report_["candidates"])
    found = AmortizedNeighbors(net, k=2, target_recall=0.9, fallback=False)
    found.fit(None, X_cal=problem.log)
    assert found.score(problem.test) == pytest.approx(0.9, abs=0.03)
    with pytest.raises(ValueError, match="groups must be None"):
        AmortizedNeighbors(net).fit(None, groups=[1])
    with pytest.raises(ValueError, match="missing value"):
        found.calibrate(problem.log, groups=np.full(len(problem.log), np.nan))
    bare = AmortizedNeighbors(LinearRouter(n_partitions=30))
    with pytest.raises(ValueError, match=r"router\.keys=None"):
        bare.fit(None, X_cal=problem.log)
    with pytest.raises(ValueError, match=r"router\.keys=None"):
        index(SupportNetRegressor(n_partitions=30), None)


def test_untrained_routers_are_what_the_user_wants(problem, routers):
    found = index(routers["centroid"], held_out(problem), k=1, fallback=True)
    assert found.report_["candidates"] == {}
    assert found.report_["chosen"] == "router"


def test_fallback_where_queries_are_the_keys(problem):
    keys = np.concatenate([np.zeros((1, 16), np.float32), problem.log])
    router = LinearRouter(n_partitions=20, random_state=0).fit(keys)
    router.coef_ = np.random.default_rng(0).permutation(router.coef_)
    with pytest.warns(UserWarning, match="the latter"):
        found = index(router, problem.test, k=1, target_recall=0.9, fallback=True)
    assert found.router_.keys_ is router.keys_


def test_of_several_routers_the_cheapest_is_used(problem):
    def net(width):
        return SupportNetRegressor(
            problem.keys,
            n_partitions=30,
            hidden_layer_sizes=(width,),
            max_epochs=5,
            random_state=0,
        )

    linear = LinearRouter(problem.keys, n_partitions=7)
    params = {"k": 2, "target_recall": 0.9}
    found = index([net(2048), linear, net(8)], problem.log, **params)
    report = found.report_
    work = report["candidates"]
    assert list(work) == ["router 0", "router 1", "router 2"]
    assert work["router 0"]["macs"] > 2 * work["router 2"]["macs"]
    assert report["chosen"] in ("router 1", "router 2")
    assert found.router_ is found.learned_router_
    assert found.partition_.n_partitions == 30  # those of the first
    assert found.score(problem.test) > 0.87
    assert linear.get_params()["partition"] is None
    # Fitted ones over the same lists; of one list each.
    first = CentroidRouter(problem.keys, n_partitions=30).fit(problem.log)
    second = LinearRouter(problem.keys, partition=first.partition_).fit(problem.log)
    found = index([first, second], held_out(problem), **params)
    assert found.router_ in (first, second)
    again = clone(found).set_params(router=[net(8), net(8)])
    assert clone(again).router[1].keys is problem.keys


def test_one_group_cannot_teach_and_calibrate(problem):
    router = CentroidRouter(problem.keys)
    with pytest.raises(ValueError, match="n_samples=1 in one group"):
        index(router, problem.log[:1])
    with pytest.raises(ValueError, match="n_samples=1400 in one group"):
        AmortizedNeighbors(router).fit(problem.log, groups=np.zeros(1400))


def test_low_rank_in_an_index(problem):
    """Its scores come from two products, of one query as of many."""
    low = LinearRouter(problem.keys, n_partitions=30, rank=4, random_state=0)
    found = index(low, problem.log, k=2, target_recall=0.9)
    assert found.score(problem.test) > 0.87
    weights = 4 * (30 + 16)
    report = found.report_["router"]
    assert report["macs"] == pytest.approx(weights + 16 * report["keys_scanned"])
    together = found.search(problem.test[:20])[1]
    alone = np.concatenate([found.search(x[None])[1] for x in problem.test[:20]])
    np.testing.assert_array_equal(together, alone)


def test_several_routers_that_do_not_go_together(problem, routers):
    keys = problem.keys
    new = LinearRouter(keys, n_partitions=30)
    other = CentroidRouter(keys, n_partitions=20).fit(problem.log)
    target = {"target_recall": 0.9}
    for some, params, match in [
        ([], target, "empty"),
        ([new, CentroidRouter(keys.copy())], target, "very same keys"),
        ([new, routers["linear"]], target, "all of them or none"),
        ([routers["linear"], other], target, "same partition_"),
        ([new, new], {"n_probe": 3}, "by its work"),
        ([new, new], target | {"max_keys": 100}, "by its work"),
    ]:
        with pytest.raises(ValueError, match=match):
            index(some, problem.log, **params)
    with pytest.raises(TypeError, match="routers of sk_amips"):
        index([new, "linear"], problem.log, **target)
