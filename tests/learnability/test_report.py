from dataclasses import asdict

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils._testing import assert_array_equal

from sk_amips import exact_search, learnability_report
from sk_amips.learnability import MissingMass


@pytest.fixture(scope="module")
def log():
    """Keys, queries near few of them, and groups of queries with one best key."""
    rng = np.random.default_rng(0)
    keys = rng.normal(size=(300, 8))
    keys.flags.writeable = False
    groups = np.repeat(np.arange(200), 3)
    queries = keys[rng.integers(0, 100, size=200)][groups] + 0.1
    queries += 0.2 * rng.normal(size=queries.shape)
    return keys, queries, groups


@pytest.fixture(scope="module")
def report(log):
    keys, queries, groups = log
    return learnability_report(keys, queries, groups=groups, random_state=0)


def same(first, second):
    for name, value in asdict(first).items():
        np.testing.assert_equal(value, asdict(second)[name], err_msg=name)


def test_missing_mass_is_that_of_exact_best_keys(log, report):
    keys, queries, groups = log
    best = exact_search(keys, queries)[1][:, 0]
    wins = MissingMass(best, groups)
    assert report.missing_mass == wins(199)
    assert report.missing_mass_error == wins.standard_error
    assert report.winning_keys == len(set(best)) / 300
    assert (report.n_keys, report.n_queries, report.n_groups) == (300, 600, 200)


def test_curve(report):
    curve = report.missing_mass_curve
    assert_array_equal(curve.extrapolated, curve.n_queries > 600)
    assert_array_equal(curve.n_queries[-4:], [300, 600, 1200, 2400])
    assert curve.missing_mass[-3] == report.missing_mass
    assert (np.diff(curve.missing_mass) < 0).all()
    assert (curve.missing_mass > 0).all()


def test_without_groups_more_seems_known(log, report):
    keys, queries, _ = log
    ungrouped = learnability_report(keys, queries, random_state=0)
    assert ungrouped.n_groups == 600
    assert ungrouped.missing_mass < report.missing_mass / 2


def test_keys_scanned(report):
    assert_array_equal(report.recalls, [0.8, 0.9, 0.95, 0.99])
    assert set(report.keys_scanned) == {"centroids", "optimistic", "linear"}
    for name, shares in report.keys_scanned.items():
        assert shares.shape == (4,)
        assert (np.diff(shares) >= 0).all()
        assert 0 < shares[0] <= shares[-1] <= 1
        assert report.ranking_work[name] >= report.ranking_work["centroids"] > 0
    gain = report.keys_scanned["centroids"][2] / report.keys_scanned["linear"][2]
    assert report.linear_gain == gain


def test_target_recall_is_among_the_recalls(log):
    report = learnability_report(*log[:2], target_recall=0.7, random_state=0)
    assert_array_equal(report.recalls, [0.7, 0.8, 0.9, 0.95, 0.99])
    gain = report.keys_scanned["centroids"][0] / report.keys_scanned["linear"][0]
    assert report.linear_gain == gain
    assert "0.7" in str(report)


@pytest.mark.parametrize(("turned", "gain"), [(False, "little"), (True, "much")])
def test_expected_gain(rng, turned, gain):
    """Queries that are keys but for a rotation are learned; keys' own need nothing."""
    keys = rng.normal(size=(20, 6))[rng.integers(0, 20, size=400)]
    keys += 0.2 * rng.normal(size=keys.shape)
    queries = keys[rng.integers(0, 400, size=2000)]
    queries = queries + 0.1 * rng.normal(size=queries.shape)
    if turned:
        queries = queries + np.array([8.0, 0, 0, 0, 0, 0])
    report = learnability_report(keys, queries, n_partitions=20, random_state=0)
    assert report.expected_gain == gain


def test_shift(rng):
    keys, queries = rng.normal(size=(2, 500, 10))
    alike = learnability_report(keys, queries, random_state=0).shift
    assert 0.5 <= alike < 0.6
    moved = learnability_report(keys, queries + 1.0, random_state=0).shift
    assert 0.8 < moved < 1
    apart = learnability_report(keys + 10.0, queries - 10.0, random_state=0).shift
    assert apart > 0.999
    # What counts is where queries point.
    longer = learnability_report(keys, 1e6 * queries, random_state=0).shift
    assert longer == pytest.approx(alike, abs=1e-3)


def test_reads_like_a_table(report):
    text = str(report)
    assert len(text.splitlines()) == 13
    assert max(map(len, text.splitlines())) <= 88
    for part in [
        "600 queries in 200 groups; 300 keys",
        f"{report.missing_mass:.1%} ± {2 * report.missing_mass_error:.1%}",
        "extrapolated",
        f"{report.keys_scanned['optimistic'][0]:.1%}",
        f"gain of training: {report.expected_gain}",
    ]:
        assert part in text


