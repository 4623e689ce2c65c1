"""Targets beyond the first: H_k, the sum of the k best scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips import KeyNetRegressor, SupportNetRegressor, exact_search
from sk_amips.metrics import recall_at_k, relative_key_error
from sk_amips.training import Batches

K = 5


def targets(est, queries):
    """Targets of a fit, for the queries themselves rather than their directions."""
    data = est._training_data(queries)
    norms = np.linalg.norm(queries, axis=1)
    keys = est.keys_[data.best[:, 0]].sum(axis=1)
    return norms * data.scores[:, 0], keys


def test_targets_are_sums_over_the_k_best(make, log):
    est = make(top_k=K).fit(log.train)
    values, keys = targets(est, log.test)
    scores, indices = exact_search(log.keys, log.test, K)
    np.testing.assert_allclose(values, scores.sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(keys, log.keys[indices].sum(axis=1), rtol=1e-5)


@given(seed=st.integers(0, 2**16), t=st.floats(0.0, 1.0), scale=st.floats(0.1, 10.0))
def test_h_k_is_a_support_function(seed, t, scale):
    """Convex, 1-homogeneous, and the sum of the keys is its gradient."""
    rng = np.random.default_rng(seed)
    keys, x, y = rng.normal(size=(40, 6)), *rng.normal(size=(2, 1, 6))
    est = SupportNetRegressor(keys, top_k=K, hidden_layer_sizes=(4,), max_epochs=1)
    est.fit(x)
    (here, there, between, scaled), key = (
        [targets(est, z)[0][0] for z in (x, y, t * x + (1 - t) * y, scale * x)],
        targets(est, x)[1][0],
    )
    tolerance = 1e-5 * (abs(here) + abs(there) + 1)
    assert between <= t * here + (1 - t) * there + tolerance
    assert scaled == pytest.approx(scale * here, rel=1e-5)
    assert here == pytest.approx(x[0] @ key, rel=1e-5)
    # A subgradient: the linear function of the key supports H_k from below.
    assert there >= y[0] @ key - tolerance


@pytest.mark.parametrize("convexity", ["strict", "soft", None])
def test_predictions_are_sums(log, convexity):
    est = SupportNetRegressor(
        log.keys,
        top_k=K,
        convexity=convexity,
        hidden_layer_sizes=(64,),
        max_epochs=60,
        batch_size=128,
        lr=1e-2,
        random_state=0,
    ).fit(log.train)
    values, keys = targets(est, log.test)
    error = np.abs(est.predict(log.test) - values).mean()
    assert error < 0.5 * np.abs(values - values.mean()).mean()
    mean_query = K * np.broadcast_to(log.keys.mean(axis=0), keys.shape)
    assert relative_key_error(est.transform(log.test), keys, mean_query) < 0.9
    np.testing.assert_allclose(
        est.predict(3 * log.test), 3 * est.predict(log.test), rtol=1e-4, atol=1e-4
    )


def test_a_strict_network_of_h_k_is_convex(log, rng):
    est = SupportNetRegressor(
        log.keys, top_k=K, convexity="strict", max_epochs=3, random_state=0
    ).fit(log.train)
    x, y = log.test, log.test[::-1]
    t = rng.uniform(size=(len(x), 1))
    chord = t[:, 0] * est.predict(x) + (1 - t[:, 0]) * est.predict(y)
    scale = np.abs(chord).max()
    assert (est.predict(t * x + (1 - t) * y) <= chord + 1e-5 * scale).all()


def test_the_answer_is_near_the_mean_of_the_k_best(make, log):
    """A sum of k keys is k times as long as a key, which must not mislead a search."""
    est = make(top_k=K, hidden_layer_sizes=(64,), max_epochs=60, lr=1e-2)
    est.fit(log.train)
    scores, indices = est._answer(log.test, K)
    exact, _ = exact_search(log.keys, log.test, K)
    by_chance = K / len(log.keys)
    assert recall_at_k(exact, scores, indices) > 10 * by_chance
    mean = est.transform(log.test[:1]) / K
    nearest = np.linalg.norm(log.keys - mean, axis=1).argsort()[:K]
    assert set(indices[0]) == set(nearest)


def test_several_partitions_weigh_by_the_kth_score(make, log):
    est = make(n_partitions=8, top_k=K, matched_partitions="all").fit(log.train)
    data = est._training_data(log.test)
    norms = np.linalg.norm(log.test, axis=1, keepdims=True)
    exact, indices = exact_search(log.keys, log.test, K)
    np.testing.assert_allclose(norms * data.threshold, exact[:, -1:], rtol=1e-5)
    # Lists that hold any of the k best keys count in full.
    ((_, targets),) = Batches(data, len(log.test))
    lists = est.partition_.labels_[indices]
    names = {"key_partition_weight", "score_partition_weight"} & set(targets)
    weights = targets[sorted(names)[-1]].numpy()
    counts = np.take_along_axis(weights, lists, axis=1)
    np.testing.assert_allclose(counts, 1.05, rtol=1e-5)
    assert weights.min() < 1.0


def test_more_keys_are_wanted_than_there_are(make, log):
    with pytest.raises(ValueError, match="top_k must be at most the number of keys"):
        make(top_k=len(log.keys) + 1).fit(log.train)


def test_a_key_net_starts_from_the_sum_of_mean_keys(log):
    params = {"hidden_layer_sizes": (8,), "max_epochs": 1, "lr": 1e-9}
    one, three = (
        KeyNetRegressor(log.keys, top_k=k, random_state=0, **params).fit(log.train)
        for k in (1, 3)
    )
    keys = one.predict(log.test), three.predict(log.test)
    np.testing.assert_allclose(keys[1], 3 * keys[0], rtol=1e-3, atol=1e-3)


def test_top_k_set_after_a_fit_changes_nothing(make, log):
    est = make().fit(log.train)
    before = est.score(log.test)
    assert est.set_params(top_k=50).score(log.test) == before


def test_given_targets_are_of_the_best_key(make, log):
    with pytest.raises(ValueError, match="top_k=1 only"):
        make(top_k=2).fit(log.train, np.ones(len(log.train)))
