import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.metrics import relative_key_error

AVERAGES = ["mean_of_ratios", "ratio_of_means"]


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ([[0, 2], [1, 0]], 0.0),
        ([[0, 4], [4, 0]], 1.0),
        ([[0, 3], [1, 0]], 0.125),
        ([[2, 2], [1, 3]], 1.0),
        ([[0, -2], [1, 0]], 2.0),
    ],
)
def test_relative_key_error(predicted, expected):
    """Distances of query and best key are 2 and 3."""
    error = relative_key_error(predicted, [[0, 2], [1, 0]], [[0, 4], [4, 0]])
    assert type(error) is float
    assert error == pytest.approx(expected)


def test_relative_key_error_leaves_out_queries_that_are_keys():
    best = [[0.0, 2.0], [1.0, 0.0]]
    queries = [[0.0, 4.0], [1.0, 0.0]]
    assert relative_key_error([[0.0, 3.0], [9.0, 9.0]], best, queries) == 0.25
    assert np.isnan(relative_key_error(best, best, best))


def test_relative_key_error_shapes_differ():
    with pytest.raises(ValueError, match=r"one shape, got \(1, 2\), \(1, 2\) and \(2,"):
        relative_key_error([[0, 1]], [[0, 1]], [[0, 1], [1, 0]])


def test_ratio_of_means():
    """Squared errors 1 and 4 over squared distances 4 and 9; then also over 0."""
    best, queries = [[0, 2], [1, 0]], [[0, 4], [4, 0]]
    predicted = [[0, 1], [3, 0]]
    error = relative_key_error(predicted, best, queries, average="ratio_of_means")
    assert error == pytest.approx(5 / 13)
    assert relative_key_error(predicted, best, queries) == pytest.approx(25 / 72)
    # A query that is a key tells nothing of its own ratio, but its error counts.
    best, queries, predicted = [*best, [5, 5]], [*queries, [5, 5]], [*predicted, [5, 6]]
    error = relative_key_error(predicted, best, queries, average="ratio_of_means")
    assert error == pytest.approx(6 / 13)
    assert relative_key_error(predicted, best, queries) == pytest.approx(25 / 72)
    assert np.isnan(relative_key_error(predicted, best, best, average="ratio_of_means"))


@pytest.mark.parametrize("average", AVERAGES)
@given(n=st.integers(1, 20), seed=st.integers(0, 2**16), size=st.floats(0.01, 100))
def test_of_perfect_and_of_no_prediction(average, n, seed, size):
    rng = np.random.default_rng(seed)
    best, queries = size * rng.normal(size=(2, n, 3))
    assert relative_key_error(best, best, queries, average=average) == 0
    error = relative_key_error(queries, best, queries, average=average)
    assert error == pytest.approx(1)
    part = relative_key_error((queries + best) / 2, best, queries, average=average)
    assert part == pytest.approx(0.25)


@pytest.mark.parametrize("average", AVERAGES)
@given(n=st.integers(1, 20), seed=st.integers(0, 2**16))
def test_a_weight_is_worth_as_many_repetitions(average, n, seed):
    rng = np.random.default_rng(seed)
    arrays = rng.normal(size=(3, n, 2))
    weight = rng.integers(3, size=n) + (np.arange(n) == 0)
    rows = rng.permutation(np.repeat(np.arange(n), weight))
    weighted = relative_key_error(*arrays, average=average, sample_weight=weight)
    assert weighted == pytest.approx(
        relative_key_error(*arrays[:, rows], average=average)
    )


def test_average_is_one_of_two():
    with pytest.raises(ValueError, match="'average' parameter"):
        relative_key_error([[0, 1]], [[0, 1]], [[1, 0]], average="mean")
