import numpy as np
import pandas as pd
import pytest

from sk_amips import AmortizedNeighbors, CentroidRouter
from sk_amips.metrics import recall_at_k
from sk_amips.metrics._work import n_macs
from sk_amips.plotting import RecallCostDisplay


def test_a_router_is_measured_as_by_its_searches(fitted):
    probes = [1, 2, 5, 9]
    display = RecallCostDisplay.from_estimator(
        fitted.linear, fitted.X, k=5, n_probes=probes
    )
    scores, _ = fitted.linear.search(fitted.X, 5)
    expected = [
        recall_at_k(scores, *fitted.linear.search(fitted.X, 5, p)) for p in probes
    ]
    np.testing.assert_allclose(display.recall, expected)
    assert display.costs[-1] == display.recall[-1] == 1


def test_an_index_is_measured_as_by_its_searches(fitted):
    index = fitted.index
    display = RecallCostDisplay.from_estimator(
        index, fitted.X, targets=[0.7, 0.95], cost="lists"
    )
    exact, _ = fitted.linear.search(fitted.X, 5)
    for i, target in enumerate([0.7, 0.95]):
        found = index.search(fitted.X, target_recall=target)
        n_lists, _ = index.visited(fitted.X, target_recall=target)
        assert display.recall[i] == pytest.approx(recall_at_k(exact, *found))
        assert display.costs[i] == pytest.approx(n_lists.mean())
    assert display.ax_.get_ylabel() == "Recall@5"


@pytest.mark.parametrize("kind", ["linear", "support", "index"])
def test_costs_are_the_same_work_in_several_units(kind, fitted):
    costs = {
        cost: RecallCostDisplay.from_estimator(
            getattr(fitted, kind), fitted.X, k=5, cost=cost
        ).costs
        for cost in ("keys", "macs", "lists")
    }
    router = fitted.index.router_ if kind == "index" else getattr(fitted, kind)
    n_keys = costs["keys"] * len(fitted.keys)
    np.testing.assert_allclose(costs["macs"], n_macs(router) + 6 * n_keys)
    for values in costs.values():
        assert (np.diff(values) >= 0).all()
    assert (costs["keys"] > 0).all()
    assert (costs["keys"] <= 1).all()


def test_one_more_list_never_finds_less(fitted):
    display = RecallCostDisplay.from_estimator(fitted.support, fitted.X)
    assert display.k == 10
    assert (np.diff(display.recall) >= 0).all()


def test_several_estimators_share_their_exact_keys(fitted, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "sk_amips.plotting._fitted.exact_search",
        lambda keys, X, k, **kwargs: calls.append(k) or fitted.centroids.search(X, k),
    )
    display = RecallCostDisplay.from_estimators(
        {"linear": fitted.linear, "plain": fitted.centroids, "index": fitted.index},
        fitted.X,
        targets=[0.8],
        n_probes=[1, 3],
    )
    assert calls == [5]  # that of the index
    assert [line.get_label() for line in display.lines_] == ["linear", "plain", "index"]
    assert list(map(len, display.recall)) == [2, 2, 1]
    assert len({line.get_color() for line in display.lines_}) == 3


def test_compressed_lists_are_swept_by_their_number(fitted):
    index = AmortizedNeighbors(fitted.centroids, k=5, lists="rabitq", n_probe=2)
    index.fit(fitted.train)
    display = RecallCostDisplay.from_estimator(index, fitted.X, cost="lists")
    np.testing.assert_array_equal(display.costs, [1, 2, 3, 4, 5, 6, 7, 9])


def test_curves_measured_elsewhere():
    curves = {"slow": ([10, 5], [0.5, 0.9]), "fast": ([90, 40, 20], [0.4, 0.8, 0.95])}
    display = RecallCostDisplay.from_curves(curves, color="r")
    assert display.ax_.get_xlabel() == "Queries per second"
    np.testing.assert_array_equal(display.lines_[1].get_xdata(), [90, 40, 20])
    assert display.lines_[0].get_color() == "r"
    named = display.plot(name=["a", "b"])
    assert [line.get_label() for line in named.lines_] == ["a", "b"]


def test_a_unit_of_ones_own_labels_the_axis():
    curves = {"a": ([0.1, 0.2], [0.5, 0.9])}
    display = RecallCostDisplay.from_curves(curves, cost="Bytes per key")
    assert display.ax_.get_xlabel() == "Bytes per key"


def test_more_lists_than_there_are_is_one_point(fitted):
    display = RecallCostDisplay.from_estimator(
        fitted.linear, fitted.X, n_probes=[1.0, 50, 100], cost="lists"
    )
    np.testing.assert_array_equal(display.costs, [1, 9])


def test_numbers_of_a_table():
    numbers = pd.DataFrame({"cost": [1.0, 2.0], "recall": [0.5, 0.9]}, index=[5, 6])
    display = RecallCostDisplay(costs=numbers["cost"], recall=numbers["recall"]).plot()
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [0.5, 0.9])


def test_there_is_no_legend_without_names():
    display = RecallCostDisplay(costs=np.array([0.1, 1]), recall=np.array([0.5, 1]))
    assert display.plot().ax_.get_legend() is None


def test_errors(fitted):
    draw = RecallCostDisplay.from_estimator
    with pytest.raises(ValueError, match="cost must be 'keys', 'macs' or 'lists'"):
        draw(fitted.linear, fitted.X, cost="qps")
    with pytest.raises(ValueError, match="targets or n_probes, not both"):
        draw(fitted.index, fitted.X, targets=[0.9], n_probes=[1])
    with pytest.raises(TypeError, match="must be an AmortizedNeighbors"):
        draw(fitted.linear, fitted.X, targets=[0.9])
    for n_probes in ([0, 1], [1.9], []):
        with pytest.raises(ValueError, match="n_probes must be whole numbers of lists"):
            draw(fitted.linear, fitted.X, n_probes=n_probes)
    with pytest.raises(ValueError, match="targets must hold at least one"):
        draw(fitted.index, fitted.X, targets=[])
    with pytest.raises(ValueError, match="estimators must hold at least one"):
        RecallCostDisplay.from_estimators({}, fitted.X)
    with pytest.raises(ValueError, match="no calibration for k=7"):
        draw(fitted.index, fitted.X, k=7)
    single = CentroidRouter(fitted.keys, n_partitions=1).fit(fitted.X)
    with pytest.raises(ValueError, match="single list"):
        draw(single, fitted.X)
    with pytest.raises(ValueError, match="at least one curve"):
        RecallCostDisplay.from_curves({})
    with pytest.raises(ValueError, match="inconsistent numbers"):
        RecallCostDisplay.from_curves({"a": ([1, 2], [0.5])})
