import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer

from sk_amips import AmortizedNeighbors, SupportNetRegressor
from sk_amips.metrics import match_rate_scorer
from sk_amips.model_selection import grouped_query_split
from sk_amips.training import TrainingData


def log(n, n_groups, seed):
    """Rows that tell their number, and groups of at least one row."""
    rng = np.random.default_rng(seed)
    groups = np.r_[np.arange(n_groups), rng.integers(n_groups, size=n - n_groups)]
    return np.arange(n)[:, None], rng.permutation(groups)


@st.composite
def splits(draw):
    n_groups = draw(st.integers(2, 30))
    n = n_groups + draw(st.integers(0, 40))
    n_parts = draw(st.integers(2, min(5, n_groups)))
    shares = np.array(draw(st.lists(st.integers(1, 50), min_size=5, max_size=5)))
    parts = shares[:n_parts] / shares[:n_parts].sum()
    return n, n_groups, parts, draw(st.integers(0, 2**16))


@given(splits())
def test_every_row_and_every_group_is_in_one_part(split):
    n, n_groups, parts, seed = split
    X, groups = log(n, n_groups, seed)
    found = grouped_query_split(
        X, groups, groups=groups, parts=parts, random_state=seed
    )
    rows, names = found[: len(parts)], found[len(parts) :]
    np.testing.assert_array_equal(np.sort(np.concatenate(rows), axis=0), X)
    every = np.concatenate([np.unique(some) for some in names])
    np.testing.assert_array_equal(np.sort(every), np.arange(n_groups))
    assert all(len(some) for some in rows)
    for some, name in zip(rows, names, strict=True):
        assert (np.diff(some[:, 0]) > 0).all()
        np.testing.assert_array_equal(groups[some[:, 0]], name)


@pytest.mark.parametrize(
    ("shares", "sizes"),
    [
        ({}, [80, 20]),
        ({"test_size": 0.25}, [75, 25]),
        ({"parts": [0.6, 0.2, 0.2]}, [60, 20, 20]),
        ({"parts": (0.4, 0.3, 0.2, 0.1)}, [40, 30, 20, 10]),
        ({"parts": [0.001, 0.998, 0.001]}, [1, 98, 1]),
        ({"test_size": 1e-6}, [99, 1]),
        ({"test_size": 1 - 1e-6}, [1, 99]),
    ],
)
def test_shares_count_groups(shares, sizes):
    groups = np.repeat(np.arange(100), 3)
    found = grouped_query_split(groups, groups=groups, **shares)
    assert [len(np.unique(some)) for some in found] == sizes


def test_shares_that_sum_to_nearly_one_drop_no_group():
    groups = np.arange(60_000)
    found = grouped_query_split(groups, groups=groups, parts=[0.33333] * 3)
    assert [len(some) for some in found] == [20_000] * 3


def test_no_queries():
    with pytest.raises(ValueError, match="parts, 2: got 0"):
        grouped_query_split(np.zeros((0, 2)), groups=[])


def test_every_group_is_as_likely_to_be_in_the_test_part():
    X, groups = log(60, 10, 0)
    rng = np.random.RandomState(0)
    counts = np.zeros(10)
    for _ in range(400):
        _, test = grouped_query_split(X, groups=groups, random_state=rng)
        counts[np.unique(groups[test[:, 0]])] += 1
    # Four standard deviations of 400 draws.
    np.testing.assert_allclose(counts / 400, 0.2, atol=0.08)
    assert counts.sum() == 800


def test_the_seed_decides():
    X, groups = log(200, 50, 0)
    first, again, other = (
        grouped_query_split(X, groups=groups, random_state=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_names_of_groups_do_not_matter():
    X, groups = log(40, 10, 0)
    names = np.array(list("abcdefghij"), dtype=object)[groups]
    expected = grouped_query_split(X, groups=groups, random_state=0)
    numbers = pd.Series(groups * 1.5)
    for other in (
        names,
        names.astype(str),
        names.tolist(),
        numbers,
        numbers.astype("O"),
    ):
        found = grouped_query_split(X, groups=other, random_state=0)
        for one, two in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, two)


def test_order_and_kinds_of_arrays():
    X, groups = log(30, 10, 0)
    texts = [f"query {i}" for i in range(30)]
    frame = pd.DataFrame({"row": np.arange(30)}, index=np.arange(30)[::-1])
    found = grouped_query_split(
        X, texts, frame, sparse.csr_matrix(X), groups=groups, random_state=0
    )
    train, test, texts_train, texts_test, frame_train, _, _, sparse_test = found
    assert texts_train == [f"query {i}" for i in train[:, 0]]
    assert texts_test == [f"query {i}" for i in test[:, 0]]
    np.testing.assert_array_equal(frame_train, train)
    np.testing.assert_array_equal(sparse_test.toarray(), test)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"groups": [0, 1]}, "inconsistent numbers of samples"),
        ({"groups": [0, 0, 0]}, "as many groups as there are parts, 2: got 1"),
        ({"groups": [0.0, np.nan, 1.0]}, r"missing value \(first in row 1\)"),
        ({"groups": ["a", "b", None]}, r"missing value \(first in row 2\)"),
        ({"groups": ["a", pd.NA, "b"]}, r"missing value \(first in row 1\)"),
        ({"groups": pd.array([1, 2, pd.NA])}, r"missing value \(first in row 2\)"),
        ({"groups": pd.to_datetime([None, "2020", "2021"])}, "missing .* row 0"),
        ({"groups": None}, "groups must name the group of every query, got None"),
        ({"test_size": 0.0}, "test_size"),
        ({"test_size": 1.0}, "test_size"),
        ({"test_size": 0.5, "parts": (0.5, 0.5)}, "not both"),
        ({"parts": (0.5, 0.4)}, "sum to one"),
        ({"parts": (1.0,)}, "two or more"),
        ({"parts": (1.5, -0.5)}, "positive"),
        ({"parts": (0.5, 0.2, 0.2, 0.1)}, "parts, 4: got 3"),
    ],
)
def test_bad_input(params, message):
    with pytest.raises(ValueError, match=message):
        grouped_query_split(np.zeros((3, 2)), **{"groups": [0, 1, 2], **params})


