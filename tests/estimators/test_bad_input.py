"""Bad input: one clear sentence, and the estimator stays usable."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError

KEYS = np.random.default_rng(0).normal(size=(30, 12))


def broken(value, row=3):
    keys = KEYS.copy()
    keys[row] = value
    return keys


@pytest.mark.parametrize(
    ("params", "fit", "error", "message"),
    [
        ({}, {"X": np.ones((9, 5))}, ValueError, "X has 5 features, keys have 12"),
        ({}, {"X": np.ones(12)}, ValueError, "Expected 2D array, got 1D array"),
        ({}, {"X": np.full((9, 12), np.nan)}, ValueError, "Input X contains NaN"),
        ({}, {"X": np.full((9, 12), np.inf)}, ValueError, "Input X contains infinity"),
        ({}, {"X": np.empty((0, 12))}, ValueError, r"0 sample\(s\)"),
        ({}, {"X": sparse.eye_array(12).tocsr()}, TypeError, "[Ss]parse"),
        ({}, {"X": np.full((9, 12), "a")}, ValueError, "could not convert string"),
        ({}, {"sample_weight": -np.ones(9)}, ValueError, "[Nn]egative values"),
        ({}, {"sample_weight": np.zeros(9)}, ValueError, "Sample weights.*non-zero"),
        ({}, {"sample_weight": np.ones(8)}, ValueError, "sample_weight"),
        ({}, {"y": np.ones((9, 3))}, ValueError, r"\(n_queries, 12\); got shape"),
        ({}, {"y": np.ones(8)}, ValueError, "inconsistent numbers of samples"),
        ({}, {"y": np.full(9, np.nan)}, ValueError, "Input y contains NaN"),
        ({"n_partitions": 2}, {"y": np.ones(9)}, ValueError, "n_partitions=1 only"),
        ({}, {"X_val": np.ones((4, 5))}, ValueError, "5 features.*expecting 12"),
        (
            {"early_stopping": True},
            {"groups": [1]},
            ValueError,
            r"numbers of samples: \[9, 1\]",
        ),
        ({}, {"groups": [None] * 9}, ValueError, "groups contains .* missing value"),
        ({"keys": KEYS[0]}, {}, ValueError, "keys must be a 2-D array"),
        ({"keys": KEYS[:0]}, {}, ValueError, "keys must not be empty"),
        ({"keys": broken(np.nan)}, {}, ValueError, r"keys.*NaN.*\(first in row 3\)"),
        ({"keys": broken(np.inf)}, {}, ValueError, r"infinity \(first in row 3\)"),
        ({"keys": broken(0.0)}, {}, ValueError, r"zero norm \(first in row 3\)"),
        ({"keys": sparse.csr_array(KEYS)}, {}, TypeError, "keys must be a dense"),
        ({"keys": np.full((3, 12), "a")}, {}, ValueError, "could not convert|numeric"),
        ({"n_partitions": 31}, {}, ValueError, "at most the number of keys, 30"),
        ({"lr": -1}, {}, ValueError, "'lr' parameter"),
        ({"activation": "tanh"}, {}, ValueError, "'activation' parameter"),
        ({"hidden_layer_sizes": ()}, {}, ValueError, "hidden_layer_sizes must"),
        ({"hidden_layer_sizes": (8, 0)}, {}, ValueError, "hidden_layer_sizes must"),
        ({"hidden_layer_sizes": (8.5,)}, {}, ValueError, "hidden_layer_sizes must"),
        ({"device": "abacus"}, {}, ValueError, "device must be"),
        ({"device": "meta"}, {}, ValueError, "device must be"),
        ({"score_weight": 0, "key_weight": 0}, {}, ValueError, "not all be zero"),
        ({"net_params": {"module__bias": 1}}, {}, ValueError, "cannot set 'module__"),
        ({}, {"groups": [1]}, ValueError, r"\[9, 1\]"),
    ],
)
def test_fit(make, params, fit, error, message):
    X = np.random.default_rng(1).normal(size=(9, 12))
    est = make(**({"keys": KEYS} | params))
    with pytest.raises(error, match=message):
        est.fit(**({"X": X} | fit))
    with pytest.raises(NotFittedError):
        est.predict(X)
    good = est.set_params(**{name: getattr(make(), name) for name in params})
    assert good.set_params(keys=KEYS).fit(X).search(X)[1].shape == (9, 1)


@pytest.fixture
def fitted(make, log):
    return make(n_partitions=4).fit(log.train)


@pytest.mark.parametrize("method", ["predict", "transform", "search", "kneighbors"])
@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.ones((2, 5)), ValueError, "5 features.*expecting 12"),
        (np.ones(12), ValueError, "Expected 2D array"),
        (np.full((2, 12), np.nan), ValueError, "NaN"),
        (np.empty((0, 12)), ValueError, r"0 sample\(s\)"),
        (sparse.csr_array(np.ones((2, 12))), TypeError, "[Ss]parse"),
    ],
)
def test_query(fitted, log, method, X, error, message):
    with pytest.raises(error, match=message):
        getattr(fitted, method)(X)
    getattr(fitted, method)(log.test)


def test_numbers_of_neighbors_and_probes(fitted, log):
    with pytest.raises(ValueError, match=r"n_neighbors.*at most.*400: got 401"):
        fitted.kneighbors(log.test, 401)
    with pytest.raises(ValueError, match="k must be at most"):
        fitted.search(log.test, 401)
    for bad in (0, -1):
        with pytest.raises(ValueError, match="k == "):
            fitted.search(log.test, bad)
        with pytest.raises(ValueError, match="n_probe == "):
            fitted.search(log.test, 1, n_probe=bad)
    for bad in (2.5, "5"):
        with pytest.raises(TypeError, match="n_probe must be an instance"):
            fitted.search(log.test, 1, n_probe=bad)
    with pytest.raises(TypeError, match="k must be an instance"):
        fitted.search(log.test, 2.5)


@pytest.mark.parametrize(
    "method",
    ["predict", "predict_partitions", "transform", "search", "kneighbors", "score"],
)
def test_unfitted(make, log, method):
    with pytest.raises(NotFittedError):
        getattr(make(), method)(log.test)
