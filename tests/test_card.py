"""Cards say what is so."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from sk_amips import (
    AmortizedNeighbors,
    CentroidRouter,
    DatabaseCompressor,
    KeyNetRegressor,
    LinearRouter,
    SupportNetRegressor,
)

rng = np.random.default_rng(0)
KEYS = rng.normal(size=(300, 6)).astype(np.float32)
QUERIES = rng.normal(size=(400, 6)).astype(np.float32)


@pytest.mark.parametrize(
    "estimator",
    [
        SupportNetRegressor(KEYS, n_partitions=10, max_epochs=1),
        KeyNetRegressor(KEYS, max_epochs=1),
        LinearRouter(KEYS, alpha=1.0),
        CentroidRouter(KEYS),
        DatabaseCompressor(KEYS),
        AmortizedNeighbors(LinearRouter(KEYS), k=2, target_recall=0.9, fallback=False),
        AmortizedNeighbors([LinearRouter(KEYS), CentroidRouter(KEYS)], k=2),
        AmortizedNeighbors(CentroidRouter(KEYS), n_probe=2),
    ],
    ids=lambda e: type(e).__name__,
)
def test_every_estimator_has_one(estimator):
    with pytest.raises(NotFittedError):
        estimator.card()
    estimator.fit(QUERIES[:300])
    short = estimator.card()
    long = estimator.card(QUERIES[300:], groups=np.arange(100) // 2)
    assert short.startswith(f"# {type(estimator).__name__}\n")
    assert "300 of 6 features, float32" in short
    assert "## Versions" in short
    assert "## Measured" not in short
    assert "## Measured on 100 queries" in long
    assert long == estimator.card(QUERIES[300:], groups=np.arange(100) // 2)
    tables = [line for line in long.split("\n") if line.startswith("|")]
    assert all(line.count("|") == 3 for line in tables)


def test_what_is_measured():
    index = AmortizedNeighbors(
        CentroidRouter(KEYS, random_state=0), k=3, target_recall=0.8, random_state=0
    ).fit(QUERIES[:300])
    text = index.card(QUERIES[300:])
    (row,) = [line for line in text.split("\n") if line.startswith("| recall@3")]
    mean, low, high = (
        float(word.strip("()|")) for word in row.split() if word[:2] in ("0.", "1.")
    )
    assert mean == pytest.approx(index.score(QUERIES[300:]), abs=1e-4)
    assert low < mean < high
    # Groups that agree leave half as much that is known.
    twice = index.card(np.repeat(QUERIES[300:], 2, axis=0), groups=np.arange(200) // 2)
    assert row.split("bootstrap")[1] == twice.split("bootstrap")[1].split("\n")[0]
    assert "`0.8`" in text
