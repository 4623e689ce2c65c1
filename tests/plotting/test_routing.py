import numpy as np
import pytest

from sk_amips.metrics import routing_recall
from sk_amips.plotting import RoutingDisplay


@pytest.mark.parametrize("kind", ["linear", "support"])
@pytest.mark.parametrize("k", [1, 4])
def test_every_point_is_a_routing_recall(kind, k, fitted):
    router = getattr(fitted, kind)
    display = RoutingDisplay.from_estimator(router, fitted.X, k=k)
    best = router.partition_.labels_[router.search(fitted.X, k)[1]]
    plain = fitted.centroids.predict_partitions(fitted.X)
    scores = router.predict_partitions(fitted.X)
    for p in range(1, 10):
        assert display.recall[p - 1] == pytest.approx(routing_recall(scores, best, p))
        expected = routing_recall(plain, best, p)
        assert display.centroid_recall[p - 1] == pytest.approx(expected)
    assert display.recall[-1] == display.centroid_recall[-1] == 1


def test_centroids_are_drawn_once(fitted):
    first = RoutingDisplay.from_estimator(fitted.linear, fitted.X)
    second = RoutingDisplay.from_estimator(fitted.support, fitted.X, ax=first.ax_)
    assert first.centroid_line_ is not None
    assert second.centroid_line_ is None
    assert len(first.ax_.get_lines()) == 3
    # Those of other best keys are others.
    third = RoutingDisplay.from_estimator(fitted.support, fitted.X, k=4, ax=first.ax_)
    assert third.centroid_line_ is not None


def test_centroids_can_be_left_out(fitted):
    display = RoutingDisplay.from_estimator(fitted.linear, fitted.X, centroids=False)
    assert display.centroid_recall is display.centroid_line_ is None
    display = RoutingDisplay.from_estimator(fitted.centroids, fitted.X)
    assert display.centroid_recall is None


def test_of_an_index_the_router_that_searches_use(fitted):
    display = RoutingDisplay.from_estimator(fitted.index, fitted.X)
    router = RoutingDisplay.from_estimator(fitted.index.router_, fitted.X)
    np.testing.assert_array_equal(display.recall, router.recall)
    assert display.name == type(fitted.index.router_).__name__
