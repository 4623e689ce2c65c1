import numpy as np
import pytest

from sk_amips import SupportNetRegressor
from sk_amips.plotting import ScoreErrorDisplay

BOTH = pytest.mark.parametrize("kind", ["actual_vs_predicted", "residual_vs_predicted"])


@BOTH
@pytest.mark.parametrize("router", ["linear", "support", "centroids"])
def test_points_are_scores_of_the_best_key(router, kind, fitted):
    router = getattr(fitted, router)
    display = ScoreErrorDisplay.from_estimator(router, fitted.X, kind=kind)
    x, y = display.scatter_.get_offsets().T
    predicted = router.predict(fitted.X)
    exact = router.search(fitted.X)[0][:, 0]
    np.testing.assert_allclose(x, predicted)
    residual = kind == "residual_vs_predicted"
    np.testing.assert_allclose(y, exact - predicted if residual else exact)


def test_of_a_keynet_the_score_and_not_the_key(fitted):
    display = ScoreErrorDisplay.from_estimator(fitted.key, fitted.X)
    predicted = fitted.key.predict_partitions(fitted.X)[:, 0]
    np.testing.assert_array_equal(display.y_pred, predicted)


def test_a_net_of_sums_is_held_against_sums(fitted):
    net = SupportNetRegressor(
        fitted.keys, n_partitions=1, top_k=3, hidden_layer_sizes=(4,), max_epochs=1
    ).fit(fitted.train)
    display = ScoreErrorDisplay.from_estimator(net, fitted.X)
    exact, _ = net.search(fitted.X, 3)
    np.testing.assert_allclose(display.y_true, exact.sum(axis=1))


def test_subsample_keeps_pairs_together():
    y = np.arange(100.0)
    display = ScoreErrorDisplay.from_predictions(y, y + 1, subsample=30, random_state=0)
    np.testing.assert_array_equal(display.y_pred, display.y_true + 1)
    assert len(np.unique(display.y_true)) == 30
    again = ScoreErrorDisplay.from_predictions(y, y, subsample=30, random_state=0)
    np.testing.assert_array_equal(again.y_true, display.y_true)
    everything = ScoreErrorDisplay.from_predictions(y, y, subsample=None)
    assert len(everything.y_true) == 100


def test_line_of_exact_predictions(fitted):
    display = ScoreErrorDisplay.from_estimator(
        fitted.linear, fitted.X, line_kwargs={"ls": ":"}
    )
    assert display.line_.get_slope() == 1
    assert display.line_.get_linestyle() == ":"
    display.plot(kind="residual_vs_predicted")
    assert list(display.line_.get_ydata()) == [0, 0]


def test_errors():
    with pytest.raises(ValueError, match=r"kind must be one of .* got 'other'"):
        ScoreErrorDisplay.from_predictions([1, 2], [1, 2], kind="other")
    with pytest.raises(ValueError, match="subsample == 0"):
        ScoreErrorDisplay.from_predictions([1, 2], [1, 2], subsample=0)
    with pytest.raises(ValueError, match="inconsistent numbers"):
        ScoreErrorDisplay.from_predictions([1, 2], [1])
    with pytest.raises(ValueError, match="at least one score"):
        ScoreErrorDisplay.from_predictions([], [])
