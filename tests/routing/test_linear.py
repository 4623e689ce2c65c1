import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sk_amips import CentroidRouter, LinearRouter, exact_search
from sk_amips.metrics import routing_recall, routing_recall_scorer

LOSSES = pytest.mark.parametrize("loss", ["cross_entropy", "ridge"])

# Long keys win whatever the query in the positive octant; the short ones never do.
KEYS = np.r_[np.eye(3), 0.01 * np.eye(3), -0.01 * np.eye(3)]
LABELS = np.array([0, 1, 2, 3, 3, 3, 4, 4, 4])


@pytest.fixture
def queries(rng):
    return np.abs(rng.normal(size=(300, 3)))


def winners(queries):
    return LABELS[exact_search(KEYS, queries)[1][:, 0]]


@LOSSES
@pytest.mark.parametrize("p", [1, 3])
def test_beats_centroids_where_queries_are_unlike_keys(log, loss, p):
    params = {"keys": log.keys, "n_partitions": 20, "random_state": 0}
    _, best = exact_search(log.keys, log.test)

    def recall(router):
        scores = router.fit(log.train).predict_partitions(log.test)
        lists = router.partition_.labels_[best[:, 0]]
        return routing_recall(np.maximum(scores, -1e300), lists, p)

    centroids = recall(CentroidRouter(**params))
    assert recall(LinearRouter(loss=loss, **params)) > centroids + 0.05


@LOSSES
def test_shapes_of_coefficients(queries, loss):
    router = LinearRouter(KEYS, partition=LABELS, loss=loss).fit(queries)
    assert router.coef_.shape == (5, 3)
    assert router.intercept_.shape == (5,)
    single = LinearRouter(KEYS, n_partitions=1, loss=loss).fit(queries)
    assert single.coef_.shape == (1, 3)
    assert single.intercept_.shape == (1,)


def test_ridge_is_least_squares_with_a_penalty(queries):
    """At the minimum the gradient is zero, and the intercept is not penalised."""
    router = LinearRouter(KEYS, partition=LABELS, loss="ridge", alpha=2.0).fit(queries)
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    support = [(unit @ KEYS[j == LABELS].T).max(axis=1) for j in range(5)]
    residual = unit @ router.coef_.T + router.intercept_ - np.stack(support, axis=1)
    np.testing.assert_allclose(residual.sum(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(residual.T @ unit, -2.0 * router.coef_, atol=1e-4)


def test_ridge_predicts_support_values(log):
    router = LinearRouter(log.keys, n_partitions=1, loss="ridge").fit(log.train)
    scores, _ = exact_search(log.keys, log.test)
    error = router.predict(log.test) - scores[:, 0]
    assert np.square(error).mean() < 0.3 * scores.var()


def come_first(scores, lists):
    """Whether some lists come ahead of all others, for every query."""
    chosen = np.isin(np.arange(scores.shape[1]), lists)
    return (scores[:, chosen].min(axis=1) > scores[:, ~chosen].max(axis=1)).all()


def test_lists_that_never_win_come_last(queries):
    router = LinearRouter(KEYS, partition=LABELS, loss="cross_entropy").fit(queries)
    far = np.random.default_rng(1).normal(size=(50, 3))
    for X in (queries, -queries, far, np.zeros((1, 3))):
        scores = router.predict_partitions(X)
        assert come_first(scores, [0, 1, 2])
        assert np.isfinite(scores).all()
        centroids = X @ router.partition_.centroids_.T
        # Among themselves they are in the order of the centroids.
        expected = centroids[:, 3] > centroids[:, 4]
        np.testing.assert_array_equal(scores[:, 3] > scores[:, 4], expected)
    assert router.score(queries) > 0.95


def test_lists_that_never_win_can_be_measured(queries):
    router = LinearRouter(KEYS, partition=LABELS, loss="cross_entropy").fit(queries)
    assert routing_recall_scorer(3)(router, queries) == 1


def test_one_winning_list(queries):
    X = queries[winners(queries) == 1]
    router = LinearRouter(KEYS, partition=LABELS, loss="cross_entropy").fit(X)
    scores = router.predict_partitions(queries)
    np.testing.assert_array_equal(scores.argmax(axis=1), 1)
    assert not np.isnan(scores).any()
    assert router.score(X) == 1


@pytest.mark.parametrize("pair", [(0, 1), (0, 2), (2, 1)])
def test_two_winning_lists(queries, pair):
    X = queries[np.isin(winners(queries), pair)]
    router = LinearRouter(KEYS, partition=LABELS, loss="cross_entropy").fit(X)
    scores = router.predict_partitions(X)
    assert come_first(scores, pair)
    assert (scores.argmax(axis=1) == winners(X)).mean() > 0.95


@pytest.mark.parametrize("lists", [[0, 2], [0, 1, 2]])
def test_cross_entropy_is_logistic_regression(queries, lists):
    X = queries[np.isin(winners(queries), lists)]
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    model = LogisticRegression(C=0.5).fit(unit, winners(X))
    router = LinearRouter(KEYS, partition=LABELS, loss="cross_entropy", alpha=2.0).fit(
        X
    )
    scores = router.predict_partitions(unit)[:, lists]
    weight = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weight, model.predict_proba(unit), atol=1e-10)


@LOSSES
def test_zero_weight_leaves_queries_out(queries, loss):
    weight = np.random.default_rng(1).integers(0, 2, 300)
    usual = {"keys": KEYS, "partition": LABELS, "loss": loss, "max_iter": 10_000}
    weighted = LinearRouter(**usual).fit(queries, sample_weight=weight)
    subset = LinearRouter(**usual).fit(queries[weight > 0])
    everything = LinearRouter(**usual).fit(queries)
    expected = subset.coef_
    np.testing.assert_allclose(weighted.coef_, expected, rtol=1e-3, atol=1e-2)
    assert np.abs(everything.coef_ - expected).max() > 2e-4


@pytest.mark.parametrize("kept", [[0], [0, 1]])
def test_lists_that_win_without_weight_never_win(queries, kept):
    weight = np.isin(winners(queries), kept).astype(float)
    router = LinearRouter(KEYS, partition=LABELS, loss="cross_entropy")
    router.fit(queries, sample_weight=weight)
    scores = router.predict_partitions(queries)
    assert come_first(scores, kept)


@LOSSES
def test_weight_repeats_queries(queries, loss):
    weight = np.random.default_rng(1).integers(1, 4, 300)
    usual = {"keys": KEYS, "partition": LABELS, "loss": loss, "max_iter": 10_000}
    weighted = LinearRouter(**usual).fit(queries, sample_weight=weight)
    repeated = LinearRouter(**usual).fit(np.repeat(queries, weight, axis=0))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-3, atol=1e-2)


