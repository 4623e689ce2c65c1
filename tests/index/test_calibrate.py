import numpy as np
import pytest

from sk_amips.index import Calibration


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
