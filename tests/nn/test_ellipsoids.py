import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.nn import Ellipsoids

D, C = 5, 4
IDENTITY = torch.eye(D, dtype=torch.float64)

seeds = st.integers(0, 2**16)
ranks = st.sampled_from([1, 3, D])


def points(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, D, generator=generator, dtype=torch.float64)


def ellipsoids(seed=0, rank=3, scale=2.5):
    """One without roundness, one round."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(C, rank, D, generator=generator, dtype=torch.float64)
    radii = torch.rand(C, generator=generator, dtype=torch.float64)
    radii[0], factors[1] = 0, 0
    return Ellipsoids(factors, radii, scale=scale)


def assert_close(got, expected):
    torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@given(seeds, ranks)
def test_scores_are_the_formula(seed, rank):
    net, x = ellipsoids(seed, rank), points(6, seed + 1)
    for j in range(C):
        shape = net.factors[j].T @ net.factors[j] + net.radii[j] ** 2 * IDENTITY
        expected = 2.5 * torch.einsum("nd,de,ne->n", x, shape, x).sqrt()
        assert_close(net.scores(x)[:, j], expected)
    assert torch.equal(net(x), net.scores(x))


@given(seeds, ranks)
def test_keys_are_gradients(jacobian, seed, rank):
    net, x = ellipsoids(seed, rank), points(6, seed + 1)
    scores, keys = net.scores_and_keys(x)
    assert keys.shape == (6, C, D)
    assert_close(keys, jacobian(net.scores, x))
    assert torch.equal(scores, net.scores(x))


@given(seeds, ranks)
def test_euler_identity(seed, rank):
    x = points(6, seed + 1)
    scores, keys = ellipsoids(seed, rank).scores_and_keys(x)
    assert_close(torch.einsum("ncd,nd->nc", keys, x), scores)


@given(seeds, ranks)
def test_keys_are_the_best_points_of_the_ellipsoids(seed, rank):
    """No point predicted for another query scores higher."""
    net, x = ellipsoids(seed, rank), points(20, seed + 1)
    scores, keys = net.scores_and_keys(x)
    others = torch.einsum("mcd,nd->nmc", keys, x)
    assert (others <= scores[:, None] + 1e-10).all()


@given(seeds, ranks, st.floats(0, 1))
def test_convex(seed, rank, share):
    net, start, end = ellipsoids(seed, rank), points(20, seed + 1), points(20, seed + 2)
    between = net(share * start + (1 - share) * end)
    assert (between <= share * net(start) + (1 - share) * net(end) + 1e-10).all()


@given(seeds, ranks, st.floats(1e-6, 1e6))
def test_homogeneous_and_even(seed, rank, factor):
    net, x = ellipsoids(seed, rank), points(6, seed + 1)
    scores, keys = net.scores_and_keys(x)
    far_scores, far_keys = net.scores_and_keys(factor * x)
    assert_close(far_scores / factor, scores)
    assert_close(far_keys, keys)
    back_scores, back_keys = net.scores_and_keys(-x)
    assert_close(back_scores, scores)
    assert_close(back_keys, -keys)


def test_scale_is_a_factor():
    x = points(6, 1)
    scores, keys = ellipsoids(scale=1.0).scores_and_keys(x)
    scaled_scores, scaled_keys = ellipsoids(scale=3.0).scores_and_keys(x)
    assert_close(scaled_scores, 3 * scores)
    assert_close(scaled_keys, 3 * keys)


def test_partitions_pick_ellipsoids():
    net, x = ellipsoids(), points(6, 1)
    scores, keys = net.scores_and_keys(x)
    partitions = torch.tensor([[0, 3], [1, 1], [2, 0], [3, 2], [0, 1], [2, 3]])
    some_scores, some_keys = net.scores_and_keys(x, partitions)
    assert_close(some_scores, scores)
    assert_close(some_keys, keys.take_along_dim(partitions[:, :, None], 1))


def test_best_partition():
    net, x = ellipsoids(), points(40, 1)
    scores, keys = net.scores_and_keys(x, "best")
    best = net(x).argmax(dim=1, keepdim=True)
    assert len(best.unique()) > 1
    assert torch.equal(scores, net(x))
    assert_close(keys, net.scores_and_keys(x, best)[1])
    assert_close((keys[:, 0] * x).sum(dim=1), scores.amax(dim=1))


@pytest.mark.parametrize("partitions", [None, "best", torch.tensor([[0], [1], [3]])])
def test_zero_input(partitions):
    net, x = ellipsoids(), points(3, 1)
    x[1] = 0
    scores, keys = net.scores_and_keys(x, partitions)
    assert not scores[1].any()
    assert not keys[1].any()
    assert keys.isfinite().all()
    assert keys[0].any()


@pytest.mark.parametrize("partitions", [None, "best"])
def test_a_point_and_a_flat_ellipsoid(partitions):
    """The first is the origin alone, the second has no extent across its axis."""
    axis = torch.tensor([[[0.0, 0.0]], [[2.0, 0.0]]])
    net = Ellipsoids(axis, torch.zeros(2))
    x = torch.tensor([[0.0, 3.0], [-1.0, 4.0]])
    scores, keys = net.scores_and_keys(x, partitions)
    assert scores.tolist() == [[0.0, 0.0], [0.0, 2.0]]
    assert keys[:, -1].tolist() == [[0.0, 0.0], [-2.0, 0.0]]
    assert not keys[:, :-1].any()


def test_nothing_is_trained_and_all_is_saved():
    net, x = ellipsoids(), points(6, 1)
    assert list(net.parameters()) == []
    copy = ellipsoids(seed=1, scale=1.0)
    copy.load_state_dict(net.state_dict())
    assert torch.equal(copy(x), net(x))
    assert net.float()(x.float()).dtype == torch.float32
