import numpy as np
import pytest

from sk_amips.training import noisy_queries


@pytest.fixture
def random_state():
    return np.random.RandomState(0)


def test_unit_vectors_near_their_sources(rng, random_state):
    sources = rng.normal(size=(50, 200)) * 10 ** rng.uniform(-20, 20, size=(50, 1))
    noisy = noisy_queries(sources, 50, 0.4, random_state)
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(noisy, axis=1), 1.0, rtol=1e-5)
    directions = sources / np.linalg.norm(sources, axis=1, keepdims=True)
    # The tangent of the angle is the noise's norm, but for its radial part.
    cosine = (noisy * directions).sum(axis=1)
    tangent = np.sqrt(1 / cosine**2 - 1)
    assert np.sqrt((tangent**2).mean()) == pytest.approx(0.4, rel=0.1)


def test_no_noise_gives_the_directions(rng, random_state):
    sources = rng.normal(size=(20, 5))
    noisy = noisy_queries(sources, 20, 0.0, random_state)
    directions = sources / np.linalg.norm(sources, axis=1, keepdims=True)
    np.testing.assert_allclose(noisy, directions, rtol=1e-5)


@pytest.mark.parametrize("n", [0, 3, 20, 47])
def test_sources_are_taken_in_turn(n, random_state):
    drawn = noisy_queries(np.eye(20), n, 0.0, random_state).sum(axis=0)
    assert drawn.sum() == n
    assert drawn.max() - drawn.min() <= 1


def test_sources_are_drawn_by_weight(random_state):
    weight = np.array([0.0, 1.0, 3.0])
    drawn = noisy_queries(np.eye(3), 4000, 0.0, random_state, weight=weight)
    share = drawn.mean(axis=0)
    assert share[0] == 0
    assert share[2] == pytest.approx(0.75, abs=0.03)