def test_reproducible_by_seed(log, report, keeps_global_rng, capsys):
    keys, queries, groups = log
    same(report, learnability_report(keys, queries, groups=groups, random_state=0))
    assert capsys.readouterr() == ("", "")


def test_names_of_groups_do_not_matter(log, report):
    keys, queries, groups = log
    names = np.array([f"user {i:03}" for i in range(200)])[groups]
    same(report, learnability_report(keys, queries, groups=names, random_state=0))
    same(
        report,
        learnability_report(keys, queries, groups=list(1000 + groups), random_state=0),
    )


@pytest.mark.parametrize("form", ["memmap", "fortran", "float32", "list"])
def test_forms_of_keys(tmp_path, log, report, form):
    keys, queries, groups = log
    if form == "memmap":
        np.save(tmp_path / "keys.npy", keys)
        keys = np.load(tmp_path / "keys.npy", mmap_mode="r")
    elif form == "fortran":
        keys = np.asfortranarray(keys)
    elif form == "float32":
        keys, queries = keys.astype(np.float32), queries.astype(np.float32)
    else:
        keys, queries, groups = keys.tolist(), queries.tolist(), groups.tolist()
    other = learnability_report(keys, queries, groups=groups, random_state=0)
    assert other.missing_mass == report.missing_mass
    assert other.shift == pytest.approx(report.shift, abs=0.01)


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_precision_of_keys(log, dtype):
    keys, queries, _ = log
    keys = np.rint(10 * keys).astype(dtype)
    expected = learnability_report(keys.astype(float), queries, random_state=0)
    report = learnability_report(keys, queries, random_state=0)
    assert report.missing_mass == expected.missing_mass


def test_zero_queries_are_left_out(log, report):
    keys, queries, groups = log
    some = np.arange(0, 600, 7)
    padded = np.insert(queries, some, 0.0, axis=0)
    codes = np.insert(groups, some, np.arange(1000, 1000 + len(some)))
    same(report, learnability_report(keys, padded, groups=codes, random_state=0))


@pytest.mark.parametrize("grouped", [True, False])
def test_max_queries(log, grouped):
    keys, queries, groups = log
    report = learnability_report(
        keys,
        queries,
        groups=groups if grouped else None,
        max_queries=100,
        random_state=0,
    )
    assert report.n_queries == 100
    assert report.n_groups == (34 if grouped else 100)


@pytest.mark.parametrize(("n_keys", "n_queries"), [(1, 2), (2, 2), (5, 3), (30, 4)])
def test_tiny(rng, n_keys, n_queries):
    keys, queries = rng.normal(size=(n_keys, 3)), rng.normal(size=(n_queries, 3))
    report = learnability_report(keys, queries, random_state=0)
    assert np.isnan(report.shift) == (n_keys == 1)
    assert 0 <= report.missing_mass <= 1
    assert isinstance(str(report), str)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": np.ones((600, 7))}, "X has 7 features, keys have 8"),
        ({"queries": np.full((600, 8), np.nan)}, "queries contains NaN"),
        ({"keys": np.zeros((300, 8))}, "zero norm"),
        ({"keys": np.full((300, 8), np.inf)}, "keys contains NaN or infinity"),
        ({"groups": np.zeros(600)}, "at least two groups .* got 1"),
        ({"groups": np.zeros(599)}, "inconsistent numbers of samples"),
        ({"groups": np.full(600, np.nan)}, "missing value"),
        ({"queries": np.zeros((600, 8))}, "at least two groups .* got 0"),
        ({"n_partitions": 301}, "n_partitions must be .* at most .* 300: got 301"),
        ({"n_partitions": 0}, "'n_partitions' parameter"),
        ({"target_recall": 1.0}, "'target_recall' parameter"),
        ({"max_queries": 1}, "'max_queries' parameter"),
        ({"random_state": "a"}, "'random_state' parameter"),
    ],
)
def test_bad_input(log, change, message):
    params = dict(zip(["keys", "queries", "groups"], log, strict=True)) | change
    with pytest.raises(ValueError, match=message):
        learnability_report(**params)


def test_sparse_keys(log):
    with pytest.raises(TypeError, match="dense"):
        learnability_report(sparse.csr_array(log[0]), log[1])


def test_nothing_is_expected_of_a_handful_of_queries(rng):
    keys = rng.normal(size=(200, 8))
    report = learnability_report(keys, rng.normal(size=(60, 8)), random_state=0)
    assert report.n_test < 100
    assert report.expected_gain == "unknown"