def test_groups_must_be_given():
    with pytest.raises(TypeError, match="groups"):
        grouped_query_split(np.zeros((3, 2)))


# --- groups of scikit-learn's searches


@pytest.fixture
def questions(rng):
    """Keys, queries and the question that each is a spelling of."""
    return rng.normal(size=(50, 4)), rng.normal(size=(60, 4)), np.arange(60) // 5


@pytest.fixture
def net(questions):
    return SupportNetRegressor(
        questions[0],
        hidden_layer_sizes=(4,),
        max_epochs=1,
        early_stopping=True,
        random_state=0,
    )


@pytest.fixture
def parted(monkeypatch):
    """Groups on both sides of the validation splits of all fits that follow."""
    seen = []
    split = TrainingData.split

    def spy(self, fraction, *, groups=None, seed=0):
        train, valid = split(self, fraction, groups=groups, seed=seed)
        if groups is None:
            seen.append(None)
        else:
            seen.append((set(groups[train.rows]), set(groups[valid.rows])))
        return train, valid

    monkeypatch.setattr(TrainingData, "split", spy)
    return seen


def folds(groups):
    """Groups of the training part of each fold."""
    splits = GroupKFold(2).split(groups, groups=groups)
    return [set(groups[train]) for train, _ in splits]


GRID = {"lr": [1e-3, 3e-3]}


def test_grid_search_without_routing(net, questions, parted):
    """Groups reach the splitter, which has to have them, and it alone."""
    _, Q, groups = questions
    search = GridSearchCV(net, GRID, cv=GroupKFold(2))
    with pytest.raises(ValueError, match="groups"):
        clone(search).fit(Q)
    search.fit(Q, groups=groups)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert parted == [None] * 5


@pytest.mark.parametrize("asked", ["by default", "in words"])
def test_grid_search_with_routing(net, questions, parted, asked):
    """Groups reach the splitter and the validation split of each candidate."""
    _, Q, groups = questions
    with config_context(enable_metadata_routing=True):
        if asked == "in words":
            net.set_fit_request(groups=True)
        search = GridSearchCV(net, GRID, cv=GroupKFold(2)).fit(Q, groups=groups)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert all(not train & valid for train, valid in parted)
    expected = [*folds(groups) * len(GRID["lr"]), set(groups)]
    assert [train | valid for train, valid in parted] == expected


def test_groups_can_be_kept_from_the_estimator(net, questions, parted):
    _, Q, groups = questions
    with config_context(enable_metadata_routing=True):
        net.set_fit_request(groups=False)
        GridSearchCV(net, GRID, cv=GroupKFold(2)).fit(Q, groups=groups)
    assert parted == [None] * 5


def test_groups_reach_the_end_of_a_pipeline(net, questions, parted):
    _, Q, groups = questions
    pipe = Pipeline([("norm", Normalizer()), ("net", net)])
    with config_context(enable_metadata_routing=True):
        cross_validate(pipe, Q, cv=GroupKFold(2), params={"groups": groups})
    assert [train | valid for train, valid in parted] == folds(groups)
    pipe.fit(Q, net__groups=groups)
    assert parted[-1][0] | parted[-1][1] == set(groups)


def test_groups_reach_an_index(questions, rng):
    """Queries that calibrate are of other groups than those that were learned from."""
    keys, Q, groups = questions

    class Recorder(AmortizedNeighbors):
        def fit(self, X, y=None, *, groups=None, X_cal=None):
            seen.append(set(groups))
            return super().fit(X, groups=groups, X_cal=X_cal)

    seen = []
    net = SupportNetRegressor(keys, n_partitions=4, max_epochs=1, random_state=0)
    index = Recorder(net, k=2, n_probe=2, random_state=0)
    with config_context(enable_metadata_routing=True):
        result = cross_validate(index, Q, cv=GroupKFold(2), params={"groups": groups})
    assert ((result["test_score"] > 0) & (result["test_score"] <= 1)).all()
    assert seen == folds(groups)


def test_weights_and_groups_together(net, questions, parted):
    _, Q, groups = questions
    weight = np.arange(1.0, 61.0)
    with config_context(enable_metadata_routing=True):
        net.set_fit_request(sample_weight=True)
        scorer = match_rate_scorer().set_score_request(sample_weight=True)
        search = GridSearchCV(net, GRID, cv=GroupKFold(2), scoring=scorer)
        search.fit(Q, groups=groups, sample_weight=weight)
        fold = next(GroupKFold(2).split(Q, groups=groups))
    train, test = fold
    best = clone(net).set_params(lr=1e-3)
    best.fit(Q[train], sample_weight=weight[train], groups=groups[train])
    expected = best.score(Q[test], sample_weight=weight[test])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected)
