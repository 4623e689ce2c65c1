import numpy as np
import pytest

from sk_amips.plotting import CalibrationDisplay
from sk_amips.plotting._interval import recall_interval


def test_recall_is_that_of_the_searches(fitted):
    display = CalibrationDisplay.from_estimator(
        fitted.index, fitted.X, targets=[0.8, 0.9]
    )
    assert display.recall[1] == pytest.approx(fitted.index.score(fitted.X))
    assert (display.lower < display.recall).all()
    assert (display.recall < display.upper).all()
    assert display.ax_.get_xlabel() == "Recall@5 asked for"


def test_there_is_one_diagonal(fitted):
    first = CalibrationDisplay.from_estimator(fitted.index, fitted.X, name="a")
    second = CalibrationDisplay.from_estimator(
        fitted.index, fitted.X, name="b", ax=first.ax_
    )
    assert first.reference_line_ is not None
    assert second.reference_line_ is None


def test_a_band_is_not_needed():
    display = CalibrationDisplay(targets=np.array([0.8]), recall=np.array([0.9]))
    assert display.plot().band_ is None


def test_more_confidence_is_a_wider_band(fitted):
    wide, narrow = (
        CalibrationDisplay.from_estimator(fitted.index, fitted.X, confidence=level)
        for level in (np.float32(0.99), 0.5)
    )
    assert (wide.upper - wide.lower > narrow.upper - narrow.lower).all()


def test_groups_that_repeat_a_query_do_not_make_it_surer(fitted):
    once = CalibrationDisplay.from_estimator(fitted.index, fitted.X)
    names = np.array([f"query {i}" for i in range(len(fitted.X))])
    thrice = CalibrationDisplay.from_estimator(
        fitted.index, np.repeat(fitted.X, 3, axis=0), groups=np.repeat(names, 3)
    )
    np.testing.assert_allclose(thrice.lower, once.lower)
    np.testing.assert_allclose(thrice.upper, once.upper)


def test_errors(fitted):
    draw = CalibrationDisplay.from_estimator
    with pytest.raises(TypeError, match="must be an AmortizedNeighbors, got Linear"):
        draw(fitted.linear, fitted.X)
    with pytest.raises(ValueError, match="at least two groups"):
        draw(fitted.index, fitted.X, groups=np.zeros(len(fitted.X)))
    with pytest.raises(ValueError, match="inconsistent numbers"):
        draw(fitted.index, fitted.X, groups=[0, 1])
    nameless = np.r_[np.nan, np.nan, np.arange(2.0, len(fitted.X))]
    with pytest.raises(ValueError, match="missing value"):
        draw(fitted.index, fitted.X, groups=nameless)
    with pytest.raises(ValueError, match="targets must hold at least one"):
        draw(fitted.index, fitted.X, targets=[])
    with pytest.raises(ValueError, match="lower and upper must both be given"):
        CalibrationDisplay(targets=[0.8], recall=[0.9], lower=[0.7]).plot()
    with pytest.raises(ValueError, match="confidence == 1"):
        draw(fitted.index, fitted.X, confidence=1.0)


@pytest.mark.parametrize("n_hits", [1, 60, 99, 100])
def test_interval_of_independent_hits_is_wilsons(n_hits):
    """With one trial less than there are hits and misses, unless they are all one."""
    hits = (np.arange(100) < n_hits).astype(float)
    n, p, z = 100 if n_hits == 100 else 99, n_hits / 100, 1.959964
    # The two roots of (mean - p)² = z² mean (1 - mean) / n.
    roots = np.roots([1 + z**2 / n, -2 * p - z**2 / n, p**2])
    interval = recall_interval(hits, np.arange(100), 0.95)
    np.testing.assert_allclose(interval, np.sort(roots.real), atol=1e-6)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        # Five queries a group, ten keys a query, that are hit alike in a group.
        rates = np.repeat(rng.beta(9, 1, size=60), 5)
        lower, upper = recall_interval(
            rng.binomial(10, rates) / 10, np.repeat(np.arange(60), 5), 0.9
        )
        covered += lower <= 0.9 <= upper
    assert 0.85 < covered / 400 < 0.95
