import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sk_amips.nn import (
    DirectionalKeyNet,
    KeyNet,
    RadialSupportNet,
    SupportNet,
    split_direction,
    unit_rows,
)

D = 5

shapes = st.fixed_dictionaries(
    {
        "hidden_sizes": st.lists(st.integers(2, 7), min_size=1, max_size=3),
        "activation": st.sampled_from(["soft_leaky_relu", "leaky_relu", "relu"]),
        "inject_every": st.sampled_from([None, 1, 2]),
        "scale": st.sampled_from([1.0, 2.5]),
    }
)
outputs = st.sampled_from([1, 3])
rectifiers = st.sampled_from(["softplus", "exp", "abs", "relu", None])
seeds = st.integers(0, 2**16)
factors = st.floats(1e-6, 1e6)


def assert_close(got, expected, tolerance=1e-5):
    size = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance * size)


def points(n, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, D, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(scope="module")
def radial(randomize):
    def build(seed=0, dtype=torch.float64, **architecture):
        return RadialSupportNet(randomize(SupportNet(D, **architecture), seed)).to(
            dtype
        )

    return build


@pytest.fixture(scope="module")
def directional(randomize):
    def build(seed=0, dtype=torch.float64, **architecture):
        return DirectionalKeyNet(randomize(KeyNet(D, **architecture), seed)).to(dtype)

    return build


# --- directions


@pytest.mark.parametrize("size", [1e-44, 1e-30, 1e-3, 1.0, 1e30])
def test_split_direction_of_any_norm(size):
    exact = points(20, 0)
    exact /= exact.abs().amax(dim=1, keepdim=True)
    x = (size * exact).float()
    norm, unit = split_direction(x)
    assert norm.shape == (20, 1)
    assert norm.dtype == unit.dtype == torch.float32
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(20))
    torch.testing.assert_close(
        norm.double(), x.double().norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-45
    )
    expected = x.double() / x.double().norm(dim=1, keepdim=True)
    torch.testing.assert_close(unit.double(), expected, rtol=1e-5, atol=1e-6)


def test_split_direction_of_zero():
    x = torch.zeros(2, 3)
    x[1, 2] = -4.0
    norm, unit = split_direction(x)
    assert norm.tolist() == [[0.0], [4.0]]
    assert unit.tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_unit_rows(rng, dtype):
    x = (10 * rng.normal(size=(7, D))).astype(dtype)
    x[3] = 0
    before = x.copy()
    norms, units = unit_rows(x)
    assert norms.shape == (7, 1)
    assert norms.dtype == np.float64
    assert units.dtype == np.float32
    expected = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_allclose(norms, expected, rtol=1e-14)
    np.testing.assert_allclose(norms * units, x, rtol=1e-6)
    assert not units[3].any()
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e30, 1e300])
def test_unit_rows_of_any_norm(rng, size):
    x = size * rng.normal(size=(7, D))
    norms, units = unit_rows(x)
    assert np.isfinite(norms).all()
    np.testing.assert_allclose(norms * units, x, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, rtol=1e-6)


def test_unit_rows_reads_read_only_rows(rng):
    x = rng.normal(size=(7, D))
    x.flags.writeable = False
    assert unit_rows(x[::2])[1].shape == (4, D)


# --- RadialSupportNet


@given(shapes, outputs, rectifiers, seeds)
def test_radial_gradient_equals_autograd(
    radial, jacobian, architecture, c, rectifier, seed
):
    for dtype in (torch.float32, torch.float64):
        net = radial(seed, dtype, out_features=c, rectifier=rectifier, **architecture)
        x = points(6, seed, dtype)
        with torch.no_grad():
            scores, keys = net.scores_and_keys(x)
        assert not keys.requires_grad
        assert_close(keys, jacobian(net, x))
        assert_close(scores, net(x).detach())
        assert torch.equal(net.scores(x), net(x))


@given(shapes, outputs, rectifiers, seeds, factors)
def test_radial_net_is_homogeneous(radial, architecture, c, rectifier, seed, factor):
    """f(t x) = t f(x), gradients do not change, and <grad f(x), x> = f(x)."""
    net = radial(seed, out_features=c, rectifier=rectifier, **architecture)
    x = points(8, seed)
    scores, keys = net.scores_and_keys(x)
    scaled_scores, scaled_keys = net.scores_and_keys(factor * x)
    assert_close(scaled_scores / factor, scores, 1e-10)
    assert_close(scaled_keys, keys, 1e-10)
    assert_close(torch.einsum("ncd,nd->nc", keys, x), scores, 1e-10)


@given(shapes, seeds)
def test_radial_partitions_pick_rows(radial, architecture, seed):
    net = radial(seed, out_features=4, **architecture)
    x = points(6, seed)
    scores, keys = net.scores_and_keys(x)
    generator = torch.Generator().manual_seed(seed)
    for p in (1, 2, 4):
        partitions = torch.randint(0, 4, (6, p), generator=generator)
        some_scores, some_keys = net.scores_and_keys(x, partitions)
        assert_close(some_scores, scores, 1e-12)
        expected = torch.stack([keys[i, partitions[i]] for i in range(6)])
        assert_close(some_keys, expected, 1e-12)


