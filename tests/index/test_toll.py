import numpy as np
import pytest

from sk_amips import AmortizedNeighbors
from sk_amips.index._calibrate import calibrate
from sk_amips.index._shards import Shards
from sk_amips.index._toll import choose_toll


@pytest.fixture
def on_shards(problem, routers):
    """A function that makes an index and its best lists of test queries."""

    def made(name, k, n_shards):
        index = AmortizedNeighbors(routers[name], k=k, fallback=False, random_state=0)
        engine = index.fit(problem.log[700:])._engine
        engine.shards = Shards(np.arange(30) % n_shards)
        _, best = routers[name]._top_k(problem.test, k)
        return engine, index.partition_.labels_[best]

    return made


@pytest.mark.parametrize("name", ["centroid", "net"])
@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("stop", [(0.6, None), (1.0, -0.1), (None, None)])
def test_fan_out_never_rises_and_work_is_bounded(problem, on_shards, name, k, stop):
    engine, lists = on_shards(name, k, 5)
    X, macs = problem.test, 5000
    toll = choose_toll(engine, X, lists, stop, 0.9, macs)
    touched, work = [], []
    for some in (0.0, toll):
        found = calibrate(engine, X, lists, *stop, some)
        rule = found.likely_rule(0.9)
        assert (found.critical <= found.margin(0.89)).mean() >= 0.88
        touched.append(engine.count_shards(X, k, rule).mean())
        work.append(macs + 16 * engine.count_visits(X, k, rule)[1].mean())
    assert touched[1] <= touched[0]
    assert work[1] <= 1.1 * work[0]


def test_a_toll_pays_where_lists_are_scattered(problem, on_shards):
    engine, lists = on_shards("net", 6, 5)
    assert choose_toll(engine, problem.test, lists, (0.6, None), 0.9, 5000) > 0


@pytest.mark.parametrize("k", [1, 6])
@pytest.mark.parametrize("stop", [(0.4, None), (1.0, 0.0), (None, None)])
def test_margins_with_a_toll_are_those_from_which_a_search_visits(
    problem, on_shards, k, stop
):
    """What a larger margin visits holds the rest, and so promises stay valid."""
    engine, lists = on_shards("net", k, 7)
    X = problem.test
    found = calibrate(engine, X, lists, *stop, 2.0)
    plain = calibrate(engine, X, lists, *stop)
    np.testing.assert_array_equal(found.rank, plain.rank)
    assert (found.critical != plain.critical).any()
    seen = np.zeros((30, len(X)), dtype=bool)
    for target in (0.3, 0.8, 0.95, 0.99):
        rule = found.rule(target)
        assert rule.toll == 2.0
        ((_, mask),) = engine.visits(X, k, rule)
        visited = mask[lists.T, np.arange(len(X))].T
        np.testing.assert_array_equal(visited, found.critical <= found.margin(target))
        assert (mask | ~seen).all()
        seen = mask


@pytest.mark.parametrize("router", ["centroid", "linear", "net"])
@pytest.mark.parametrize("k", [1, 5])
def test_fresh_queries_find_the_target(problem, routers, router, k):
    for target in (0.8, 0.95):
        found = AmortizedNeighbors(
            routers[router],
            k=k,
            target_recall=target,
            shards=6,
            fallback=False,
            random_state=0,
        ).fit(problem.log[700:])
        # 600 test and 350 calibration queries: three standard errors.
        slack = 3 * (target * (1 - target) * (1 / 600 + 1 / 350)) ** 0.5
        assert found.score(problem.test) >= target - slack
        calibration = found.calibrations_[k]
        visited = calibration.critical <= calibration.margin(target)
        assert visited.mean() >= target