@LOSSES
def test_norms_of_training_queries_do_not_matter(queries, loss):
    factors = 10 ** np.random.default_rng(1).uniform(-3, 3, size=(300, 1))
    usual = {"keys": KEYS, "partition": LABELS, "loss": loss}
    first = LinearRouter(**usual).fit(queries)
    second = LinearRouter(**usual).fit(factors * queries)
    np.testing.assert_allclose(first.coef_, second.coef_, rtol=1e-3, atol=1e-3)


@LOSSES
def test_penalty_shrinks_the_coefficients(queries, loss):
    norms = [
        np.linalg.norm(
            LinearRouter(KEYS, partition=LABELS, loss=loss, alpha=alpha)
            .fit(queries)
            .coef_
        )
        for alpha in (1e-2, 1.0, 1e2)
    ]
    assert (np.diff(norms) < 0).all()


def test_few_iterations_are_silent(log):
    """As many as were asked for: pytest would raise a ConvergenceWarning."""
    few, many = (
        LinearRouter(log.keys, n_partitions=8, loss="cross_entropy", max_iter=n).fit(
            log.train
        )
        for n in (1, 50)
    )
    assert few.score(log.test) < many.score(log.test)


@pytest.mark.parametrize("params", [{"loss": "hinge"}, {"alpha": 0}, {"max_iter": 0}])
def test_bad_parameters(log, params):
    with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
        LinearRouter(log.keys, **params).fit(log.train)


@LOSSES
@pytest.mark.parametrize(
    ("weight", "message"),
    [(-np.ones(1500), "[Nn]egative values"), (np.ones(9), "sample_weight")],
)
def test_bad_weights(log, loss, weight, message):
    with pytest.raises(ValueError, match=message):
        LinearRouter(log.keys, loss=loss).fit(log.train, sample_weight=weight)


def test_without_intercepts(log):
    router = LinearRouter(
        log.keys, n_partitions=20, fit_intercept=False, random_state=0
    )
    router.fit(log.train)
    assert not router.intercept_.any()
    with_them = LinearRouter(log.keys, n_partitions=20, random_state=0).fit(log.train)
    assert with_them.intercept_.any()
    assert router.score(log.test) > 0.5 * with_them.score(log.test)
    with pytest.raises(ValueError, match="ridge"):
        router.set_params(loss="cross_entropy").fit(log.train)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_low_rank_is_the_nearest_of_that_rank(log, fit_intercept, weighted):
    """Of the full scores of the training queries: by the singular values."""
    params = {"n_partitions": 20, "fit_intercept": fit_intercept, "random_state": 0}
    weight = np.linspace(0.5, 2, len(log.train)) if weighted else None
    full = LinearRouter(log.keys, **params).fit(log.train, sample_weight=weight)
    low = LinearRouter(log.keys, rank=3, **params).fit(log.train, sample_weight=weight)
    assert low.factors_[0].shape == (20, 3)
    np.testing.assert_allclose(low.factors_[0] @ low.factors_[1], low.coef_)
    unit = log.train / np.linalg.norm(log.train, axis=1, keepdims=True)
    weight = np.ones(len(unit)) if weight is None else weight
    scores = [unit @ r.coef_.T + r.intercept_ for r in (full, low)]
    if fit_intercept:
        means = [np.average(some, axis=0, weights=weight) for some in scores]
        np.testing.assert_allclose(*means, atol=1e-6)
        scores[0] = scores[0] - means[0]
        scores[1] = scores[1] - means[1]
    root = np.sqrt(weight)[:, None]
    left = np.linalg.norm(root * (scores[0] - scores[1]))
    values = np.linalg.svd(root * scores[0], compute_uv=False)
    assert left == pytest.approx(np.linalg.norm(values[3:]), rel=1e-4)
    np.testing.assert_allclose(
        low.predict_partitions(unit), unit @ low.coef_.T + low.intercept_, atol=1e-5
    )


def test_a_rank_that_is_no_limit(log):
    params = {"n_partitions": 5, "random_state": 0}
    full = LinearRouter(log.keys, **params).fit(log.train)
    same = LinearRouter(log.keys, rank=5, **params).fit(log.train)
    np.testing.assert_array_equal(full.coef_, same.coef_)
    assert not hasattr(same, "factors_")
    low = same.set_params(rank=2).fit(log.train)
    assert not hasattr(low.set_params(rank=None).fit(log.train), "factors_")
    with pytest.raises(ValueError, match="rank needs loss='ridge'"):
        LinearRouter(log.keys, loss="cross_entropy", rank=2).fit(log.train)