@given(shapes, outputs, seeds)
def test_radial_net_learns_through_the_gradient(
    radial, jacobian, architecture, c, seed
):
    net = radial(seed, out_features=c, **architecture)
    x, target = points(6, seed), points(6, seed + 1)[:, None]

    def gradients(keys):
        loss = (keys - target).square().mean()
        found = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
        return [
            torch.zeros_like(parameter) if gradient is None else gradient
            for parameter, gradient in zip(net.parameters(), found, strict=True)
        ]

    by_algebra = gradients(net.scores_and_keys(x)[1])
    by_autograd = gradients(jacobian(net, x, create_graph=True))
    for ours, theirs in zip(by_algebra, by_autograd, strict=True):
        assert_close(ours, theirs)


@given(shapes, seeds)
def test_radial_net_changes_nothing_on_the_sphere(radial, architecture, seed):
    net = radial(seed, out_features=2, **architecture)
    unit = split_direction(points(6, seed))[1]
    assert_close(net(unit), net.net(unit), 1e-12)


def test_radial_net_changes_nothing_where_the_net_is_homogeneous(radial):
    net = radial(hidden_sizes=[6, 6], activation="leaky_relu", bias=False)
    x = points(20, 0)
    for ours, theirs in zip(
        net.scores_and_keys(x), net.net.scores_and_keys(x), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_radial_net_claims_no_convexity(radial):
    """A convex net below zero on the sphere turns concave when homogenized."""
    net = radial(hidden_sizes=[6], out_features=1)
    assert net.net.is_convex
    assert not net.is_convex
    assert net.is_homogeneous
    with torch.no_grad():
        net.net.layers[-1].bias.fill_(-100.0)
    start, end = points(50, 0), points(50, 1)
    excess = net((start + end) / 2) - (net(start) + net(end)) / 2
    assert excess.max() > 1


@pytest.mark.parametrize("activation", ["soft_leaky_relu", "leaky_relu"])
def test_radial_net_at_zero(radial, activation):
    net = radial(hidden_sizes=[6], out_features=3, activation=activation)
    x = points(3, 0)
    x[1] = 0
    x.requires_grad_()
    scores, keys = net.scores_and_keys(x)
    assert not scores[1].any()
    assert keys.isfinite().all()
    (scores.sum() + keys.sum()).backward()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_radial_net_of_any_norm(radial, size):
    net = radial(dtype=torch.float32, hidden_sizes=[6], out_features=2)
    x = points(6, 0, torch.float32)
    scores, keys = net.scores_and_keys(x)
    far_scores, far_keys = net.scores_and_keys(size * x)
    assert_close(far_scores / size, scores)
    assert_close(far_keys, keys, 1e-4)


def test_radial_set_linear(radial):
    net = radial(hidden_sizes=[6], out_features=2, inject_output=True, scale=2.0)
    x, weight = points(4, 0), points(2, 1)
    net.set_linear(torch.zeros(2, D))
    scores, keys = net.scores_and_keys(x)
    net.set_linear(weight)
    with_linear, with_weight = net.scores_and_keys(x)
    torch.testing.assert_close(with_linear, scores + x @ weight.T)
    torch.testing.assert_close(with_weight, keys + weight)


# --- DirectionalKeyNet


@given(shapes, outputs, st.booleans(), seeds, factors)
def test_directional_net_sees_only_the_direction(
    directional, architecture, c, residual, seed, factor
):
    net = directional(seed, n_heads=c, residual=residual, **architecture)
    x = points(8, seed)
    scores, keys = net.scores_and_keys(x)
    scaled_scores, scaled_keys = net.scores_and_keys(factor * x)
    assert_close(scaled_keys, keys, 1e-10)
    assert_close(scaled_scores / factor, scores, 1e-10)
    assert_close(torch.einsum("ncd,nd->nc", keys, x), scores, 1e-10)
    assert_close(net(x), keys, 1e-12)
    assert torch.equal(net.scores(x), scores)
    assert_close(net.net(split_direction(x)[1]), keys, 1e-12)


def test_directional_partitions_pick_heads(directional):
    net = directional(hidden_sizes=[6], n_heads=4)
    x = points(6, 0)
    scores, keys = net.scores_and_keys(x)
    partitions = torch.tensor([[0, 3], [1, 1], [2, 0], [3, 2], [0, 1], [2, 3]])
    some_scores, some_keys = net.scores_and_keys(x, partitions)
    assert torch.equal(some_scores, scores)
    assert torch.equal(some_keys, keys.take_along_dim(partitions[:, :, None], 1))


def test_directional_net_at_zero(directional):
    net = directional(hidden_sizes=[6], n_heads=3, residual=True)
    x = points(3, 0)
    x[1] = 0
    x.requires_grad_()
    scores, keys = net.scores_and_keys(x)
    assert not scores[1].any()
    assert keys.isfinite().all()
    (scores.sum() + keys.sum()).backward()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_directional_net_of_any_norm(directional, size):
    net = directional(dtype=torch.float32, hidden_sizes=[6], n_heads=2)
    x = points(6, 0, torch.float32)
    scores, keys = net.scores_and_keys(x)
    far_scores, far_keys = net.scores_and_keys(size * x)
    assert_close(far_scores / size, scores)
    assert_close(far_keys, keys, 1e-4)


def test_directional_set_constant(directional):
    net = directional(hidden_sizes=[6], n_heads=2, scale=2.0)
    x, constant = points(4, 0), points(2, 1)
    net.set_constant(torch.zeros(2, D))
    before = net(x)
    net.set_constant(constant)
    torch.testing.assert_close(net(x), before + constant)
