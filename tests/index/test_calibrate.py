import numpy as np
import pytest

from sk_amips import AmortizedNeighbors
from sk_amips.index import Calibration
from sk_amips.index._calibrate import calibrate
from sk_amips.index._rules import FixedProbes, ScoreStop


def calibration(critical):
    nothing = np.zeros(critical.shape, dtype=int)
    return Calibration(1.0, 0.0, critical.astype(np.float32), nothing, nothing)


def test_margin_is_the_smallest_that_conformal_risk_control_allows(rng):
    for k in (1, 3):
        critical = rng.normal(size=(200, k))
        critical[:50] = -np.inf
        found = calibration(critical)
        for target in (0.5, 0.8, 0.9, 0.99):
            margin = found.margin(target)
            risks = [
                ((critical.astype(np.float32) > m).mean(axis=1).sum() + 1) / 201
                for m in (margin, np.nextafter(np.float32(margin), np.float32(-9e9)))
            ]
            assert risks[0] <= 1 - target + 1e-9
            assert risks[1] > 1 - target or margin == -np.inf


def test_rules_of_one_round_and_of_two(rng):
    critical = rng.normal(size=(200, 2)).astype(np.float32)
    nothing = np.zeros(critical.shape, dtype=int)
    for band in (None, 0.1):
        found = Calibration(0.4, band, critical, nothing, nothing)
        rule, margin = found.rule(0.9), found.margin(0.9)
        assert rule.share == 0.4
        assert rule.is_one_round == (band is None)
        assert margin == (rule.band if band is None else rule.margin)
        assert found.rule(0.9, 1).share == 0.4
        assert found.margin(0.9, 1) == calibration(critical[:, :1]).margin(0.9)
    found = Calibration(None, None, np.floor(9 * np.abs(critical)), nothing, nothing)
    assert found.rule(0.9).n_probe == found.margin(0.9) + 1
    assert found.likely_rule(1.0).n_probe == found.critical.max() + 1
    few = Calibration(None, None, critical[:5], nothing[:5], nothing[:5])
    assert few.rule(0.9).n_probe >= 2**31
    few = Calibration(0.4, None, critical[:5], nothing[:5], nothing[:5])
    assert few.rule(0.9).band == np.inf
    assert few.first_rule(0.9).band == np.sort(critical[:5], axis=None)[8]


@pytest.mark.parametrize("name", ["linear", "net", "cross-entropy"])
@pytest.mark.parametrize("k", [1, 7])
@pytest.mark.parametrize(
    ("share", "band"), [(0.4, None), (1.0, None), (0.4, -0.1), (None, None)]
)
def test_margins_are_those_from_which_a_search_visits(
    problem, routers, name, k, share, band
):
    """Also in lists that are visited only to hold enough keys."""
    router, X = routers[name], problem.test
    index = AmortizedNeighbors(router, k=k, fallback=False, random_state=0).fit(
        problem.log[700:]
    )
    engine = index._engine
    _, best = router._top_k(X, k)
    lists = router.partition_.labels_[best]
    found = calibrate(engine, X, lists, share, band)
    seen = np.zeros((router.partition_.n_partitions, len(X)), dtype=bool)
    for target in (0.3, 0.8, 0.95, 0.99):
        rule = found.rule(target)
        start = engine.begin(*engine.predict(X), k, rule)
        more = rule.then(start)
        mask = start.mask if more is None else start.mask | more
        visited = mask[lists.T, np.arange(len(X))].T
        np.testing.assert_array_equal(visited, found.critical <= found.margin(target))
        assert (mask | ~seen).all()  # what a larger margin visits holds the rest
        seen = mask


def test_cost_counts_what_is_visited(problem, routers):
    """A stop is chosen by what its visits cost, whatever the number of queries."""
    X = problem.test
    index = AmortizedNeighbors(routers["net"], k=5, fallback=False, random_state=0)
    engine = index.fit(problem.log[700:])._engine

    def cost(X, rule):
        start = engine.begin(*engine.predict(X), 5, rule)
        return engine.cost(start.mask, start.more(rule))

    rules = [FixedProbes(n) for n in (1, 3, 30)]
    costs = [cost(X, rule) for rule in rules]
    assert costs == sorted(costs)
    for rule in rules:
        n_keys = engine.count_visits(X, 5, rule)[1].mean()
        assert cost(X, rule) > n_keys
    two = ScoreStop(1.0, 0.0, np.inf)  # all lists in the end, most in a second round
    assert cost(X, two) > costs[-1]
    some = [cost(X[rows], rules[1]) for rows in (slice(100), slice(600))]
    assert some[0] == pytest.approx(some[1], rel=0.1)


def test_too_few_queries_promise_nothing():
    found = calibration(np.zeros((20, 1)))
    assert found.margin(0.96) == np.inf
    assert found.margin(0.95) == 0.0
    assert calibration(np.full((99, 1), -np.inf)).margin(0.5) == -np.inf


def test_lost_keys_are_made_up_for():
    critical = np.arange(100.0)[:, None]
    found = calibration(critical)
    assert found.margin(0.9) == 90.0
    lost = np.zeros((100, 1), dtype=bool)
    lost[:5] = True
    assert found.lose(lost).margin(0.9) == 95.0
    lost[:20] = True
    assert found.lose(lost).margin(0.9) == np.inf


@pytest.mark.parametrize("k", [1, 4])
def test_expected_recall_keeps_the_target(rng, k):
    """The finite-sample bound, over many calibration sets of 40 queries."""
    recalls = []
    for _ in range(2000):
        critical = rng.normal(size=(41, k)) + rng.normal(size=(41, 1))
        margin = calibration(critical[:40]).margin(0.8)
        recalls.append((critical[40] <= np.float32(margin)).mean())
    assert 0.8 - 0.02 < np.mean(recalls) < 0.8 + 1.5 / 41 + 0.02
