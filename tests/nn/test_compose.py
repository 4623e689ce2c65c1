import pytest
import torch

from sk_amips.nn import (
    CentroidKeyNet,
    DirectionalKeyNet,
    Ellipsoids,
    KeyNet,
    RadialSupportNet,
    ResidualSupportNet,
    SupportNet,
)

N, C, D = 6, 3, 5


@pytest.fixture
def x(generator):
    return torch.randn(N, D, generator=generator)


@pytest.fixture
def base(generator):
    factors = torch.randn(C, 2, D, generator=generator)
    return Ellipsoids(factors, torch.rand(C, generator=generator))


@pytest.fixture(params=["strict", "soft"])
def residual(request, base, randomize):
    net = SupportNet(D, [8], C, activation="leaky_relu", bias=False, inject_output=True)
    net = randomize(net)
    if request.param == "soft":
        net = RadialSupportNet(net)
    return ResidualSupportNet(net, base)


def test_residual_is_the_sum(residual, x):
    scores, keys = residual.scores_and_keys(x)
    net, base = (part.scores_and_keys(x) for part in (residual.net, residual.base))
    torch.testing.assert_close(scores, net[0] + base[0])
    torch.testing.assert_close(keys, net[1] + base[1])
    torch.testing.assert_close(residual.scores(x), scores)


def test_keys_of_a_residual_are_gradients(residual, x, jacobian):
    keys = residual.scores_and_keys(x)[1]
    torch.testing.assert_close(keys, jacobian(residual, x), rtol=1e-4, atol=1e-5)


def test_partitions_of_a_residual(residual, x, generator):
    scores, keys = residual.scores_and_keys(x)
    best = scores.argmax(dim=1, keepdim=True)
    expected = keys.take_along_dim(best.unsqueeze(2), dim=1)
    torch.testing.assert_close(residual.scores_and_keys(x, "best")[1], expected)
    some = torch.randint(C, (N, 2), generator=generator)
    expected = keys.take_along_dim(some.unsqueeze(2), dim=1)
    torch.testing.assert_close(residual.scores_and_keys(x, some)[1], expected)


def test_a_residual_is_convex_and_homogeneous_where_its_net_is(residual, x):
    assert residual.is_homogeneous
    torch.testing.assert_close(residual(7 * x), 7 * residual(x))
    assert residual.is_convex == (not isinstance(residual.net, RadialSupportNet))
    if residual.is_convex:
        y = x.flip(0)
        assert (residual((x + y) / 2) <= (residual(x) + residual(y)) / 2 + 1e-5).all()


def test_set_linear_of_a_residual(residual, x):
    before = residual(x)
    # The gradient at a point is 0-homogeneous: the linear part shows far and near.
    residual.set_linear(torch.zeros(C, D))
    without = residual(x)
    weight = torch.arange(C * D).reshape(C, D).float()
    residual.set_linear(weight)
    torch.testing.assert_close(residual(x), without + x @ weight.T)
    assert not torch.equal(before, without)


def test_nothing_of_the_base_is_trained(residual):
    names = [name for name, _ in residual.named_parameters()]
    assert names
    assert all(name.startswith("net.") for name in names)


def test_one_key_ranks_partitions_by_their_centroids(x, randomize, generator):
    net = CentroidKeyNet(DirectionalKeyNet(randomize(KeyNet(D, [8]))), C)
    centroids = torch.randn(C, D, generator=generator)
    net.centroids.copy_(centroids)
    scores, keys = net.scores_and_keys(x, "best")
    assert keys.shape == (N, 1, D)
    torch.testing.assert_close(keys, net.net(x))
    torch.testing.assert_close(scores, keys[:, 0] @ centroids.T)
    torch.testing.assert_close(net.scores(5 * x), scores)
